use bytes::Bytes;
use media::MAX_ACCESS_UNIT;

use super::boxes::Boxes;
use crate::Error;

/// One access unit of one track.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Track id: 1 for the first track of the init segment.
    pub track: u32,
    /// Number of the fragment, counted up by one.
    pub sequence: u32,
    /// When to decode, in ticks of the track's clock.
    pub decode_time: u64,
    /// How long to show it, in ticks.
    pub duration: u32,
    /// When to show it, counted from `decode_time`; below zero is allowed.
    pub composition_offset: i32,
    /// Whether a decoder may start here.
    pub is_keyframe: bool,
    /// The coded bytes, as [`media::AccessUnit`] holds them.
    pub payload: &'a [u8],
}

/// `sample_flags` (section 8.8.3.1): needs no other picture.
const KEYFRAME_FLAGS: u32 = 0x0200_0000;
/// Needs other pictures, and decoding cannot start here.
const OTHER_FLAGS: u32 = 0x0101_0000;

/// Bytes of a fragment in front of its payload.
const HEAD: usize = 8 + 16 + 8 + 16 + 20 + 36 + 8;

impl Fragment<'_> {
    /// `moof` and `mdat`.
    pub fn encode(&self) -> Result<Bytes, Error> {
        let len = self.payload.len();
        let size = match u32::try_from(len) {
            Ok(size) if len <= MAX_ACCESS_UNIT => size,
            _ => return Err(Error::TooLarge { len }),
        };
        let mut w = Boxes::with_capacity(HEAD + len);
        let mut data_offset = 0;
        w.nest(b"moof", |w| {
            w.nest_full(b"mfhd", 0, 0, |w| w.u32(self.sequence));
            w.nest(b"traf", |w| {
                const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
                w.nest_full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF, |w| w.u32(self.track));
                w.nest_full(b"tfdt", 1, 0, |w| w.u64(self.decode_time));
                // Data offset; then duration, size, flags and composition offset of each sample.
                // Version 1 makes the composition offset signed.
                w.nest_full(b"trun", 1, 0x0f01, |w| {
                    w.u32(1);
                    data_offset = w.len();
                    w.u32(0);
                    w.u32(self.duration);
                    w.u32(size);
                    w.u32(if self.is_keyframe {
                        KEYFRAME_FLAGS
                    } else {
                        OTHER_FLAGS
                    });
                    w.i32(self.composition_offset);
                });
            });
        });
        let payload_at = u32::try_from(w.len()).unwrap_or(u32::MAX).saturating_add(8);
        w.patch(data_offset, payload_at);
        w.nest(b"mdat", |w| w.bytes(self.payload));
        Ok(w.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_is_as_long_as_promised_so_that_one_allocation_is_enough() {
        let fragment = Fragment {
            track: 1,
            sequence: 7,
            decode_time: 1 << 40,
            duration: 3_600,
            composition_offset: -3_600,
            is_keyframe: true,
            payload: b"picture",
        };
        let bytes = fragment.encode().unwrap();
        assert_eq!(bytes.len(), HEAD + 7);
        assert_eq!(&bytes[HEAD..], b"picture");
    }

    #[test]
    fn an_access_unit_beyond_the_cap_is_refused() {
        let payload = vec![0; MAX_ACCESS_UNIT + 1];
        let fragment = Fragment {
            track: 1,
            sequence: 1,
            decode_time: 0,
            duration: 1,
            composition_offset: 0,
            is_keyframe: true,
            payload: &payload,
        };
        let len = payload.len();
        assert_eq!(fragment.encode(), Err(Error::TooLarge { len }));
    }
}
