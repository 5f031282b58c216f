//! The API over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod listener;
mod world;
