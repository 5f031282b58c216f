//! Viewer side: one output per streaming format.
//!
//! Each output has a *muxer*, which turns a stream's access units into wire-ready shared bytes once,
//! and *sessions*, each a viewer with a cursor into the muxer's ring. The cost of one more viewer is
//! one write per access unit.
#![warn(missing_docs)]

mod error;
mod fanout;
pub mod mjpeg;
pub mod mse;
mod muxers;
pub mod raw;
pub mod rtsp;

pub use error::Error;
