use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::{Flow, LineState};

/// Most bytes copied at once in each direction: one frame of a stream.
const MAX_BUFFER: usize = proto_tunnel::MAX_STREAM_PAYLOAD;
/// What it begins with: most directions carry RTSP commands, and small cameras have little memory.
const FIRST_BUFFER: usize = 4 << 10;
/// By how much it grows each time that it was filled.
const GROWTH: usize = 4;

/// When a silent pair of connections is given up.
#[derive(Clone, Copy, Debug)]
pub struct PipeOptions {
    /// No byte in either direction for this long. An RTSP session speaks at least once a minute; a viewer that
    /// pauses for minutes must survive.
    pub idle: Duration,
    /// The same after one side has ended: usually the other only has to notice.
    pub half_closed: Duration,
}

impl Default for PipeOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(600),
            half_closed: Duration::from_secs(60),
        }
    }
}

/// How a [`pipe`] ended.
#[derive(Debug)]
pub enum PipeEnd {
    /// Both sides ended their direction: every byte arrived.
    Complete,
    /// Nobody said anything for too long.
    Idle,
    /// One side failed.
    Broken(io::Error),
}

/// Where a camera's bytes may wait while the tunnel has no connection. Cameras give up a viewer that takes nothing for
/// some ten seconds, and redialing may take longer than that.
#[derive(Clone, Debug)]
pub struct Hold {
    state: watch::Receiver<LineState>,
    /// Bytes that all pipes of this session together may still hold.
    left: Arc<AtomicUsize>,
}

impl Hold {
    /// Room for `bytes` in all, used only while `state` tells of no connection, or held bytes are not sent yet.
    #[must_use]
    pub fn new(state: watch::Receiver<LineState>, bytes: usize) -> Self {
        Self {
            state,
            left: Arc::new(AtomicUsize::new(bytes)),
        }
    }

    fn is_attached(&self) -> bool {
        matches!(*self.state.borrow(), LineState::Attached(_))
    }

    fn take(&self, n: usize) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(n)
            })
            .is_ok()
    }

    fn give_back(&self, n: usize) {
        self.left.fetch_add(n, Ordering::Relaxed);
    }
}

/// Carries bytes between `near` and `far` until both have ended, each direction on its own: an end of `near` is
/// passed on to `far` while data still flows back. `flow.received` counts bytes from `far`, `flow.sent` those to it.
pub async fn pipe<A, B>(near: &mut A, far: &mut B, options: PipeOptions, flow: &Flow) -> PipeEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    carry(near, far, options, flow, None).await
}

/// As [`pipe`], for a `near` that is the tunnel's: bytes of `far` are taken in during an outage, as far as `hold` allows.
pub async fn pipe_holding<A, B>(
    near: &mut A,
    far: &mut B,
    options: PipeOptions,
    flow: &Flow,
    hold: &Hold,
) -> PipeEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    carry(near, far, options, flow, Some(hold)).await
}

async fn carry<A, B>(
    near: &mut A,
    far: &mut B,
    options: PipeOptions,
    flow: &Flow,
    hold: Option<&Hold>,
) -> PipeEnd
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let progress = Progress(Mutex::new((Instant::now(), false)));
    let mut near = Observed {
        inner: near,
        progress: &progress,
        counter: &flow.sent,
    };
    let mut far = Observed {
        inner: far,
        progress: &progress,
        counter: &flow.received,
    };
    let (mut out, mut back) = (OneWay::new(None), OneWay::new(hold));
    let mut copied = std::pin::pin!(poll_fn(|cx| {
        let out = out.poll(cx, &mut near, &mut far)?;
        let back = back.poll(cx, &mut far, &mut near)?;
        match (out, back) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }));
    let mut exhausted = std::pin::pin!(progress.exhausted(options));
    let mut state = hold.map(|hold| hold.state.clone());
    loop {
        tokio::select! {
            copied = &mut copied => return match copied {
                Ok(()) => PipeEnd::Complete,
                Err(error) => PipeEnd::Broken(error),
            },
            () = &mut exhausted => return PipeEnd::Idle,
            // The next turn of the loop looks at the camera again.
            () = changed(&mut state) => {}
        }
    }
}

