use media::MAX_ACCESS_UNIT;

/// What was wrong with somebody's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes ended too early.
    #[error("{what} ends after {len} bytes, in the middle of a field")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// How long it was.
        len: usize,
    },
    /// A field has a value that it may not have.
    #[error("{what}: {field} is {found}, expected {expected}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// The field's name in its standard.
        field: &'static str,
        /// What it said.
        found: u64,
        /// What it may say.
        expected: &'static str,
    },
    /// An access unit larger than Eyelet carries.
    #[error("an access unit of {len} bytes is larger than the {MAX_ACCESS_UNIT} that are carried")]
    TooLarge {
        /// How long it is.
        len: usize,
    },
    /// A codec that this container cannot carry.
    #[error("fragmented MP4 is not written for {0}")]
    Unsupported(media::Codec),
    /// A track whose parameters belong to another codec.
    #[error("the track says {0}, its codec parameters belong to another codec")]
    Mismatch(media::Codec),
}
