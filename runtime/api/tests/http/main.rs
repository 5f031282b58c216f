//! The API over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod listener;
mod openapi;
mod routes;
mod sockets;
mod world;
