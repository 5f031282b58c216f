//! Cameras that send bare JPEG pictures; see README.md beside this file.

mod datagrams;
mod door;
mod pictures;
mod pull;
mod push;
#[cfg(test)]
mod push_tests;
#[cfg(test)]
mod tests;
mod turn;

use futures_util::future::BoxFuture;

use crate::{Camera, Driver, DriverContext, DriverError};

pub(crate) use pictures::Pictures;

/// Bytes taken at a time: a picture of a usual size in a few reads.
const READ: usize = 64 << 10;

/// Bytes without a picture after which it is plain that this is no JPEG camera.
const MAX_JUNK: u64 = 2 * media::MAX_ACCESS_UNIT as u64;

/// First bytes of a connection that are kept for messages.
const EXCERPT: usize = 24;

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

/// The driver for `jpeg+push://ADDRESS[:PORT][?from=ADDRESS]`: the camera connects and sends.
pub(crate) struct JpegPush;

impl Driver for JpegPush {
    fn protocol(&self) -> &'static str {
        "jpeg+push"
    }

    fn listens(&self) -> bool {
        true
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(push::run(camera, context))
    }
}

/// The driver for `jpeg+udp://ADDRESS[:PORT][?from=ADDRESS]`: the camera sends datagrams.
pub(crate) struct JpegUdp;

impl Driver for JpegUdp {
    fn protocol(&self) -> &'static str {
        "jpeg+udp"
    }

    fn listens(&self) -> bool {
        true
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(datagrams::run(camera, context))
    }
}
