use bytes::{BufMut, Bytes, BytesMut};
use media::{Codec, MAX_ACCESS_UNIT, Track};

use crate::{Error, Header, aac, h264, h265, jpeg};

/// Turns the RTP packets of one track, in order, back into access-unit payloads.
///
/// A gap in the sequence numbers drops the access unit it tears; the next is whole again.
/// Packets must come in order: there is no reorder buffer here.
#[derive(Debug)]
pub struct Depacketizer {
    codec: Codec,
    unit: BytesMut,
    /// Where in `unit` an unfinished fragment chain begins.
    fragment: Option<usize>,
    jpeg: jpeg::Assembler,
    /// Size of an AAC access unit that comes in pieces.
    aac_size: usize,
    time: u32,
    next_seq: Option<u16>,
    /// True while the rest of a torn access unit is thrown away.
    is_torn: bool,
    ready: std::collections::VecDeque<(u32, Bytes)>,
    lost: u64,
}

impl Depacketizer {
    /// Starts before the first packet.
    #[must_use]
    pub fn new(track: &Track) -> Self {
        Self {
            codec: track.codec,
            unit: BytesMut::new(),
            fragment: None,
            jpeg: jpeg::Assembler::default(),
            aac_size: 0,
            time: 0,
            next_seq: None,
            is_torn: false,
            ready: std::collections::VecDeque::new(),
            lost: 0,
        }
    }

    /// Takes one packet as it stands in a datagram.
    pub fn push(&mut self, packet: &[u8]) -> Result<(), Error> {
        let header = Header::decode(packet)?;
        let is_gap = self.next_seq.is_some_and(|next| next != header.seq);
        self.next_seq = Some(header.seq.wrapping_add(1));
        if is_gap {
            self.lost += 1;
            self.is_torn = true;
            self.clear();
        }
        let is_video = self.codec.kind() == media::Kind::Video;
        if is_video && header.time != self.time {
            // The packet with the marker was lost or never sent: what is there is whole all the same.
            self.finish();
            self.is_torn = false;
        }
        self.time = header.time;
        let result = self.take(&header);
        if result.is_err() {
            self.is_torn = true;
            self.clear();
        }
        if is_video && header.marker {
            self.finish();
            self.is_torn = false;
        }
        result
    }

    /// The next whole access unit: RTP time and payload in the form of [`media::AccessUnit`].
    pub fn poll(&mut self) -> Option<(u32, Bytes)> {
        self.ready.pop_front()
    }

    /// Gaps seen in the sequence numbers.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn take(&mut self, header: &Header<'_>) -> Result<(), Error> {
        let payload = header.payload;
        let len = self.unit.len() + self.jpeg.len() + payload.len();
        if len > MAX_ACCESS_UNIT {
            return Err(Error::TooLarge {
                codec: self.codec,
                len,
                max: MAX_ACCESS_UNIT,
            });
        }
        match self.codec {
            Codec::H264 if !self.is_torn => {
                h264::depacketize(payload, &mut self.unit, &mut self.fragment)
            }
            Codec::H265 if !self.is_torn => {
                h265::depacketize(payload, &mut self.unit, &mut self.fragment)
            }
            Codec::Jpeg if !self.is_torn => self.jpeg.push(payload),
            Codec::H264 | Codec::H265 | Codec::Jpeg => Ok(()),
            Codec::Pcma | Codec::Pcmu => {
                self.emit(header.time, Bytes::copy_from_slice(payload));
                Ok(())
            }
            Codec::Aac => self.take_aac(header),
        }
    }

    fn take_aac(&mut self, header: &Header<'_>) -> Result<(), Error> {
        match aac::depacketize(header.payload)? {
            aac::Content::Whole(units) => {
                // Each unit lasts 1024 ticks (960 and 2048 are not heard of in cameras).
                let times = (0u32..).map(|at| header.time.wrapping_add(at.wrapping_mul(1024)));
                for (time, unit) in times.zip(units) {
                    self.emit(time, Bytes::copy_from_slice(unit));
                }
            }
            aac::Content::Fragment { size, bytes } => {
                if self.unit.is_empty() {
                    self.aac_size = size;
                }
                self.unit.put_slice(bytes);
                if header.marker {
                    let unit = self.unit.split().freeze();
                    if unit.len() != self.aac_size {
                        return Err(Error::malformed("AAC payload", 2, "a fragment is missing"));
                    }
                    self.emit(header.time, unit);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        let whole = match self.codec {
            Codec::Jpeg => self.jpeg.finish(),
            Codec::H264 | Codec::H265 if self.fragment.is_none() => {
                Some(self.unit.split().freeze())
            }
            Codec::H264 | Codec::H265 | Codec::Aac | Codec::Pcma | Codec::Pcmu => None,
        };
        if let Some(payload) = whole
            && !payload.is_empty()
            && !self.is_torn
        {
            self.emit(self.time, payload);
        }
        self.clear();
    }

    fn emit(&mut self, time: u32, payload: Bytes) {
        self.ready.push_back((time, payload));
    }

    fn clear(&mut self) {
        self.unit.clear();
        self.fragment = None;
        self.jpeg.clear();
    }
}

/// Adds a NAL unit, given in parts, behind its length.
pub(crate) fn put_nal(unit: &mut BytesMut, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    unit.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    for part in parts {
        unit.put_slice(part);
    }
}

/// Corrects the length of the last NAL unit, which begins at `start`, after it grew.
pub(crate) fn patch_len(unit: &mut BytesMut, start: usize) {
    let len = unit.len().saturating_sub(start + 4);
    if let Some(head) = unit.get_mut(start..start + 4) {
        head.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}
