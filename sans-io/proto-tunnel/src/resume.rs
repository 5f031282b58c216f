//! The resumable pipe: one endless byte stream each way, over a row of connections that break.
//!
//! Every byte has a position. A side keeps what it sent until the peer says that its reader has taken it, at most
//! [`ResumeConfig::window`] bytes; then [`Endpoint::write`] takes no more, so nothing is ever dropped. When a
//! connection breaks, both sides say on the next one how far they got ([`Endpoint::consumed`], carried by
//! [`crate::Hello`] and [`crate::Welcome`]), and each sends again from there. A side that has been without a connection
//! for [`ResumeConfig::patience`] gives up for good: then everything above ends with an error, never as if complete.
//!
//! Frames on a connection begin with [`FRAME_HEADER`] bytes: a kind, and eight bytes that mean
//!
//! | kind | eight bytes | then |
//! | --- | --- | --- |
//! | 1 data | two: length; six: the position's low 48 bits | that many bytes |
//! | 2 ack | position up to which the reader has taken bytes | |
//! | 3 ping, 4 pong | stamp | |
//! | 5 end | position of the end | |
//!
//! The end takes one position of its own, so that an ack can tell that it was heard.

use std::collections::VecDeque;
use std::io::Read;
use std::time::{Duration, Instant};

use crate::{Beat, Error, Heartbeat, HeartbeatConfig};

/// Bytes before a frame's payload.
pub const FRAME_HEADER: usize = 9;
/// Largest payload of a data frame: with its header and that of a WebSocket message it fills two TLS records.
pub const MAX_FRAME_PAYLOAD: usize = (32 << 10) - 14 - FRAME_HEADER;
/// Most bytes that a peer may have under way unacknowledged. Ours send less; more is no peer of ours.
pub const MAX_WINDOW: usize = 4 << 20;

const DATA: u8 = 1;
const ACK: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const END: u8 = 5;

/// Taken bytes that are acknowledged at once: a small part of the least window that ends give each other, so that a sender
/// never waits for them.
const ACK_EVERY: u64 = 64 << 10;
/// How long less than that may wait, in the hope of more.
const ACK_DELAY: Duration = Duration::from_millis(100);
/// A buffer above this is given back when it is empty.
const KEPT_CAPACITY: usize = 4 << 10;
const LOW_48: u64 = (1 << 48) - 1;

/// Bytes that each end keeps for sending again unless told otherwise: 1 MiB carries 80 Mbit/s over 100 ms.
pub const DEFAULT_WINDOW: usize = 1 << 20;

/// Sizes and times of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeConfig {
    /// Bytes kept for sending again, at most [`MAX_WINDOW`].
    pub window: usize,
    /// How long to stay without a connection before giving up.
    pub patience: Duration,
    /// Signs of life on each connection.
    pub heartbeat: HeartbeatConfig,
}

impl Default for ResumeConfig {
    fn default() -> Self {
        Self {
            window: DEFAULT_WINDOW,
            patience: Duration::from_secs(60),
            heartbeat: HeartbeatConfig::default(),
        }
    }
}

/// What [`Endpoint::handle_timeout`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well, or as well as before.
    Fine,
    /// The peer gives no sign of life on this connection: detach it.
    Silent,
    /// Without a connection for too long: the end.
    Expired,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResumeStats {
    /// Connections attached.
    pub connections: u64,
    /// Bytes sent again because an earlier connection may have lost them.
    pub replayed: u64,
}

/// One end of a resumable pipe. Told bytes and the time; it opens nothing and waits for nothing.
#[derive(Debug)]
pub struct Endpoint {
    config: ResumeConfig,
    connection: Option<Connection>,
    alone_since: Instant,
    /// Bytes from `base` on that the peer's reader has not taken.
    kept: VecDeque<u8>,
    base: u64,
    /// Position of the next byte to hand to this connection.
    cursor: u64,
    /// Furthest position ever handed to any connection.
    furthest: u64,
    /// Position of the end, once it is known.
    finished: Option<u64>,
    /// Bytes that came and were not read.
    inbox: VecDeque<u8>,
    consumed: u64,
    peer_finished: bool,
    /// The reader has been told of the end, which then counts in `consumed`.
    end_read: bool,
    stats: ResumeStats,
    /// When the peer answered a ping last.
    heard: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    heartbeat: Heartbeat,
    received: u64,
    sent: u64,
    header: Vec<u8>,
    payload_left: usize,
    /// Bytes of a frame header that wait to be handed over, and how much payload follows them.
    sending: [u8; FRAME_HEADER],
    sending_at: usize,
    sending_payload: usize,
    ping_due: Option<u64>,
    pong_due: Option<u64>,
    acked: u64,
    ack_due: Option<Instant>,
    ack_now: bool,
}

