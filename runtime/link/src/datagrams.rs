use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use proto_tunnel::{DatagramDecoder, put_datagram};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that wait to be sent: some forty full datagrams. What comes while there are more is dropped, as a
/// network drops it; waiting on both sides at once would stop both.
const MAX_WAITING: usize = 64 << 10;

/// Bytes taken from the stream at a time.
const READ: usize = 16 << 10;

/// Datagrams over a byte stream.
#[derive(Debug)]
pub struct DatagramStream<S> {
    stream: S,
    decoder: DatagramDecoder,
    arrived: VecDeque<(SocketAddr, Vec<u8>)>,
    input: Vec<u8>,
    waiting: Vec<u8>,
    /// How much of `waiting` is sent.
    sent: usize,
    dropped: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> DatagramStream<S> {
    /// Over a stream that carries nothing else from here on.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            decoder: DatagramDecoder::new(),
            arrived: VecDeque::new(),
            input: vec![0; READ],
            waiting: Vec::new(),
            sent: 0,
            dropped: 0,
        }
    }

    /// Whether another datagram would be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() - self.sent < MAX_WAITING
    }

    /// Datagrams that were dropped: too long, or too many.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Queues a datagram, or drops it. It leaves with the next [`Self::poll_flush`] or [`Self::poll_next`].
    pub fn push(&mut self, peer: SocketAddr, payload: &[u8]) {
        // What is gone makes room now: while more keeps coming the rest may never be empty.
        if self.sent >= MAX_WAITING {
            self.waiting.drain(..self.sent);
            self.sent = 0;
        }
        if !self.has_room() || put_datagram(&mut self.waiting, peer, payload).is_err() {
            self.dropped += 1;
        }
    }

    /// Sends what waits.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|it| !it.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.waiting.clear();
        self.sent = 0;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Sends what waits, and the end.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// The next datagram and its peer; sends what waits on the way.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(SocketAddr, Vec<u8>)>> {
        if let Poll::Ready(flushed) = self.poll_flush(cx) {
            flushed?;
        }
        loop {
            if let Some(datagram) = self.arrived.pop_front() {
                return Poll::Ready(Ok(datagram));
            }
            let mut buf = ReadBuf::new(&mut self.input);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
            let mut bytes = buf.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            while let Some(datagram) = self
                .decoder
                .decode(&mut bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                self.arrived.push_back(datagram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 168, 1, 9], port))
    }

    #[tokio::test]
    async fn datagrams_keep_their_bounds_and_peers_over_a_stream_that_keeps_none() {
        let (near, far) = tokio::io::duplex(100);
        let (mut near, mut far) = (DatagramStream::new(near), DatagramStream::new(far));
        let sender = tokio::spawn(async move {
            for n in 0..200_u16 {
                near.push(at(n + 1), &vec![n as u8; usize::from(n) * 7]);
                poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
            }
            near
        });
        for n in 0..200_u16 {
            let (peer, payload) = poll_fn(|cx| far.poll_next(cx)).await.unwrap();
            assert_eq!(peer, at(n + 1));
            assert_eq!(payload, vec![n as u8; usize::from(n) * 7]);
        }
        drop(sender.await.unwrap());
        let end = poll_fn(|cx| far.poll_next(cx)).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn what_a_stuck_stream_does_not_take_is_dropped_and_counted() {
        let (near, _far) = tokio::io::duplex(10);
        let mut near = DatagramStream::new(near);
        for _ in 0..1_000 {
            near.push(at(1), &[0; 1_000]);
        }
        assert!(near.waiting.len() < MAX_WAITING + 1_100);
        assert!(near.dropped() > 900, "{}", near.dropped());
        near.push(at(1), &[0; 9_000]);
        assert!(!near.has_room());
    }
}
