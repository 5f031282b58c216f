//! RTP packets, payload formats and RTCP.
//!
//! A [`Packetizer`] turns the access units of one track into RTP packets, all packets of an access
//! unit in one block that TCP readers are sent whole; a [`Depacketizer`] turns packets back into
//! access units. [`rtcp`] builds sender reports and reads what receivers answer.
//!
//! The crate sends nothing, keeps no clock and does not reorder: it is the wire format, no session.
//!
//! ```
//! use bytes::BytesMut;
//! use media::{Codec, Track};
//! use rtp::{MAX_PAYLOAD, Packetizer};
//! let track = Track::g711(Codec::Pcma, 8_000, 1);
//! let mut packetizer = Packetizer::new(&track, 8, 0x1234_5678, 1, MAX_PAYLOAD);
//! let (mut block, mut offsets) = (BytesMut::new(), Vec::new());
//! packetizer.packetize_payload(&[0x55; 160], true, 0, 0, &mut block, &mut offsets).unwrap();
//! assert_eq!(offsets, [0]);
//! assert_eq!(block.len(), 4 + 12 + 160);
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

mod aac;
mod depacketizer;
mod error;
mod g711;
mod h264;
mod h265;
mod header;
mod jpeg;
mod jpeg_tables;
mod nal;
mod packetizer;
pub mod rtcp;
mod writer;

pub use depacketizer::Depacketizer;
pub use error::Error;
pub use header::{Header, RTP_HEADER};
pub use packetizer::{Packetizer, payload_type};

/// Default bytes of payload in a packet: with the RTP, UDP and IPv6 headers and a tunnel's, it still
/// fits an Ethernet frame of 1500 bytes.
pub const MAX_PAYLOAD: usize = 1400;

/// Bytes of the interleaved header (`$`, channel, length; RFC 2326 section 10.12) before each packet
/// of a block.
pub const INTERLEAVED_HEADER: usize = 4;
