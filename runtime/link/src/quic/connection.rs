use std::io;
use std::net::SocketAddr;

use proto_tunnel::ResumeConfig;
use quinn::{Connection, Endpoint};

use super::allowance::Allowance;
use super::dialer::socket;
use super::stream::QuicStream;
use crate::Error;

/// A QUIC connection whose handshake is complete. What flows on it first is a greeting, then it becomes a session by
/// [`crate::Mux::quic`].
#[derive(Debug)]
pub struct QuicConnection {
    pub(super) connection: Connection,
    /// The dialing end's own.
    pub(super) caller: Option<Caller>,
    pub(super) resume: ResumeConfig,
}

/// What the dialing end needs to call again.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) endpoint: Endpoint,
    pub(super) allowance: Allowance,
}

impl QuicConnection {
    /// Opens the stream of the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub async fn open_greeting(&self) -> Result<QuicStream, Error> {
        let (send, recv) = self.connection.open_bi().await?;
        Ok(QuicStream::new(send, recv, None))
    }

    /// Takes the stream of the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub async fn accept_greeting(&self) -> Result<QuicStream, Error> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok(QuicStream::new(send, recv, None))
    }

    /// The far end's address at the moment.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl Caller {
    /// Calls the peer from a new socket: a new way through any router, and a sign for the peer to answer there.
    pub(super) fn call_again(&self, peer: SocketAddr) -> io::Result<()> {
        self.allowance.add_call();
        self.endpoint.rebind(socket(peer)?)
    }
}

impl From<quinn::ConnectionError> for Error {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::ConnectionAborted, error))
    }
}
