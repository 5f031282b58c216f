use std::cell::Cell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Four TLS records: what one call of the system brings.
const AHEAD: usize = 64 << 10;

thread_local! {
    /// One buffer serves all connections of a thread, as long as their readers take what came.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads much at once for a reader that asks for little: TLS takes its records in pieces of 4 KiB. It holds a buffer
/// only while there is something in it. Writes go straight through.
#[derive(Debug)]
pub struct ReadAhead<S> {
    socket: S,
    buffer: Vec<u8>,
    taken: usize,
}

impl<S> ReadAhead<S> {
    /// Wraps a socket.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Gives the empty buffer back to the thread.
    fn rest(&mut self) {
        self.buffer.clear();
        self.taken = 0;
        SPARE.set(mem::take(&mut self.buffer));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffer.is_empty() {
            this.buffer = SPARE.take();
            this.buffer.reserve(AHEAD);
            let polled = poll_read_buf(Pin::new(&mut this.socket), cx, &mut this.buffer);
            if !matches!(polled, Poll::Ready(Ok(1..))) {
                this.rest();
            }
            ready!(polled)?;
        }
        let waiting = this.buffer.get(this.taken..).unwrap_or_default();
        let n = waiting.len().min(buf.remaining());
        buf.put_slice(&waiting[..n]);
        this.taken += n;
        if this.taken == this.buffer.len() && n > 0 {
            this.rest();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
