use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use crate::counters::Counted;
use crate::pace::MAX_PIECE;
use crate::stream::LineStream;
use crate::{Error, Flow, Line, LineHandle};

/// Largest multiplexer frame. Streams make smaller ones where the line is slow, see [`crate::pace::Pace`].
pub(crate) const SPLIT: usize = MAX_PIECE;

/// Longest a polite end may take before the transport is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Window that every stream begins with, fixed by the multiplexer's protocol.
const FIRST_WINDOW: usize = 256 << 10;

/// How much a session may hold.
#[derive(Clone, Copy, Debug)]
pub struct MuxConfig {
    /// Most streams that may be open in each direction at once.
    pub max_streams: usize,
    /// Bytes by which the windows of all streams together may grow beyond their first 256 KiB, as their rate and
    /// the round-trip time ask for.
    pub window_growth: usize,
}

impl MuxConfig {
    /// The gateway's end: video comes in, so windows may grow. 16 MiB carry 600 Mbit/s over 200 ms.
    #[must_use]
    pub fn gateway() -> Self {
        Self {
            max_streams: proto_tunnel::MAX_STREAMS + 1,
            window_growth: 16 << 20,
        }
    }

    /// The agent's end: RTSP commands and talk-back come in, and memory is the camera's.
    #[must_use]
    pub fn agent() -> Self {
        Self {
            max_streams: proto_tunnel::MAX_STREAMS + 1,
            window_growth: 1 << 20,
        }
    }
}

/// Many streams over one line. Its driver task ends when the line does, by [`Mux::close`], or when the
/// `Mux` is dropped; then every stream fails.
pub(crate) struct LineMux {
    opens: mpsc::Sender<OpenRequest>,
    open_slots: Arc<Semaphore>,
    accepted: Mutex<mpsc::Receiver<Box<LineStream>>>,
    close: watch::Sender<bool>,
    ended: watch::Receiver<Option<Result<(), String>>>,
    flow: Arc<Flow>,
    line: LineHandle,
    max_streams: usize,
    driver: JoinHandle<()>,
}

type OpenRequest = (OwnedSemaphorePermit, oneshot::Sender<LineStream>);

impl fmt::Debug for LineMux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineMux")
            .field("flow", &self.flow)
            .field("ended", &*self.ended.borrow())
            .finish_non_exhaustive()
    }
}

impl LineMux {
    /// The end that dialed.
    #[must_use]
    pub(crate) fn client(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self::start(line, config, yamux::Mode::Client)
    }

    /// The end that accepted.
    #[must_use]
    pub(crate) fn server(line: (Line, LineHandle), config: MuxConfig) -> Self {
        Self::start(line, config, yamux::Mode::Server)
    }

    fn start(line: (Line, LineHandle), config: MuxConfig, mode: yamux::Mode) -> Self {
        let (transport, line) = line;
        let MuxConfig {
            max_streams,
            window_growth,
        } = config;
        // Both directions, and streams that are gone at one end but not yet at the other. A peer that needs more
        // is not ours, and loses its session.
        let hard_limit = 4 * max_streams;
        let mut settings = yamux::Config::default();
        settings.set_max_connection_receive_window(None);
        settings.set_max_num_streams(hard_limit);
        settings.set_max_connection_receive_window(Some(hard_limit * FIRST_WINDOW + window_growth));
        settings.set_split_send_size(SPLIT);

        let flow = Arc::new(Flow::default());
        let (opens, open_requests) = mpsc::channel(max_streams.max(1));
        let (accept_sender, accepted) = mpsc::channel(max_streams.max(1));
        let (close, close_asked) = watch::channel(false);
        let (end_sender, ended) = watch::channel(None);
        let connection = yamux::Connection::new(
            Counted::new(transport, Arc::clone(&flow)).compat(),
            settings,
            mode,
        );
        let driver = Driver {
            connection,
            line: line.clone(),
            open_requests,
            waiting: VecDeque::new(),
            accept_slots: Arc::new(Semaphore::new(max_streams)),
            accepted: accept_sender,
        };
        let driver = tokio::spawn(async move {
            let end = driver.run(close_asked).await;
            let _ = end_sender.send(Some(end.map_err(|error| error.to_string())));
        });
        let open_slots = Arc::new(Semaphore::new(max_streams));
        Self {
            opens,
            open_slots,
            accepted: Mutex::new(accepted),
            close,
            ended,
            flow,
            line,
            max_streams,
            driver,
        }
    }

