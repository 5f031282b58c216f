use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Four TLS records: what one call of the system brings.
const AHEAD: usize = 64 << 10;

/// Reads much at once for a reader that asks for little: TLS takes its records in pieces of 4 KiB. It holds a buffer
/// only while there is something in it. Writes go straight through.
#[derive(Debug)]
pub struct ReadAhead<S> {
    socket: S,
    buffer: BytesMut,
}

impl<S> ReadAhead<S> {
    /// Wraps a socket.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            buffer: BytesMut::new(),
        }
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
            if buf.remaining() >= AHEAD {
                return Pin::new(&mut this.socket).poll_read(cx, buf);
            }
            this.buffer.reserve(AHEAD);
            let polled = poll_read_buf(Pin::new(&mut this.socket), cx, &mut this.buffer);
            if polled.is_pending() {
                // Ten thousand of them may have nothing to read.
                this.buffer = BytesMut::new();
            }
            ready!(polled)?;
        }
        let n = this.buffer.len().min(buf.remaining());
        buf.put_slice(&this.buffer[..n]);
        this.buffer.advance(n);
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
