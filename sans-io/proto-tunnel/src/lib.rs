//! The agent's protocol: join codes, hello, open, keep-alive. Pure: bytes and time in, bytes and values out.
//!
//! The flow, over any ordered byte stream:
//!
//! 1. The agent says [`Hello`]; the gateway answers [`Welcome`], or [`Refused`] and hangs up. Nothing else may flow
//!    before, so a stranger costs the gateway one message of memory.
//! 2. From then on both sides speak the resumable pipe ([`Endpoint`]): numbered bytes, signs of life. When the
//!    connection breaks, the agent dials again and says the session's ticket in its hello; if the gateway still has
//!    the session, both go on at the byte where the other got to. Inside the pipe both sides have many streams
//!    ([`Streams`]). The agent opens the first one, the *control stream*, with [`Message::Opened`]. A side that ends the session on purpose says [`Bye`] there first.
//! 3. For each connection to a camera the gateway opens a stream and says [`Open`]. After [`Message::Opened`]
//!    the stream carries the camera's bytes and nothing else; [`OpenFailed`] ends it. In place of [`Open`] an
//!    [`OpenDatagrams`] may stand: then the stream carries datagrams of one UDP socket ([`put_datagram`]). Or a
//!    [`Command`], which concerns the agent itself.
//!
//! Who encrypts them and checks the gateway's key is none of this crate's business.
//!
//! ```
//! use proto_tunnel::{AgentName, JoinCode, Secret};
//! let code = JoinCode::new(vec!["gw.example:8080".into()], [7; 32], "shed".parse::<AgentName>()?, Secret::new([9; 32]))?;
//! let text = code.to_string();
//! assert!(text.starts_with("eyelet1."));
//! assert_eq!(text.parse::<JoinCode>()?, code);
//! # Ok::<(), proto_tunnel::Error>(())
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod command;
mod datagram;
mod error;
mod heartbeat;
mod join;
mod message;
mod name;
mod resume;
mod secret;
mod streams;
mod wire;

pub use command::{CameraReport, Command, MAX_LOG, MAX_MODEL, MAX_PATH, MAX_QUALITY, Report};
pub use datagram::{DatagramDecoder, MAX_DATAGRAM, put_datagram};
pub use error::Error;
pub use heartbeat::{Beat, Heartbeat, HeartbeatConfig};
pub use join::{JoinCode, MAX_ADDRESS, MAX_ADDRESSES, Pin};
pub use message::{
    Bye, ByeReason, HEADER_LEN, Hello, MAX_HOST, MAX_HOST_NAME, MAX_LOCAL_ADDRESSES, MAX_MESSAGE,
    MAX_PROGRAM, MAX_TEXT, Message, MessageDecoder, Open, OpenDatagrams, OpenFailed, OpenFailure,
    OpenedDatagrams, QuicOffer, Refusal, Refused, Resume, Welcome,
};
pub use name::{AgentName, MAX_AGENT_NAME};
pub use resume::{
    DEFAULT_WINDOW, Endpoint, FRAME_HEADER, MAX_FRAME_PAYLOAD, MAX_WINDOW, ResumeConfig,
    ResumeStats, Verdict,
};
pub use secret::{SECRET_LEN, Secret};
pub use streams::{
    Chunk, Event, FIRST_CREDIT, MAX_STREAM_PAYLOAD, Read, Room, STREAM_HEADER, Side, Streams,
    StreamsConfig, Wanted, Write,
};

/// Version of the protocol spoken by this crate. A gateway refuses an agent that is newer than itself in
/// a way it cannot know; fields appended to a message are no new version, as unknown tails are skipped.
pub const VERSION: u16 = 3;
/// Oldest version that is still understood: streams have frames of their own since version 3.
pub const OLDEST_VERSION: u16 = 3;

/// What an agent that has a certificate names in its TLS hello (ALPN) before a WebSocket, so that the gateway can ask
/// for it: browsers on the same port are asked for none.
pub const WEBSOCKET_ALPN: &[u8] = b"eyelet-agent-websocket";

/// Most streams that a gateway keeps open through one agent: a router's agent with a dozen cameras, and a few viewers
/// each on main and sub stream. An agent's streams read little but RTSP commands, so their number costs it little memory.
pub const MAX_STREAMS: usize = 128;
