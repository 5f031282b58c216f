use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Largest WebSocket message sent, and accepted. Two multiplexer frames fit; a peer cannot make us hold more.
pub const MAX_WEBSOCKET_MESSAGE: usize = 32 << 10;

/// What a WebSocket message means to a byte stream.
#[derive(Debug)]
pub enum Payload {
    /// Bytes of the stream.
    Bytes(Bytes),
    /// Ping, pong: the WebSocket library's own business.
    Ignored,
    /// The peer closes.
    Close,
    /// Text, which no end of a tunnel sends.
    Foreign,
}

/// A WebSocket library's message type.
pub trait BinaryMessage {
    /// A binary message.
    fn binary(bytes: Bytes) -> Self;
    /// What came.
    fn payload(self) -> Payload;
}

/// A byte stream over the binary messages of a WebSocket. Message borders carry no meaning.
///
/// Writes are gathered until flushed, up to [`MAX_WEBSOCKET_MESSAGE`].
pub struct WebSocketBytes<W> {
    socket: W,
    incoming: Bytes,
    outgoing: BytesMut,
    ended: bool,
}

impl<W> fmt::Debug for WebSocketBytes<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketBytes")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl<W> WebSocketBytes<W> {
    /// Wraps anything that is a stream and a sink of binary messages.
    pub fn new(socket: W) -> Self {
        Self {
            socket,
            incoming: Bytes::new(),
            outgoing: BytesMut::new(),
            ended: false,
        }
    }
}

#[cfg(feature = "axum")]
impl WebSocketBytes<axum::extract::ws::WebSocket> {
    /// Wraps axum's server-side WebSocket. Pass its upgrade through [`Self::limit`] first.
    #[must_use]
    pub fn from_axum(socket: axum::extract::ws::WebSocket) -> Self {
        Self::new(socket)
    }

    /// Sets the limits that a tunnel needs and no more, before the upgrade is answered.
    pub fn limit(
        upgrade: axum::extract::ws::WebSocketUpgrade,
    ) -> axum::extract::ws::WebSocketUpgrade {
        upgrade
            .max_message_size(MAX_WEBSOCKET_MESSAGE)
            .max_frame_size(MAX_WEBSOCKET_MESSAGE)
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
    }
}

#[cfg(feature = "axum")]
impl BinaryMessage for axum::extract::ws::Message {
    fn binary(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }

    fn payload(self) -> Payload {
        match self {
            Self::Binary(bytes) => Payload::Bytes(bytes),
            Self::Ping(_) | Self::Pong(_) => Payload::Ignored,
            Self::Close(_) => Payload::Close,
            Self::Text(_) => Payload::Foreign,
        }
    }
}

/// The limits that a tunnel needs and no more, for the agent's WebSocket client.
#[cfg(feature = "tungstenite")]
#[must_use]
pub fn tungstenite_config() -> tokio_tungstenite::tungstenite::protocol::WebSocketConfig {
    tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
        .max_message_size(Some(MAX_WEBSOCKET_MESSAGE))
        .max_frame_size(Some(MAX_WEBSOCKET_MESSAGE))
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
}

#[cfg(feature = "tungstenite")]
impl<S> WebSocketBytes<tokio_tungstenite::WebSocketStream<S>> {
    /// Wraps tungstenite's WebSocket. Make it with [`tungstenite_config`].
    #[must_use]
    pub fn from_tungstenite(socket: tokio_tungstenite::WebSocketStream<S>) -> Self {
        Self::new(socket)
    }
}

#[cfg(feature = "tungstenite")]
impl BinaryMessage for tokio_tungstenite::tungstenite::Message {
    fn binary(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }

    fn payload(self) -> Payload {
        match self {
            Self::Binary(bytes) => Payload::Bytes(bytes),
            Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => Payload::Ignored,
            Self::Close(_) => Payload::Close,
            Self::Text(_) => Payload::Foreign,
        }
    }
}

/// Half a TLS record per read. Each connection keeps it for life, and a gateway has ten thousand of them.
#[cfg(any(feature = "axum", feature = "tungstenite"))]
const READ_BUFFER: usize = 8 << 10;
/// Room for one full message, and for a pong or close beside it.
#[cfg(any(feature = "axum", feature = "tungstenite"))]
const MAX_WRITE_BUFFER: usize = 3 * MAX_WEBSOCKET_MESSAGE;

impl<W, M, E> AsyncRead for WebSocketBytes<W>
where
    W: Stream<Item = Result<M, E>> + Unpin,
    M: BinaryMessage,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.incoming.is_empty() && !this.ended {
            match ready!(Pin::new(&mut this.socket).poll_next(cx)) {
                Some(Ok(message)) => match message.payload() {
                    Payload::Bytes(bytes) if bytes.len() > MAX_WEBSOCKET_MESSAGE => {
                        return Poll::Ready(Err(invalid(
                            "a WebSocket message beyond the tunnel's limit came",
                        )));
                    }
                    Payload::Bytes(bytes) => this.incoming = bytes,
                    Payload::Ignored => {}
                    Payload::Close => this.ended = true,
                    Payload::Foreign => {
                        return Poll::Ready(Err(invalid("a text message came through the tunnel")));
                    }
                },
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => this.ended = true,
            }
        }
        let n = this.incoming.len().min(buf.remaining());
        buf.put_slice(&this.incoming[..n]);
        this.incoming.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<W, M, E> AsyncWrite for WebSocketBytes<W>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: BinaryMessage,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.len() >= MAX_WEBSOCKET_MESSAGE {
            ready!(this.poll_send(cx))?;
        }
        let n = buf.len().min(MAX_WEBSOCKET_MESSAGE - this.outgoing.len());
        this.outgoing.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket)
            .poll_flush(cx)
            .map_err(io::Error::other)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket)
            .poll_close(cx)
            .map_err(io::Error::other)
    }
}

impl<W> WebSocketBytes<W> {
    fn poll_send<M, E>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        W: Sink<M, Error = E> + Unpin,
        M: BinaryMessage,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !self.outgoing.is_empty() {
            ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(io::Error::other)?;
            let message = M::binary(self.outgoing.split().freeze());
            Pin::new(&mut self.socket)
                .start_send(message)
                .map_err(io::Error::other)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
