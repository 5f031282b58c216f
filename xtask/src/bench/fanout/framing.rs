//! Cuts a reader's bytes into interleaved packets without copying the media.

/// Bytes looked at: the interleaved header, the RTP header, and the start of an H.264 payload.
const HEAD: usize = 4 + 12 + 8;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const IDR: u8 = 5;

/// What counts of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) channel: u8,
    pub(super) seq: u16,
    /// The marker: the access unit ends here.
    pub(super) is_last: bool,
    /// Whether it carries a part of an IDR picture.
    pub(super) is_keyframe: bool,
}

/// State between two reads.
#[derive(Default)]
pub(super) struct Framing {
    /// The beginning of a packet whose head is not whole yet.
    head: Vec<u8>,
    /// Bytes of media still to come that nobody looks at.
    skip: usize,
    /// Inside a response of the server.
    is_text: bool,
}

impl Framing {
    /// The RTP packets on channel 0 of bytes that begin with a packet.
    pub(super) fn packets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut left = bytes;
        std::iter::from_fn(move || {
            loop {
                let (&[dollar, channel, high, low], rest) = left.split_first_chunk::<4>()?;
                let len = usize::from(u16::from_be_bytes([high, low]));
                let (packet, rest) = rest.split_at_checked(len).filter(|_| dollar == b'$')?;
                left = rest;
                if channel == 0 {
                    return Some(packet);
                }
            }
        })
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8], mut packet: impl FnMut(&Packet)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let count = self.skip.min(bytes.len());
                self.skip -= count;
                bytes = &bytes[count..];
                continue;
            }
            if self.is_text || (self.head.is_empty() && bytes[0] != b'$') {
                bytes = self.text(bytes);
                continue;
            }
            if self.head.is_empty()
                && let Some(used) = self.whole(bytes, &mut packet)
            {
                bytes = bytes.get(used..).unwrap_or_default();
                continue;
            }
            // A head across two reads is rare: byte by byte is good enough.
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            let head = std::mem::take(&mut self.head);
            if self.whole(&head, &mut packet).is_none() {
                self.head = head;
            }
        }
    }

    /// A packet whose head is whole; the answer is what is used of `bytes`.
    fn whole(&mut self, bytes: &[u8], packet: &mut impl FnMut(&Packet)) -> Option<usize> {
        let &[_, channel, high, low] = bytes.first_chunk::<4>()?;
        let len = 4 + usize::from(u16::from_be_bytes([high, low]));
        let head = bytes.get(..len.min(HEAD))?;
        if let [_, _, _, _, _, marker, high, low, ..] = *head {
            packet(&Packet {
                channel,
                seq: u16::from_be_bytes([high, low]),
                is_last: marker & 0x80 != 0,
                is_keyframe: head.get(16..).is_some_and(is_idr),
            });
        }
        self.skip = len.saturating_sub(bytes.len());
        Some(len.min(bytes.len()))
    }

    /// Passes over a response without a body, such as a keep-alive's.
    fn text<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.is_text = true;
        for (at, &byte) in bytes.iter().enumerate() {
            self.head.push(byte);
            if self.head.ends_with(b"\r\n\r\n") {
                self.head.clear();
                self.is_text = false;
                return &bytes[at + 1..];
            }
        }
        &[]
    }
}

/// Whether an H.264 RTP payload begins with, or is a fragment of, an IDR slice.
fn is_idr(payload: &[u8]) -> bool {
    match *payload {
        [kind, fragment, ..] if kind & 31 == FU_A => fragment & 31 == IDR,
        [kind, _, _, first, ..] if kind & 31 == STAP_A => first & 31 == IDR,
        [kind, ..] => kind & 31 == IDR,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        let mut bytes = Vec::new();
        for seq in 0..3_u8 {
            bytes.extend_from_slice(&[b'$', 0, 0, 40, 0x80, 96 | (seq / 2 * 0x80), 0, seq]);
            bytes.extend_from_slice(&[0; 8]);
            bytes.extend_from_slice(&[0x7c, 0x05]);
            bytes.resize(bytes.len() + 26, b'$');
            bytes.extend_from_slice(b"RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n");
        }
        bytes
    }

    #[test]
    fn packets_are_the_same_however_the_bytes_are_cut() {
        let bytes = stream();
        for size in 1..=bytes.len() {
            let (mut framing, mut seen) = (Framing::default(), Vec::new());
            for piece in bytes.chunks(size) {
                framing.feed(piece, |packet| {
                    assert!(packet.is_keyframe);
                    seen.push((packet.seq, packet.is_last));
                });
            }
            assert_eq!(
                seen,
                [(0, false), (1, false), (2, true)],
                "pieces of {size}"
            );
        }
    }
}
