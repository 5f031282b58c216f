//! Transport and multiplexing shared by both ends of the tunnel.
//!
//! From bottom to top, each layer knowing only the one beneath as `AsyncRead + AsyncWrite`:
//!
//! - [`ReadAhead`]: beneath TLS, so that it reads much at once.
//! - [`WebSocketBytes`]: a byte stream in binary WebSocket messages; [`upgrade`] asks for one (agent), [`grant`] gives
//!   one (gateway).
//! - [`Transport`]: the seam. Any ordered byte stream that lasts for a while will do.
//! - [`Line`]: one byte stream over a row of transports, each going on where the one before broke. It finds dead peers.
//! - [`Mux`]: many independent [`Stream`]s with a window each, over one line, or over one QUIC connection, which takes
//!   the place of all that is beneath.
//! - [`read_message`], [`write_message`]: `proto-tunnel` messages on a stream; [`converse`]: the control stream's
//!   whole life; [`pipe`]: bytes between two connections; [`DatagramStream`]: datagrams on a stream.
//!
//! It dials nothing, listens nowhere, and checks nobody's identity.
#![warn(missing_docs)]

mod certificate;
mod control;
mod counters;
mod datagrams;
mod either;
mod error;
mod line;
mod message;
mod mux;
mod pace;
mod pipe;
#[cfg(feature = "quic")]
pub mod quic;
mod read_ahead;
mod upgrade;
mod websocket;

use tokio::io::{AsyncRead, AsyncWrite};

pub use certificate::CertificateFault;
pub use control::{SessionEnd, converse};
pub use counters::{Counter, Flow};
pub use datagrams::DatagramStream;
pub use either::{Mux, Stream};
pub use error::Error;
pub use line::{Line, LineHandle, LineState};
pub use message::{read_message, write_message};
pub use mux::MuxConfig;
pub use pipe::{Hold, PipeEnd, PipeOptions, pipe, pipe_holding};
pub use read_ahead::ReadAhead;
#[cfg(feature = "hyper")]
pub use upgrade::{Granted, grant};
pub use upgrade::{upgrade, websocket_accept};
pub use websocket::{MAX_WEBSOCKET_MESSAGE, WebSocketBytes, WebSocketEnd};

/// What a [`Line`] runs over: an ordered byte stream. Its loss costs a redial and no byte.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// What carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportKind {
    /// A WebSocket over TLS over TCP.
    WebSocket,
    /// QUIC over UDP.
    Quic,
}

impl TransportKind {
    /// As shown to people and programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Quic => "quic",
        }
    }
}

impl std::fmt::Display for TransportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
