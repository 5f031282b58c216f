//! One of two ways to carry many streams: a multiplexer over a [`Line`], or a QUIC connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use proto_tunnel::ResumeStats;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::mux::{LineMux, LineStream};
#[cfg(feature = "quic")]
use crate::quic::{QuicConnection, QuicMux, QuicStream};
use crate::{Error, Flow, Line, LineHandle, LineState, MuxConfig, TransportKind};

/// Many streams between two ends. It ends with what carries it, by [`Mux::close`], or when dropped; then every stream
/// fails.
#[derive(Debug)]
pub struct Mux(Way);

#[derive(Debug)]
enum Way {
    Line(LineMux),
    #[cfg(feature = "quic")]
    Quic(QuicMux),
}

/// Does the same with whichever it is.
macro_rules! either {
    ($way:expr, $inner:ident => $does:expr) => {
        match $way {
            Way::Line($inner) => $does,
            #[cfg(feature = "quic")]
            Way::Quic($inner) => $does,
        }
    };
}

impl Mux {
    /// The end that dialed, over a line.
    #[must_use]
    pub fn client(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self(Way::Line(LineMux::client(line, config)))
    }

    /// The end that accepted, over a line.
    #[must_use]
    pub fn server(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self(Way::Line(LineMux::server(line, config)))
    }

    /// Either end, over QUIC. Its windows were agreed upon in the handshake.
    #[cfg(feature = "quic")]
    #[must_use]
    pub fn quic(connection: QuicConnection, config: MuxConfig) -> Self {
        Self(Way::Quic(QuicMux::start(connection, config.max_streams)))
    }

    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> TransportKind {
        match &self.0 {
            Way::Line(_) => TransportKind::WebSocket,
            #[cfg(feature = "quic")]
            Way::Quic(_) => TransportKind::Quic,
        }
    }

    /// Opens a stream. The peer learns of it with the first bytes written.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] at the cap, [`Error::Closed`] or [`Error::Mux`] after the end.
    pub async fn open(&self) -> Result<Stream, Error> {
        match &self.0 {
            Way::Line(mux) => mux.open().map(Stream::from),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.open().await.map(Stream::from),
        }
    }

    /// The next stream that the peer opened. Cancel-safe. Streams beyond the cap have been reset already.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Mux`] after the end.
    pub async fn accept(&self) -> Result<Stream, Error> {
        match &self.0 {
            Way::Line(mux) => mux.accept().await.map(Stream::from),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.accept().await.map(Stream::from),
        }
    }

    /// The line beneath, to bring it the next transport. QUIC has none.
    #[must_use]
    pub fn line(&self) -> Option<&LineHandle> {
        match &self.0 {
            Way::Line(mux) => Some(mux.line()),
            #[cfg(feature = "quic")]
            Way::Quic(_) => None,
        }
    }

    /// Watches whether it has a connection that lives.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LineState> {
        match &self.0 {
            Way::Line(mux) => mux.line().state(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().state(),
        }
    }

    /// Whether it has a connection that lives.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(*self.state().borrow(), LineState::Attached(_))
    }

    /// Why the connection was lost last.
    #[must_use]
    pub fn lost(&self) -> String {
        match &self.0 {
            Way::Line(mux) => mux.line().lost(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().lost(),
        }
    }

    /// The latest round trip.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        match &self.0 {
            Way::Line(mux) => mux.line().round_trip(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().round_trip(),
        }
    }

    /// When the far end answered a ping last.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        match &self.0 {
            Way::Line(mux) => mux.line().heard(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().heard(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ResumeStats {
        match &self.0 {
            Way::Line(mux) => mux.line().stats(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().stats(),
        }
    }

    /// The far end's address, where that may change without a new greeting.
    #[must_use]
    pub fn peer(&self) -> Option<std::net::SocketAddr> {
        match &self.0 {
            Way::Line(_) => None,
            #[cfg(feature = "quic")]
            Way::Quic(mux) => Some(mux.peer()),
        }
    }

    /// The network has changed: see to it that the connection lives, or is known not to.
    pub fn doubt(&self) {
        match &self.0 {
            Way::Line(mux) => mux.line().doubt(),
            #[cfg(feature = "quic")]
            Way::Quic(mux) => mux.pulse().doubt(),
        }
    }

    /// Bytes of all streams so far.
    #[must_use]
    pub fn flow(&self) -> &Arc<Flow> {
        either!(&self.0, mux => mux.flow())
    }

    /// Streams open from this end.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        either!(&self.0, mux => mux.open_streams())
    }

    /// Waits for the end, which has happened already or will. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Mux`] when the session did not end by a polite close.
    pub async fn closed(&self) -> Result<(), Error> {
        either!(&self.0, mux => mux.closed().await)
    }

    /// Ends the session politely, within two seconds. Streams that are still open fail.
    pub async fn close(&self) {
        either!(&self.0, mux => mux.close().await);
    }
}

/// One stream of a [`Mux`]: bytes both ways, each direction ended on its own.
///
/// `shutdown` ends the writing direction; the peer reads end-of-file, and data still flows back. Dropping a stream
/// that has not been ended both ways *resets* it: the peer's writes fail with `ConnectionReset`, and its reads, too, once it
/// has read what came before, unless that was all (after a shutdown). A stream whose session breaks fails likewise and
/// never looks complete.
#[derive(Debug)]
pub struct Stream(Kind);

#[derive(Debug)]
enum Kind {
    Line(LineStream),
    #[cfg(feature = "quic")]
    Quic(QuicStream),
}

impl From<LineStream> for Stream {
    fn from(stream: LineStream) -> Self {
        Self(Kind::Line(stream))
    }
}

#[cfg(feature = "quic")]
impl From<QuicStream> for Stream {
    fn from(stream: QuicStream) -> Self {
        Self(Kind::Quic(stream))
    }
}

/// Polls whichever it is.
macro_rules! poll {
    ($stream:expr, $inner:ident => $does:expr) => {
        match &mut $stream.get_mut().0 {
            Kind::Line(stream) => {
                let $inner = Pin::new(stream);
                $does
            }
            #[cfg(feature = "quic")]
            Kind::Quic(stream) => {
                let $inner = Pin::new(stream);
                $does
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        poll!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        poll!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll!(self, stream => stream.poll_shutdown(cx))
    }
}
