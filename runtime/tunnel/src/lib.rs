//! The gateway's half of the tunnel: agents, dialing through them, forwards.
//!
//! [`Gateway`] takes transports that somebody else accepted (TLS and WebSocket are the HTTP server's, QUIC comes in by
//! [`QuicDoor`]), proves who is
//! at the far end, keeps one live session for each agent, and dials through it. [`Identity`] is the key that agents
//! pin. A [`Forward`] offers one camera port on a port of this machine. No module here knows RTSP or HTTP.
//!
//! For the HTTP server, at `/agent`:
//!
//! ```ignore
//! let (answer, granted) = link::grant(&mut request)?;
//! tokio::spawn(async move {
//!     let _ = gateway.accept(granted.websocket::<TlsSocket>().await?, peer).await; // reports its ends by itself
//! });
//! ```
#![warn(missing_docs)]

mod authorities;
mod command;
mod dial;
mod doors;
mod early;
mod error;
mod forward;
mod gateway;
mod identity;
mod limit;
mod local;
mod quic;
mod registry;
mod saved;
mod session;
mod status;

pub use authorities::{AgentsTls, Authorities, certificate_fault};
pub use command::{CommandError, LogLine, Returned};
pub use dialer::Target;
pub use error::Error;
pub use forward::{BoundForward, Forward, MAX_FORWARD_CONNECTIONS, Passage};
pub use gateway::{Gateway, GatewayConfig};
pub use identity::Identity;
pub use link::{CertificateFault, TransportKind};
pub use local::{LocalDialer, LocalDoor};
pub use proto_tunnel::{CameraReport, DEFAULT_WINDOW, Report, WEBSOCKET_ALPN};
pub use quic::QuicDoor;
pub use saved::{ForwardError, SavedForwards};
pub use status::{AgentStatus, ForwardStatus};
