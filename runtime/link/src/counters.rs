use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(target_has_atomic = "64")]
type Cell = std::sync::atomic::AtomicU64;
// Old ARM and MIPS: the agent only compares counters, so a wrap after 4 GiB harms nothing.
#[cfg(not(target_has_atomic = "64"))]
type Cell = std::sync::atomic::AtomicUsize;

/// A counter that everybody may read while one side adds.
#[derive(Default)]
pub struct Counter(Cell);

impl Counter {
    /// Adds `n`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "wraps where the cell is narrow, see Cell"
    )]
    #[allow(trivial_numeric_casts, reason = "not trivial where the cell is narrow")]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n as _, Ordering::Relaxed);
    }

    /// The sum so far.
    #[allow(
        clippy::unnecessary_cast,
        trivial_numeric_casts,
        reason = "not trivial where the cell is narrow"
    )]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

/// Bytes in both directions.
#[derive(Debug, Default)]
pub struct Flow {
    /// Bytes that came in.
    pub received: Counter,
    /// Bytes that went out.
    pub sent: Counter,
}

/// Counts what passes through a byte stream.
pub(crate) struct Counted<T> {
    inner: T,
    flow: Arc<Flow>,
}

impl<T> Counted<T> {
    pub(crate) fn new(inner: T, flow: Arc<Flow>) -> Self {
        Self { inner, flow }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.flow.received.add((buf.filled().len() - before) as u64);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(n)) = &polled {
            this.flow.sent.add(*n as u64);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
