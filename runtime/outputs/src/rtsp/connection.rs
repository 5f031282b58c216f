use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Cursor, MAX_LAG, Start, ViewerGuard};
use media::MAX_TRACKS;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::block::{Burst, Kind};
use super::muxer::{Muxer, channel};
use crate::fanout::{Pump, write_now};

/// Chunks handed to one vectored write.
const MAX_CHUNKS: usize = 16;

/// Bytes gathered for one connection ahead of its socket; one block more may stand behind them.
const MAX_GATHERED: usize = 64 << 10;

/// Replies that wait for a client that does not read them. Requests come one at a time, so more
/// than a few is an attack.
const MAX_REPLIES: usize = 32;

/// A viewer's TCP connection: replies, and media from a cursor, in one order of whole messages.
///
/// The fan-out pumps it for each new block, its session after a reply and after the socket drained.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    writer: Mutex<Writer>,
    /// Tells the session that the writer is stuck, failed or ended.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Writer {
    /// What is to be sent next; `sent` bytes of the first are gone.
    queue: VecDeque<Bytes>,
    sent: usize,
    replies: usize,
    media: Option<Media>,
    outcome: Outcome,
    blocked_since: Option<Instant>,
}

/// Where the writer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has sent all there is, or will when the socket drains.
    #[default]
    Open,
    /// The tracks changed: the client must describe the stream anew.
    Ended,
    /// The socket is gone.
    Failed,
}

/// The media side of a playing TCP session.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) muxer: Arc<Muxer>,
    pub(super) cursor: Cursor,
    /// For each track its channel at this client, or none if it is not set up.
    pub(super) channels: [Option<u8>; MAX_TRACKS],
    pub(super) burst: Option<Burst>,
    pub(super) viewer: ViewerGuard,
}

impl Connection {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            writer: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Queues a reply behind what is under way and sends what the socket takes.
    pub(super) fn reply(&self, reply: Bytes) {
        {
            let mut writer = self.lock();
            writer.replies += 1;
            if writer.replies > MAX_REPLIES {
                writer.outcome = Outcome::Failed;
            } else {
                writer.queue.push_back(reply);
            }
        }
        self.pump();
    }

    /// Starts the media behind the replies that are queued.
    pub(super) fn play(&self, media: Media) {
        self.lock().media = Some(media);
        self.pump();
    }

    /// Stops the media after the block that is under way.
    pub(super) fn pause(&self) -> Option<Media> {
        self.lock().media.take()
    }

    /// How long the socket has taken nothing, if it is full.
    pub(super) fn blocked_for(&self) -> Option<Duration> {
        self.lock().blocked_since.map(|since| since.elapsed())
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.lock().outcome
    }

    /// Whether everything queued has been handed to the kernel.
    pub(super) fn is_drained(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Sends what there is until the socket is full. Never waits.
    pub(super) fn pump(&self) {
        self.pump_locked(self.lock());
    }

    fn pump_locked(&self, mut writer: MutexGuard<'_, Writer>) {
        if writer.outcome != Outcome::Open && writer.queue.is_empty() {
            return;
        }
        loop {
            writer.gather();
            if writer.queue.is_empty() {
                break;
            }
            match writer.send(&self.socket) {
                Ok(()) => writer.blocked_since = None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if writer.blocked_since.is_none() {
                        writer.blocked_since = Some(Instant::now());
                        self.changed.notify_one();
                    }
                    return;
                }
                Err(_) => {
                    writer.outcome = Outcome::Failed;
                    writer.queue.clear();
                    break;
                }
            }
        }
        if writer.outcome != Outcome::Open {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pump for Connection {
    fn touch(&self) {
        black_box((self.writer.is_poisoned(), self.socket.as_raw_fd()));
    }

    fn pump_live(&self) {
        let writer = self.lock();
        if writer.blocked_since.is_none() {
            self.pump_locked(writer);
        }
    }
}

impl Writer {
    /// Fills the queue from the cursor.
    fn gather(&mut self) {
        self.drop_stale();
        let mut gathered: usize = self.queue.iter().map(Bytes::len).sum();
        while self.outcome == Outcome::Open
            && gathered < MAX_GATHERED
            && self.queue.len() < MAX_CHUNKS
        {
            let Some(chunk) = self
                .media
                .as_mut()
                .and_then(|media| media.next(&mut self.outcome))
            else {
                return;
            };
            gathered += chunk.len();
            self.queue.push_back(chunk);
        }
    }

    /// After a long stall what was gathered before is old: the viewer goes on at the newest
    /// keyframe, behind the message of which a part is already gone.
    fn drop_stale(&mut self) {
        let stalled = self
            .blocked_since
            .is_some_and(|since| since.elapsed() > MAX_LAG);
        if !stalled || self.replies > 0 {
            return;
        }
        let keep = usize::from(self.sent > 0);
        if self.queue.len() > keep
            && let Some(media) = &mut self.media
        {
            media.viewer.add_dropped((self.queue.len() - keep) as u64);
            media.cursor = media.muxer.shared.ring.start(Start::Gop);
            media.burst = None;
            self.queue.truncate(keep);
        }
    }

    fn send(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); MAX_CHUNKS];
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(if count == 0 {
                &chunk[self.sent..]
            } else {
                chunk
            });
            count += 1;
        }
        let mut written = write_now(socket, &slices[..count])?;
        if let Some(media) = &self.media {
            media.viewer.add_bytes(written as u64);
        }
        while let Some(chunk) = self.queue.front() {
            let left = chunk.len() - self.sent;
            if written < left {
                self.sent += written;
                break;
            }
            written -= left;
            self.sent = 0;
            self.queue.pop_front();
        }
        if self.queue.is_empty() {
            self.replies = 0;
        }
        Ok(())
    }
}

impl Media {
    /// The next bytes for this viewer.
    fn next(&mut self, outcome: &mut Outcome) -> Option<Bytes> {
        loop {
            let number = self.cursor.next();
            let (block, skipped) = self.cursor.poll_counting(&self.muxer.shared.ring)?;
            if skipped > 0 {
                self.viewer.add_dropped(skipped);
                self.burst = None;
            }
            if block.kind == Kind::End {
                *outcome = Outcome::Ended;
                return None;
            }
            let Some(wanted) = self.channels.get(block.track).copied().flatten() else {
                continue;
            };
            let wanted = wanted + u8::from(block.kind == Kind::Report);
            let natural = channel(block.track) + u8::from(block.kind == Kind::Report);
            let other_channel = (wanted != natural).then_some(wanted);
            let burst = self.burst.filter(|burst| number < burst.end);
            if burst.is_none() {
                self.burst = None;
            }
            return Some(match (burst, other_channel) {
                (None, None) => block.bytes.clone(),
                (None, channel) => block.rewritten(channel, None),
                // Sound and reports of the past would have to be squeezed too, and then sound wrong.
                (Some(_), _) if block.kind == Kind::Report || !self.is_video(block.track) => {
                    continue;
                }
                (Some(burst), channel) => {
                    block.rewritten(channel, Some(burst.squeeze(block.rtp_time)))
                }
            });
        }
    }

    fn is_video(&self, track: usize) -> bool {
        self.muxer.shared.tracks.video() == Some(track)
    }
}
