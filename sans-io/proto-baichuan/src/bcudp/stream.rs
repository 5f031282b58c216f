//! A reliable stream over numbered datagrams, section 9.3; both sides use the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::packet::{Ack, Datagram, MAX_ACK_TABLE, MAX_PACKET};
use crate::Error;

/// Most packets kept that came before their turn (section 12).
pub const MAX_EARLY: usize = 1024;
/// Packet numbers further apart than this are of another conversation (section 9.3).
const MAX_GAP: u32 = 4096;
/// Most packets that wait to be sent: 2.7 MB, a second of the fattest stream. Who has more must drop some first.
pub const MAX_UNSENT: usize = 2048;
/// Acknowledgements wait so long for company (section 9.3: 10 to 30 ms).
const ACK_AFTER: Duration = Duration::from_millis(10);
/// With nothing new there is still one so often: it says that we live (section 9.3).
const ACK_AT_LEAST: Duration = Duration::from_secs(1);
/// A packet that the other side misses goes out again, but not more often than this (section 9.3).
const RESEND_AFTER: Duration = Duration::from_millis(100);
/// What is marked missing while fewer later packets have come may only have been overtaken.
const OVERTAKEN: usize = 3;
/// Time for the first acknowledgement while no round trip has been measured; official clients wait 500 ms, which would
/// send everything twice where a round trip takes longer.
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// Bounds of the time for an acknowledgement.
const MIN_TIMEOUT: Duration = Duration::from_millis(200);
const MAX_TIMEOUT: Duration = Duration::from_secs(2);
/// Times that a packet is sent. At 20 % loss both ways one in 10^7 needs more.
const MAX_TRIES: u32 = 15;

/// How a stream behaves.
#[derive(Clone, Copy, Debug)]
pub struct StreamConfig {
    /// Most packets under way. To a camera 10: it drops what is more (section 9.3).
    pub window: usize,
}

impl StreamConfig {
    /// Towards a camera.
    pub const CLIENT: Self = Self { window: 10 };
    /// From a camera: what its client's acknowledgement can tell of.
    pub const CAMERA: Self = Self { window: 192 };
}

/// What a stream has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Packets sent, without repetitions.
    pub sent: u64,
    /// Repetitions.
    pub resent: u64,
    /// Packets received that were new.
    pub received: u64,
    /// Packets received again.
    pub duplicates: u64,
}

#[derive(Debug)]
struct Sent {
    packet: u32,
    payload: Bytes,
    at: Instant,
    tries: u32,
    is_received: bool,
    /// Marked missing, with later ones received.
    is_missing: bool,
}

/// Both directions of one session. It makes datagrams; who owns it knows where they go.
#[derive(Debug)]
pub struct Stream {
    config: StreamConfig,
    /// The other side's number of the session.
    peer: u32,
    next: u32,
    unsent: VecDeque<Bytes>,
    under_way: VecDeque<Sent>,
    expected: u32,
    early: BTreeMap<u32, Bytes>,
    ready: VecDeque<Bytes>,
    ack_at: Instant,
    /// The gap that has been told already, so that one gap makes one hurried acknowledgement.
    told_gap: Option<u32>,
    round_trip: Option<(Duration, Duration)>,
    stats: StreamStats,
}

impl Stream {
    /// A stream towards the side that calls the session `peer`.
    #[must_use]
    pub fn new(config: StreamConfig, peer: u32, now: Instant) -> Self {
        Self {
            config,
            peer,
            next: 0,
            unsent: VecDeque::new(),
            under_way: VecDeque::new(),
            expected: 0,
            early: BTreeMap::new(),
            ready: VecDeque::new(),
            ack_at: now + ACK_AT_LEAST,
            told_gap: None,
            round_trip: None,
            stats: StreamStats::default(),
        }
    }

