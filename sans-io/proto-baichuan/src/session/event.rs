//! What a session tells its owner.

use bytes::Bytes;

use crate::Error;
use crate::cipher::Encryption;
use crate::media::MediaPacket;
use crate::message::Message;
use crate::payloads::{DeviceInfo, StreamTable};

/// Names a request in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The message's number.
    pub id: u32,
    /// The request counter.
    pub number: u16,
}

/// Names a running stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u16);

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// We logged out.
    LoggedOut,
    /// Nothing answered the opening: try [`Hello::Legacy`](crate::Hello::Legacy) on a new connection, or it is no such camera.
    NoNonce,
    /// Nothing answered the login.
    NoLoginReply,
    /// Wrong user or password: do not try again with the same.
    WrongPassword {
        /// Attempts left before the camera locks, if it tells.
        remaining: Option<u32>,
        /// Seconds until it unlocks, if it tells.
        unlock_seconds: Option<u32>,
    },
    /// The device is bound to an account and refuses local logins (section 4.5).
    AccountBound,
    /// The device answered the opening or the login with this status.
    Refused(u16),
    /// The device does not answer pings any more.
    Silent,
    /// What came is not this protocol, or not in a form we know.
    Lost(Error),
}

/// What a session tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Logged in.
    Ready {
        /// What the device says of itself.
        device: Box<DeviceInfo>,
        /// Its streams, if the login reply lists them; message 146 is more reliable.
        streams: Vec<StreamTable>,
        /// What was agreed.
        encryption: Encryption,
    },
    /// The answer to a request, whatever its status.
    Reply {
        /// Which request.
        request: RequestId,
        /// The answer.
        message: Message,
    },
    /// No answer came in time.
    TimedOut(RequestId),
    /// No answer came to a command that some firmware carries out in silence: take it for done.
    Silence(RequestId),
    /// Something that nobody asked for: alarms, battery, states.
    Push(Message),
    /// The device agreed to a stream.
    StreamStarted(StreamId),
    /// The device refused a stream, after all tries.
    StreamRefused {
        /// Which.
        stream: StreamId,
        /// Its last status; 0 when it did not answer at all.
        status: u16,
    },
    /// Media came.
    Media {
        /// Of which stream.
        stream: StreamId,
        /// A packet of it.
        packet: MediaPacket,
    },
    /// A snapshot is complete.
    Snapshot {
        /// Which request.
        request: RequestId,
        /// The picture.
        jpeg: Bytes,
    },
    /// A message could not be read and was dropped; the session goes on.
    Dropped(Error),
    /// The end; nothing follows.
    Closed(CloseReason),
}
