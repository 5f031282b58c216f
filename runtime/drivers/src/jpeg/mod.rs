//! Cameras that send bare JPEG pictures over TCP; see README.md beside this file.

mod pictures;
mod pull;
#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;

use crate::{Camera, Driver, DriverContext, DriverError};

pub(crate) use pictures::Pictures;

/// The driver for `jpeg+tcp://HOST[:PORT]`: the camera listens and sends to whoever connects.
pub(crate) struct JpegTcp;

impl Driver for JpegTcp {
    fn protocol(&self) -> &'static str {
        "jpeg+tcp"
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(pull::run(camera, context))
    }
}
