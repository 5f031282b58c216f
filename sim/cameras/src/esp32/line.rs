use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::fault::Faults;

/// A client that takes nothing for so long is dropped, or it would keep all others waiting.
const STUCK: Duration = Duration::from_secs(5);

/// One connection, with the faults of its camera.
pub(super) struct Line<'a, T> {
    pub(super) io: T,
    faults: &'a Faults,
    since: Instant,
}

impl<'a, T: AsyncRead + AsyncWrite + Unpin> Line<'a, T> {
    pub(super) fn new(io: T, faults: &'a Faults) -> Self {
        Self {
            io,
            faults,
            since: Instant::now(),
        }
    }

    /// Sends `bytes`, as slowly as the faults want. A line that hangs keeps the connection until
    /// the other side leaves.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Some(after) = self.faults.hang()
            && self.since.elapsed() >= after
        {
            let mut nothing = [0; 256];
            while self.io.read(&mut nothing).await? > 0 {}
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let Some(rate) = self.faults.rate() else {
            return self.write_all(bytes).await;
        };
        // A tenth of a second's worth at a time.
        let piece = (rate / 10).max(1) as usize;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(piece.min(bytes.len()));
            self.write_all(now).await?;
            bytes = later;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match tokio::time::timeout(STUCK, self.io.write_all(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Says that nothing more comes.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }
}
