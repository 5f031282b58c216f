use bytes::Bytes;

use crate::audio::AudioCodec;
use crate::{BaseInfo, Object, Uid};

/// What happened in a [`CloudSession`](super::CloudSession).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CloudEvent {
    /// The camera said who it is. An older session of the same camera has to be closed now.
    Registered {
        /// Which camera.
        uid: Uid,
        /// The token that it was given over HTTP, or not; no known server insists on it.
        token: String,
        /// The domain that it was told.
        domain: String,
    },
    /// The camera says that it lives; it was answered.
    Heartbeat,
    /// The camera described itself.
    BaseInfo(BaseInfo),
    /// A command was answered, or 2 s passed without an answer.
    Answer {
        /// The command's code.
        code: i64,
        /// The answer; `None` for silence.
        content: Option<Object>,
    },
    /// The first picture or sound of a live stream came.
    Live,
    /// A picture.
    Picture(Bytes),
    /// A block of sound.
    Audio(AudioCodec, Bytes),
    /// Pictures had stopped; the stream is being started once more.
    Restarting,
    /// The live stream came to nothing. The camera is still registered.
    LiveFailed(LiveFailure),
    /// Something came that nobody knows; for the log.
    Unknown(String),
    /// The session is over: close the connection.
    Closed(CloseReason),
}

/// How far a live stream came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveFailure {
    /// No probe answer: the camera did not open UDP to us, or it is blocked.
    #[error("the camera did not come over UDP: camera request timeout")]
    NoProbe,
    /// No picture within 5 s of being asked.
    #[error("the camera sent no picture")]
    NoMedia,
    /// Pictures stopped, and starting once more did not help.
    #[error("the camera's pictures stopped")]
    Stalled,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Nothing came for the idle time.
    #[error("nothing came from the camera any more")]
    Silent,
    /// It did not register within 10 s.
    #[error("it did not register")]
    NotRegistered,
    /// An impossible length, or too many unreadable messages in a row.
    #[error("what came could not be read")]
    Unreadable,
    /// Two device codes on one connection.
    #[error("it registered as two cameras")]
    TwoCameras,
    /// A wrong token, and tokens are insisted on.
    #[error("its token is wrong")]
    WrongToken,
    /// The same camera registered on another connection.
    #[error("the camera registered anew")]
    Replaced,
    /// Not wanted any more.
    #[error("it was not wanted any more")]
    Unwanted,
}
