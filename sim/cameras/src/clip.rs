//! The committed H.264 clip, cut into access units.

use std::sync::LazyLock;

use bytes::Bytes;
use media::length_prefixed;

/// Ten seconds of an evening porch; see `media/README.md`.
const PORCH: &[u8] = include_bytes!("../media/porch.h264");

pub(crate) static CLIP: LazyLock<Clip> = LazyLock::new(|| Clip::parse(PORCH));

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;

/// A clip to play in a loop.
pub(crate) struct Clip {
    pub(crate) sps: Bytes,
    pub(crate) pps: Bytes,
    /// Payload and whether a decoder can start there.
    pub(crate) units: Vec<(Bytes, bool)>,
}

impl Clip {
    fn parse(annex_b: &[u8]) -> Self {
        let (mut sps, mut pps) = (Bytes::new(), Bytes::new());
        let mut units = Vec::new();
        let mut unit: Vec<&[u8]> = Vec::new();
        for nal in split_annex_b(annex_b) {
            let kind = nal.first().map_or(0, |b| b & 0x1f);
            // A slice whose first macroblock is 0 begins a picture: ue(0) is a single set bit.
            let is_first_slice = nal.get(1).is_some_and(|b| b & 0x80 != 0);
            let begins = match kind {
                NAL_SLICE | NAL_IDR => is_first_slice,
                _ => true,
            };
            if begins && unit.iter().any(|nal| is_picture(nal)) {
                units.push(join(&unit));
                unit.clear();
            }
            match kind {
                NAL_SPS => sps = Bytes::copy_from_slice(nal),
                NAL_PPS => pps = Bytes::copy_from_slice(nal),
                _ => {}
            }
            unit.push(nal);
        }
        if !unit.is_empty() {
            units.push(join(&unit));
        }
        Self { sps, pps, units }
    }
}

fn is_picture(nal: &[u8]) -> bool {
    matches!(nal.first().map(|b| b & 0x1f), Some(NAL_SLICE | NAL_IDR))
}

fn join(nals: &[&[u8]]) -> (Bytes, bool) {
    let is_keyframe = nals
        .iter()
        .any(|nal| nal.first().is_some_and(|b| b & 0x1f == NAL_IDR));
    (length_prefixed(nals.iter().copied()), is_keyframe)
}

/// The NAL units between start codes.
pub(crate) fn split_annex_b(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> = memchr::memmem::find_iter(bytes, &[0, 0, 1]).collect();
    let ends: Vec<usize> = starts
        .iter()
        .copied()
        .skip(1)
        .chain([bytes.len()])
        .collect();
    starts
        .into_iter()
        .zip(ends)
        .filter_map(move |(start, end)| {
            let nal = bytes.get(start + 3..end)?;
            // Zeros before the next start code belong to it.
            let len = nal.iter().rposition(|&b| b != 0)? + 1;
            nal.get(..len)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_ten_seconds_with_a_keyframe_each_second() {
        assert_eq!(CLIP.units.len(), 250);
        for (at, (_, is_keyframe)) in CLIP.units.iter().enumerate() {
            assert_eq!(*is_keyframe, at % 25 == 0, "picture {at}");
        }
        assert!(!CLIP.sps.is_empty() && !CLIP.pps.is_empty());
    }
}
