use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::{fmt, io, mem};

use proto_tunnel::{Chunk, Read};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shared::Shared;

/// One stream of a [`crate::Mux`]: bytes both ways, each direction ended on its own.
///
/// `shutdown` ends the writing direction; the peer reads end-of-file, and data still flows back. Dropping a stream
/// that has not been ended both ways *resets* it: the peer's writes fail with `ConnectionReset`, and its reads, too, once it
/// has read what came before, unless that was all (after a shutdown). A stream whose session breaks fails likewise and
/// never looks complete.
///
/// What was written leaves by itself; there is nothing to flush.
pub(crate) struct LineStream {
    shared: Arc<Shared>,
    id: u32,
    /// What came, and is being read.
    chunk: Chunk,
    end_written: bool,
}

impl fmt::Debug for LineStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineStream")
            .field("id", &self.id)
            .field("end_written", &self.end_written)
            .finish_non_exhaustive()
    }
}

impl LineStream {
    pub(super) fn new(shared: Arc<Shared>, id: u32) -> Self {
        Self {
            shared,
            id,
            chunk: Chunk::default(),
            end_written: false,
        }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if this.chunk.bytes().is_empty() {
            match this.shared.read(this.id, mem::take(&mut this.chunk), cx) {
                Read::Bytes(chunk) => this.chunk = chunk,
                Read::Wait => return Poll::Pending,
                Read::End => return Poll::Ready(Ok(())),
                Read::Reset => return Poll::Ready(Err(reset())),
            }
        }
        let bytes = this.chunk.bytes();
        let n = bytes.len().min(buf.remaining());
        buf.put_slice(bytes.get(..n).unwrap_or_default());
        this.chunk.take(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.end_written {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match ready!(self.shared.poll_write(self.id, buf, cx)) {
            Some(n) => Poll::Ready(Ok(n)),
            None => Poll::Ready(Err(reset())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.end_written {
            this.end_written = true;
            this.shared.end_stream(this.id);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineStream {
    fn drop(&mut self) {
        self.shared.close_stream(self.id);
    }
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the far end of the tunnel dropped this connection",
    )
}
