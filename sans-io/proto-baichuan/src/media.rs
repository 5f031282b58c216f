//! The media stream inside messages (BcMedia, section 8): packets of information, pictures and sound.

use bytes::{Buf, Bytes, BytesMut};

/// Longest picture accepted (section 12); 4K keyframes reach about 1 MiB.
pub const MAX_VIDEO: usize = 32 * 1024 * 1024;
/// Longest additional header of a picture accepted; known ones have 8 or 16 bytes.
pub const MAX_EXTRA: usize = 64 * 1024;
/// Largest picture side and frame rate that are believed (section 12).
pub const MAX_SIDE: u32 = 16_384;
/// Highest frame rate believed; below it may also be an index (section 8.2).
pub const MAX_FRAME_RATE: u8 = 120;

/// The first packet of a stream, and again when the picture changes its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaInfo {
    /// 1 or 2; the layout is the same.
    pub version: u8,
    /// Picture width as told.
    pub width: u32,
    /// Picture height as told.
    pub height: u32,
    /// 0 or 1, meaning unknown.
    pub unknown_0x10: u8,
    /// Frames a second; some old cameras put an index into their table of rates here.
    pub frame_rate: u8,
    /// Year since 1900, month, day, hour, minute, second.
    pub start: [u8; 6],
    /// The same for the end.
    pub end: [u8; 6],
}

impl MediaInfo {
    /// The picture's size, if it can be believed.
    #[must_use]
    pub fn size(&self) -> Option<(u32, u32)> {
        let sane = 1..=MAX_SIDE;
        (sane.contains(&self.width) && sane.contains(&self.height))
            .then_some((self.width, self.height))
    }

    /// The frame rate, if it can be believed.
    #[must_use]
    pub fn sane_frame_rate(&self) -> Option<u8> {
        (1..=MAX_FRAME_RATE)
            .contains(&self.frame_rate)
            .then_some(self.frame_rate)
    }
}

/// How a picture is coded; the NAL units know better if they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// AVC.
    H264,
    /// HEVC.
    H265,
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// The channel in the packet's name, 0 to 9.
    pub channel: u8,
    /// Whether a decoder can start here.
    pub is_keyframe: bool,
    /// How it is coded.
    pub codec: VideoCodec,
    /// The camera's clock, wraps every 71.6 minutes; [`MediaClock`] unwraps it.
    pub microseconds: u32,
    /// 0 or 1, meaning unknown.
    pub unknown_0x14: u32,
    /// The additional header; a keyframe's begins with Unix seconds.
    pub extra: Bytes,
    /// One access unit in Annex B form.
    pub data: Bytes,
}

impl Video {
    /// The camera's wall clock in Unix seconds, which keyframes carry.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<u32> {
        if !self.is_keyframe || self.extra.len() < 8 {
            return None;
        }
        self.extra
            .first_chunk()
            .map(|word| u32::from_le_bytes(*word))
    }
}

/// One packet of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaPacket {
    /// What follows.
    Info(MediaInfo),
    /// A picture.
    Video(Video),
    /// An AAC frame with its ADTS header.
    Aac(Bytes),
    /// A block of ADPCM, for [`crate::AdpcmState::decode`].
    Adpcm {
        /// Half of some length; ours to copy, nobody's to read.
        half: u16,
        /// State and codes.
        block: Bytes,
    },
}

impl MediaPacket {
    /// The packet's bytes, padding included. Sound too long for its length field is cut.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::Info(info) => {
                out.extend_from_slice(&[b'1', b'0', b'0', b'0'.wrapping_add(info.version)]);
                out.extend_from_slice(&32_u32.to_le_bytes());
                out.extend_from_slice(&info.width.to_le_bytes());
                out.extend_from_slice(&info.height.to_le_bytes());
                out.extend_from_slice(&[info.unknown_0x10, info.frame_rate]);
                out.extend_from_slice(&info.start);
                out.extend_from_slice(&info.end);
                out.extend_from_slice(&[0, 0]);
            }
            Self::Video(video) => {
                let kind = if video.is_keyframe { b'0' } else { b'1' };
                let channel = b'0'.wrapping_add(video.channel.min(9));
                out.extend_from_slice(&[channel, kind, b'd', b'c']);
                out.extend_from_slice(match video.codec {
                    VideoCodec::H264 => b"H264",
                    VideoCodec::H265 => b"H265",
                });
                for len in [video.data.len(), video.extra.len()] {
                    let len = u32::try_from(len).unwrap_or(u32::MAX);
                    out.extend_from_slice(&len.to_le_bytes());
                }
                out.extend_from_slice(&video.microseconds.to_le_bytes());
                out.extend_from_slice(&video.unknown_0x14.to_le_bytes());
                out.extend_from_slice(&video.extra);
                out.extend_from_slice(&video.data);
                pad(&mut out, video.data.len());
            }
            Self::Aac(frame) => {
                let len = u16::try_from(frame.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(b"05wb");
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(&len.to_le_bytes());
                out.extend(frame.iter().take(usize::from(len)));
                pad(&mut out, usize::from(len));
            }
            Self::Adpcm { half, block } => {
                let len = u16::try_from(block.len().saturating_add(4)).unwrap_or(u16::MAX);
                out.extend_from_slice(b"01wb");
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(&len.to_le_bytes());
                out.extend_from_slice(&[0, 1]);
                out.extend_from_slice(&half.to_le_bytes());
                out.extend(block.iter().take(usize::from(len) - 4));
                pad(&mut out, usize::from(len));
            }
        }
        out.into()
    }
}

