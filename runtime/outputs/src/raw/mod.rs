//! Bare JPEG pictures over TCP, as ESP32 relays give them: whoever connects and says nothing gets
//! pictures back to back.
//!
//! | the viewer | gets |
//! |---|---|
//! | says nothing for 250 ms, or anything but HTTP | raw pictures: without end, or one and then the end ([`Mode`]) |
//! | asks `GET /` or `/stream` | motion JPEG |
//! | asks `GET /snapshot.jpg`, `/capture` or `/frame.jpg` | one picture |
//! | asks `GET /status` | [`Report`] as JSON |
//!
//! Parts are those of the MJPEG output, made once and shared. A viewer that is slow skips whole
//! pictures, one that takes nothing is cut, and nobody waits for anybody.

mod http;
mod report;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::Stream;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use report::Report;

use crate::mjpeg::Mjpeg;

/// This output's name in metrics and the API.
pub const NAME: &str = "raw";

/// Most viewers of one listener; each costs a file descriptor and a kilobyte or two.
pub const MAX_VIEWERS: usize = 2_000;

/// What a viewer that says nothing gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Pictures back to back until it leaves, as the relays that run in the field do.
    #[default]
    Continuous,
    /// The newest picture, and then the end: for `nc HOST PORT > picture.jpg`.
    Single,
}

/// A listener for one camera's raw viewers.
#[derive(Debug)]
pub struct Server {
    stream: Arc<Stream>,
    mjpeg: Arc<Mjpeg>,
    mode: Mode,
    listener: TcpListener,
    is_loopback: bool,
    limits: Limits,
    started: Instant,
}

/// Time limits of one listener; tests shorten them.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How long a viewer may think about saying `GET`.
    sniff: Duration,
    /// How long a viewer in [`Mode::Single`] waits for a picture.
    patience: Duration,
    /// A viewer that takes nothing for this long is cut.
    stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A program sends its request as soon as it is connected: the way there and back of
            // nearly every line fits, and a person with nc does not notice.
            sniff: Duration::from_millis(250),
            // What the original's test client waits.
            patience: Duration::from_secs(10),
            stall: Duration::from_secs(30),
        }
    }
}

impl Server {
    /// Listens at `address` for viewers of `stream`, whose parts `mjpeg` makes.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(
        mjpeg: Arc<Mjpeg>,
        stream: Arc<Stream>,
        address: SocketAddr,
        mode: Mode,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            stream,
            mjpeg,
            mode,
            is_loopback: address.ip().is_loopback(),
            listener,
            limits: Limits::default(),
            started: Instant::now(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`; then every viewer's connection ends and the port is free.
    pub async fn serve(self, shutdown: CancellationToken) {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(MAX_VIEWERS));
        let sessions = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = server.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: trying at once would only spin.
                    tracing::warn!(camera = %server.stream.name(), "raw JPEG cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(camera = %server.stream.name(), %peer, "raw JPEG viewer refused: {MAX_VIEWERS} are there");
                continue;
            };
            let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
            sessions.spawn(async move {
                tokio::select! {
                    () = session::attend(&server, Arc::new(socket), peer) => {}
                    () = shutdown.cancelled() => {}
                }
                drop(place);
            });
        }
        sessions.close();
        sessions.wait().await;
    }
}
