use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use proto_tunnel::{STREAM_HEADER, Wanted};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::shared::Shared;
use crate::Line;

/// Frames that are taken in before somebody else has a turn: their readers, above all.
const MAX_AT_ONCE: usize = 16;

/// Takes in what the line brings, and sees to it that what was put on it leaves.
pub(super) struct Driver {
    shared: Arc<Shared>,
    pub(super) line: Line,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>, line: Line) -> Self {
        Self { shared, line }
    }

    /// Ready when the far end has ended the session.
    ///
    /// # Errors
    /// When the line fails, or the peer breaks the protocol.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut polled = Poll::Pending;
        for n in 0.. {
            if n == MAX_AT_ONCE {
                cx.waker().wake_by_ref();
                break;
            }
            match self.poll_frame(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => {
                    polled = Poll::Ready(Ok(()));
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        let mut state = self.shared.state();
        self.shared.put_due(&mut state);
        // Many frames, one write: those of all who wrote little since the last time.
        self.shared.line.poll_flush(cx);
        let room = self.shared.line.inner().stream_room();
        state.streams.note_room(&room);
        self.shared.settle(state);
        polled
    }

    /// The session is over for all.
    pub(super) fn finish(self, end: Result<(), String>) {
        self.shared.finish(end);
    }

    /// Takes in a piece of a frame: whether there was one.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let wanted = self.shared.state().streams.wants();
        match wanted {
            Wanted::Header(due) => {
                let mut header = [0; STREAM_HEADER];
                let room = header.get_mut(..due).unwrap_or_default();
                let n = ready!(self.poll_read(cx, room))?;
                let bytes = header.get(..n).unwrap_or_default();
                let now = Instant::now().into_std();
                let mut state = self.shared.state();
                let handled = state.streams.handle_header(bytes, now);
                handled.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                self.shared.settle(state);
                Poll::Ready(Ok(n > 0))
            }
            Wanted::Payload(due) => {
                let mut buffer = self.shared.state().streams.buffer();
                let due = due.min(buffer.len());
                let polled = self.poll_read(cx, buffer.get_mut(..due).unwrap_or_default());
                let n = match &polled {
                    Poll::Ready(Ok(n)) => *n,
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                let mut state = self.shared.state();
                if n > 0 {
                    state.streams.handle_payload(buffer, n);
                } else {
                    state.streams.give_back(buffer);
                }
                self.shared.settle(state);
                polled.map_ok(|n| n > 0)
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(room);
        ready!(Pin::new(&mut self.line).poll_read(cx, &mut buf))?;
        let n = buf.filled().len();
        self.shared.flow.received.add(n as u64);
        Poll::Ready(Ok(n))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.finish(Ok(()));
    }
}