fn pad(out: &mut Vec<u8>, len: usize) {
    out.resize(out.len() + padding(len), 0);
}

fn padding(len: usize) -> usize {
    len.wrapping_neg() % 8
}

/// Takes the stream in any pieces, gives packets; what is no packet is skipped and counted.
#[derive(Debug, Default)]
pub struct MediaParser {
    buffer: BytesMut,
    /// Padding of the last packet that has not been skipped yet.
    pad: usize,
    /// Whether that padding may be missing: some clients pad ADPCM by another rule.
    pad_may_lack: bool,
    is_lost: bool,
    resyncs: u64,
}

/// What stands at the start of the buffer.
enum Found {
    Packet(Head),
    More,
    Rubbish,
}

#[derive(Clone, Copy)]
enum Head {
    Info,
    Video {
        codec: VideoCodec,
        len: usize,
        extra: usize,
    },
    Aac {
        len: usize,
    },
    Adpcm {
        len: usize,
    },
}

impl Head {
    fn body(self) -> (usize, usize) {
        match self {
            Self::Info => (32, 0),
            Self::Video { len, extra, .. } => (24 + extra + len, padding(len)),
            Self::Aac { len } => (8 + len, padding(len)),
            Self::Adpcm { len } => (8 + len, padding(len)),
        }
    }
}

impl MediaParser {
    /// Appends bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Times that rubbish was skipped.
    #[must_use]
    pub fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// The next whole packet; None when more bytes are needed.
    pub fn poll(&mut self) -> Option<MediaPacket> {
        loop {
            if !self.skip_padding() {
                return None;
            }
            match find(&self.buffer) {
                Found::Packet(head) => {
                    let (len, pad) = head.body();
                    if self.buffer.len() < len {
                        return None;
                    }
                    self.is_lost = false;
                    self.pad = pad;
                    self.pad_may_lack = matches!(head, Head::Adpcm { .. });
                    let packet = self.buffer.split_to(len).freeze();
                    if let Some(packet) = read(head, packet) {
                        return Some(packet);
                    }
                }
                Found::More => return None,
                Found::Rubbish => {
                    if !self.is_lost {
                        self.is_lost = true;
                        self.resyncs += 1;
                    }
                    let next = self.buffer.windows(4).skip(1).position(is_magic);
                    let skip = next.map_or(self.buffer.len().saturating_sub(3), |at| at + 1);
                    self.buffer.advance(skip.max(1).min(self.buffer.len()));
                }
            }
        }
    }

    /// False: the padding has not come yet.
    fn skip_padding(&mut self) -> bool {
        if self.pad > 0 && self.pad_may_lack {
            let Some(window) = self.buffer.first_chunk::<4>() else {
                return false;
            };
            if is_magic(window) {
                self.pad = 0;
            }
            self.pad_may_lack = false;
        }
        let here = self.pad.min(self.buffer.len());
        self.buffer.advance(here);
        self.pad -= here;
        self.pad == 0
    }
}

fn is_magic(window: &[u8]) -> bool {
    matches!(
        window,
        [b'1', b'0', b'0', b'1' | b'2']
            | [b'0'..=b'9', b'0' | b'1', b'd', b'c']
            | [b'0'..=b'9', b'5' | b'1', b'w', b'b']
    )
}

