//! The resumable pipe as I/O: one byte stream that outlives the connections beneath it.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::{fmt, io};

use proto_tunnel::{
    Endpoint, MAX_FRAME_PAYLOAD, ResumeConfig, ResumeStats, Room, STREAM_HEADER, Verdict,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::pace::Pace;
use crate::{Error, Transport};

/// Piece in which input is taken while nobody reads, to find acknowledgements in it.
const PIECE: usize = 4 << 10;

/// A far end this near, in round trips, needs no large window: on a quick line the difference would only wait at the
/// other end, before all that other streams have to say.
const NEAR: Duration = Duration::from_millis(5);
/// What is under way to it at most; 400 Mbit/s over 5 ms, and far more over the fractions of one that networks of a site have.
const NEAR_WINDOW: usize = 256 << 10;

/// Pieces that may wait for the transport before even streams that say little have to take turns: on a slow line many of them
/// together say much.
const QUIET_PIECES: usize = 8;

/// Room that is left to resets, ends and credits when streams' bytes fill the window.
const RESERVE: usize = 64 * STREAM_HEADER;

/// What a [`Line`] runs over at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// A connection; the number counts them.
    Attached(u64),
    /// None: it waits for the next one.
    Detached,
    /// It is over.
    Ended,
}

/// A byte stream over a row of transports: what is written is kept until the far reader has it, and sent again over
/// the next transport if need be. While there is none, reads wait, and writes wait once the window is full. It fails
/// when it has been without a transport for [`ResumeConfig::patience`], or when the peer breaks the protocol.
///
/// All its work is done in the task that reads and writes; [`LineHandle`] brings transports.
pub struct Line {
    handle: LineHandle,
    timer: Pin<Box<Sleep>>,
}

/// The other hand on a [`Line`]: brings and takes transports.
#[derive(Clone)]
pub struct LineHandle {
    inner: Arc<Mutex<Inner>>,
    state: watch::Sender<LineState>,
}

/// The pipe and what it runs over.
pub(crate) struct Inner {
    pipe: Endpoint,
    transport: Option<Box<dyn Transport>>,
    attached: u64,
    needs_flush: bool,
    /// The transport took no more when it was asked last.
    is_blocked: bool,
    pace: Pace,
    ended: Option<String>,
    waker: Option<Waker>,
    state: watch::Sender<LineState>,
    /// Why the last transport was lost.
    lost: Option<String>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

impl fmt::Debug for LineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

impl Line {
    /// A line without a transport yet.
    #[must_use]
    pub fn new(config: ResumeConfig) -> (Self, LineHandle) {
        let now = Instant::now();
        let state = watch::Sender::new(LineState::Detached);
        let inner = Inner {
            pipe: Endpoint::new(config, now.into_std()),
            transport: None,
            attached: 0,
            needs_flush: false,
            is_blocked: false,
            pace: Pace::default(),
            ended: None,
            waker: None,
            state: state.clone(),
            lost: None,
        };
        let handle = LineHandle {
            inner: Arc::new(Mutex::new(inner)),
            state,
        };
        let line = Self {
            handle: handle.clone(),
            timer: Box::pin(sleep_until(now)),
        };
        (line, handle)
    }
}

impl LineHandle {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the transport away, if there is one, and says how far this end got: what the peer has to be told before
    /// the next [`Self::attach`].
    #[must_use]
    pub fn detach(&self) -> u64 {
        let mut inner = self.inner();
        inner.lose("another connection takes its place");
        inner.pipe.consumed()
    }

    /// Takes away transport number `attached`, unless another has come since.
    pub fn detach_if(&self, attached: u64, reason: &str) {
        let mut inner = self.inner();
        if inner.attached == attached {
            inner.lose(reason);
        }
    }

