//! JPEG cameras without sockets: bare pictures in a byte stream, in datagrams, in multipart HTTP.
//!
//! [`Scanner`] finds whole pictures in any byte stream, [`Multipart`] reads the parts of
//! `multipart/x-mixed-replace`, [`Reassembler`] joins the datagrams of cameras that push over UDP.
//! Bytes and time go in, pictures come out. No sockets, no clock, no HTTP heads and no chunked
//! coding (whoever owns the connection takes that off first), and no picture is decoded.
//!
//! ```
//! use proto_jpeg::Scanner;
//! let picture = [
//!     0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0,
//!     63, 0, 0x12, 0xff, 0xd9,
//! ];
//! let mut scanner = Scanner::default();
//! scanner.feed(b"junk");
//! scanner.feed(&picture[..7]);
//! assert_eq!(scanner.poll(), None);
//! scanner.feed(&picture[7..]);
//! assert_eq!(scanner.poll().unwrap(), picture.as_slice());
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

mod multipart;
mod scanner;
mod udp;

pub use multipart::{MAX_LINE, MAX_PART_HEADERS, Multipart};
pub use scanner::{Losses, Scanner};
pub use udp::{
    DATAGRAM_HEADER, Error, HANDSHAKE, MAX_DATAGRAM, MAX_PENDING_BYTES, MAX_PENDING_PICTURES,
    MAX_SOURCES, PICTURE_LIFE, Reassembler, SOURCE_LIFE, encode_datagram,
};
