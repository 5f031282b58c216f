/// Why bytes from a peer were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no RTSP message.
    #[error("malformed RTSP at byte {offset} of the connection: {problem}; first bytes {bytes}")]
    Malformed {
        /// Bytes since the connection began.
        offset: u64,
        /// What is wrong there.
        problem: &'static str,
        /// The first bytes there, in hex.
        bytes: String,
    },
    /// Another protocol, most often HTTP.
    #[error("{version} where RTSP/1.0 was expected")]
    NotRtsp {
        /// What stood in place of the version.
        version: String,
    },
    /// More than a cap allows.
    #[error("{what} of {len} is too large, at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, or how much of it came.
        len: usize,
        /// The cap.
        max: usize,
    },
}
