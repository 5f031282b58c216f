//! The media under test: access units of exact sizes, or those of an H.264 file.
use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use std::path::Path;

/// Pictures a second of all media here.
pub(super) const FPS: u32 = 25;

/// How much larger a keyframe is than the average other picture. An x264 encoding of a 720p test
/// picture at a constant 2 Mbit/s and a GOP of 2 s gave 47 kB and 9.4 kB.
const KEYFRAME_WEIGHT: usize = 5;

/// Parameter sets of a 1280x720 main profile stream, for media that nobody decodes.
const SPS: &[u8] = &[
    0x67, 0x4d, 0x40, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03, 0x00, 0x40,
    0x00, 0x00, 0x0c, 0x83, 0xc6, 0x0c, 0xa8,
];
const PPS: &[u8] = &[0x68, 0xef, 0x3c, 0x80];

const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SEI: u8 = 6;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_DELIMITER: u8 = 9;

/// A piece of H.264 that is played over and over.
pub(super) struct Clip {
    pub(super) sps: Vec<u8>,
    pub(super) pps: Vec<u8>,
    pub(super) units: Vec<Unit>,
}

/// One access unit, as NAL units behind 4-byte lengths.
pub(super) struct Unit {
    pub(super) is_keyframe: bool,
    pub(super) payload: Bytes,
}

impl Clip {
    /// Pictures of the sizes that an encoder with a constant `bitrate` makes. What is in the slices
    /// is noise: every byte that a relay looks at is right, no decoder could show it.
    pub(super) fn synthetic(bitrate: usize, gop: usize) -> Self {
        let budget = bitrate / 8 * gop / FPS as usize;
        let mean = budget / (gop - 1 + KEYFRAME_WEIGHT);
        let mut noise = Noise(0x2545_f491_4f6c_dd1d);
        let mut units = Vec::new();
        for _ in 0..4 {
            let mut left = budget;
            for number in (0..gop).rev() {
                // The keyframe comes first and takes what the others leave.
                let size = if number == gop - 1 {
                    mean * KEYFRAME_WEIGHT
                } else if number == 0 {
                    left
                } else {
                    mean * (80 + noise.below(41)) / 100
                };
                let size = size.min(left).max(64);
                left -= size.min(left);
                units.push(Unit::synthetic(number == gop - 1, size, &mut noise));
            }
        }
        Self {
            sps: SPS.to_vec(),
            pps: PPS.to_vec(),
            units,
        }
    }

    /// An Annex B file without B pictures.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        let (mut sps, mut pps) = (Vec::new(), Vec::new());
        let mut units: Vec<Unit> = Vec::new();
        let mut payload = BytesMut::new();
        let (mut has_picture, mut is_keyframe) = (false, false);
        for nal in annexb(&bytes) {
            let [first, rest @ ..] = nal else { continue };
            let kind = first & 31;
            let is_slice = matches!(kind, NAL_SLICE | NAL_IDR);
            // first_mb_in_slice is 0 exactly if its first bit is set.
            let starts_picture = is_slice && rest.first().is_some_and(|byte| byte & 0x80 != 0);
            let leads = matches!(kind, NAL_SEI | NAL_SPS | NAL_PPS | NAL_DELIMITER);
            if has_picture && (starts_picture || leads) {
                let payload = payload.split().freeze();
                units.push(Unit {
                    is_keyframe,
                    payload,
                });
                (has_picture, is_keyframe) = (false, false);
            }
            match kind {
                NAL_SPS => sps = nal.to_vec(),
                NAL_PPS => pps = nal.to_vec(),
                _ => {}
            }
            has_picture |= is_slice;
            is_keyframe |= kind == NAL_IDR;
            put_nal(&mut payload, nal);
        }
        if has_picture {
            let payload = payload.freeze();
            units.push(Unit {
                is_keyframe,
                payload,
            });
        }
        if sps.is_empty() || pps.is_empty() || !units.iter().any(|unit| unit.is_keyframe) {
            bail!("{}: no H.264 keyframe in it", path.display());
        }
        Ok(Self { sps, pps, units })
    }
}

impl Unit {
    fn synthetic(is_keyframe: bool, size: usize, noise: &mut Noise) -> Self {
        let mut payload = BytesMut::with_capacity(size + 64);
        if is_keyframe {
            put_nal(&mut payload, SPS);
            put_nal(&mut payload, PPS);
        }
        let mut slice = vec![if is_keyframe { 0x65 } else { 0x41 }, 0x9a];
        // No zero bytes: nothing in it can look like a start code.
        slice.resize_with(size, || 1 + noise.below(255) as u8);
        put_nal(&mut payload, &slice);
        Self {
            is_keyframe,
            payload: payload.freeze(),
        }
    }
}

fn put_nal(payload: &mut BytesMut, nal: &[u8]) {
    payload.put_u32(nal.len() as u32);
    payload.put_slice(nal);
}

/// The NAL units of an Annex B stream.
fn annexb(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts: Vec<usize> = bytes
        .windows(3)
        .enumerate()
        .filter(|(_, window)| window == &[0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    starts.push(bytes.len() + 3);
    let ends: Vec<usize> = starts.iter().skip(1).map(|start| start - 3).collect();
    starts.into_iter().zip(ends).map(|(start, end)| {
        let nal = &bytes[start..end];
        // The zero of a 4-byte start code, and trailing zeros, belong to nobody.
        let len = nal
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        &nal[..len]
    })
}

/// An Annex B stream of an access unit with its parameter sets in front.
pub(super) fn to_annexb(sps: &[u8], pps: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |nal: &[u8]| {
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(nal);
    };
    put(sps);
    put(pps);
    let mut left = payload;
    while let Some((len, rest)) = left.split_first_chunk::<4>() {
        let len = u32::from_be_bytes(*len) as usize;
        let Some((nal, rest)) = rest.split_at_checked(len) else {
            break;
        };
        put(nal);
        left = rest;
    }
    out
}

/// Numbers that look random and are the same in every run (xorshift).
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synthetic_media_has_the_asked_bitrate_and_keyframes() {
        let clip = Clip::synthetic(2_000_000, 50);
        assert_eq!(clip.units.len(), 200);
        for (number, unit) in clip.units.iter().enumerate() {
            assert_eq!(unit.is_keyframe, number % 50 == 0);
        }
        let bits: usize = clip.units.iter().map(|unit| unit.payload.len() * 8).sum();
        let seconds = clip.units.len() / FPS as usize;
        let bitrate = bits / seconds;
        assert!((1_990_000..2_010_000).contains(&bitrate), "{bitrate}");
        let largest = clip.units.iter().map(|unit| unit.payload.len()).max();
        assert!(largest < Some(60_000), "{largest:?}");
    }

    #[test]
    fn annexb_is_cut_at_start_codes_of_three_and_four_bytes() {
        let nals: Vec<&[u8]> = annexb(&[0, 0, 0, 1, 9, 1, 0, 0, 1, 8, 2, 0, 0, 0, 1, 7]).collect();
        assert_eq!(nals, [&[9, 1][..], &[8, 2], &[7]]);
    }
}
