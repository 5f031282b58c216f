//! What carries a session's messages: a TCP connection, or numbered datagrams.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dialer::BoxIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::address::Place;
use super::device::Device;
use super::outage::Outage;
use super::udp::UdpWire;

/// Bytes taken from a connection at a time: a keyframe in a few reads.
const READ: usize = 64 << 10;

/// How long a camera may take to accept what we send; it is little.
const WRITE: Duration = Duration::from_secs(10);

pub(super) enum Wire {
    Tcp { io: BoxIo, buf: BytesMut },
    Udp(Box<UdpWire>),
}

impl Wire {
    /// Reaches the device.
    pub(super) async fn open(device: &Device) -> Result<Self, Outage> {
        match &device.place {
            Place::Tcp(target) => {
                let unreachable = |error: io::Error| Outage::Unreachable {
                    target: target.to_string(),
                    path: device.dialer.describe(),
                    kind: error.kind(),
                    said: format!(
                        "{error}; is the camera on, and is its media port open? Battery cameras have none: they need reolink+uid://"
                    ),
                };
                let io = device.dialer.connect(target).await.map_err(unreachable)?;
                Ok(Self::Tcp {
                    io,
                    buf: BytesMut::with_capacity(READ),
                })
            }
            Place::Uid(search) => Ok(Self::Udp(Box::new(UdpWire::open(device, search).await?))),
        }
    }

    /// Sends one message.
    pub(super) async fn send(&mut self, message: Bytes) -> io::Result<()> {
        match self {
            Self::Tcp { io, .. } => tokio::time::timeout(WRITE, io.write_all(&message))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
            Self::Udp(udp) => udp.send(&message).await,
        }
    }

    /// The next bytes of the device; none at all is the end. May be cancelled: nothing is lost.
    pub(super) async fn receive(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Tcp { io, buf } => {
                buf.reserve(READ);
                io.read_buf(buf).await?;
                Ok(buf.split().freeze())
            }
            Self::Udp(udp) => udp.receive().await,
        }
    }

    /// The last word.
    pub(super) async fn close(&mut self) {
        match self {
            Self::Tcp { .. } => {}
            Self::Udp(udp) => udp.close().await,
        }
    }
}