    /// Opens a stream. The peer learns of it with the first bytes written.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] at the cap, [`Error::Closed`] or [`Error::Mux`] after the end.
    pub(crate) async fn open(&self) -> Result<LineStream, Error> {
        let slots = Arc::clone(&self.open_slots);
        let permit = slots
            .try_acquire_owned()
            .map_err(|_| Error::TooManyStreams(self.max_streams))?;
        let (reply, opened) = oneshot::channel();
        self.opens
            .send((permit, reply))
            .await
            .map_err(|_| self.end())?;
        opened.await.map_err(|_| self.end())
    }

    /// The next stream that the peer opened. Cancel-safe. Streams beyond the cap have been reset already.
    ///
    /// # Errors
    /// [`Error::Closed`] or [`Error::Mux`] after the end.
    pub(crate) async fn accept(&self) -> Result<LineStream, Error> {
        let accepted = self.accepted.lock().await.recv().await;
        accepted.map(|stream| *stream).ok_or_else(|| self.end())
    }

    /// What it runs over, to bring it the next transport.
    #[must_use]
    pub(crate) fn line(&self) -> &LineHandle {
        &self.line
    }

    /// Bytes of all streams so far, with their frames.
    #[must_use]
    pub(crate) fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// Streams open from this end.
    #[must_use]
    pub(crate) fn open_streams(&self) -> usize {
        self.max_streams
            .saturating_sub(self.open_slots.available_permits())
    }

    /// Waits for the end, which has happened already or will. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Mux`] when the session did not end by a polite close.
    pub(crate) async fn closed(&self) -> Result<(), Error> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(Error::Mux(error.clone())),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends the session politely, within two seconds. Streams that are still open fail.
    pub(crate) async fn close(&self) {
        self.close.send_replace(true);
        let _ = self.closed().await;
    }

    fn end(&self) -> Error {
        match &*self.ended.borrow() {
            Some(Err(error)) => Error::Mux(error.clone()),
            Some(Ok(())) | None => Error::Closed,
        }
    }
}

impl Drop for LineMux {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Driver {
    connection: yamux::Connection<Compat<Counted<Line>>>,
    line: LineHandle,
    open_requests: mpsc::Receiver<OpenRequest>,
    waiting: VecDeque<OpenRequest>,
    accept_slots: Arc<Semaphore>,
    /// Boxed: the channel keeps room for 32 of them from the start, in each of ten thousand sessions.
    accepted: mpsc::Sender<Box<LineStream>>,
}

impl Driver {
    async fn run(
        mut self,
        mut close_asked: watch::Receiver<bool>,
    ) -> Result<(), yamux::ConnectionError> {
        let ended = tokio::select! {
            ended = poll_fn(|cx| {
                let polled = self.poll(cx);
                // Many frames, one write: see Line.
                self.line.poll_flush(cx);
                polled
            }) => Some(ended),
            _ = close_asked.wait_for(|asked| *asked) => None,
        };
        if let Some(ended) = ended {
            return ended;
        }
        let close = poll_fn(|cx| self.connection.poll_close(cx));
        tokio::time::timeout(CLOSE_TIMEOUT, close)
            .await
            .unwrap_or(Ok(()))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), yamux::ConnectionError>> {
        loop {
            match self.connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => {
                    // Without a slot the stream is dropped here, which resets it.
                    if let Ok(permit) = Arc::clone(&self.accept_slots).try_acquire_owned() {
                        let pace = Arc::clone(self.line.pace());
                        let _ = self
                            .accepted
                            .try_send(Box::new(LineStream::new(stream, pace, permit)));
                    }
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            while let Poll::Ready(Some(request)) = self.open_requests.poll_recv(cx) {
                self.waiting.push_back(request);
            }
            let Some((permit, reply)) = self.waiting.pop_front() else {
                return Poll::Pending;
            };
            if reply.is_closed() {
                continue;
            }
            match self.connection.poll_new_outbound(cx) {
                Poll::Ready(Ok(stream)) => {
                    let pace = Arc::clone(self.line.pace());
                    let _ = reply.send(LineStream::new(stream, pace, permit));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.waiting.push_front((permit, reply));
                    return Poll::Pending;
                }
            }
        }
    }
}
