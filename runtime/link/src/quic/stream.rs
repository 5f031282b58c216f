use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use crate::Flow;
use crate::mux::reset;

/// Says that this end is not interested any more.
const DROPPED: VarInt = VarInt::from_u32(1);

type Delivered = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send + Sync>>;

/// One stream of a QUIC connection, with the manners of [`crate::Stream`].
pub struct QuicStream {
    send: SendStream,
    recv: RecvStream,
    counted: Option<Counted>,
    end_written: bool,
    end_read: bool,
    /// Resolves when the far end has everything.
    delivered: Option<Delivered>,
}

/// One of a session's streams: its bytes are counted, and so is it.
pub(super) struct Counted {
    pub(super) flow: Arc<Flow>,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream")
            .field("id", &self.send.id())
            .field("end_written", &self.end_written)
            .field("end_read", &self.end_read)
            .finish_non_exhaustive()
    }
}

impl QuicStream {
    pub(super) fn new(send: SendStream, recv: RecvStream, counted: Option<Counted>) -> Self {
        Self {
            send,
            recv,
            counted,
            end_written: false,
            end_read: false,
            delivered: None,
        }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 || this.end_read {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match ready!(this.recv.poll_read_buf(cx, buf)) {
            Ok(()) => {
                let n = buf.filled().len() - before;
                this.end_read = n == 0;
                if let Some(counted) = &this.counted {
                    counted.flow.received.add(n as u64);
                }
                Poll::Ready(Ok(()))
            }
            Err(ReadError::ConnectionLost(error)) => Poll::Ready(Err(lost(&error))),
            Err(_) => Poll::Ready(Err(reset())),
        }
    }
}

impl AsyncWrite for QuicStream {
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
        match ready!(Pin::new(&mut this.send).poll_write(cx, buf)) {
            Ok(n) => {
                if let Some(counted) = &this.counted {
                    counted.flow.sent.add(n as u64);
                }
                Poll::Ready(Ok(n))
            }
            Err(WriteError::ConnectionLost(error)) => Poll::Ready(Err(lost(&error))),
            Err(_) => Poll::Ready(Err(reset())),
        }
    }

    /// Ready at once: the connection sends as soon as it may.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ready when the far end has every byte, and the end.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.end_written {
            this.end_written = true;
            // What is closed already tells so below.
            let _ = this.send.finish();
            this.delivered = Some(Box::pin(this.send.stopped()));
        }
        let Some(delivered) = &mut this.delivered else {
            return Poll::Ready(Ok(()));
        };
        let outcome = ready!(delivered.as_mut().poll(cx));
        this.delivered = None;
        Poll::Ready(match outcome {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(reset()),
            Err(StoppedError::ConnectionLost(error)) => Err(lost(&error)),
            Err(StoppedError::ZeroRttRejected) => Err(reset()),
        })
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        if !(self.end_written && self.end_read) {
            // One of the two may be over already.
            let _ = self.send.reset(DROPPED);
            let _ = self.recv.stop(DROPPED);
        }
    }
}

fn lost(error: &quinn::ConnectionError) -> io::Error {
    let text = format!("the tunnel broke: {error}");
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
}
