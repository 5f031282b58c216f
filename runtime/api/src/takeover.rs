//! An answer that takes the plain socket over from hyper, for bodies that are sent to hundreds.
//!
//! hyper's way costs a task, a wake and a poll of the whole connection for each piece of a body. A
//! session with its own fan-out writes to the socket itself. All that comes before, from the head's
//! time-out to the checks on the request, is the same for both.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::header;
use axum::response::Response;
use outputs::mjpeg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Stands in a response's extensions and says that its body is this session's.
#[derive(Clone)]
pub(crate) struct Takeover {
    session: Arc<Mutex<Option<mjpeg::Session>>>,
    /// The response's head, known once all layers have had it.
    head: Vec<u8>,
}

impl Takeover {
    pub(crate) fn new(session: mjpeg::Session) -> Self {
        Self {
            session: Arc::new(Mutex::new(Some(session))),
            head: Vec::new(),
        }
    }

    /// The takeover that this response wants.
    pub(crate) fn of<B>(response: &Response<B>) -> Option<Self> {
        let takeover = response.extensions().get::<Self>()?;
        Some(Self {
            session: Arc::clone(&takeover.session),
            head: head(response),
        })
    }

    /// Sends head and body until the viewer leaves or takes nothing for `stall`.
    pub(crate) async fn serve(self, socket: Arc<TcpStream>, stall: Duration) {
        let session = self
            .session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(session) = session {
            session.serve_on(socket, &self.head, stall).await;
        }
    }
}

/// The head as it goes out: the body ends with the connection.
fn head<B>(response: &Response<B>) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    // The empty body that stands for the session's was given a length on its way out.
    let headers = response.headers().iter();
    for (name, value) in headers.filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"connection: close\r\n\r\n");
    head
}

/// A socket that hyper reads and writes while somebody else holds it too.
pub(crate) struct SharedSocket(pub(crate) Arc<TcpStream>);

impl AsyncRead for SharedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SharedSocket {
    fn poll_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(cx, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::net::Shutdown;
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(Shutdown::Write))
    }
}
