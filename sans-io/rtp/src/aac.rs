//! AAC over RTP, RFC 3640 mode AAC-hbr: `sizelength=13; indexlength=3; indexdeltalength=3`.

use media::Codec;

use crate::Error;
use crate::writer::Writer;

/// Bytes before the media when a packet holds one access unit: AU-headers-length, AU-header.
const HEADERS: usize = 4;
/// Largest access unit that 13 bits can tell.
const MAX_SIZE: usize = (1 << 13) - 1;

/// One access unit per packet: at 21 ms each, gathering several would only cost latency.
pub(crate) fn packetize(payload: &[u8], max: usize, w: &mut Writer<'_>) -> Result<(), Error> {
    let size = match u16::try_from(payload.len()) {
        Ok(size) if payload.len() <= MAX_SIZE => size,
        _ => {
            return Err(Error::TooLarge {
                codec: Codec::Aac,
                len: payload.len(),
                max: MAX_SIZE,
            });
        }
    };
    let [s0, s1] = (size << 3).to_be_bytes();
    let room = max.saturating_sub(HEADERS).max(1);
    let count = payload.len().div_ceil(room);
    for (at, chunk) in payload.chunks(room).enumerate() {
        // A fragment repeats the size of the whole unit; the marker ends it (section 3.2.3.1).
        w.packet(at + 1 == count, &[&[0, 16, s0, s1], chunk]);
    }
    Ok(())
}

/// What one packet holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    /// Whole access units.
    Whole(Vec<&'a [u8]>),
    /// A piece of an access unit of `size` bytes.
    Fragment { size: usize, bytes: &'a [u8] },
}

pub(crate) fn depacketize(payload: &[u8]) -> Result<Content<'_>, Error> {
    const WHAT: &str = "AAC payload";
    let Some((bits, rest)) = payload.split_first_chunk::<2>() else {
        return Err(Error::malformed(WHAT, 0, "no AU-headers-length"));
    };
    let bits = usize::from(u16::from_be_bytes(*bits));
    let Some((headers, mut body)) = rest.split_at_checked(bits.div_ceil(8)) else {
        return Err(Error::malformed(WHAT, 2, "AU headers reach past the end"));
    };
    let mut whole = Vec::new();
    for header in headers.chunks_exact(2) {
        let size = header.iter().fold(0, |n, &b| n << 8 | usize::from(b)) >> 3;
        match body.split_at_checked(size) {
            Some((unit, after)) => {
                whole.push(unit);
                body = after;
            }
            None if headers.len() == 2 => return Ok(Content::Fragment { size, bytes: body }),
            None => return Err(Error::malformed(WHAT, 2, "AU reaches past the end")),
        }
    }
    Ok(Content::Whole(whole))
}