    /// Goes on over `transport`, whose far end got to `peer_consumed`: its number.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the far end is not this line's, [`Error::Closed`] when the line is over.
    pub fn attach(&self, transport: impl Transport, peer_consumed: u64) -> Result<u64, Error> {
        let mut inner = self.inner();
        if inner.ended.is_some() {
            return Err(Error::Closed);
        }
        let now = Instant::now().into_std();
        inner.pipe.attach(peer_consumed, now)?;
        inner.transport = Some(Box::new(transport));
        inner.needs_flush = false;
        inner.is_blocked = false;
        inner.pace.forget();
        inner.attached += 1;
        let attached = inner.attached;
        inner.state.send_replace(LineState::Attached(attached));
        inner.wake();
        Ok(attached)
    }

    /// Something happened that may have cut the transport unnoticed: ask the peer now.
    pub fn doubt(&self) {
        let mut inner = self.inner();
        inner.pipe.doubt();
        inner.wake();
    }

    /// Watches what it runs over.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LineState> {
        self.state.subscribe()
    }

    /// Whether it has a transport.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(*self.state.borrow(), LineState::Attached(_))
    }

    /// Whether it can still get a transport.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        *self.state.borrow() != LineState::Ended
    }

    /// Resolves when transport number `attached` is in use no more. Cancel-safe.
    pub async fn detached(&self, attached: u64) {
        let mut state = self.state.subscribe();
        let _ = state
            .wait_for(|state| *state != LineState::Attached(attached))
            .await;
    }

    /// Why the last transport was lost.
    #[must_use]
    pub fn lost(&self) -> String {
        self.inner().lost.clone().unwrap_or_default()
    }

    /// The latest round trip.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.inner().pipe.round_trip()
    }

    /// When the far end answered a ping last.
    #[must_use]
    pub fn heard(&self) -> Option<std::time::Instant> {
        self.inner().pipe.heard()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ResumeStats {
        self.inner().pipe.stats()
    }

    /// The shortest round trip on the present transport.
    pub(crate) fn least_round_trip(&self) -> Option<Duration> {
        self.inner().pipe.least_round_trip()
    }

    /// Hands everything written so far to the system.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) {
        self.inner().flush(cx);
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn remember(&mut self, cx: &Context<'_>) {
        if self
            .waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            self.waker = Some(cx.waker().clone());
        }
    }

    fn lose(&mut self, reason: &str) {
        if self.transport.take().is_some() {
            self.pipe.detach(Instant::now().into_std());
            self.lost = Some(reason.to_owned());
            if self.ended.is_none() {
                self.state.send_replace(LineState::Detached);
            }
            self.wake();
        }
    }

    fn end(&mut self, reason: String) -> io::Error {
        self.lose(&reason);
        if self.ended.is_none() {
            self.ended = Some(reason);
            self.state.send_replace(LineState::Ended);
        }
        self.failure()
            .err()
            .unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
    }

    fn failure(&self) -> io::Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(reason) => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                reason.clone(),
            )),
        }
    }

    /// Does what time asks for.
    fn keep_time(&mut self) -> io::Result<()> {
        let now = Instant::now().into_std();
        if now < self.pipe.poll_timeout() {
            return Ok(());
        }
        match self.pipe.handle_timeout(now) {
            Verdict::Fine => Ok(()),
            Verdict::Silent => {
                self.lose("no sign of life");
                Ok(())
            }
            Verdict::Expired => {
                Err(self.end("the tunnel had no connection for too long".to_owned()))
            }
        }
    }

    /// Hands frames to the transport, as far as it takes them.
    fn transmit(&mut self, cx: &mut Context<'_>) {
        let Some(transport) = &mut self.transport else {
            return;
        };
        while let Some(pieces) = self.pipe.poll_transmit() {
            let slices = pieces.map(IoSlice::new);
            match Pin::new(&mut *transport).poll_write_vectored(cx, &slices) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.pipe.transmitted(n);
                    self.needs_flush = true;
                    self.is_blocked = false;
                    self.pace.note_sent(n);
                }
                Poll::Ready(Ok(_)) => return self.lose("it was closed"),
                Poll::Ready(Err(error)) => return self.lose(&error.to_string()),
                Poll::Pending => {
                    self.is_blocked = true;
                    self.pace.note_blocked();
                    return;
                }
            }
        }
    }

    /// The same for what should not wait for more, or is enough to go.
    fn transmit_due(&mut self, cx: &mut Context<'_>) {
        if self.pipe.is_urgent() || self.pipe.unsent() >= MAX_FRAME_PAYLOAD {
            self.transmit(cx);
        }
    }

    /// Bytes that may be written now. What waits for the transport lies before whatever another stream may have to say,
    /// so it is kept short.
    fn room(&self) -> usize {
        let room = self.pipe.room();
        if self.transport.is_none() {
            return room;
        }
        let most = if self.is_blocked {
            2 * self.pace.piece()
        } else {
            MAX_FRAME_PAYLOAD
        };
        let is_near = self.pipe.least_round_trip().is_some_and(|trip| trip < NEAR);
        let room = if is_near {
            room.min(NEAR_WINDOW.saturating_sub(self.pipe.in_flight()))
        } else {
            room
        };
        room.min(most.saturating_sub(self.pipe.unsent()))
    }

    /// The same for streams.
    pub(crate) fn stream_room(&self) -> Room {
        let (room, piece) = (self.pipe.room().saturating_sub(RESERVE), self.pace.piece());
        let most = match self.transport {
            Some(_) => (QUIET_PIECES * piece).saturating_sub(self.pipe.unsent()),
            None => room,
        };
        Room {
            busy: self.room().min(room),
            quiet: room.min(most),
            piece,
            acknowledged: self.pipe.acknowledged(),
            written: self.pipe.written(),
        }
    }

    /// Whether a frame without payload finds room.
    pub(crate) fn has_room_for_due(&self) -> bool {
        self.pipe.room() >= STREAM_HEADER
    }

    /// Takes bytes for which there is room, see [`Self::stream_room`].
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.pipe.write(bytes);
    }

    /// Sees to it that what was put leaves: now if it is much, otherwise with what others put until the driver has its
    /// turn.
    pub(crate) fn hurry(&mut self) {
        let Some(waker) = self.waker.clone() else {
            // The driver has been woken already.
            return;
        };
        if self.pipe.unsent() < MAX_FRAME_PAYLOAD {
            waker.wake();
        } else if !self.is_blocked {
            self.transmit(&mut Context::from_waker(&waker));
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) {
        self.transmit(cx);
        let Some(transport) = self.transport.as_mut().filter(|_| self.needs_flush) else {
            return;
        };
        match Pin::new(transport).poll_flush(cx) {
            Poll::Ready(Ok(())) => self.needs_flush = false,
            Poll::Ready(Err(error)) => self.lose(&error.to_string()),
            Poll::Pending => {}
        }
    }

    /// Nobody reads any more: what comes counts as read, or two ends that finish at once would wait for each other.
    fn forget_input(&mut self) {
        let (now, mut piece) = (Instant::now().into_std(), [0; PIECE]);
        while self.pipe.read(&mut piece, now) > 0 {}
        self.pipe.read_end(now);
    }

    /// Reads from the transport into `into`, or into the pipe if that is nothing: whether bytes came.
    fn take_in(
        &mut self,
        cx: &mut Context<'_>,
        into: Option<&mut ReadBuf<'_>>,
    ) -> io::Result<bool> {
        let (due, is_payload) = self.pipe.wants();
        let Some(transport) = self.transport.as_mut() else {
            return Ok(false);
        };
        let now = Instant::now().into_std();
        if let (Some(buf), true) = (into, is_payload) {
            let room = due.min(buf.remaining());
            let mut limited = ReadBuf::new(buf.initialize_unfilled_to(room));
            let polled = Pin::new(transport).poll_read(cx, &mut limited);
            let n = limited.filled().len();
            buf.advance(n);
            match polled {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => self.lose(&error.to_string()),
                Poll::Ready(Ok(())) if n == 0 => self.lose("it was closed"),
                Poll::Ready(Ok(())) => self.pipe.payload_read(n, now),
            }
            return Ok(n > 0);
        }
        let mut piece = [0; PIECE];
        let room = piece.get_mut(..due.min(PIECE)).unwrap_or_default();
        let mut aside = ReadBuf::new(room);
        let polled = Pin::new(transport).poll_read(cx, &mut aside);
        let n = aside.filled().len();
        match polled {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => self.lose(&error.to_string()),
            Poll::Ready(Ok(())) if n == 0 => self.lose("it was closed"),
            Poll::Ready(Ok(())) => {
                if let Err(error) = self.pipe.handle_input(aside.filled(), now) {
                    return Err(self.end(error.to_string()));
                }
            }
        }
        Ok(n > 0)
    }
}

