//! Fragmented MP4 of ours, read by others: boxes nest, and ffmpeg decodes the same pictures from
//! it as from the bare stream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stderr)]

use std::process::Command;

use bytes::Bytes;
use format::fmp4::{Fragment, init_segment, mime};
use format::{h264, h265};
use media::{Codec, CodecParameters, Track};
use proptest::prelude::*;

/// Boxes that hold nothing but boxes.
const CONTAINERS: [&[u8; 4]; 9] = [
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"mvex", b"moof", b"traf",
];

/// Checks that sizes nest without gap or overhang, and lists the paths.
fn walk(bytes: &[u8], path: &str, found: &mut Vec<String>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let size = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
        assert!(
            (8..=rest.len()).contains(&size),
            "{path}: a box of {size} in {}",
            rest.len()
        );
        let name: [u8; 4] = rest[4..8].try_into().unwrap();
        let path = format!("{path}/{}", String::from_utf8_lossy(&name));
        found.push(path.clone());
        if CONTAINERS.contains(&&name) {
            walk(&rest[8..size], &path, found);
        }
        rest = &rest[size..];
    }
}

fn h264_track() -> Track {
    let sps = [
        0x67, 0x42, 0xc0, 0x28, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x18, 0x32, 0x48,
    ];
    let pps = [0x68, 0xcb, 0x83, 0xcb, 0x20];
    Track::h264(
        Bytes::copy_from_slice(&sps),
        Bytes::copy_from_slice(&pps),
        640,
        360,
    )
}

#[test]
fn init_segment_has_every_box_a_player_asks_for() {
    let aac = Track::aac(Bytes::from_static(&[0x11, 0x90]), 48_000, 2);
    let tracks = [h264_track(), aac];
    let mut found = Vec::new();
    walk(&init_segment(&tracks).unwrap(), "", &mut found);
    for path in [
        "/ftyp",
        "/moov/mvhd",
        "/moov/trak/tkhd",
        "/moov/trak/mdia/minf/vmhd",
        "/moov/trak/mdia/minf/smhd",
        "/moov/trak/mdia/minf/stbl/stsd",
        "/moov/mvex/trex",
    ] {
        assert!(
            found.iter().any(|found| found == path),
            "{path} is not in {found:?}"
        );
    }
    assert_eq!(
        mime(&tracks).unwrap(),
        "video/mp4; codecs=\"avc1.42C028,mp4a.40.2\""
    );
}

#[test]
fn tracks_that_browsers_cannot_play_are_refused_by_name() {
    let error = init_segment(&[Track::g711(Codec::Pcma, 8_000, 1)]).unwrap_err();
    assert_eq!(error.to_string(), "fragmented MP4 is not written for PCMA");
    let mut mixed = h264_track();
    mixed.parameters = CodecParameters::Jpeg;
    assert!(init_segment(&[mixed]).is_err());
}

proptest! {
    #[test]
    fn boxes_of_a_fragment_nest_and_the_offset_leads_to_the_payload(
        payload in prop::collection::vec(any::<u8>(), 0..2_000),
        decode_time: u64,
        composition_offset: i32,
        is_keyframe: bool,
    ) {
        let fragment = Fragment {
            track: 1, sequence: 9, decode_time, duration: 3_600, composition_offset, is_keyframe,
            payload: &payload,
        };
        let bytes = fragment.encode().unwrap();
        let mut found = Vec::new();
        walk(&bytes, "", &mut found);
        prop_assert_eq!(found.last().map(String::as_str), Some("/mdat"));
        let trun = bytes.windows(4).position(|four| four == b"trun").unwrap();
        let offset = u32::from_be_bytes(bytes[trun + 12..trun + 16].try_into().unwrap()) as usize;
        prop_assert_eq!(&bytes[offset..], &payload[..]);
    }
}

