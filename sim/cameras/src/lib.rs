//! Simulated cameras: the device half of each protocol.
//!
//! They ship: `eyelet demo` and `eyelet simulate` run on them, and so do tests. A simulated camera
//! behaves like a device on the network, faults included; it shares the wire formats with the
//! product, so third-party players and recorded vectors must keep both honest.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use sim_cameras::RtspCamera;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let camera = RtspCamera::porch().with_login("admin", "secret");
//! camera.serve(listener).await
//! # }
//! ```
#![warn(missing_docs)]

mod a9;
mod bars;
mod canvas;
mod chime;
mod clip;
mod esp32;
mod fault;
mod font;
mod onvif;
mod reolink;
mod rtsp;
mod source;

pub use a9::{A9Camera, A9Fault, A9FaultError, A9Minute, A9Profile, a9_picture};
pub use esp32::{Esp32, Esp32Camera, Esp32Fault, Esp32FaultError, Esp32Port, Firmware};
pub use fault::{Fault, FaultError, FaultKind};
pub use lan::Uuid;
pub use onvif::OnvifResponder;
pub use reolink::{
    ReolinkAudio, ReolinkCamera, ReolinkConfig, ReolinkCounters, ReolinkEncryption, ReolinkModel,
    ReolinkServers, ReolinkVideo,
};
pub use rtsp::RtspCamera;
