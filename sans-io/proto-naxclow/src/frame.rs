//! Frames: a header of 20 bytes, then the payload. The same on TCP and UDP, station and access-point mode
//! (facts, section 3).

use bytes::{Buf, Bytes, BytesMut};

use crate::Error;

/// Bytes of a header.
pub const HEADER_LEN: usize = 20;

/// Longest frame on either transport: the buffer of the vendor's own client (facts, section 3).
pub const MAX_FRAME: usize = 8092;

/// Longest payload of a frame.
pub const MAX_PAYLOAD: usize = MAX_FRAME - HEADER_LEN;

/// Payload bytes of a full media packet: cameras send datagrams of at most 1024 bytes (observed in logs).
pub const MEDIA_PAYLOAD: usize = 1004;

/// Who writes a frame: the two differ in a field that every receiver ignores, and vectors compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A cloud, or a client of a camera in access-point mode: eight ASCII zeros.
    Cloud,
    /// A camera: eight zero bytes (observed, fw 202212011602, capture).
    Camera,
}

impl Side {
    /// The `forward_id` of frames from this side.
    pub fn forward_id(self) -> [u8; 8] {
        match self {
            Self::Cloud => *b"00000000",
            Self::Camera => [0; 8],
        }
    }
}

/// What a frame carries (facts, section 3.1). A different number space from the `code` of JSON messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmd {
    /// A JSON object with a `code`.
    Json,
    /// A piece of a JPEG picture.
    Jpeg,
    /// A block of G.711 A-law sound.
    ALaw,
    /// A block of sound as signed 16-bit samples.
    Pcm,
    /// A piece of a recording.
    Avi,
    /// A piece of the index of recordings.
    Xml,
    /// Sign of life, answered by the same.
    Heartbeat,
    /// Asks for [`Cmd::Pong`] on the media channel.
    Ping,
    /// Answers [`Cmd::Ping`].
    Pong,
    /// Opens the session for recordings in access-point mode.
    DirectMotion,
    /// Opens the live session in access-point mode; answered by the same.
    LiveMotion,
    /// Media packets that have arrived, by number.
    Confirm,
    /// A command without evidence.
    Other(u16),
}

impl From<u16> for Cmd {
    fn from(number: u16) -> Self {
        match number {
            0 => Self::Json,
            1 => Self::Jpeg,
            4 => Self::ALaw,
            6 => Self::Pcm,
            7 => Self::Avi,
            8 => Self::Xml,
            100 => Self::Heartbeat,
            101 => Self::Ping,
            102 => Self::Pong,
            114 => Self::DirectMotion,
            115 => Self::LiveMotion,
            605 => Self::Confirm,
            other => Self::Other(other),
        }
    }
}

impl From<Cmd> for u16 {
    fn from(cmd: Cmd) -> Self {
        match cmd {
            Cmd::Json => 0,
            Cmd::Jpeg => 1,
            Cmd::ALaw => 4,
            Cmd::Pcm => 6,
            Cmd::Avi => 7,
            Cmd::Xml => 8,
            Cmd::Heartbeat => 100,
            Cmd::Ping => 101,
            Cmd::Pong => 102,
            Cmd::DirectMotion => 114,
            Cmd::LiveMotion => 115,
            Cmd::Confirm => 605,
            Cmd::Other(other) => other,
        }
    }
}

/// `msg_flag`: where a media packet stands in its picture (facts, section 3.2).
pub mod flag {
    /// Control, or a sender that repeats nothing and wants no confirmation.
    pub const NONE: u8 = 0;
    /// The first of several.
    pub const FIRST: u8 = 250;
    /// Neither first nor last.
    pub const MIDDLE: u8 = 251;
    /// The last of several.
    pub const LAST: u8 = 252;
    /// All in one packet.
    pub const WHOLE: u8 = 255;
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub cmd: Cmd,
    /// `msg_flag`, see [`flag`].
    pub flag: u8,
    /// `deal_flag`: 1 when a relay forwards it; nobody here relays.
    pub deal: u8,
    /// `forward_id`: the relay's slot, see [`Side::forward_id`].
    pub forward_id: [u8; 8],
    /// `pkg_id`: counts media packets, pictures and sound together; 0 on control.
    pub id: u32,
    /// What follows the header.
    pub payload: Bytes,
}