/// Splits an Annex B stream whose access units all begin with a delimiter.
fn access_units(stream: &[u8], is_delimiter: impl Fn(&[u8]) -> bool) -> Vec<Vec<Vec<u8>>> {
    let mut starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, three)| three == &[0, 0, 1])
        .map(|(at, _)| at)
        .collect();
    starts.push(stream.len());
    let mut units: Vec<Vec<Vec<u8>>> = Vec::new();
    for pair in starts.windows(2) {
        let mut nal = &stream[pair[0] + 3..pair[1]];
        while let [rest @ .., 0] = nal {
            nal = rest;
        }
        if is_delimiter(nal) {
            units.push(Vec::new());
        }
        units.last_mut().unwrap().push(nal.to_vec());
    }
    units
}

/// Encodes a moving test picture, wraps it with our boxes, and compares what ffmpeg decodes from
/// both. Without B pictures, as almost all cameras send.
fn compare_with_ffmpeg(encoder: &[&str], container: &str, is_h265: bool) {
    let folder = tempfile::tempdir().unwrap();
    let bare = folder.path().join(format!("bare.{container}"));
    let ours = folder.path().join("ours.mp4");
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=322x182:rate=25:duration=1",
        ])
        .args(["-pix_fmt", "yuv420p"])
        .args(encoder)
        .args(["-f", container])
        .arg(&bare)
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no ffmpeg with this encoder here");
        return;
    }
    let stream = std::fs::read(&bare).unwrap();
    let units = access_units(&stream, |nal| {
        if is_h265 {
            h265::NalType::of(nal) == Some(h265::NalType::Delimiter)
        } else {
            h264::NalType::of(nal) == Some(h264::NalType::Delimiter)
        }
    });
    let set = |kind: u8| -> Bytes {
        let mut nals = units.iter().flatten();
        let of = |nal: &&Vec<u8>| {
            if is_h265 {
                nal[0] >> 1 & 0x3f == kind
            } else {
                nal[0] & 0x1f == kind
            }
        };
        nals.find(of).unwrap().clone().into()
    };
    let track = if is_h265 {
        Track::h265(set(32), set(33), set(34), 322, 182)
    } else {
        Track::h264(set(7), set(8), 322, 182)
    };
    let mut file = init_segment(&[track]).unwrap().to_vec();
    for (sequence, unit) in (1..).zip(&units) {
        let payload = media::length_prefixed(unit.iter().map(Vec::as_slice));
        let is_keyframe = if is_h265 {
            h265::is_keyframe(&payload)
        } else {
            h264::is_keyframe(&payload)
        };
        assert_eq!(is_keyframe, (sequence - 1) % 10 == 0, "unit {sequence}");
        let fragment = Fragment {
            track: 1,
            sequence,
            decode_time: (1 << 33) + u64::from(sequence) * 3_600,
            duration: 3_600,
            composition_offset: 0,
            is_keyframe,
            payload: &payload,
        };
        file.extend_from_slice(&fragment.encode().unwrap());
    }
    std::fs::write(&ours, &file).unwrap();

    let hashes = |path: &std::path::Path| -> Vec<String> {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(path)
            .args(["-fps_mode", "passthrough", "-f", "framemd5", "-"])
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && complaints.is_empty(),
            "{complaints}"
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
            .collect()
    };
    let from_bare = hashes(&bare);
    assert_eq!(from_bare.len(), 25);
    assert_eq!(hashes(&ours), from_bare);
    let probe = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-show_entries",
            "stream=width,height",
            "-of",
            "csv=p=0",
        ])
        .arg(&ours)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&probe.stdout).trim(), "322,182");
}

#[test]
fn ffmpeg_decodes_the_same_h264_pictures_from_our_fragments() {
    let encoder = [
        "-c:v",
        "libx264",
        "-bf",
        "0",
        "-g",
        "10",
        "-x264-params",
        "aud=1",
    ];
    compare_with_ffmpeg(&encoder, "h264", false);
}

#[test]
fn ffmpeg_decodes_the_same_h265_pictures_from_our_fragments() {
    let parameters = "log-level=none:aud=1:bframes=0:keyint=10:min-keyint=10:repeat-headers=1";
    compare_with_ffmpeg(
        &["-c:v", "libx265", "-x265-params", parameters],
        "hevc",
        true,
    );
}
