//! Reolink cameras and recorders that speak Baichuan; see README.md beside this file.

mod actor;
mod address;
#[cfg(test)]
mod air;
mod care;
mod commands;
mod desk;
mod device;
mod events;
mod facts;
mod feed;
mod outage;
mod pictures;
mod request;
mod sound;
#[cfg(test)]
mod tests;
mod udp;
mod wire;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

pub use care::Cause;
pub use commands::{Listening, MAX_SILENCE};
pub use device::{Device, Devices};
pub use events::Event;
pub use facts::Facts;

use address::Address;
use device::{MAX_QUEUED_MEDIA, Media, Order};
use feed::{Feed, Sound};

use crate::{Camera, Driver, DriverContext, DriverError};

/// The channel of a device that `camera` is.
///
/// # Errors
/// What is wrong in the camera's source.
pub fn channel(camera: &Camera) -> Result<u8, DriverError> {
    Ok(Address::of(camera)?.channel)
}

/// The driver for `reolink://[USER[:PASSWORD]@]HOST[:PORT][?OPTIONS]` and `reolink+uid://…@UID[?OPTIONS]`.
pub struct Reolink {
    devices: Devices,
}

impl Reolink {
    /// A driver whose cameras share the sessions of `devices`.
    #[must_use]
    pub fn new(devices: Devices) -> Self {
        Self { devices }
    }
}

impl Driver for Reolink {
    fn protocol(&self) -> &'static str {
        "reolink"
    }

    fn substreams(&self, camera: &Camera) -> Vec<(&'static str, url::Url)> {
        // A source that names its stream is that stream.
        if camera.url.query_pairs().any(|(key, _)| key == "stream") {
            return Vec::new();
        }
        ["sub", "extern"]
            .map(|name| {
                let mut url = camera.url.clone();
                url.query_pairs_mut().append_pair("stream", name);
                (name, url)
            })
            .into()
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(watch(&self.devices, camera, context))
    }
}

/// Watches one stream until shutdown.
async fn watch(
    devices: &Devices,
    camera: &Camera,
    mut context: DriverContext,
) -> Result<(), DriverError> {
    let address = Address::of(camera)?;
    let device = devices.device(camera, &context.dialer)?;
    let (channel, kind) = (address.channel, address.stream);
    let user = device
        .join(Cause::View)
        .map_err(outage::Outage::into_error)?;
    let (media, mut packets) = mpsc::channel(MAX_QUEUED_MEDIA);
    let order = Order::Watch {
        channel,
        kind,
        media,
    };
    let publisher = &mut context.publisher;
    let mut feed = Feed::new(match device.sound(channel, kind) {
        None => Sound::Unknown,
        Some(None) => Sound::None,
        Some(Some(track)) => Sound::Track(track),
    });
    let mut known = feed.sound();
    tokio::select! {
        ordered = user.order(order) => ordered.map_err(outage::Outage::into_error)?,
        () = context.shutdown.cancelled() => return Ok(()),
    }
    loop {
        let due = feed.due().map(tokio::time::Instant::from_std);
        let settle = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(Media::Packet(packet, received)) => feed.take(packet, received, publisher)?,
                Some(Media::Refused(outage)) => return Err(outage.into_error()),
                None => return Err(user.outage().await.into_error()),
            },
            () = settle => feed.settle(publisher)?,
            () = context.shutdown.cancelled() => return Ok(()),
        }
        let sound = feed.sound();
        if sound != known
            && let Some(track) = &sound
        {
            device.remember_sound(channel, kind, track.clone());
            known = sound;
        }
    }
}
