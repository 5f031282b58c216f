//! Keeps the system's queue of unsent bytes short, whatever the line can do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// How long the queue may take to leave. What another stream has to say waits behind it.
const QUEUE: Duration = Duration::from_millis(20);
/// Least and most bytes of it. Without a limit a slow uplink has megabytes of old video queued before each ping; a quick
/// one with a short queue is woken for every few packets.
const MIN_UNSENT: u32 = 16 << 10;
const MAX_UNSENT: u32 = 1 << 20;
/// What is looked at to know how quick the line is.
const LOOK: Duration = Duration::from_millis(100);

/// A TCP connection whose queue of unsent bytes follows its rate.
#[derive(Debug)]
pub(crate) struct ShortQueue {
    tcp: TcpStream,
    limit: u32,
    since: Instant,
    bytes: usize,
}

impl ShortQueue {
    pub(crate) fn new(tcp: TcpStream) -> Self {
        let mut queue = Self {
            tcp,
            limit: 0,
            since: Instant::now(),
            bytes: 0,
        };
        queue.set(MIN_UNSENT);
        queue
    }

    fn set(&mut self, limit: u32) {
        // Nearly the same is not worth a call.
        if self.limit.abs_diff(limit) > self.limit / 4 {
            self.limit = limit;
            // A system that has no such limit does without.
            #[cfg(target_os = "linux")]
            let _ = socket2::SockRef::from(&self.tcp).set_tcp_notsent_lowat(limit);
        }
    }

    fn note<E>(&mut self, written: Poll<Result<usize, E>>) -> Poll<Result<usize, E>> {
        if let Poll::Ready(Ok(n)) = &written {
            self.bytes += n;
            let time = self.since.elapsed();
            if time >= LOOK {
                self.set(limit(self.bytes, time));
                (self.since, self.bytes) = (Instant::now(), 0);
            }
        }
        written
    }
}

/// For a line that took so much in this time.
fn limit(bytes: usize, time: Duration) -> u32 {
    let share = QUEUE.as_secs_f64() / time.as_secs_f64();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size"
    )]
    let queue = (bytes as f64 * share) as u32;
    queue.clamp(MIN_UNSENT, MAX_UNSENT)
}

impl AsyncRead for ShortQueue {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for ShortQueue {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.note(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.tcp).poll_write_vectored(cx, slices);
        this.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_lasts_twenty_milliseconds_within_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(limit(125_000, second), MIN_UNSENT, "1 Mbit/s");
        assert_eq!(limit(12_500_000, second), 250_000, "100 Mbit/s");
        assert_eq!(limit(1_250_000_000, second), MAX_UNSENT, "10 Gbit/s");
    }
}
