//! Camera side: one driver per protocol, under one supervisor.
//!
//! A driver's `run` is one session with one camera: it reaches the camera through the [`Dialer`],
//! publishes access units, and ends. It never knows who watches, and it never tries again: on
//! demand start, reconnection, the watchdog and the state shown to people live once, in
//! [`supervise`].
#![warn(missing_docs)]

mod backoff;
mod camera;
mod error;
mod jpeg;
mod mjpeg_http;
mod probe;
pub mod reolink;
mod rtsp;
mod settings;
mod supervisor;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use dialer::Dialer;
use futures_util::future::BoxFuture;
use hub::Publisher;
use tokio_util::sync::CancellationToken;

pub use camera::{Camera, Transport};
pub use error::{DriverError, Reason};
pub use probe::{Report, probe};
pub use settings::Settings;
pub use supervisor::supervise;

/// The camera side of one protocol.
pub trait Driver: Send + Sync {
    /// The protocol's name, a noun: "rtsp".
    fn protocol(&self) -> &'static str;

    /// Whether the camera comes to this machine and sends when it likes. Its session then runs as
    /// long as the program, watched or not, and says by [`Publisher::pause`] when the camera is away.
    fn listens(&self) -> bool {
        false
    }

    /// Runs one session until the camera ends it, it fails, or `context.shutdown` is told.
    ///
    /// # Errors
    /// A [`DriverError`] that tells a person what is wrong and what to try. A session that was
    /// shut down ends with `Ok`.
    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>>;

    /// Further streams of `camera` that come out beside it as `CAMERA/NAME`: name and source.
    fn substreams(&self, camera: &Camera) -> Vec<(&'static str, url::Url)> {
        let _ = camera;
        Vec::new()
    }
}

/// What a session is given.
pub struct DriverContext {
    /// Takes the media.
    pub publisher: Publisher,
    /// Reaches the camera.
    pub dialer: Arc<dyn Dialer>,
    /// Told when the session shall end; it then ends within a second.
    pub shutdown: CancellationToken,
}

/// The URL schemes that have a driver.
pub const SCHEMES: &[&str] = &[
    "rtsp",
    "jpeg+tcp",
    "jpeg+push",
    "jpeg+udp",
    "mjpeg+http",
    "http",
    "reolink",
    "reolink+uid",
];

/// The driver for a URL scheme.
#[must_use]
pub fn driver(scheme: &str) -> Option<Box<dyn Driver>> {
    match scheme {
        "rtsp" => Some(Box::new(rtsp::Rtsp)),
        "jpeg+tcp" => Some(Box::new(jpeg::JpegTcp)),
        "jpeg+push" => Some(Box::new(jpeg::JpegPush)),
        "jpeg+udp" => Some(Box::new(jpeg::JpegUdp)),
        "mjpeg+http" => Some(Box::new(mjpeg_http::MjpegHttp {
            scheme: "mjpeg+http",
        })),
        "reolink" | "reolink+uid" => Some(Box::new(reolink::Reolink::new(reolink::Devices::new()))),
        "http" => Some(Box::new(mjpeg_http::MjpegHttp { scheme: "http" })),
        _ => None,
    }
}
