//! RTSP cameras: H.264, H.265, JPEG pictures; AAC, G.711 sound; over TCP or UDP.

mod session;
mod tracks;

use futures_util::future::BoxFuture;

use crate::{Camera, Driver, DriverContext, DriverError};

/// The driver for `rtsp://HOST[:PORT]/PATH[?QUERY]`.
pub(crate) struct Rtsp;

impl Driver for Rtsp {
    fn protocol(&self) -> &'static str {
        "rtsp"
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(session::run(camera, context))
    }
}
