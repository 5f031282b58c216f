use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::{fmt, io};

use futures_util::io::{AsyncRead as _, AsyncWrite as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use crate::pace::Pace;

const CHUNK_HEADER: usize = 2;

/// One stream of a [`crate::Mux`]: bytes both ways, each direction ended on its own.
///
/// `shutdown` ends the writing direction; the peer reads end-of-file, and data still flows back. Dropping a stream
/// that has not been ended both ways *resets* it: the peer's reads and writes fail with `ConnectionReset`, also
/// after a shutdown. A stream whose session breaks fails likewise and never looks complete.
///
/// Bytes travel in chunks of a two-byte length and as many bytes, at most one multiplexer frame together; length zero
/// is the end. The multiplexer has an end-of-stream mark of its own, but after it was sent no reset can follow any more
/// (a viewer that closes both ways would leave the camera talking to nobody), and a reset reads like an end.
pub(crate) struct LineStream {
    inner: yamux::Stream,
    pace: Arc<Pace>,
    /// A chunk that the window had no room for. Empty or being sent.
    pending: Vec<u8>,
    pending_at: usize,
    /// A task that waits in a write while `poll_read` of another task may finish its work.
    writer: Option<Waker>,
    end_written: bool,
    header: [u8; CHUNK_HEADER],
    header_len: usize,
    chunk_left: usize,
    end_read: bool,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for LineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineStream")
            .field("id", &self.inner.id())
            .field("end_written", &self.end_written)
            .field("end_read", &self.end_read)
            .finish_non_exhaustive()
    }
}

impl LineStream {
    pub(crate) fn new(inner: yamux::Stream, pace: Arc<Pace>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            inner,
            pace,
            pending: Vec::new(),
            pending_at: 0,
            writer: None,
            end_written: false,
            header: [0; CHUNK_HEADER],
            header_len: 0,
            chunk_left: 0,
            end_read: false,
            _permit: permit,
        }
    }

    /// Hands the pending chunk to the multiplexer.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.pending_at < self.pending.len() {
            let rest = &self.pending[self.pending_at..];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, rest)) {
                Ok(n) => self.pending_at += n,
                Err(_) => return Poll::Ready(Err(reset())),
            }
        }
        self.pending.clear();
        self.pending_at = 0;
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_pending`], and remembers who waits.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.poll_pending(cx);
        if polled.is_pending() {
            self.writer = Some(cx.waker().clone());
        }
        polled
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Who writes without flushing and then waits for an answer must not wait for ever. A failure here
        // is for the writer to hear; what the peer sent before it is still to be read.
        if !this.pending.is_empty() {
            let _ = this.poll_pending(cx);
        }
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while this.chunk_left == 0 && !this.end_read {
            let header = &mut this.header[this.header_len..];
            match ready!(Pin::new(&mut this.inner).poll_read(cx, header))? {
                0 => return Poll::Ready(Err(reset())),
                n => this.header_len += n,
            }
            if this.header_len == CHUNK_HEADER {
                this.header_len = 0;
                this.chunk_left = usize::from(u16::from_be_bytes(this.header));
                this.end_read = this.chunk_left == 0;
            }
        }
        if this.end_read {
            return Poll::Ready(Ok(()));
        }
        let want = this.chunk_left.min(buf.remaining());
        match ready!(Pin::new(&mut this.inner).poll_read(cx, buf.initialize_unfilled_to(want)))? {
            0 => Poll::Ready(Err(reset())),
            n => {
                buf.advance(n);
                this.chunk_left -= n;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.end_written {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_written(cx))?;
        let n = buf.len().min(this.pace.piece() - CHUNK_HEADER);
        this.pending
            .extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes());
        this.pending.extend_from_slice(&buf[..n]);
        match this.poll_pending(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(n)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_written(cx))?;
        Pin::new(&mut this.inner)
            .poll_flush(cx)
            .map_err(|_| reset())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.end_written {
            ready!(this.poll_written(cx))?;
            this.pending.extend_from_slice(&[0; CHUNK_HEADER]);
            this.end_written = true;
        }
        ready!(this.poll_written(cx))?;
        Pin::new(&mut this.inner)
            .poll_flush(cx)
            .map_err(|_| reset())
    }
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the far end of the tunnel dropped this connection",
    )
}
