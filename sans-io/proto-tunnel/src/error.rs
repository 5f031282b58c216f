/// What is wrong with a join code, a name or a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text does not begin as a join code does.
    #[error("this is not a join code: it must begin with \"eyelet1.\"")]
    NotAJoinCode,
    /// A join code made by another generation of Eyelet.
    #[error(
        "this join code has version {found}, this program knows version 1: use an agent of the gateway's version"
    )]
    JoinVersion {
        /// The version that the code names.
        found: String,
    },
    /// A character that no join code contains.
    #[error(
        "the join code has a character {found:?} at position {position} that cannot be part of it"
    )]
    JoinCharacter {
        /// The character.
        found: char,
        /// Its position, counted from 1 over the whole code.
        position: usize,
    },
    /// The join code ends too early.
    #[error("the join code is cut off: its end is missing")]
    JoinTruncated,
    /// The checksum does not fit.
    #[error("the join code is mistyped: its checksum does not fit")]
    JoinChecksum,
    /// The join code is sound but says something impossible.
    #[error("the join code is not usable: {0}")]
    JoinContent(&'static str),

    /// A name with characters or a length that agents' names cannot have.
    #[error(
        "{found:?} cannot be an agent's name: it needs 1 to 63 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit"
    )]
    AgentName {
        /// The text, cut to a readable length.
        found: String,
    },

    /// A message longer than any message may be.
    #[error("a message of {found} bytes came, at most {max} are allowed")]
    MessageTooLong {
        /// What the peer announced, or what was to be sent.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A message type that this version does not know.
    #[error("a message of unknown type {0} came")]
    MessageType(u8),
    /// A message that ends inside one of its fields.
    #[error("a {message} message ends inside its field \"{field}\"")]
    MessageTruncated {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// A field beyond its limit or of an impossible value.
    #[error("a {message} message has an unusable field \"{field}\"")]
    MessageField {
        /// Which message.
        message: &'static str,
        /// Which field.
        field: &'static str,
    },

    /// A frame of the resumable pipe that makes no sense.
    #[error("a frame of kind {kind} with value {value} came through the tunnel's pipe")]
    Frame {
        /// Which kind.
        kind: &'static str,
        /// The offending number.
        value: u64,
    },
    /// A frame that continues at another byte than it should.
    #[error("the tunnel's pipe went on at byte {found}, byte {expected} was due")]
    FramePosition {
        /// Where it said that it goes on.
        found: u64,
        /// Where it had to.
        expected: u64,
    },
    /// The peer has taken bytes that it cannot have, or wants some that are gone.
    #[error(
        "the peer says it took the tunnel's bytes up to {found}, possible is {first} to {last}"
    )]
    ResumePosition {
        /// What it said.
        found: u64,
        /// What it has acknowledged before.
        first: u64,
        /// What was sent.
        last: u64,
    },
}
