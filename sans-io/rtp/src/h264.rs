//! H.264 over RTP, RFC 6184, packetization-mode 1: single NAL units, STAP-A, FU-A.

use bytes::{BufMut, BytesMut};

use crate::Error;
use crate::depacketizer::put_nal;
use crate::nal::NalFormat;
use crate::writer::Writer;

const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_AUD: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

pub(crate) enum H264 {}

impl NalFormat for H264 {
    const HEADER: usize = 1;
    const PARAMETER_SETS: u32 = 2;
    const FRAGMENT_HEADER: usize = 2;

    fn kind(nal: &[u8]) -> u8 {
        nal.first().map_or(0, |b| b & 0x1f)
    }

    fn parameter_set(kind: u8) -> u32 {
        match kind {
            NAL_SPS => 1,
            NAL_PPS => 2,
            _ => 0,
        }
    }

    fn is_delimiter(kind: u8) -> bool {
        kind == NAL_AUD
    }

    fn put_aggregate_header<'a>(w: &mut Writer<'_>, nals: impl Iterator<Item = &'a [u8]>) {
        let (mut forbidden, mut importance) = (0, 0);
        for &first in nals.filter_map(<[u8]>::first) {
            forbidden |= first & 0x80;
            importance = importance.max(first & 0x60);
        }
        w.put(&[forbidden | importance | STAP_A]);
    }

    fn put_fragment_header(w: &mut Writer<'_>, nal: &[u8], is_first: bool, is_last: bool) {
        let first = nal.first().copied().unwrap_or(0);
        let flags = u8::from(is_first) << 7 | u8::from(is_last) << 6;
        w.put(&[first & 0xe0 | FU_A, flags | first & 0x1f]);
    }
}

/// Adds the NAL units of one packet to `unit`; `fragment` says where an unfinished one begins.
pub(crate) fn depacketize(
    payload: &[u8],
    unit: &mut BytesMut,
    fragment: &mut Option<usize>,
) -> Result<(), Error> {
    let Some((&first, rest)) = payload.split_first() else {
        return Err(Error::malformed("H.264 payload", 0, "empty"));
    };
    match first & 0x1f {
        1..=23 => put_nal(unit, &[payload]),
        STAP_A => {
            let mut rest = rest;
            while !rest.is_empty() {
                let nal = rest.split_first_chunk::<2>().and_then(|(len, body)| {
                    body.split_at_checked(usize::from(u16::from_be_bytes(*len)))
                });
                let Some((nal, after)) = nal else {
                    let offset = payload.len() - rest.len();
                    return Err(Error::malformed("STAP-A", offset, "length past the end"));
                };
                put_nal(unit, &[nal]);
                rest = after;
            }
        }
        FU_A => {
            let Some((&header, body)) = rest.split_first() else {
                return Err(Error::malformed("FU-A", 1, "no fragment header"));
            };
            if header & 0x80 != 0 {
                *fragment = Some(unit.len());
                put_nal(unit, &[&[first & 0xe0 | header & 0x1f], body]);
            } else if let Some(start) = *fragment {
                unit.put_slice(body);
                crate::depacketizer::patch_len(unit, start);
            } else {
                return Err(Error::malformed("FU-A", 1, "fragment without its start"));
            }
            if header & 0x40 != 0 {
                *fragment = None;
            }
        }
        _ => {
            return Err(Error::malformed(
                "H.264 payload",
                0,
                "packet type not in packetization-mode 1",
            ));
        }
    }
    Ok(())
}
