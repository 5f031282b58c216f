use bytes::{BufMut, Bytes, BytesMut};

/// Walks the NAL units of an H.264 or H.265 payload (4-byte big-endian lengths).
///
/// A length that reaches past the end finishes the walk: what was whole before it is still given.
#[derive(Clone, Debug)]
pub struct NalUnits<'a>(&'a Bytes, usize);

impl<'a> NalUnits<'a> {
    /// Starts at the first NAL unit of `payload`.
    #[must_use]
    pub fn new(payload: &'a Bytes) -> Self {
        Self(payload, 0)
    }
}

impl Iterator for NalUnits<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        loop {
            let head = self.0.get(self.1..self.1.checked_add(4)?)?;
            let len = usize::try_from(u32::from_be_bytes(head.try_into().ok()?)).ok()?;
            let start = self.1.checked_add(4)?;
            let end = start.checked_add(len)?;
            if end > self.0.len() {
                return None;
            }
            self.1 = end;
            if len > 0 {
                return Some(self.0.slice(start..end));
            }
        }
    }
}

/// Joins NAL units into one payload, each behind its 4-byte length.
#[must_use]
pub fn length_prefixed<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut out = BytesMut::new();
    for unit in units {
        out.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
        out.put_slice(unit);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_come_back_as_they_were_joined() {
        let payload = length_prefixed([
            b"\x67abc".as_slice(),
            b"\x68".as_slice(),
            b"\x65data".as_slice(),
        ]);
        let units: Vec<Bytes> = NalUnits::new(&payload).collect();
        assert_eq!(units, [b"\x67abc".as_slice(), b"\x68", b"\x65data"]);
    }

    #[test]
    fn a_length_past_the_end_finishes_the_walk() {
        let mut payload = length_prefixed([b"\x67abc".as_slice()]).to_vec();
        payload.extend_from_slice(&[0, 0, 0, 9, 1]);
        assert_eq!(NalUnits::new(&payload.into()).count(), 1);
    }
}
