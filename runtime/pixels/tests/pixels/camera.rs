//! A camera that publishes a recorded stream, and a maker of pictures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use format::{h264, h265};
use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use pixels::{Pixels, Program, Settings};

pub(crate) const H264: &[u8] = include_bytes!("../../testdata/h264-320x180.h264");
pub(crate) const H265: &[u8] = include_bytes!("../../testdata/h265-320x180.h265");
pub(crate) const H264_422: &[u8] = include_bytes!("../../testdata/h264-422.h264");

/// Size of all recorded pictures.
pub(crate) const SIZE: (u32, u32) = (320, 180);

/// Where the decoder is built to: beside the folder of this test.
pub(crate) fn decoder() -> Program {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().unwrap().parent().unwrap();
    let decoder = profile.join("examples/decoder");
    assert!(decoder.is_file(), "{} is not built", decoder.display());
    Program::new(decoder, [])
}

pub(crate) fn pixels() -> Pixels {
    Pixels::new(Settings::new(decoder()))
}

/// A recorded stream and its place.
pub(crate) struct Camera {
    pub(crate) stream: Arc<Stream>,
    pub(crate) tracks: Tracks,
    publisher: Publisher,
    units: Vec<(Bytes, bool)>,
    sent: usize,
}

impl Camera {
    pub(crate) fn h264(recording: &[u8]) -> Self {
        let nals = nal_units(recording);
        let kind = |nal: &[u8]| nal[0] & 0x1f;
        let of = |wanted: u8| nals.iter().find(|nal| kind(nal) == wanted).unwrap();
        let (sps, pps) = (of(7), of(8));
        let size = h264::Sps::parse(sps).unwrap();
        let track = Track::h264(sps.clone(), pps.clone(), size.width, size.height);
        let slices = nals.iter().filter(|nal| matches!(kind(nal), 1 | 5));
        let units = slices.map(|nal| (media::length_prefixed([&nal[..]]), kind(nal) == 5));
        Self::new(track, units.collect())
    }

    pub(crate) fn h265(recording: &[u8]) -> Self {
        let nals = nal_units(recording);
        let kind = |nal: &[u8]| nal[0] >> 1 & 0x3f;
        let of = |wanted: u8| nals.iter().find(|nal| kind(nal) == wanted).unwrap();
        let (vps, sps, pps) = (of(32), of(33), of(34));
        let size = h265::Sps::parse(sps).unwrap();
        let track = Track::h265(
            vps.clone(),
            sps.clone(),
            pps.clone(),
            size.width,
            size.height,
        );
        let slices = nals.iter().filter(|nal| kind(nal) < 32);
        let units = slices.map(|nal| (media::length_prefixed([&nal[..]]), kind(nal) >= 16));
        Self::new(track, units.collect())
    }

    pub(crate) fn new(track: Track, units: Vec<(Bytes, bool)>) -> Self {
        let stream = Hub::new().add(StreamName::new("porch").unwrap());
        let tracks = Tracks::new(vec![track]);
        let mut publisher = stream.publisher();
        publisher.announce(tracks.clone()).unwrap();
        Self {
            stream,
            tracks,
            publisher,
            units,
            sent: 0,
        }
    }

    /// Sends the next access unit, from the start again after the last.
    pub(crate) fn send(&mut self) -> AccessUnit {
        let (payload, is_keyframe) = self.units[self.sent % self.units.len()].clone();
        let unit = AccessUnit {
            track: 0,
            time: MediaTime(self.sent as i64 * 3_600),
            wall: None,
            received: Instant::now(),
            is_keyframe,
            payload,
        };
        self.sent += 1;
        self.publisher.publish(unit.clone()).unwrap();
        unit
    }

    /// Sends 25 access units a second, for ever.
    pub(crate) async fn play(mut self) {
        loop {
            self.send();
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}

/// The NAL units of a file in annex B.
pub(crate) fn nal_units(file: &[u8]) -> Vec<Bytes> {
    let mut starts: Vec<usize> = Vec::new();
    let mut at = 0;
    while at + 3 <= file.len() {
        if file[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 2;
        }
        at += 1;
    }
    let ends = starts.iter().skip(1).map(|start| start - 3);
    let ends: Vec<usize> = ends.chain([file.len()]).collect();
    let cut = |(start, end): (&usize, &usize)| {
        let nal = &file[*start..*end];
        let zeros = nal.iter().rev().take_while(|&&byte| byte == 0).count();
        Bytes::copy_from_slice(&nal[..nal.len() - zeros])
    };
    starts.iter().zip(&ends).map(cut).collect()
}

/// How many processes that this test started still run.
pub(crate) fn children() -> usize {
    let this = std::process::id();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_child = |stat: &String| {
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields);
        let mut fields = fields.unwrap_or_default().split(' ');
        let (state, parent) = (fields.next(), fields.next());
        state != Some("Z") && parent == Some(&this.to_string())
    };
    let stats = processes.flat_map(|entry| std::fs::read_to_string(entry.path().join("stat")));
    stats.filter(is_child).count()
}

/// The `SIZE` of a JPEG picture that is whole.
pub(crate) fn size(jpeg: &[u8]) -> (u32, u32) {
    assert!(format::jpeg::is_whole(jpeg), "{} bytes", jpeg.len());
    let picture = format::jpeg::Picture::parse(jpeg).unwrap();
    (picture.width, picture.height)
}
