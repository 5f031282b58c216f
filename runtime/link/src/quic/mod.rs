//! The second transport: QUIC, whose own streams take the multiplexer's place.
//!
//! One QUIC stream for each stream of the tunnel, so that what one of them lost holds up no other. The connection itself
//! outlives a changed address (it migrates) and an outage of up to [`proto_tunnel::ResumeConfig::patience`]: QUIC keeps
//! what was not acknowledged and sends it again. Signs of life travel in datagrams (`pulse.rs`); when they cease, the
//! dialing end takes a new socket every second and calls from there, until the gateway hears it again.
//!
//! Nothing is sent before the handshake is complete: there is no 0-RTT, which could be replayed.

mod allowance;
mod connection;
mod dialer;
mod listener;
mod mux;
mod pulse;
mod settings;
mod stream;

pub use connection::{QuicConnection, alert_received, alert_sent};
pub use dialer::QuicDialer;
pub use listener::{Arrival, MAX_ARRIVALS, QuicListener};
pub(crate) use mux::QuicMux;
pub use stream::QuicStream;

/// Both ends name it in the handshake: nothing else is spoken on this port.
pub const ALPN: &[u8] = b"eyelet-agent";
