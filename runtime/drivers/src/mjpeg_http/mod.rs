//! Cameras that send JPEG pictures over HTTP: a multipart stream, or one still per request.
//!
//! The answer's `Content-Type` decides which of the two it is, whatever the scheme says.

mod client;
mod session;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;

pub(crate) use client::Client;

use crate::{Camera, Driver, DriverContext, DriverError};

/// The driver for `mjpeg+http://HOST[:PORT]/PATH` and `http://HOST[:PORT]/PATH`.
pub(crate) struct MjpegHttp {
    /// The scheme it was asked for.
    pub(crate) scheme: &'static str,
}

impl Driver for MjpegHttp {
    fn protocol(&self) -> &'static str {
        self.scheme
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(session::run(camera, context))
    }
}