/// Judges the bytes by everything that a header fixes, so that rubbish which only looks like a magic is passed over.
fn find(bytes: &[u8]) -> Found {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else {
        return Found::More;
    };
    if !is_magic(magic) {
        return Found::Rubbish;
    }
    let Some((first, rest)) = rest.split_first_chunk::<4>() else {
        return Found::More;
    };
    let &[a, b, c, d] = first;
    let audio_len = usize::from(u16::from_le_bytes([a, b]));
    match magic {
        [_, _, b'd', b'c'] => {
            if !matches!(first, b"H264" | b"H265") {
                return Found::Rubbish;
            }
            let Some((&[l0, l1, l2, l3, x0, x1, x2, x3], _)) = rest.split_first_chunk::<8>() else {
                return Found::More;
            };
            let size = |word| usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
            let (len, extra) = (size([l0, l1, l2, l3]), size([x0, x1, x2, x3]));
            if len > MAX_VIDEO || extra > MAX_EXTRA {
                return Found::Rubbish;
            }
            let codec = if first == b"H265" {
                VideoCodec::H265
            } else {
                VideoCodec::H264
            };
            Found::Packet(Head::Video { codec, len, extra })
        }
        [_, kind, b'w', b'b'] => {
            if [a, b] != [c, d] {
                return Found::Rubbish;
            }
            if *kind == b'5' {
                return Found::Packet(Head::Aac { len: audio_len });
            }
            let Some(mark) = rest.first_chunk::<2>() else {
                return Found::More;
            };
            if *mark != [0, 1] || audio_len < 4 {
                return Found::Rubbish;
            }
            Found::Packet(Head::Adpcm { len: audio_len })
        }
        _ if u32::from_le_bytes(*first) == 32 => Found::Packet(Head::Info),
        _ => Found::Rubbish,
    }
}

/// Cuts a whole packet into its fields; None for one without content, which is skipped (section 12).
fn read(head: Head, mut packet: Bytes) -> Option<MediaPacket> {
    let magic = *packet.first_chunk::<4>()?;
    let [first, second, _, last] = magic;
    packet.advance(8);
    match head {
        Head::Info => {
            let width = packet.get_u32_le();
            let height = packet.get_u32_le();
            let unknown_0x10 = packet.get_u8();
            let frame_rate = packet.get_u8();
            let start = *packet.first_chunk()?;
            packet.advance(6);
            Some(MediaPacket::Info(MediaInfo {
                version: last.wrapping_sub(b'0'),
                width,
                height,
                unknown_0x10,
                frame_rate,
                start,
                end: *packet.first_chunk()?,
            }))
        }
        Head::Video { len: 0, .. } | Head::Aac { len: 0 } | Head::Adpcm { len: 4 } => None,
        Head::Video { codec, extra, .. } => {
            packet.advance(8);
            let microseconds = packet.get_u32_le();
            let unknown_0x14 = packet.get_u32_le();
            let extra = packet.split_to(extra);
            Some(MediaPacket::Video(Video {
                channel: first.wrapping_sub(b'0'),
                is_keyframe: second == b'0',
                codec,
                microseconds,
                unknown_0x14,
                extra,
                data: packet,
            }))
        }
        Head::Aac { .. } => Some(MediaPacket::Aac(packet)),
        Head::Adpcm { .. } => {
            packet.advance(2);
            let half = packet.get_u16_le();
            Some(MediaPacket::Adpcm {
                half,
                block: packet,
            })
        }
    }
}

/// A jump back by more than this is a new start of the camera's clock (section 8.5).
const MAX_BACKWARDS: i64 = 1_000_000;
/// A jump forward by more than this is one as well: no picture is shown for half a wrap.
const HALF_WRAP: i64 = 1 << 31;

/// Unwraps the camera's 32-bit microseconds into a clock that never jumps back.
#[derive(Clone, Copy, Debug, Default)]
pub struct MediaClock {
    last: Option<(u32, i64)>,
}

impl MediaClock {
    /// The time of a picture in microseconds since the first one.
    pub fn unwrap(&mut self, microseconds: u32) -> i64 {
        let Some((last, time)) = self.last else {
            self.last = Some((microseconds, 0));
            return 0;
        };
        let forward = i64::from(microseconds.wrapping_sub(last));
        let step = if forward < HALF_WRAP {
            forward
        } else {
            // Short steps back are jitter; after a long one the camera has begun anew, and so has its base.
            let back = (1_i64 << 32) - forward;
            if back <= MAX_BACKWARDS {
                return time;
            }
            0
        };
        let time = time.saturating_add(step);
        self.last = Some((microseconds, time));
        time
    }
}
