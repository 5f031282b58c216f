//! What an agent's connections may carry together.
//!
//! Each piece that a connection reads or writes makes a debt, which is paid off at the agent's rate, one debt after the
//! other; a connection with a debt waits until it is paid. So busy connections take turns with pieces of equal size, and one
//! that says little has next to no debt and does not wait. The commands and signs of life of the tunnel make none.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use link::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Largest piece in one turn.
const MAX_PIECE: u64 = 16 << 10;
/// Smallest: below it more is spent on turns than on bytes.
const MIN_PIECE: u64 = 1 << 10;
/// Turns a second of a connection that has the agent to itself.
const TURNS: u64 = 50;
/// A debt below this is not waited for; the next one is the larger. Timers are no finer.
const SLACK: Duration = Duration::from_millis(2);

/// One agent's limit.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Bytes a second, each way.
    rate: u64,
    piece: usize,
    inward: Way,
    outward: Way,
    /// Microseconds that connections have waited.
    waited: Counter,
}

/// When all debts of one direction are paid.
#[derive(Debug)]
struct Way(Mutex<Instant>);

impl Limit {
    pub(crate) fn new(rate: u64) -> Self {
        let rate = rate.max(1);
        let piece = (rate / TURNS).clamp(MIN_PIECE, MAX_PIECE);
        Self {
            rate,
            piece: usize::try_from(piece).unwrap_or(usize::MAX),
            inward: Way(Mutex::new(Instant::now())),
            outward: Way(Mutex::new(Instant::now())),
            waited: Counter::default(),
        }
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    /// How long connections have waited, summed over them.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_micros(self.waited.value())
    }

    /// Adds a debt of so many bytes: when it will be paid.
    fn owe(&self, way: &Way, bytes: usize) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let mut paid = way.0.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = Instant::now().max(*paid) + cost;
        *paid
    }
}

/// A connection through an agent, within that agent's limit if it has one.
#[derive(Debug)]
pub(crate) struct Limited<S> {
    stream: S,
    limit: Option<Arc<Limit>>,
    read: Debt,
    written: Debt,
}

/// Of one connection, in one direction.
#[derive(Debug, Default)]
struct Debt {
    paid: Option<Instant>,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Debt {
    /// Ready when there is none.
    fn poll_paid(&mut self, cx: &mut Context<'_>, limit: &Limit) -> Poll<()> {
        let Some(paid) = self.paid else {
            return Poll::Ready(());
        };
        let now = Instant::now();
        if self.waiting.is_none() {
            if paid <= now + SLACK {
                self.paid = None;
                return Poll::Ready(());
            }
            self.waiting = Some((now, Box::pin(sleep_until(paid))));
        }
        if let Some((since, timer)) = &mut self.waiting {
            ready!(timer.as_mut().poll(cx));
            let waited = since.elapsed().as_micros();
            limit.waited.add(u64::try_from(waited).unwrap_or(u64::MAX));
        }
        *self = Self::default();
        Poll::Ready(())
    }
}

impl<S> Limited<S> {
    pub(crate) fn new(stream: S, limit: Option<Arc<Limit>>) -> Self {
        Self {
            stream,
            limit,
            read: Debt::default(),
            written: Debt::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Limited<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Some(limit) = &this.limit else {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        };
        ready!(this.read.poll_paid(cx, limit));
        let room = limit.piece.min(buf.remaining());
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
        let polled = Pin::new(&mut this.stream).poll_read(cx, &mut piece);
        let n = piece.filled().len();
        buf.advance(n);
        if n > 0 {
            this.read.paid = Some(limit.owe(&limit.inward, n));
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Limited<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(limit) = &this.limit else {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        };
        ready!(this.written.poll_paid(cx, limit));
        let piece = buf.get(..limit.piece.min(buf.len())).unwrap_or_default();
        let n = ready!(Pin::new(&mut this.stream).poll_write(cx, piece))?;
        this.written.paid = Some(limit.owe(&limit.outward, n));
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    /// A connection whose camera sends as fast as it can: bytes that have come so far.
    fn busy(limit: &Arc<Limit>) -> Arc<Counter> {
        let (near, mut camera) = duplex(256 << 10);
        tokio::spawn(async move { while camera.write_all(&[7; 8192]).await.is_ok() {} });
        let (count, limit) = (Arc::new(Counter::default()), Arc::clone(limit));
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            let mut near = Limited::new(near, Some(limit));
            let mut buffer = vec![0; 64 << 10];
            while let Ok(n) = near.read(&mut buffer).await {
                counted.add(n as u64);
            }
        });
        count
    }

    #[tokio::test(start_paused = true)]
    async fn busy_connections_share_the_limit_evenly_and_a_quiet_one_does_not_wait() {
        let limit = Arc::new(Limit::new(100_000));
        let counts: Vec<_> = (0..4).map(|_| busy(&limit)).collect();
        let (near, mut camera) = duplex(4096);
        let mut near = Limited::new(near, Some(Arc::clone(&limit)));
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            sleep(Duration::from_millis(500)).await;
            let begin = Instant::now();
            camera.write_all(b"RTSP/1.0 200 OK\r\n\r\n").await.unwrap();
            near.read_exact(&mut [0; 19]).await.unwrap();
            longest = longest.max(begin.elapsed());
        }
        assert!(longest < Duration::from_millis(5), "{longest:?}");
        let counts: Vec<u64> = counts.iter().map(|count| count.value()).collect();
        let sum: u64 = counts.iter().sum();
        assert!((950_000..1_050_000).contains(&sum), "{sum} in ten seconds");
        for count in counts {
            assert!((235_000..265_000).contains(&count), "{count} of {sum}");
        }
        assert!(limit.waited() > Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn writing_is_limited_on_its_own() {
        let limit = Arc::new(Limit::new(50_000));
        let (near, mut camera) = duplex(4096);
        let mut near = Limited::new(near, Some(Arc::clone(&limit)));
        let begin = Instant::now();
        let (written, read) = tokio::join!(
            async {
                near.write_all(&[1; 250_000]).await.unwrap();
                near.shutdown().await
            },
            async {
                let mut all = Vec::new();
                camera.read_to_end(&mut all).await.unwrap();
                all.len()
            }
        );
        written.unwrap();
        assert_eq!(read, 250_000);
        let took = begin.elapsed().as_secs_f64();
        assert!((4.8..5.2).contains(&took), "{took} s");
    }
}
