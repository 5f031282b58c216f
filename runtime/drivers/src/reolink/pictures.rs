//! The cameras' pictures: Annex B becomes what the hub carries, parameter sets become the track's.

use bytes::{BufMut, Bytes, BytesMut};
use format::{h264, h265};
use media::Track;
use proto_baichuan::{Video, VideoCodec};

/// What a decoder needs first, as the camera sent it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ParameterSets {
    codec: Option<VideoCodec>,
    vps: Bytes,
    sps: Bytes,
    pps: Bytes,
}

/// One picture in the hub's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) payload: Bytes,
    pub(super) is_keyframe: bool,
}

impl ParameterSets {
    /// Takes a picture apart. `None`: nothing in it can be shown.
    pub(super) fn read(&mut self, video: &Video) -> Option<Picture> {
        let codec = coded_as(video);
        if self.codec != Some(codec) {
            *self = Self {
                codec: Some(codec),
                ..Self::default()
            };
        }
        let mut payload = BytesMut::with_capacity(video.data.len() + 64);
        let mut is_keyframe = false;
        for nal in nal_units(&video.data) {
            let is_parameter_set = match codec {
                VideoCodec::H264 => match h264::NalType::of(&nal) {
                    Some(h264::NalType::Sps) => keep(&mut self.sps, &nal),
                    Some(h264::NalType::Pps) => keep(&mut self.pps, &nal),
                    Some(h264::NalType::Delimiter) | None => true,
                    Some(h264::NalType::Idr) => {
                        is_keyframe = true;
                        false
                    }
                    Some(_) => false,
                },
                VideoCodec::H265 => match nal.first().map_or(0, |first| first >> 1 & 0x3f) {
                    32 => keep(&mut self.vps, &nal),
                    33 => keep(&mut self.sps, &nal),
                    34 => keep(&mut self.pps, &nal),
                    35 => true,
                    kind => {
                        is_keyframe |= (16..=21).contains(&kind);
                        false
                    }
                },
            };
            if !is_parameter_set {
                payload.put_u32(u32::try_from(nal.len()).ok()?);
                payload.put_slice(&nal);
            }
        }
        (!payload.is_empty()).then(|| Picture {
            payload: payload.freeze(),
            is_keyframe,
        })
    }

    /// The track, once every set has come.
    pub(super) fn track(&self, told: Option<(u32, u32)>) -> Option<Track> {
        let codec = self.codec?;
        if self.sps.is_empty() || self.pps.is_empty() {
            return None;
        }
        let (sps, pps) = (self.sps.clone(), self.pps.clone());
        match codec {
            VideoCodec::H264 => {
                let parsed = h264::Sps::parse(&sps).ok();
                let (width, height) = parsed.map(|sps| (sps.width, sps.height)).or(told)?;
                Some(Track::h264(sps, pps, width, height))
            }
            VideoCodec::H265 if self.vps.is_empty() => None,
            VideoCodec::H265 => {
                let parsed = h265::Sps::parse(&sps).ok();
                let (width, height) = parsed.map(|sps| (sps.width, sps.height)).or(told)?;
                Some(Track::h265(self.vps.clone(), sps, pps, width, height))
            }
        }
    }
}

/// Keeps a copy of its own, so that the picture's buffer is not held by a few bytes of it.
fn keep(set: &mut Bytes, nal: &Bytes) -> bool {
    if set != nal {
        *set = Bytes::copy_from_slice(nal);
    }
    true
}

/// What the NAL units say; the packet's tag is believed where they say nothing. Some firmware tags
/// H.265 as H.264 after its codec was changed.
fn coded_as(video: &Video) -> VideoCodec {
    if !video.is_keyframe {
        return video.codec;
    }
    match nal_units(&video.data).next().as_deref() {
        Some([0x40 | 0x42 | 0x44, 0x01, ..]) => VideoCodec::H265,
        Some([first, ..]) if first & 0x9f == 7 => VideoCodec::H264,
        _ => video.codec,
    }
}

/// The NAL units between start codes of three or four bytes.
fn nal_units(data: &Bytes) -> impl Iterator<Item = Bytes> {
    let starts: Vec<usize> = memchr::memmem::find_iter(data, &[0, 0, 1]).collect();
    let ends: Vec<usize> = starts.iter().copied().skip(1).chain([data.len()]).collect();
    let data = data.clone();
    starts
        .into_iter()
        .zip(ends)
        .filter_map(move |(start, end)| {
            let nal = data.get(start + 3..end)?;
            // Zeros before the next start code belong to it; a NAL unit ends in a set bit.
            let len = nal.iter().rposition(|&byte| byte != 0)? + 1;
            Some(data.slice(start + 3..start + 3 + len))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(codec: VideoCodec, is_keyframe: bool, data: &'static [u8]) -> Video {
        Video {
            channel: 0,
            is_keyframe,
            codec,
            microseconds: 0,
            unknown_0x14: 0,
            extra: Bytes::new(),
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn parameter_sets_leave_the_picture_and_make_the_track() {
        let mut sets = ParameterSets::default();
        let picture = sets
            .read(&video(
                VideoCodec::H264,
                true,
                b"\0\0\0\x01\x67\x42\0\x1e\x01\0\0\0\x01\x68\xce\0\0\0\x01\x65abc",
            ))
            .unwrap();
        assert!(picture.is_keyframe);
        assert_eq!(&picture.payload[..], b"\0\0\0\x04\x65abc");
        let track = sets.track(Some((640, 360))).unwrap();
        assert_eq!(track.size, Some((640, 360)));
        let picture = sets
            .read(&video(
                VideoCodec::H264,
                false,
                b"\0\0\0\x01\x41xy\0\0\x01\x41z",
            ))
            .unwrap();
        assert!(!picture.is_keyframe);
        assert_eq!(&picture.payload[..], b"\0\0\0\x03\x41xy\0\0\0\x02\x41z");
    }

    #[test]
    fn the_nal_units_know_better_than_the_tag() {
        let mut sets = ParameterSets::default();
        let data = b"\0\0\0\x01\x40\x01v\0\0\0\x01\x42\x01s\0\0\0\x01\x44\x01p\0\0\0\x01\x26\x01i";
        let picture = sets.read(&video(VideoCodec::H264, true, data)).unwrap();
        assert!(picture.is_keyframe);
        let track = sets.track(Some((8, 8))).unwrap();
        assert_eq!(track.codec, media::Codec::H265);
    }

    #[test]
    fn rubbish_is_no_picture() {
        let mut sets = ParameterSets::default();
        for data in [&b""[..], b"abc", b"\0\0\x01", b"\0\0\0\x01\0\0\0\x01"] {
            assert_eq!(sets.read(&video(VideoCodec::H264, true, data)), None);
        }
        assert_eq!(sets.track(Some((8, 8))), None);
    }
}
