//! The built programs from outside, against real peers: the parts that the tests are made of.
//!
//! Nothing here knows a crate of Eyelet's: what the programs promise is checked through sockets,
//! command lines and pictures. A part that a machine lacks is a note at a desk and a failure under
//! `CI=true` (see [`tools::require`]).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "every failure here is a failed test, and says why where the test's output stands"
)]

pub mod browser;
pub mod camera;
pub mod esp32;
pub mod eyelet;
pub mod frames;
pub mod http;
pub mod jpeg_camera;
pub mod jpeg_viewer;
pub mod lease;
pub mod media;
pub mod players;
pub mod process;
pub mod rtsp;
pub mod tls;
pub mod tools;
pub mod world;