async fn changed(state: &mut Option<watch::Receiver<LineState>>) {
    if let Some(state) = state
        && state.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// One direction: a buffer, and behind it, during an outage, what did not fit.
struct OneWay<'a> {
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
    /// The last read took all that there was room for.
    was_full: bool,
    /// Older than the buffer's bytes.
    held: VecDeque<u8>,
    hold: Option<&'a Hold>,
    has_ended: bool,
    is_done: bool,
    needs_flush: bool,
}

impl<'a> OneWay<'a> {
    fn new(hold: Option<&'a Hold>) -> Self {
        Self {
            buffer: vec![0; FIRST_BUFFER],
            filled: 0..0,
            was_full: false,
            held: VecDeque::new(),
            hold,
            has_ended: false,
            is_done: false,
            needs_flush: false,
        }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.is_done {
            let wrote = self.write(cx, to)?;
            let read = self.read(cx, from)?;
            if wrote || read {
                continue;
            }
            let is_empty = self.held.is_empty() && self.filled.is_empty();
            if is_empty && self.has_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_done = true;
            } else {
                if is_empty && self.needs_flush {
                    self.needs_flush = Pin::new(to).poll_flush(cx)?.is_pending();
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what there is: whether anything went.
    fn write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
    ) -> io::Result<bool> {
        let mut wrote = false;
        loop {
            let is_held = !self.held.is_empty();
            let bytes = if is_held {
                self.held.as_slices().0
            } else {
                self.buffer.get(self.filled.clone()).unwrap_or_default()
            };
            if bytes.is_empty() {
                return Ok(wrote);
            }
            let n = match Pin::new(&mut *to).poll_write(cx, bytes)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(n) => n,
                Poll::Pending => return Ok(wrote),
            };
            wrote = true;
            self.needs_flush = true;
            if is_held {
                self.held.drain(..n);
                if let Some(hold) = self.hold {
                    hold.give_back(n);
                }
                if self.held.is_empty() {
                    self.held = VecDeque::new();
                }
            } else {
                self.filled.start += n;
            }
        }
    }

    /// Reads into the buffer if that is empty; during an outage makes it empty first: whether anything came.
    fn read<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
    ) -> io::Result<bool> {
        if self.has_ended {
            return Ok(false);
        }
        if !self.filled.is_empty() {
            let Some(hold) = self.hold.filter(|hold| !hold.is_attached()) else {
                return Ok(false);
            };
            if !hold.take(self.filled.len()) {
                return Ok(false);
            }
            self.held
                .extend(self.buffer.get(self.filled.clone()).unwrap_or_default());
        }
        if self.was_full && self.buffer.len() < MAX_BUFFER {
            self.buffer = vec![0; (GROWTH * self.buffer.len()).min(MAX_BUFFER)];
        }
        self.filled = 0..0;
        let mut buffer = ReadBuf::new(&mut self.buffer);
        match Pin::new(from).poll_read(cx, &mut buffer)? {
            Poll::Pending => Ok(false),
            Poll::Ready(()) => {
                self.filled = 0..buffer.filled().len();
                self.was_full = buffer.remaining() == 0;
                self.has_ended = self.filled.is_empty();
                Ok(true)
            }
        }
    }
}

impl Drop for OneWay<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold {
            hold.give_back(self.held.len());
        }
    }
}

/// When something moved last, and whether one side has ended.
struct Progress(Mutex<(Instant, bool)>);

impl Progress {
    fn note(&self, end: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (Instant::now(), state.1 || end);
    }

    async fn exhausted(&self, options: PipeOptions) {
        loop {
            let (last, ended) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = if ended {
                options.half_closed
            } else {
                options.idle
            };
            let left = limit.saturating_sub(last.elapsed());
            if left.is_zero() {
                return;
            }
            // An end in between shortens the limit, so look often enough to keep that one too.
            sleep(left.min(options.half_closed)).await;
        }
    }
}

struct Observed<'a, T> {
    inner: &'a mut T,
    progress: &'a Progress,
    counter: &'a crate::Counter,
}

impl<T: AsyncRead + Unpin> AsyncRead for Observed<'_, T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut *this.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &polled {
            let n = buf.filled().len() - before;
            this.counter.add(n as u64);
            this.progress.note(n == 0);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Observed<'_, T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut *this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(_)) = &polled {
            this.progress.note(false);
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().inner).poll_shutdown(cx)
    }
}
