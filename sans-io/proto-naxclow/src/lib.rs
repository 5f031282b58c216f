//! The protocol of A9, X6, X9 and V720 cameras, both halves: cloud and camera. Pure: bytes and time in, bytes
//! and values out.
//!
//! A camera fetches its configuration over HTTP ([`bootstrap`]), connects to TCP 6123 and registers. Then it
//! stands by until the cloud asks for pictures: it opens UDP, is probed, and sends media there.
//! [`CloudSession`] is the cloud's half of that. In access-point mode the camera is the server and everything runs over
//! one TCP connection: [`Client`] speaks to it. [`Device`] is the camera in both modes, for tests and simulators.
//!
//! Beside that run MQTT ([`mqtt`]) and the vendor's names ([`dns`]). The parts are usable alone: [`Frame`] and [`FrameDecoder`], [`Message`], [`Receiver`].
//!
//! "Facts, section N" in comments means the notes on the wire that this crate was written from; "capture",
//! "log" and "serial log" mean real cameras with fw 202212011602.
//!
//! No sockets, no clock, no names: who connects where is the owner's business.
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

pub mod audio;
mod base_info;
pub mod bootstrap;
mod channel;
mod client;
mod cloud;
mod command;
mod device;
pub mod dns;
mod error;
mod frame;
mod json;
mod message;
pub mod mqtt;
pub mod picture;
mod receiver;
pub mod recordings;
mod uid;

pub use base_info::BaseInfo;
pub use bootstrap::Bootstrap;
pub use channel::{Channel, Transmit};
pub use client::{Client, ClientConfig, ClientEvent, MAX_REQUESTS};
pub use cloud::{
    CloseReason, CloudConfig, CloudEvent, CloudSession, Datagram, LiveFailure, MAX_COMMANDS,
    MAX_UNREADABLE, address_answer,
};
pub use command::{Command, Flip, MAX_WIFI_KEY, MAX_WIFI_NAME, Media, Wifi};
pub use device::{Confirmation, Device, DeviceConfig, DeviceEvent, HEARTBEAT_EVERY, Profile};
pub use error::Error;
pub use frame::{
    Cmd, Frame, FrameDecoder, HEADER_LEN, MAX_FRAME, MAX_PAYLOAD, MEDIA_PAYLOAD, Side, flag,
};
pub use json::{MAX_DEPTH, MAX_JSON, MAX_STRING, Object, Style, Value};
pub use message::{Endpoints, Message, RecordingRequest};
pub use receiver::{CONFIRM_EVERY, Item, MAX_CONFIRMED, Receiver, confirmations, confirmed};
pub use uid::{MAX_UID, MIN_UID, Uid};