    /// Queues a message; it begins a datagram of its own, as some receivers rely on (section 9.3). False: too much
    /// waits already, and nothing of it was taken.
    pub fn send(&mut self, message: &Bytes) -> bool {
        if self.unsent.len() + message.len().div_ceil(MAX_PACKET) > MAX_UNSENT {
            return false;
        }
        let mut rest = message.clone();
        while !rest.is_empty() {
            self.unsent
                .push_back(rest.split_to(rest.len().min(MAX_PACKET)));
        }
        true
    }

    /// Packets that wait for their turn.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.unsent.len()
    }

    /// Whether everything has been sent and acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.unsent.is_empty() && self.under_way.is_empty()
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> StreamStats {
        self.stats
    }

    /// A data packet came.
    pub fn handle_data(&mut self, packet: u32, payload: Bytes, now: Instant) -> Result<(), Error> {
        if packet
            .wrapping_sub(self.expected)
            .min(self.expected.wrapping_sub(packet))
            > MAX_GAP
        {
            return Err(Error::PacketGap {
                found: packet,
                expected: self.expected,
            });
        }
        self.ack_at = self.ack_at.min(now + ACK_AFTER);
        if packet < self.expected || self.early.contains_key(&packet) {
            self.stats.duplicates += 1;
            return Ok(());
        }
        if packet > self.expected {
            if self.early.len() < MAX_EARLY {
                self.early.insert(packet, payload);
                self.stats.received += 1;
            }
            if self.told_gap != Some(self.expected) {
                self.told_gap = Some(self.expected);
                self.ack_at = now;
            }
            return Ok(());
        }
        self.stats.received += 1;
        self.ready.push_back(payload);
        self.expected += 1;
        while let Some(payload) = self.early.remove(&self.expected) {
            self.ready.push_back(payload);
            self.expected += 1;
        }
        Ok(())
    }

    /// An acknowledgement came.
    pub fn handle_ack(&mut self, ack: &Ack, now: Instant) -> Result<(), Error> {
        let received = ack.contiguous.map_or(0, |packet| packet.saturating_add(1));
        if received > self.next {
            return Err(Error::PacketGap {
                found: received,
                expected: self.next,
            });
        }
        while let Some(sent) = self.under_way.pop_front_if(|sent| sent.packet < received) {
            self.measure(&sent, now);
        }
        let later = ack.table.iter().take(MAX_ACK_TABLE);
        let mut later: usize = later.filter(|is_here| **is_here).count();
        for (at, is_here) in ack.table.iter().take(MAX_ACK_TABLE).enumerate() {
            if *is_here {
                later -= 1;
            }
            // Numbers under way have no holes; an old acknowledgement's table begins before them.
            let skipped = self.under_way.front().map_or(0, |it| it.packet - received);
            let at = at.checked_sub(usize::try_from(skipped).unwrap_or(usize::MAX));
            let sent = at.and_then(|at| self.under_way.get_mut(at));
            let Some(sent) = sent.filter(|sent| !sent.is_received) else {
                continue;
            };
            if *is_here {
                sent.is_received = true;
                let (at, tries) = (sent.at, sent.tries);
                self.sample(at, tries, now);
            } else if later >= OVERTAKEN {
                sent.is_missing = true;
            }
        }
        while self
            .under_way
            .pop_front_if(|sent| sent.is_received)
            .is_some()
        {}
        Ok(())
    }

    /// The next bytes of the stream, in order.
    pub fn poll_input(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// The next datagram that is due: an acknowledgement, a repetition, something new. An error: the other side does
    /// not take a packet, however often it is sent.
    pub fn poll_datagram(&mut self, now: Instant) -> Result<Option<Datagram>, Error> {
        if now >= self.ack_at {
            self.ack_at = now + ACK_AT_LEAST;
            return Ok(Some(Datagram::Ack {
                to: self.peer,
                ack: self.ack(),
            }));
        }
        let to = self.peer;
        let (timeout, missing_after) = (self.timeout(), self.missing_after());
        let due = |sent: &&mut Sent| now >= due_at(sent, timeout, missing_after);
        if let Some(sent) = self
            .under_way
            .iter_mut()
            .filter(|it| !it.is_received)
            .find(due)
        {
            if sent.tries >= MAX_TRIES {
                return Err(Error::Unacknowledged {
                    packet: sent.packet,
                    tries: sent.tries,
                });
            }
            sent.tries += 1;
            sent.at = now;
            sent.is_missing = false;
            self.stats.resent += 1;
            let (packet, payload) = (sent.packet, sent.payload.clone());
            return Ok(Some(Datagram::Data {
                to,
                packet,
                payload,
            }));
        }
        // The window spans numbers, not packets: the table of the other side ends somewhere.
        let span = self
            .under_way
            .front()
            .map_or(0, |sent| self.next - sent.packet);
        if usize::try_from(span).unwrap_or(usize::MAX) >= self.config.window {
            return Ok(None);
        }
        let Some(payload) = self.unsent.pop_front() else {
            return Ok(None);
        };
        let packet = self.next;
        self.next += 1;
        self.stats.sent += 1;
        self.under_way.push_back(Sent {
            packet,
            payload: payload.clone(),
            at: now,
            tries: 1,
            is_received: false,
            is_missing: false,
        });
        Ok(Some(Datagram::Data {
            to,
            packet,
            payload,
        }))
    }

    /// When the next datagram is due, if none is at this moment.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let (timeout, missing_after) = (self.timeout(), self.missing_after());
        self.under_way
            .iter()
            .filter(|sent| !sent.is_received)
            .map(|sent| due_at(sent, timeout, missing_after))
            .fold(self.ack_at, Instant::min)
    }

    fn ack(&self) -> Ack {
        let reach = self.early.keys().next_back();
        let len = reach.map_or(0, |&last| last - self.expected + 1);
        let len = len.min(u32::try_from(MAX_ACK_TABLE).unwrap_or(u32::MAX));
        Ack {
            contiguous: self.expected.checked_sub(1),
            rate: 0,
            table: (self.expected..self.expected + len)
                .map(|packet| self.early.contains_key(&packet))
                .collect(),
        }
    }

    fn measure(&mut self, sent: &Sent, now: Instant) {
        if !sent.is_received {
            self.sample(sent.at, sent.tries, now);
        }
    }

    /// Round trips as TCP smooths them (RFC 6298); what was sent twice says nothing.
    fn sample(&mut self, at: Instant, tries: u32, now: Instant) {
        if tries > 1 {
            return;
        }
        let trip = now.saturating_duration_since(at);
        self.round_trip = Some(match self.round_trip {
            None => (trip, trip / 2),
            Some((smooth, spread)) => {
                let error = smooth.abs_diff(trip);
                ((smooth * 7 + trip) / 8, (spread * 3 + error) / 4)
            }
        });
    }

    fn timeout(&self) -> Duration {
        self.round_trip
            .map_or(FIRST_TIMEOUT, |(smooth, spread)| {
                smooth + spread * 4 + ACK_AFTER
            })
            .clamp(MIN_TIMEOUT, MAX_TIMEOUT)
    }

    /// What is marked missing may only be late: it gets a round trip and the usual spread of it (RACK, RFC 8985).
    fn missing_after(&self) -> Duration {
        self.round_trip
            .map_or(Duration::ZERO, |(smooth, spread)| smooth + spread * 4)
    }
}

fn due_at(sent: &Sent, timeout: Duration, missing_after: Duration) -> Instant {
    if sent.is_missing {
        let least = if sent.tries > 1 {
            RESEND_AFTER
        } else {
            Duration::ZERO
        };
        return sent.at + missing_after.max(least);
    }
    let doubled = timeout.saturating_mul(1 << (sent.tries - 1).min(3));
    sent.at + doubled.min(MAX_TIMEOUT.max(timeout))
}
