//! H.265 over RTP, RFC 7798: single NAL units, aggregation packets (AP), fragments (FU); no DONL.

use bytes::{BufMut, BytesMut};

use crate::Error;
use crate::depacketizer::{patch_len, put_nal};
use crate::nal::NalFormat;
use crate::writer::Writer;

const NAL_VPS: u8 = 32;
const NAL_SPS: u8 = 33;
const NAL_PPS: u8 = 34;
const NAL_AUD: u8 = 35;
const AP: u8 = 48;
const FU: u8 = 49;
const PACI: u8 = 50;

pub(crate) enum H265 {}

impl NalFormat for H265 {
    const HEADER: usize = 2;
    const PARAMETER_SETS: u32 = 3;
    const FRAGMENT_HEADER: usize = 3;

    fn kind(nal: &[u8]) -> u8 {
        nal.first().map_or(0, |b| b >> 1 & 0x3f)
    }

    fn parameter_set(kind: u8) -> u32 {
        match kind {
            NAL_VPS => 1,
            NAL_SPS => 2,
            NAL_PPS => 4,
            _ => 0,
        }
    }

    fn is_delimiter(kind: u8) -> bool {
        kind == NAL_AUD
    }

    fn put_aggregate_header<'a>(w: &mut Writer<'_>, nals: impl Iterator<Item = &'a [u8]>) {
        // Forbidden bit of any, lowest layer and lowest temporal id of all (RFC 7798 section 4.4.2).
        let (mut forbidden, mut ids) = (0, 0x1ff);
        for nal in nals {
            if let [b0, b1, ..] = *nal {
                forbidden |= b0 & 0x80;
                ids = ids.min(u16::from_be_bytes([b0 & 1, b1]));
            }
        }
        let [high, low] = ids.to_be_bytes();
        w.put(&[forbidden | AP << 1 | high, low]);
    }

    fn put_fragment_header(w: &mut Writer<'_>, nal: &[u8], is_first: bool, is_last: bool) {
        let (b0, b1) = match *nal {
            [b0, b1, ..] => (b0, b1),
            _ => (0, 1),
        };
        let flags = u8::from(is_first) << 7 | u8::from(is_last) << 6;
        w.put(&[b0 & 0x81 | FU << 1, b1, flags | Self::kind(nal)]);
    }
}

/// Adds the NAL units of one packet to `unit`; `fragment` says where an unfinished one begins.
pub(crate) fn depacketize(
    payload: &[u8],
    unit: &mut BytesMut,
    fragment: &mut Option<usize>,
) -> Result<(), Error> {
    let &[b0, b1, ref rest @ ..] = payload else {
        return Err(Error::malformed(
            "H.265 payload",
            0,
            "shorter than its header",
        ));
    };
    match b0 >> 1 & 0x3f {
        AP => {
            let mut rest = rest;
            while !rest.is_empty() {
                let nal = rest.split_first_chunk::<2>().and_then(|(len, body)| {
                    body.split_at_checked(usize::from(u16::from_be_bytes(*len)))
                });
                let Some((nal, after)) = nal else {
                    let offset = payload.len() - rest.len();
                    return Err(Error::malformed("AP", offset, "length past the end"));
                };
                put_nal(unit, &[nal]);
                rest = after;
            }
        }
        FU => {
            let Some((&header, body)) = rest.split_first() else {
                return Err(Error::malformed("FU", 2, "no fragment header"));
            };
            if header & 0x80 != 0 {
                *fragment = Some(unit.len());
                put_nal(unit, &[&[b0 & 0x81 | (header & 0x3f) << 1, b1], body]);
            } else if let Some(start) = *fragment {
                unit.put_slice(body);
                patch_len(unit, start);
            } else {
                return Err(Error::malformed("FU", 2, "fragment without its start"));
            }
            if header & 0x40 != 0 {
                *fragment = None;
            }
        }
        PACI.. => {
            return Err(Error::malformed(
                "H.265 payload",
                0,
                "unsupported packet type",
            ));
        }
        _ => put_nal(unit, &[payload]),
    }
    Ok(())
}
