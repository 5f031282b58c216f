//! Transport and multiplexing shared by both ends of the tunnel.
//!
//! From bottom to top, each layer knowing only the one beneath as `AsyncRead + AsyncWrite`:
//!
//! - [`WebSocketBytes`]: a byte stream over binary WebSocket messages, of axum (gateway) or tungstenite (agent).
//! - [`Transport`]: the seam. Any ordered, reliable byte stream will do; a resumable pipe or QUIC goes beneath
//!   [`Mux`] without a change above.
//! - [`Mux`]: many independent [`Stream`]s with a window each, over one transport.
//! - [`read_message`], [`write_message`]: `proto-tunnel` messages on a stream; [`keep_alive`]: the control stream's
//!   whole life; [`pipe`]: bytes between two connections.
//!
//! It dials nothing, listens nowhere, and checks nobody's identity.
#![warn(missing_docs)]

mod control;
mod counters;
mod error;
mod message;
mod mux;
mod pipe;
mod stream;
mod websocket;

use tokio::io::{AsyncRead, AsyncWrite};

pub use control::{SessionEnd, keep_alive};
pub use counters::{Counter, Flow};
pub use error::Error;
pub use message::{read_message, write_message};
pub use mux::{Mux, MuxConfig};
pub use pipe::{PipeEnd, PipeOptions, pipe};
pub use stream::Stream;
#[cfg(feature = "tungstenite")]
pub use websocket::tungstenite_config;
pub use websocket::{BinaryMessage, MAX_WEBSOCKET_MESSAGE, Payload, WebSocketBytes};

/// What a [`Mux`] runs over: an ordered, reliable byte stream whose loss ends the session.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}
