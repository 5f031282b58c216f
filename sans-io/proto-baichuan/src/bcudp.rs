//! Reliable messages over UDP ("BcUdp") and the ways to find a camera, sections 9 and 10, both halves.
//!
//! ```text
//!  Session ── messages ──► UdpClient ── datagrams ──► UdpCamera ── messages ──► Device
//!                            │  who is there? by broadcast, by UID at the look-up servers, through a relay
//!                            └─ once found: Stream, numbered packets, acknowledgement bitmaps, resending
//! ```

mod camera;
mod client;
mod discovery;
mod packet;
mod servers;
mod stream;

use std::net::SocketAddr;

use bytes::Bytes;

pub use camera::{
    CameraPort, Introduction, MAX_UDP_SESSIONS, UdpCamera, UdpCameraConfig, UdpCameraEvent,
};
pub use client::{Method, UdpClient, UdpClose, UdpConfig, UdpEvent};
pub use discovery::{Conn, Discovery, Timers};
pub use packet::{Ack, Datagram, MAX_ACK_TABLE, MAX_DATAGRAM, MAX_PACKET, crc, scramble};
pub use servers::{MAX_INTRODUCTIONS, P2pServers, ServerPort, ServersConfig, ServersEvent};
pub use stream::{MAX_EARLY, MAX_UNSENT, Stream, StreamConfig, StreamStats};

/// The ports where cameras wait for hellos (section 9.1).
pub const HELLO_PORTS: [u16; 2] = [2015, 2018];
/// The port of the look-up servers (section 10).
pub const LOOKUP_PORT: u16 = 9999;
/// What a datagram may weigh, told to the other side (section 9.3).
pub const MTU: u32 = 1350;

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub payload: Bytes,
}
