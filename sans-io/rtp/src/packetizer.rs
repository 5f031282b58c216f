use bytes::BytesMut;
use media::{AccessUnit, Codec, CodecParameters, Track};

use crate::writer::{OVERHEAD, Sequence, Writer};
use crate::{Error, MAX_PAYLOAD, RTP_HEADER, aac, g711, h264, h265, jpeg, nal};

/// Least payload worth a packet: below it, headers would outweigh the media and the formats'
/// own headers (JPEG's tables) would no longer fit.
const MIN_PAYLOAD: usize = 256;

/// Turns the access units of one track into RTP packets.
///
/// The packets of one access unit stand behind each other in one block, each with the interleaved
/// header of RTSP in front: TCP readers are sent the block whole, UDP readers its slices.
#[derive(Clone, Debug)]
pub struct Packetizer {
    track: Track,
    sequence: Sequence,
    max_payload: usize,
}

impl Packetizer {
    /// Starts with sequence number `first_seq`. `max_payload` is the RTP payload of a packet in
    /// bytes, [`MAX_PAYLOAD`] unless the path is known; it is held between 256 and what an
    /// interleaved length can say.
    #[must_use]
    pub fn new(
        track: &Track,
        payload_type: u8,
        ssrc: u32,
        first_seq: u16,
        max_payload: usize,
    ) -> Self {
        let sequence = Sequence {
            payload_type,
            ssrc,
            next_seq: first_seq,
            packets: 0,
            octets: 0,
        };
        Self {
            track: track.clone(),
            sequence,
            max_payload: max_payload.clamp(MIN_PAYLOAD, usize::from(u16::MAX) - RTP_HEADER),
        }
    }

    /// Appends the packets of `au` to `out`, and where each one's `$` stands to `offsets`.
    ///
    /// `rtp_time` is the unit's presentation time on the track's clock; `channel` goes into the
    /// interleaved headers. Neither buffer is cleared. On an error both are as they were. An access
    /// unit without media (only delimiters) makes no packet.
    pub fn packetize_interleaved(
        &mut self,
        au: &AccessUnit,
        rtp_time: u32,
        channel: u8,
        out: &mut BytesMut,
        offsets: &mut Vec<u32>,
    ) -> Result<(), Error> {
        self.packetize_payload(&au.payload, au.is_keyframe, rtp_time, channel, out, offsets)
    }

    /// The same for a payload that is in no access unit.
    pub fn packetize_payload(
        &mut self,
        payload: &[u8],
        is_keyframe: bool,
        rtp_time: u32,
        channel: u8,
        out: &mut BytesMut,
        offsets: &mut Vec<u32>,
    ) -> Result<(), Error> {
        if payload.len() > media::MAX_ACCESS_UNIT {
            return Err(Error::TooLarge {
                codec: self.track.codec,
                len: payload.len(),
                max: media::MAX_ACCESS_UNIT,
            });
        }
        let max = self.max_payload;
        out.reserve(payload.len() + (payload.len() / max + 4) * (OVERHEAD + 4));
        let mut w = Writer {
            sequence: &mut self.sequence,
            time: rtp_time,
            channel,
            out,
            offsets,
        };
        match (self.track.codec, &self.track.parameters) {
            (Codec::H264, CodecParameters::H264 { sps, pps }) => {
                let parameters: [&[u8]; 2] = [sps, pps];
                nal::packetize::<h264::H264>(payload, is_keyframe, &parameters, max, &mut w);
            }
            (Codec::H264, _) => {
                nal::packetize::<h264::H264>(payload, is_keyframe, &[], max, &mut w);
            }
            (Codec::H265, CodecParameters::H265 { vps, sps, pps }) => {
                let parameters: [&[u8]; 3] = [vps, sps, pps];
                nal::packetize::<h265::H265>(payload, is_keyframe, &parameters, max, &mut w);
            }
            (Codec::H265, _) => {
                nal::packetize::<h265::H265>(payload, is_keyframe, &[], max, &mut w);
            }
            (Codec::Aac, _) => aac::packetize(payload, max, &mut w)?,
            (Codec::Pcma | Codec::Pcmu, _) => {
                g711::packetize(payload, self.track.channels, max, &mut w);
            }
            (Codec::Jpeg, _) => jpeg::packetize(payload, max, &mut w)?,
        }
        Ok(())
    }

    /// Takes the track's new parameters; numbering goes on.
    pub fn update_track(&mut self, track: &Track) {
        self.track = track.clone();
    }

    /// The number the next packet will bear.
    #[must_use]
    pub fn next_seq(&self) -> u16 {
        self.sequence.next_seq
    }

    /// The synchronisation source of all packets.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.sequence.ssrc
    }

    /// The payload type of all packets.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.sequence.payload_type
    }

    /// Packets made so far; a sender report carries the low 32 bits.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.sequence.packets
    }

    /// Bytes of payload in them, without RTP headers; a sender report carries the low 32 bits.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.sequence.octets
    }
}

/// The payload type of the track at `index` in a session: the static one where RFC 3551 has one,
/// else 96 plus the index.
#[must_use]
pub fn payload_type(track: &Track, index: usize) -> u8 {
    match (track.codec, track.clock_rate, track.channels) {
        (Codec::Pcmu, 8_000, 0 | 1) => 0,
        (Codec::Pcma, 8_000, 0 | 1) => 8,
        (Codec::Jpeg, 90_000, _) => 26,
        _ => 96 + u8::try_from(index).unwrap_or(31).min(31),
    }
}

const _: () = assert!(MAX_PAYLOAD >= MIN_PAYLOAD);
