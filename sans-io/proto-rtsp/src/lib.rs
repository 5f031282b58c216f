//! RTSP messages, logins, transports, session descriptions.
//!
//! [`Server`] is one connection's server side as a pure state machine: bytes and time in; bytes,
//! and the few questions only its owner can answer, out. Below it stand the parts, usable alone:
//! [`Parser`], [`Response`], [`Transport`], [`Authenticator`], [`sdp`].
//!
//! No sockets, no clock, no media: RTP is made by `rtp` and sent by whoever owns the connection.
//!
//! ```
//! use proto_rtsp::{Input, Method, Parser};
//! let mut parser = Parser::default();
//! parser.feed(b"OPTIONS rtsp://gateway/porch RTSP/1.0\r\nCSeq: 1\r\n\r\n");
//! let Some(Input::Request(request)) = parser.poll().unwrap() else { panic!() };
//! assert_eq!(request.method, Method::Options);
//! assert_eq!(request.headers.first("cseq"), Some("1"));
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::disallowed_methods
    )
)]

mod auth;
mod error;
mod fields;
mod message;
mod parser;
pub mod sdp;
mod server;
mod status;
mod transport;
mod uri;

pub use auth::{Authenticator, Verdict, answer_challenges};
pub use error::Error;
pub use fields::{Range, RtpInfo, SessionField};
pub use message::{Headers, Method, Request, Response};
pub use parser::{
    Input, MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_INTERLEAVED, MAX_URI, Parser, put_interleaved,
};
pub use server::{Description, Event, Reason, Server, ServerConfig, TrackStart, TrackTransport};
pub use status::Status;
pub use transport::{Lower, Transport};
pub use uri::Uri;
