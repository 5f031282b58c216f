use std::io;

/// What went wrong between the two ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer's bytes are not the agent's protocol.
    #[error(transparent)]
    Malformed(#[from] proto_tunnel::Error),
    /// The peer said something that does not belong here.
    #[error("the peer sent a {found} message where {expected} was due")]
    Unexpected {
        /// What came.
        found: &'static str,
        /// What was allowed.
        expected: &'static str,
    },
    /// As many streams are open as this session may have.
    #[error("all {0} streams of this agent are in use")]
    TooManyStreams(usize),
    /// The far end answered a request for a WebSocket with something else.
    #[error("no WebSocket was opened: {0:?}")]
    Upgrade(String),
    /// The multiplexer's peer broke its protocol, or the transport failed beneath it.
    #[error("the tunnel broke: {0}")]
    Mux(String),
    /// A stream failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The session is over.
    #[error("the tunnel is closed")]
    Closed,
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Io(inner) => inner.kind(),
            Error::Malformed(_) | Error::Unexpected { .. } | Error::Upgrade(_) => {
                io::ErrorKind::InvalidData
            }
            Error::TooManyStreams(_) => io::ErrorKind::ResourceBusy,
            Error::Mux(_) => io::ErrorKind::ConnectionAborted,
            Error::Closed => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}
