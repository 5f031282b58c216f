use crate::Error;

/// Bytes of an RTP header without contributing sources and extension.
pub const RTP_HEADER: usize = 12;

/// The header of an RTP packet (RFC 3550 section 5.1) and the payload behind it.
///
/// Contributing sources and header extensions are skipped, padding is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Ends a picture in video; begins a talkspurt in sound.
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub seq: u16,
    /// Ticks on the track's clock.
    pub time: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// What the packet carries.
    pub payload: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a packet as it stands in a datagram (no interleaved header).
    pub fn decode(packet: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "RTP packet";
        let Some((fixed, rest)) = packet.split_first_chunk::<RTP_HEADER>() else {
            return Err(Error::malformed(
                WHAT,
                packet.len(),
                "shorter than its header",
            ));
        };
        let &[b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = fixed;
        if b0 >> 6 != 2 {
            return Err(Error::malformed(WHAT, 0, "version is not 2"));
        }
        let mut payload = rest
            .get(usize::from(b0 & 0x0f) * 4..)
            .ok_or_else(|| Error::malformed(WHAT, 0, "contributing sources reach past the end"))?;
        if b0 & 0x10 != 0 {
            let words = payload
                .get(2..4)
                .map(|len| len.iter().fold(0, |sum, &b| sum << 8 | usize::from(b)));
            payload = words
                .and_then(|words| payload.get(4 + words * 4..))
                .ok_or_else(|| Error::malformed(WHAT, 0, "extension reaches past the end"))?;
        }
        if b0 & 0x20 != 0 {
            let padding = payload.last().map_or(0, |&n| usize::from(n));
            let kept = payload.len().checked_sub(padding).filter(|_| padding > 0);
            payload = kept
                .and_then(|kept| payload.get(..kept))
                .ok_or_else(|| Error::malformed(WHAT, 0, "padding longer than the payload"))?;
        }
        Ok(Self {
            marker: b1 & 0x80 != 0,
            payload_type: b1 & 0x7f,
            seq: u16::from_be_bytes([s0, s1]),
            time: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_extension_and_padding_are_skipped() {
        let mut packet = vec![
            0x80 | 0x20 | 0x10 | 1,
            0x80 | 96,
            0,
            7,
            0,
            0,
            0,
            9,
            1,
            2,
            3,
            4,
        ];
        packet.extend_from_slice(&[9, 9, 9, 9]);
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 1, 1, 1, 1]);
        packet.extend_from_slice(b"media\0\0\x03");
        let header = Header::decode(&packet).unwrap();
        assert_eq!(header.payload, b"media");
        assert_eq!((header.seq, header.time, header.ssrc), (7, 9, 0x0102_0304));
        assert!(header.marker);
    }

    #[test]
    fn lengths_past_the_end_are_refused() {
        let mut packet = [0u8; 16];
        packet[0] = 0x8f;
        assert!(Header::decode(&packet).is_err());
        packet[0] = 0x90;
        packet[15] = 200;
        assert!(Header::decode(&packet).is_err());
        packet[0] = 0xa0;
        assert!(Header::decode(&packet).is_err());
        assert!(Header::decode(&packet[..11]).is_err());
    }
}
