//! What passes between the gateway and its decoder process, over two pipes.
//!
//! | towards the decoder | means | answer |
//! |---|---|---|
//! | 1, length, codec (1 byte) and NAL units behind 4-byte lengths | parameter sets; a new decoder | none |
//! | 2, length, payload of an access unit | decode, no picture is wanted | none |
//! | 3, length, payload of an access unit | decode, give the picture | one of the below |
//! | 4, length, payload of an access unit | decode and give the picture though others may have to come first: it is the last | one of the below |
//!
//! Answers are 0 with a JPEG picture, or 1 with the reason why there is none. Kinds are one byte,
//! lengths four, big-endian.

use media::{CodecParameters, MAX_ACCESS_UNIT};

pub(crate) const PARAMETERS: u8 = 1;
pub(crate) const UNIT: u8 = 2;
pub(crate) const PICTURE: u8 = 3;
pub(crate) const LAST_PICTURE: u8 = 4;

pub(crate) const JPEG: u8 = 0;
pub(crate) const NOTHING: u8 = 1;

pub(crate) const H264: u8 = 0;
pub(crate) const H265: u8 = 1;

/// Bytes in front of every message.
pub(crate) const HEAD: usize = 5;

/// Longest message to the decoder: an access unit, or parameter sets, which are far shorter.
pub(crate) const MAX_REQUEST: usize = MAX_ACCESS_UNIT;

/// Longest answer. 16 megapixels of noise at our quality make 14 MB.
pub(crate) const MAX_ANSWER: usize = 16 << 20;

/// The head of a message.
pub(crate) fn head(kind: u8, len: usize) -> [u8; HEAD] {
    let [a, b, c, d] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c, d]
}

/// Kind and length of a message, if it is no longer than `max`.
pub(crate) fn read_head(head: [u8; HEAD], max: usize) -> Option<(u8, usize)> {
    let [kind, a, b, c, d] = head;
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (len <= max).then_some((kind, len))
}

/// The message with a track's parameter sets; none for codecs that nobody decodes.
pub(crate) fn parameters(parameters: &CodecParameters) -> Option<Vec<u8>> {
    let (codec, sets) = match parameters {
        CodecParameters::H264 { sps, pps } => (H264, vec![sps, pps]),
        CodecParameters::H265 { vps, sps, pps } => (H265, vec![vps, sps, pps]),
        CodecParameters::Jpeg | CodecParameters::Aac { .. } | CodecParameters::G711 => return None,
    };
    let sets = media::length_prefixed(sets.into_iter().map(|set| &set[..]));
    let mut message = head(PARAMETERS, sets.len() + 1).to_vec();
    message.push(codec);
    message.extend_from_slice(&sets);
    Some(message)
}
