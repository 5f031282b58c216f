use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use crate::Flow;

/// Bytes copied at once in each direction: one multiplexer frame.
const BUFFER: usize = crate::mux::SPLIT;

/// When a silent pair of connections is given up.
#[derive(Clone, Copy, Debug)]
pub struct PipeOptions {
    /// No byte in either direction for this long. An RTSP session speaks at least once a minute; a viewer that
    /// pauses for minutes must survive.
    pub idle: Duration,
    /// The same after one side has ended: usually the other only has to notice.
    pub half_closed: Duration,
}

impl Default for PipeOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            half_closed: Duration::from_secs(60),
        }
    }
}

/// How a [`pipe`] ended.
#[derive(Debug)]
pub enum PipeEnd {
    /// Both sides ended their direction: every byte arrived.
    Complete,
    /// Nobody said anything for too long.
    Idle,
    /// One side failed.
    Broken(io::Error),
}

/// Carries bytes between `near` and `far` until both have ended, each direction on its own: an end of `near` is
/// passed on to `far` while data still flows back. `flow.received` counts bytes from `far`, `flow.sent` those to it.
pub async fn pipe<A, B>(near: &mut A, far: &mut B, options: PipeOptions, flow: &Flow) -> PipeEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let progress = Progress(Mutex::new((Instant::now(), false)));
    let mut near = Observed {
        inner: near,
        progress: &progress,
        counter: &flow.sent,
    };
    let mut far = Observed {
        inner: far,
        progress: &progress,
        counter: &flow.received,
    };
    tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, BUFFER, BUFFER) => match copied {
            Ok(_) => PipeEnd::Complete,
            Err(error) => PipeEnd::Broken(error),
        },
        () = progress.exhausted(options) => PipeEnd::Idle,
    }
}

/// When something moved last, and whether one side has ended.
struct Progress(Mutex<(Instant, bool)>);

impl Progress {
    fn note(&self, end: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (Instant::now(), state.1 || end);
    }

    async fn exhausted(&self, options: PipeOptions) {
        loop {
            let (last, ended) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = if ended {
                options.half_closed
            } else {
                options.idle
            };
            let left = limit.saturating_sub(last.elapsed());
            if left.is_zero() {
                return;
            }
            // An end in between shortens the limit, so look often enough to keep that one too.
            sleep(left.min(options.half_closed)).await;
        }
    }
}

struct Observed<'a, T> {
    inner: &'a mut T,
    progress: &'a Progress,
    counter: &'a crate::Counter,
}

impl<T: AsyncRead + Unpin> AsyncRead for Observed<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut *this.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &polled {
            let n = buf.filled().len() - before;
            this.counter.add(n as u64);
            this.progress.note(n == 0);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Observed<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut *this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(_)) = &polled {
            this.progress.note(false);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_shutdown(cx)
    }
}