impl Frame {
    /// A control frame.
    pub fn control(cmd: Cmd, payload: impl Into<Bytes>, side: Side) -> Self {
        Self::media(cmd, flag::NONE, 0, payload, side)
    }

    /// A media frame.
    pub fn media(cmd: Cmd, flag: u8, id: u32, payload: impl Into<Bytes>, side: Side) -> Self {
        Self {
            cmd,
            flag,
            deal: 0,
            forward_id: side.forward_id(),
            id,
            payload: payload.into(),
        }
    }

    /// The frame as bytes, or an error for a payload over [`MAX_PAYLOAD`].
    pub fn encode(&self) -> Result<Bytes, Error> {
        let too_long = Error::FrameTooLong {
            found: self.payload.len(),
            max: MAX_PAYLOAD,
        };
        let Some(len) = u32::try_from(self.payload.len())
            .ok()
            .filter(|_| self.payload.len() <= MAX_PAYLOAD)
        else {
            return Err(too_long);
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&u16::from(self.cmd).to_le_bytes());
        bytes.push(self.flag);
        bytes.push(self.deal);
        bytes.extend_from_slice(&self.forward_id);
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        Ok(bytes.into())
    }

    /// Reads a datagram, which is exactly one frame.
    pub fn decode_datagram(datagram: &[u8]) -> Result<Self, Error> {
        let wrong = |expected| Error::DatagramLength {
            found: datagram.len(),
            expected,
        };
        let (header, payload) = datagram
            .split_first_chunk::<HEADER_LEN>()
            .ok_or(wrong(HEADER_LEN))?;
        let (len, mut frame) = read_header(header)?;
        if payload.len() != len {
            return Err(wrong(HEADER_LEN + len));
        }
        frame.payload = Bytes::copy_from_slice(payload);
        Ok(frame)
    }
}

/// The announced length, and a frame without its payload.
fn read_header(header: &[u8; HEADER_LEN]) -> Result<(usize, Frame), Error> {
    let mut fields = header.as_slice();
    let len = usize::try_from(fields.get_u32_le()).unwrap_or(usize::MAX);
    let mut frame = Frame {
        cmd: fields.get_u16_le().into(),
        flag: fields.get_u8(),
        deal: fields.get_u8(),
        forward_id: [0; 8],
        id: 0,
        payload: Bytes::new(),
    };
    fields.copy_to_slice(&mut frame.forward_id);
    frame.id = fields.get_u32_le();
    if len > MAX_PAYLOAD {
        return Err(Error::FrameTooLong {
            found: len,
            max: MAX_PAYLOAD,
        });
    }
    Ok((len, frame))
}

/// Cuts a TCP stream into frames, whatever pieces it comes in.
///
/// Holds what was fed and not yet polled; polled dry, that is less than one frame.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    failed: Option<Error>,
}

impl FrameDecoder {
    /// Takes the next bytes of the stream. After an error they are ignored.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next frame, if all of it has come. An error is final: nothing tells where the next frame begins.
    pub fn poll(&mut self) -> Result<Option<Frame>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let (len, mut frame) = match read_header(header) {
            Ok(read) => read,
            Err(error) => {
                self.buffer = BytesMut::new();
                self.failed = Some(error.clone());
                return Err(error);
            }
        };
        if self.buffer.len() < HEADER_LEN + len {
            return Ok(None);
        }
        self.buffer.advance(HEADER_LEN);
        // A copy, so that a kept block of sound does not keep the whole buffer alive.
        frame.payload = Bytes::copy_from_slice(&self.buffer.split_to(len));
        Ok(Some(frame))
    }

    /// Bytes fed and not yet given out as frames.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }
}
