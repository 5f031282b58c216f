//! What the camera sees and hears, cut into access units in Annex B form and into AAC frames.

use std::sync::LazyLock;

use bytes::Bytes;
use proto_baichuan::VideoCodec;

use crate::clip::split_annex_b;

const PORCH: &[u8] = include_bytes!("../../media/porch.h264");
const PORCH_H265: &[u8] = include_bytes!("../../media/porch.h265");
const SMALL: &[u8] = include_bytes!("../../media/porch-small.h264");
const CHIME: &[u8] = include_bytes!("../../media/chime.aac");
/// The still that a snapshot shows.
pub(super) const STILL: &[u8] = include_bytes!("../../media/porch.jpg");

/// Pictures of all clips.
pub(super) const FRAME_RATE: u8 = 25;
/// Pictures from one keyframe to the next, in all clips.
pub(super) const GOP: u64 = 25;

pub(super) static MAIN_H264: LazyLock<Clip> = LazyLock::new(|| Clip {
    codec: VideoCodec::H264,
    width: 640,
    height: 360,
    units: units(PORCH, VideoCodec::H264),
});
pub(super) static MAIN_H265: LazyLock<Clip> = LazyLock::new(|| Clip {
    codec: VideoCodec::H265,
    width: 640,
    height: 360,
    units: units(PORCH_H265, VideoCodec::H265),
});
pub(super) static SUB: LazyLock<Clip> = LazyLock::new(|| Clip {
    codec: VideoCodec::H264,
    width: 320,
    height: 180,
    units: units(SMALL, VideoCodec::H264),
});
/// AAC frames of 1024 samples at 16 kHz, each with its ADTS header.
pub(super) static AAC: LazyLock<Vec<Bytes>> = LazyLock::new(|| adts(CHIME));

/// A clip to play in a loop.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) codec: VideoCodec,
    pub(super) width: u32,
    pub(super) height: u32,
    units: Vec<(Bytes, bool)>,
}

impl Clip {
    /// The access unit at `index`, for ever, and whether a decoder can start there.
    pub(super) fn unit(&self, index: u64) -> (Bytes, bool) {
        let at = index % self.units.len().max(1) as u64;
        self.units.get(at as usize).cloned().unwrap_or_default()
    }
}

/// What a NAL unit is to the cut.
enum Nal {
    FirstSlice { is_key: bool },
    FurtherSlice,
    Other,
}

fn judge(nal: &[u8], codec: VideoCodec) -> Nal {
    let head = nal.first().copied().unwrap_or(0);
    let (is_slice, is_key, first_at) = match codec {
        VideoCodec::H264 => {
            let kind = head & 0x1f;
            (matches!(kind, 1 | 5), kind == 5, 1)
        }
        VideoCodec::H265 => {
            let kind = head >> 1 & 0x3f;
            (kind < 32, (16..24).contains(&kind), 2)
        }
    };
    // In H.264 ue(0) is a single set bit, in H.265 there is a flag: the same bit.
    let is_first = nal.get(first_at).is_some_and(|byte| byte & 0x80 != 0);
    match (is_slice, is_first) {
        (true, true) => Nal::FirstSlice { is_key },
        (true, false) => Nal::FurtherSlice,
        (false, _) => Nal::Other,
    }
}

fn units(annex_b: &[u8], codec: VideoCodec) -> Vec<(Bytes, bool)> {
    let mut units = Vec::new();
    let (mut unit, mut has_picture, mut is_key_unit) = (Vec::new(), false, false);
    for nal in split_annex_b(annex_b) {
        let kind = judge(nal, codec);
        if has_picture && !matches!(kind, Nal::FurtherSlice) {
            units.push((Bytes::from(std::mem::take(&mut unit)), is_key_unit));
            has_picture = false;
        }
        if let Nal::FirstSlice { is_key } = kind {
            has_picture = true;
            is_key_unit = is_key;
        }
        unit.extend_from_slice(&[0, 0, 0, 1]);
        unit.extend_from_slice(nal);
    }
    if has_picture {
        units.push((unit.into(), is_key_unit));
    }
    units
}

fn adts(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some(&[_, _, _, a, b, c, _]) = bytes.first_chunk::<7>() {
        let len = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
        let Some((frame, rest)) = bytes.split_at_checked(len.max(7)) else {
            break;
        };
        frames.push(Bytes::copy_from_slice(frame));
        bytes = rest;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_clip_is_ten_seconds_with_a_keyframe_each_second() {
        for clip in [&*MAIN_H264, &*MAIN_H265, &*SUB] {
            assert_eq!(clip.units.len(), 250);
            for (at, (unit, is_keyframe)) in clip.units.iter().enumerate() {
                assert_eq!(
                    *is_keyframe,
                    (at as u64).is_multiple_of(GOP),
                    "picture {at}"
                );
                assert_eq!(unit[..4], [0, 0, 0, 1]);
            }
        }
    }

    #[test]
    fn the_chime_is_five_seconds_of_aac() {
        assert_eq!(AAC.len(), 81);
        assert!(
            AAC.iter()
                .all(|frame| frame[0] == 0xff && frame.len() < 2000)
        );
    }
}