impl Line {
    /// Registers the next wake-up by time.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        loop {
            let due = {
                let mut inner = self.handle.inner();
                inner.keep_time()?;
                inner.transmit_due(cx);
                Instant::from_std(inner.pipe.poll_timeout())
            };
            // A later time than what is set is found out when that comes; setting it costs more than looking once.
            if due < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(due);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let mut inner = this.handle.inner();
            inner.failure()?;
            inner.remember(cx);
            loop {
                if buf.remaining() == 0 {
                    return Poll::Ready(Ok(()));
                }
                let now = Instant::now().into_std();
                if inner.pipe.readable() > 0 {
                    let n = inner.pipe.read(buf.initialize_unfilled(), now);
                    buf.advance(n);
                    inner.transmit_due(cx);
                    return Poll::Ready(Ok(()));
                }
                if inner.pipe.read_end(now) {
                    inner.flush(cx);
                    return Poll::Ready(Ok(()));
                }
                let before = buf.filled().len();
                let came = inner.take_in(cx, Some(buf))?;
                if buf.filled().len() > before {
                    inner.transmit_due(cx);
                    return Poll::Ready(Ok(()));
                }
                if !came {
                    break;
                }
            }
        }
        this.poll_timer(cx)?;
        Poll::Pending
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        {
            let mut inner = this.handle.inner();
            loop {
                inner.failure()?;
                let room = inner.room().min(buf.len());
                let n = inner.pipe.write(buf.get(..room).unwrap_or_default());
                if n > 0 || buf.is_empty() {
                    inner.transmit_due(cx);
                    return Poll::Ready(Ok(n));
                }
                inner.remember(cx);
                inner.flush(cx);
                if inner.room() > 0 {
                    continue;
                }
                // The acknowledgement that makes room may stand behind data that nobody reads at the moment.
                if !inner.take_in(cx, None)? {
                    break;
                }
            }
        }
        this.poll_timer(cx)?;
        Poll::Pending
    }

    /// Ready at once: nobody waits for the far end.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.inner().flush(cx);
        Poll::Ready(Ok(()))
    }

    /// Ready when the far end has heard of the end, or cannot be told at the moment.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        {
            let mut inner = this.handle.inner();
            inner.failure()?;
            inner.remember(cx);
            inner.pipe.finish();
            loop {
                inner.flush(cx);
                if inner.pipe.is_drained() || inner.transport.is_none() {
                    if let Some(transport) = &mut inner.transport {
                        let closed = Pin::new(transport).poll_shutdown(cx);
                        // The transport's own goodbye is a courtesy.
                        let _ = ready!(closed);
                    }
                    return Poll::Ready(Ok(()));
                }
                let came = inner.take_in(cx, None)?;
                inner.forget_input();
                if !came {
                    break;
                }
            }
        }
        this.poll_timer(cx)?;
        Poll::Pending
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.handle.inner().end("the session is over".to_owned());
    }
}