impl Endpoint {
    /// A fresh end, at position 0 both ways, without a connection.
    #[must_use]
    pub fn new(config: ResumeConfig, now: Instant) -> Self {
        Self {
            config,
            connection: None,
            alone_since: now,
            kept: VecDeque::new(),
            base: 0,
            cursor: 0,
            furthest: 0,
            finished: None,
            inbox: VecDeque::new(),
            consumed: 0,
            peer_finished: false,
            end_read: false,
            stats: ResumeStats::default(),
            heard: None,
        }
    }

    /// Position up to which this end's reader has taken the peer's bytes: what the next connection begins with.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.connection.is_some()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> ResumeStats {
        self.stats
    }

    /// The latest round trip on this connection.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection.as_ref()?.heartbeat.round_trip()
    }

    /// The shortest round trip of this connection so far.
    #[must_use]
    pub fn least_round_trip(&self) -> Option<Duration> {
        self.connection.as_ref()?.heartbeat.least_round_trip()
    }

    /// When the peer answered a ping last.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Begins with a new connection whose peer has taken our bytes up to `peer_consumed`. One that was there before is
    /// forgotten: detach it first, and only then tell the peer [`Self::consumed`].
    ///
    /// # Errors
    /// When the peer speaks of bytes that were never sent or are kept no more: it is not the other end of this pipe.
    /// Nothing has changed then.
    pub fn attach(&mut self, peer_consumed: u64, now: Instant) -> Result<(), Error> {
        if peer_consumed < self.base || peer_consumed > self.furthest {
            return Err(Error::ResumePosition {
                found: peer_consumed,
                first: self.base,
                last: self.furthest,
            });
        }
        self.detach(now);
        self.forget_until(peer_consumed);
        self.cursor = peer_consumed;
        self.stats.connections += 1;
        self.stats.replayed += self.furthest - peer_consumed;
        self.connection = Some(Connection {
            heartbeat: Heartbeat::new(self.config.heartbeat, now),
            received: 0,
            sent: 0,
            header: Vec::with_capacity(FRAME_HEADER),
            payload_left: 0,
            sending: [0; FRAME_HEADER],
            sending_at: FRAME_HEADER,
            sending_payload: 0,
            ping_due: None,
            pong_due: None,
            acked: self.consumed,
            ack_due: None,
            ack_now: false,
        });
        Ok(())
    }

    /// The connection is gone. What it brought and nobody read is forgotten; the peer will send it again.
    pub fn detach(&mut self, now: Instant) {
        if self.connection.take().is_some() {
            self.alone_since = now;
        }
        self.inbox = VecDeque::new();
        self.peer_finished = self.end_read;
    }

    /// Something happened that may have cut the connection unnoticed, such as a new route: ask the peer now, and give
    /// it up soon if no answer comes.
    pub fn doubt(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.heartbeat.doubt(connection.received);
        }
    }

    /// Bytes that [`Self::write`] would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.finished.is_some() {
            return 0;
        }
        self.config
            .window
            .min(MAX_WINDOW)
            .saturating_sub(self.kept.len())
    }

    /// Takes bytes to send: as many as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let n = self.room().min(bytes.len());
        self.kept.extend(bytes.get(..n).unwrap_or_default());
        n
    }

    /// No more bytes will be written.
    pub fn finish(&mut self) {
        self.finished = Some(self.end());
    }

    /// Whether the peer's reader has taken all that was written, and the end if there is one.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.kept.is_empty() && self.finished.is_none_or(|end| self.base > end)
    }

    /// Bytes in the inbox.
    #[must_use]
    pub fn readable(&self) -> usize {
        self.inbox.len()
    }

    /// Moves bytes from the inbox into `out`: how many.
    pub fn read(&mut self, out: &mut [u8], now: Instant) -> usize {
        // Reading from memory cannot fail.
        let n = self.inbox.read(out).unwrap_or(0);
        self.note_consumed(n, now);
        n
    }

    /// Whether the peer has finished and all its bytes were read. The first `true` counts as hearing of it.
    pub fn read_end(&mut self, now: Instant) -> bool {
        if !self.peer_finished || !self.inbox.is_empty() {
            return false;
        }
        if !self.end_read {
            self.end_read = true;
            self.note_consumed(1, now);
            if let Some(connection) = &mut self.connection {
                connection.ack_now = true;
            }
        }
        true
    }

    /// How many bytes of the connection are due next, and whether they are payload: those may go straight to the reader
    /// if the inbox is empty, and are then told to [`Self::payload_read`] instead of [`Self::handle_input`].
    #[must_use]
    pub fn wants(&self) -> (usize, bool) {
        match &self.connection {
            None => (0, false),
            Some(connection) if connection.payload_left > 0 => (connection.payload_left, true),
            Some(connection) => (FRAME_HEADER - connection.header.len(), false),
        }
    }

    /// `n` bytes of payload went from the connection to the reader.
    pub fn payload_read(&mut self, n: usize, now: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.payload_left = connection.payload_left.saturating_sub(n);
            connection.received += n as u64;
        }
        self.note_consumed(n, now);
    }

    /// Takes what the connection brought, in any pieces.
    ///
    /// # Errors
    /// When the peer breaks the protocol. The pipe is unsound then, and its session has to end.
    pub fn handle_input(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Error> {
        while !bytes.is_empty() {
            let Some(connection) = &mut self.connection else {
                return Ok(());
            };
            let (due, is_payload) = if connection.payload_left > 0 {
                (connection.payload_left, true)
            } else {
                (FRAME_HEADER - connection.header.len(), false)
            };
            let (piece, rest) = bytes.split_at(due.min(bytes.len()));
            bytes = rest;
            connection.received += piece.len() as u64;
            if is_payload {
                connection.payload_left -= piece.len();
                self.inbox.extend(piece);
                continue;
            }
            connection.header.extend_from_slice(piece);
            if let Ok(header) = <[u8; FRAME_HEADER]>::try_from(connection.header.as_slice()) {
                connection.header.clear();
                self.handle_header(header, now)?;
            }
        }
        Ok(())
    }

    fn handle_header(&mut self, header: [u8; FRAME_HEADER], now: Instant) -> Result<(), Error> {
        let [kind, field @ ..] = header;
        let field = u64::from_be_bytes(field);
        let expected = self.consumed + self.inbox.len() as u64;
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        match kind {
            DATA => {
                let len = usize::try_from(field >> 48).unwrap_or(usize::MAX);
                if len == 0 || len > MAX_FRAME_PAYLOAD || self.peer_finished {
                    return Err(Error::Frame {
                        kind: "data",
                        value: len as u64,
                    });
                }
                if field & LOW_48 != expected & LOW_48 {
                    return Err(Error::FramePosition {
                        found: field & LOW_48,
                        expected: expected & LOW_48,
                    });
                }
                if self.inbox.len() + len > MAX_WINDOW {
                    return Err(Error::Frame {
                        kind: "data beyond the window",
                        value: len as u64,
                    });
                }
                connection.payload_left = len;
            }
            ACK => {
                if field < self.base || field > self.cursor {
                    return Err(Error::ResumePosition {
                        found: field,
                        first: self.base,
                        last: self.cursor,
                    });
                }
                self.forget_until(field);
            }
            PING => connection.pong_due = Some(field),
            PONG => {
                connection.heartbeat.handle_pong(field, now);
                self.heard = Some(now);
            }
            END => {
                if field != expected || self.peer_finished {
                    return Err(Error::FramePosition {
                        found: field,
                        expected,
                    });
                }
                self.peer_finished = true;
            }
            kind => {
                return Err(Error::Frame {
                    kind: "unknown",
                    value: kind.into(),
                });
            }
        }
        Ok(())
    }

    /// Position up to which the peer's reader has taken what was written.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.base
    }

    /// Position of the next byte to be written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.end()
    }

    /// Bytes that were written and not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.kept.len()
    }

    /// Bytes that were written and not handed to this connection yet.
    #[must_use]
    pub fn unsent(&self) -> usize {
        let sent = usize::try_from(self.cursor.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.kept.len().saturating_sub(sent)
    }

    /// Whether something is due that should not wait for more to go with it: the rest of a frame, an acknowledgement, a
    /// sign of life.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| {
            connection.ack_now
                || connection.ping_due.is_some()
                || connection.pong_due.is_some()
                || connection.sending_at < FRAME_HEADER
                || connection.sending_payload > 0
        })
    }

    /// The frame to hand to the connection next, if there is one, in pieces of which any may be empty; then say how many
    /// bytes it took.
    pub fn poll_transmit(&mut self) -> Option<[&[u8]; 3]> {
        self.prepare()?;
        let connection = self.connection.as_ref()?;
        let header = connection.sending.get(connection.sending_at..)?;
        let from = usize::try_from(self.cursor.saturating_sub(self.base)).ok()?;
        let due = connection.sending_payload;
        let (front, back) = self.kept.as_slices();
        let first = front.get(from..).unwrap_or_default();
        let first = first.get(..due.min(first.len()))?;
        let second = back
            .get(from.saturating_sub(front.len())..)
            .unwrap_or_default();
        let second = second.get(..(due - first.len()).min(second.len()))?;
        Some([header, first, second])
    }

    /// The connection took `n` of the bytes that [`Self::poll_transmit`] gave.
    pub fn transmitted(&mut self, n: usize) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        connection.sent += n as u64;
        let header = n.min(FRAME_HEADER - connection.sending_at);
        connection.sending_at += header;
        let payload = (n - header).min(connection.sending_payload);
        connection.sending_payload -= payload;
        self.cursor += payload as u64;
        self.furthest = self.furthest.max(self.cursor);
    }

    /// Puts the next frame's header up, unless one is being sent.
    fn prepare(&mut self) -> Option<()> {
        let end = self.end();
        let connection = self.connection.as_mut()?;
        if connection.sending_at < FRAME_HEADER || connection.sending_payload > 0 {
            return Some(());
        }
        let waiting = end.saturating_sub(self.cursor);
        let (kind, field) = if let Some(stamp) = connection.pong_due.take() {
            (PONG, stamp)
        } else if let Some(stamp) = connection.ping_due.take() {
            (PING, stamp)
        } else if connection.ack_now {
            connection.ack_now = false;
            connection.ack_due = None;
            connection.acked = self.consumed;
            (ACK, self.consumed)
        } else if waiting > 0 {
            let len = waiting.min(MAX_FRAME_PAYLOAD as u64);
            connection.sending_payload = usize::try_from(len).ok()?;
            (DATA, (len << 48) | (self.cursor & LOW_48))
        } else if self.finished == Some(self.cursor) {
            self.cursor += 1;
            self.furthest = self.furthest.max(self.cursor);
            (END, end)
        } else {
            return None;
        };
        let [a, b, c, d, e, f, g, h] = field.to_be_bytes();
        connection.sending = [kind, a, b, c, d, e, f, g, h];
        connection.sending_at = 0;
        Some(())
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        match &self.connection {
            None => self.alone_since + self.config.patience,
            Some(connection) => {
                let beat = connection.heartbeat.poll_timeout();
                connection.ack_due.map_or(beat, |due| due.min(beat))
            }
        }
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) -> Verdict {
        if self.kept.is_empty() && self.kept.capacity() > KEPT_CAPACITY {
            self.kept = VecDeque::new();
        }
        if self.inbox.is_empty() && self.inbox.capacity() > KEPT_CAPACITY {
            self.inbox = VecDeque::new();
        }
        let Some(connection) = &mut self.connection else {
            return if now >= self.alone_since + self.config.patience {
                Verdict::Expired
            } else {
                Verdict::Fine
            };
        };
        if connection.ack_due.is_some_and(|due| now >= due) {
            connection.ack_due = None;
            connection.ack_now = true;
        }
        let (received, sent) = (connection.received, connection.sent);
        match connection.heartbeat.handle_timeout(received, sent, now) {
            Beat::Wait => Verdict::Fine,
            Beat::Ping(stamp) => {
                connection.ping_due = Some(stamp);
                Verdict::Fine
            }
            Beat::Dead => Verdict::Silent,
        }
    }

    /// Position after the last byte written.
    fn end(&self) -> u64 {
        self.finished.unwrap_or(self.base + self.kept.len() as u64)
    }

    fn forget_until(&mut self, position: u64) {
        let n = usize::try_from(position.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.kept.drain(..n.min(self.kept.len()));
        self.base = position;
    }

    fn note_consumed(&mut self, n: usize, now: Instant) {
        if n == 0 {
            return;
        }
        self.consumed += n as u64;
        if let Some(connection) = &mut self.connection {
            if self.consumed - connection.acked >= ACK_EVERY {
                connection.ack_now = true;
            } else if connection.ack_due.is_none() {
                connection.ack_due = Some(now + ACK_DELAY);
            }
        }
    }
}
