//! Many streams over one line.

mod driver;
mod shared;
mod stream;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use proto_tunnel::Side;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Error, Flow, Line, LineHandle};
use driver::Driver;
use shared::Shared;
pub(crate) use stream::{LineStream, reset};

/// Longest a polite end may take before the transport is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How much a session may hold.
#[derive(Clone, Copy, Debug)]
pub struct MuxConfig {
    /// Most streams that may be open in each direction at once.
    pub max_streams: usize,
    /// Bytes by which the windows of all streams together may grow beyond their first 256 KiB, as their rate and
    /// the round-trip time ask for.
    pub window_growth: usize,
}

impl MuxConfig {
    /// The gateway's end: video comes in, so windows may grow. 16 MiB carry 600 Mbit/s over 200 ms.
    #[must_use]
    pub fn gateway() -> Self {
        Self {
            max_streams: proto_tunnel::MAX_STREAMS + 1,
            window_growth: 16 << 20,
        }
    }

    /// The agent's end: RTSP commands and talk-back come in, and memory is the camera's.
    #[must_use]
    pub fn agent() -> Self {
        Self {
            max_streams: proto_tunnel::MAX_STREAMS + 1,
            window_growth: 1 << 20,
        }
    }
}

/// Many streams over one line. Its driver task ends when the line does, by [`Self::close`], or when the
/// `LineMux` is dropped; then every stream fails.
pub(crate) struct LineMux {
    shared: Arc<Shared>,
    max_streams: usize,
    close: watch::Sender<bool>,
    driver: JoinHandle<()>,
}

impl fmt::Debug for LineMux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineMux")
            .field("flow", &self.shared.flow)
            .field("line", &self.shared.line)
            .finish_non_exhaustive()
    }
}

impl LineMux {
    /// The end that dialed.
    #[must_use]
    pub(crate) fn client(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self::start(line, config, Side::Dialed)
    }

    /// The end that accepted.
    #[must_use]
    pub(crate) fn server(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self::start(line, config, Side::Called)
    }

    fn start(line: (Line, LineHandle), config: MuxConfig, side: Side) -> Self {
        let (line, handle) = line;
        let shared = Arc::new(Shared::new(handle, side, config));
        let (close, close_asked) = watch::channel(false);
        let driver = Driver::new(Arc::clone(&shared), line);
        Self {
            shared,
            max_streams: config.max_streams,
            close,
            driver: tokio::spawn(drive(driver, close_asked)),
        }
    }

    /// Opens a stream. The peer learns of it with the first bytes written.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] at the cap, [`Error::Closed`] or [`Error::Mux`] after the end.
    pub(crate) fn open(&self) -> Result<LineStream, Error> {
        let id = self.shared.open(self.max_streams)?;
        Ok(LineStream::new(Arc::clone(&self.shared), id))
    }

    /// The next stream that the peer opened. Cancel-safe. Streams beyond the cap have been reset already.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Mux`] after the end.
    pub(crate) async fn accept(&self) -> Result<LineStream, Error> {
        let id = self.shared.accept().await?;
        Ok(LineStream::new(Arc::clone(&self.shared), id))
    }

    /// What it runs over, to bring it the next transport.
    #[must_use]
    pub(crate) fn line(&self) -> &LineHandle {
        &self.shared.line
    }

    /// Bytes of all streams so far, with their frames.
    #[must_use]
    pub(crate) fn flow(&self) -> &Arc<Flow> {
        &self.shared.flow
    }

    /// Streams open from this end.
    #[must_use]
    pub(crate) fn open_streams(&self) -> usize {
        self.shared.state().streams.ours()
    }

    /// Waits for the end, which has happened already or will. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Mux`] when the session did not end by a polite close.
    pub(crate) async fn closed(&self) -> Result<(), Error> {
        self.shared.ended().await
    }

    /// Ends the session politely, within two seconds. Streams that are still open fail.
    pub(crate) async fn close(&self) {
        self.close.send_replace(true);
        let _ = self.closed().await;
    }
}

impl Drop for LineMux {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn drive(mut driver: Driver, mut close_asked: watch::Receiver<bool>) {
    let ended = tokio::select! {
        ended = poll_fn(|cx| driver.poll(cx)) => Some(ended),
        _ = close_asked.wait_for(|asked| *asked) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let close = poll_fn(|cx| Pin::new(&mut driver.line).poll_shutdown(cx));
            timeout(CLOSE_TIMEOUT, close).await.unwrap_or(Ok(()))
        }
    };
    driver.finish(ended.map_err(|error| error.to_string()));
}
