//! How anything reaches a camera: directly, or through an agent.
//!
//! Drivers and forwards ask a [`Dialer`] for a connection or a UDP socket and cannot tell which kind they got, so
//! every driver works behind NAT with no code of its own.
//!
//! ```
//! use dialer::Target;
//! let target: Target = "192.168.1.10:554".parse().unwrap();
//! assert_eq!((target.host.as_str(), target.port), ("192.168.1.10", 554));
//! ```
#![warn(missing_docs)]

mod bridge;
mod datagrams;
mod target;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use bridge::Bridge;
pub use datagrams::{BoxDatagrams, Datagrams, Subnet, subnets};
pub use target::{ParseTargetError, Target};

/// Longest wait for a TCP connection. A camera on a bad radio link answers within a few SYN
/// retransmissions (1 s, 3 s, 7 s); later it is away.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A boxed byte stream.
pub type BoxIo = Box<dyn Io>;

/// Opens connections to cameras.
pub trait Dialer: Send + Sync {
    /// Opens a TCP connection to `target`, as seen from where this dialer stands.
    ///
    /// # Errors
    /// What the network said, or `TimedOut` after [`CONNECT_TIMEOUT`].
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<BoxIo>>;

    /// Opens a UDP socket where this dialer stands, at `port` or at any. Its first datagrams shall go to `towards`,
    /// which may be 255.255.255.255: who may not send there says so at once.
    ///
    /// # Errors
    /// What the network said; `Unsupported` from a dialer that has no sockets.
    fn datagrams(
        &self,
        towards: SocketAddr,
        port: Option<u16>,
    ) -> BoxFuture<'_, io::Result<BoxDatagrams>> {
        let _ = (towards, port);
        let text = format!("no datagrams can be sent {}", self.describe());
        let error = io::Error::new(io::ErrorKind::Unsupported, text);
        Box::pin(std::future::ready(Err(error)))
    }

    /// How it reaches cameras, to be put into messages: "directly", "via agent shed".
    fn describe(&self) -> String;

    /// Whether targets are on this machine's own network, so that a driver may connect by itself.
    fn is_direct(&self) -> bool {
        false
    }
}

/// Reaches cameras from this machine's own network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Dialer for Direct {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let connect = TcpStream::connect((target.host.as_str(), target.port));
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
                .await
                .map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("{target} did not answer in 10 s"),
                    )
                })??;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxIo)
        })
    }

    fn datagrams(
        &self,
        _towards: SocketAddr,
        port: Option<u16>,
    ) -> BoxFuture<'_, io::Result<BoxDatagrams>> {
        Box::pin(async move {
            let socket = datagrams::Here::bind(port.unwrap_or(0)).await?;
            Ok(Box::new(socket) as BoxDatagrams)
        })
    }

    fn describe(&self) -> String {
        "directly".to_owned()
    }

    fn is_direct(&self) -> bool {
        true
    }
}
