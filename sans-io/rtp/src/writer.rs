use bytes::{BufMut, BytesMut};

use crate::{INTERLEAVED_HEADER, RTP_HEADER};

/// What changes from packet to packet of one track.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) payload_type: u8,
    pub(crate) ssrc: u32,
    pub(crate) next_seq: u16,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
}

/// Writes the packets of one access unit behind each other.
pub(crate) struct Writer<'a> {
    pub(crate) sequence: &'a mut Sequence,
    pub(crate) time: u32,
    pub(crate) channel: u8,
    pub(crate) out: &'a mut BytesMut,
    pub(crate) offsets: &'a mut Vec<u32>,
}

/// Bytes that each packet costs beside its payload.
pub(crate) const OVERHEAD: usize = INTERLEAVED_HEADER + RTP_HEADER;

impl Writer<'_> {
    /// Starts a packet; what is put until [`Self::end`] is its payload.
    pub(crate) fn begin(&mut self) {
        self.offsets
            .push(u32::try_from(self.out.len()).unwrap_or(u32::MAX));
        let [s0, s1] = self.sequence.next_seq.to_be_bytes();
        let [t0, t1, t2, t3] = self.time.to_be_bytes();
        let [c0, c1, c2, c3] = self.sequence.ssrc.to_be_bytes();
        let payload_type = self.sequence.payload_type & 0x7f;
        self.out.put_slice(&[
            b'$',
            self.channel,
            0,
            0,
            0x80,
            payload_type,
            s0,
            s1,
            t0,
            t1,
            t2,
            t3,
            c0,
            c1,
            c2,
            c3,
        ]);
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    /// Ends the packet: fills in its length and marker.
    pub(crate) fn end(&mut self, marker: bool) {
        let start = self.offsets.last().map_or(0, |&start| start as usize);
        let len = self.out.len().saturating_sub(start + INTERLEAVED_HEADER);
        let [l0, l1] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        if let Some([_, _, high, low, _, kind, ..]) = self.out.get_mut(start..) {
            (*high, *low) = (l0, l1);
            *kind |= u8::from(marker) << 7;
        }
        self.sequence.next_seq = self.sequence.next_seq.wrapping_add(1);
        self.sequence.packets += 1;
        self.sequence.octets += len.saturating_sub(RTP_HEADER) as u64;
    }

    pub(crate) fn packet(&mut self, marker: bool, parts: &[&[u8]]) {
        self.begin();
        for part in parts {
            self.put(part);
        }
        self.end(marker);
    }
}
