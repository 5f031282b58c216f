use bytes::{Bytes, BytesMut};
use hub::Slot;
use rtp::INTERLEAVED_HEADER;

/// Where the timestamp stands in a packet, counted from its `$`.
const TIMESTAMP: std::ops::Range<usize> = INTERLEAVED_HEADER + 4..INTERLEAVED_HEADER + 8;

/// What a block carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The RTP packets of one access unit.
    Media,
    /// An RTCP sender report.
    Report,
    /// Nothing: the tracks are others from here on, and every session must be described anew.
    End,
}

/// Wire-ready bytes of one access unit, shared by all viewers: interleaved RTP packets behind each
/// other, sent whole over TCP and in slices over UDP.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Index of the track; its channels are twice that, and one more for reports.
    pub(super) track: usize,
    pub(super) bytes: Bytes,
    /// Where each packet's `$` stands.
    pub(super) offsets: Box<[u32]>,
    pub(super) first_seq: u16,
    pub(super) rtp_time: u32,
    /// Whether a viewer may start here.
    pub(super) is_start: bool,
}

impl Slot for Block {
    fn size(&self) -> usize {
        self.bytes.len() + 4 * self.offsets.len() + size_of::<Self>()
    }

    fn is_keyframe(&self) -> bool {
        self.is_start
    }
}

impl Block {
    /// The packets without their interleaved headers, as UDP sends them.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self
            .offsets
            .iter()
            .skip(1)
            .map(|&end| end as usize)
            .chain([self.bytes.len()]);
        self.offsets
            .iter()
            .zip(ends)
            .filter_map(|(&start, end)| self.bytes.get(start as usize + INTERLEAVED_HEADER..end))
    }

    /// A copy for one viewer: on another channel, or with another timestamp, or both.
    pub(super) fn rewritten(&self, channel: Option<u8>, rtp_time: Option<u32>) -> Bytes {
        let mut bytes = BytesMut::from(&self.bytes[..]);
        for &offset in &*self.offsets {
            let packet = &mut bytes[offset as usize..];
            if let Some(channel) = channel {
                packet[1] = channel;
            }
            if let Some(time) = rtp_time {
                packet[TIMESTAMP].copy_from_slice(&time.to_be_bytes());
            }
        }
        bytes.freeze()
    }
}

/// The start of a viewer's session: the newest GOP, whose timestamps are drawn together towards the
/// live edge. With its true timestamps a player that paces by them would stay a GOP behind for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    /// Number of the first slot that is live.
    pub(super) end: u64,
    /// Timestamp at the live edge.
    pub(super) edge: u32,
}

/// How much closer the burst's timestamps lie: a GOP of 4 s takes 62 ms, and pictures a tick of the
/// 90 kHz clock apart at 1,400 a second are still told apart.
const SQUEEZE: i32 = 64;

impl Burst {
    /// The timestamp that this viewer sees.
    pub(super) fn squeeze(&self, rtp_time: u32) -> u32 {
        // Timestamps wrap; the signed distance does not, for any GOP below 6 hours.
        let before = self.edge.wrapping_sub(rtp_time).cast_signed();
        self.edge.wrapping_sub((before / SQUEEZE).cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let mut bytes = Vec::new();
        for n in 0..2_u8 {
            bytes.extend_from_slice(&[b'$', 0, 0, 13]);
            bytes.extend_from_slice(&[0x80, 96, 0, n, 0, 0, 0, 1, 0, 0, 0, 9, n]);
        }
        Block {
            kind: Kind::Media,
            track: 0,
            bytes: bytes.into(),
            offsets: [0, 17].into(),
            first_seq: 0,
            rtp_time: 1,
            is_start: true,
        }
    }

    #[test]
    fn datagrams_are_the_packets_without_their_interleaved_headers() {
        let block = block();
        let datagrams: Vec<&[u8]> = block.datagrams().collect();
        assert_eq!(datagrams.len(), 2);
        assert!(
            datagrams
                .iter()
                .all(|datagram| datagram.len() == 13 && datagram[0] == 0x80)
        );
    }

    #[test]
    fn a_rewritten_block_differs_in_channel_and_timestamp_alone() {
        let block = block();
        let bytes = block.rewritten(Some(6), Some(0x0102_0304));
        for start in [0, 17] {
            assert_eq!(bytes[start + 1], 6);
            assert_eq!(bytes[start + 8..start + 12], [1, 2, 3, 4]);
            assert_eq!(
                bytes[start + 12..start + 17],
                block.bytes[start + 12..start + 17]
            );
        }
    }

    #[test]
    fn squeezed_timestamps_keep_their_order_and_end_at_the_live_edge() {
        let burst = Burst {
            end: 0,
            edge: 5_000,
        };
        let gop: Vec<u32> = (0..100)
            .map(|n| 5_000_u32.wrapping_sub(3_600 * (99 - n)))
            .collect();
        let seen: Vec<u32> = gop.iter().map(|&time| burst.squeeze(time)).collect();
        assert!(
            seen.windows(2)
                .all(|pair| (56..=57).contains(&pair[1].wrapping_sub(pair[0]))),
            "{seen:?}"
        );
        assert_eq!(seen[99], 5_000);
    }
}
