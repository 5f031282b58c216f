/// What is wrong with bytes that a camera, a cloud or a client sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A frame longer than any frame may be. On a stream nothing after it can be trusted.
    #[error("a frame announces {found} bytes of payload, at most {max} are allowed")]
    FrameTooLong {
        /// What was announced, or was to be sent.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A datagram that is not exactly one frame.
    #[error("a datagram of {found} bytes came whose header asks for {expected}")]
    DatagramLength {
        /// Bytes of the datagram.
        found: usize,
        /// Bytes that its header asks for; 20, the header itself, when even that is cut.
        expected: usize,
    },
    /// A payload of a length that its command cannot have.
    #[error("command {cmd} came with {found} bytes of payload")]
    PayloadLength {
        /// The command's number.
        cmd: u16,
        /// Bytes of payload.
        found: usize,
    },
    /// A JSON text longer than any message may be.
    #[error("a JSON text of {found} bytes came, at most {max} are allowed")]
    JsonTooLong {
        /// Bytes of the text.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A text that is not a JSON object, even read with all tolerance.
    #[error("unreadable JSON: {expected} expected at byte {position}")]
    Json {
        /// What should have come.
        expected: &'static str,
        /// Where, counted from 0 after white space is trimmed.
        position: usize,
    },
    /// A message without a member that it needs, or with an impossible value in it.
    #[error("a message of code {code} lacks a usable member {member:?}")]
    Member {
        /// The message's code; 0 when that itself is missing.
        code: i64,
        /// The member's name.
        member: &'static str,
    },
    /// A device code with characters or a length that none has.
    #[error("{found:?} cannot be a device code: it needs 8 to 32 letters and digits")]
    Uid {
        /// The text, cut to a readable length.
        found: String,
    },
    /// A network name or key that Wi-Fi does not allow.
    #[error("the Wi-Fi {what} is not usable: {expected}")]
    Wifi {
        /// "name" or "key".
        what: &'static str,
        /// What is allowed.
        expected: &'static str,
    },
    /// A day or minute that no calendar has.
    #[error("{found:?} is no time of a recording")]
    Minute {
        /// The text or number.
        found: String,
    },
    /// An index of recordings that cannot be read.
    #[error("unreadable index of recordings: {0}")]
    Index(&'static str),
    /// An MQTT packet that cannot be read.
    #[error("unreadable MQTT packet: {0}")]
    Mqtt(&'static str),
    /// An HTTP request or reply that cannot be read.
    #[error("unreadable HTTP: {0}")]
    Http(&'static str),
    /// A command in a state that does not allow it.
    #[error("not possible now: {0}")]
    State(&'static str),
}
