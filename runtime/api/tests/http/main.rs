//! The API over real sockets on loopback.
#![allow(clippy::unwrap_used)]

mod a9;
mod changes;
mod listener;
mod openapi;
mod original;
mod routes;
mod settings;
mod sockets;
mod world;
