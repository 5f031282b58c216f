use std::io;
use std::net::SocketAddr;

use proto_tunnel::ResumeConfig;
use quinn::{Connection, ConnectionError, Endpoint, TransportErrorCode};

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

    /// The TLS alert that the far end has ended it with, if it was one: an end that dials has its handshake behind it
    /// before the gateway has looked at its certificate.
    #[must_use]
    pub fn alert_received(&self) -> Option<u8> {
        received(&self.connection.close_reason()?)
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

/// The TLS alert that this end has ended a handshake with, if that is why it failed.
#[must_use]
pub fn alert_sent(error: &Error) -> Option<u8> {
    match reason(error)? {
        ConnectionError::TransportError(error) => alert(error.code),
        _ => None,
    }
}

/// The TLS alert that the far end has ended a handshake with, if that is why it failed.
#[must_use]
pub fn alert_received(error: &Error) -> Option<u8> {
    received(reason(error)?)
}

fn reason(error: &Error) -> Option<&ConnectionError> {
    let Error::Io(error) = error else { return None };
    error.get_ref()?.downcast_ref()
}

fn received(error: &ConnectionError) -> Option<u8> {
    match error {
        ConnectionError::ConnectionClosed(close) => alert(close.error_code),
        _ => None,
    }
}

/// RFC 9001 section 4.8: 0x100 and the alert.
fn alert(code: TransportErrorCode) -> Option<u8> {
    u8::try_from(u64::from(code).checked_sub(0x100)?).ok()
}

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::ConnectionAborted, error))
    }
}
