//! Many streams over one line: whose bytes come next, and how many of them may come.
//!
//! Each stream is bytes both ways. A side that reads grants the other so many bytes ahead (*credit*, [`FIRST_CREDIT`]
//! to begin with), so a stream that nobody reads holds up no other. Frames begin with [`STREAM_HEADER`] bytes: a kind,
//! four bytes of the stream's number, three that mean
//!
//! | kind | three bytes | then |
//! | --- | --- | --- |
//! | 1 data | length | that many bytes |
//! | 2 end: no more data comes | 0 | |
//! | 3 reset: nobody reads or writes here any more | 0 | |
//! | 4 credit | bytes that may come beyond those granted before | |
//! | 5 open: there is such a stream now | 0 | |
//!
//! The side that dialed numbers its streams 1, 3, 5…, the other one 2, 4, 6…, each number once and upwards. Frames of a stream that this side has reset may still be under
//! way, and are skipped.
//!
//! What is put on the line cannot be overtaken there, so little may lie on it: [`Room`] says how much, and streams that
//! say little ([`Streams::write`]) go before those that send all they can, which take turns.

mod frame;
mod inbox;
mod turns;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub use frame::STREAM_HEADER;
pub use inbox::Chunk;
pub use turns::Room;

use crate::{Error, MAX_FRAME_PAYLOAD};
use frame::{Head, Kind, MAX_VALUE};
use inbox::Inbox;
use turns::{Turns, Voice};

/// Largest payload of one frame: with its header it fills a frame of the line.
pub const MAX_STREAM_PAYLOAD: usize = MAX_FRAME_PAYLOAD - STREAM_HEADER;

/// Bytes that either side may send on a new stream before the other has granted any.
pub const FIRST_CREDIT: usize = 256 << 10;

/// What a peer may grant at most in all that was not used: no window of ours is larger.
const MAX_CREDIT: usize = 64 << 20;

/// Buffers kept for the next payloads while streams are open.
const MAX_SPARE: usize = 4;

/// Frames without payload that wait for room on the line, for each stream that a session may have: no peer of ours
/// causes more.
const MAX_DUE: usize = 8;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It dialed: its streams have odd numbers.
    Dialed,
    /// It was called.
    Called,
}

/// How much a session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamsConfig {
    /// Streams that may be open in each direction at once.
    pub max_streams: usize,
    /// Bytes by which the windows of all streams together may grow beyond [`FIRST_CREDIT`] each, as their rate and
    /// the round-trip time ask for.
    pub window_growth: usize,
}

/// What is due next from the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many bytes of a header.
    Header(usize),
    /// So many bytes of a payload, into [`Streams::buffer`].
    Payload(usize),
}

/// What became of a wish to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Put these bytes on the line, and behind them so many of the stream's: now, before anything else.
    Put([u8; STREAM_HEADER], usize),
    /// Not now; [`Event::Writable`] will tell when to ask again.
    Wait,
    /// The peer has reset the stream.
    Reset,
}

/// What became of a wish to read.
#[derive(Debug)]
pub enum Read {
    /// Bytes.
    Bytes(Chunk),
    /// Nothing is there; [`Event::Readable`] will tell.
    Wait,
    /// The peer has ended its direction, and all it said was read.
    End,
    /// The peer has reset the stream; what it said before was read.
    Reset,
}

/// Something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer has opened a stream: see [`Streams::accept`].
    Arrived,
    /// Somebody who had to wait may read on.
    Readable(u32),
    /// Somebody who had to wait should ask again.
    Writable(u32),
}

/// One end of all streams of a session. Told bytes and the time; it holds for each stream a `T` of its owner's.
#[derive(Debug)]
pub struct Streams<T> {
    side: Side,
    config: StreamsConfig,
    streams: BTreeMap<u32, Stream<T>>,
    /// Number of the stream that is opened here next.
    next: Option<u32>,
    /// Highest number of the peer's so far.
    last: u32,
    /// Opened by the peer, and nobody has accepted them yet.
    arrived: VecDeque<u32>,
    /// Streams of the peer's that are open.
    theirs: usize,
    due: VecDeque<(u32, Kind)>,
    header: [u8; STREAM_HEADER],
    header_len: usize,
    /// Whose payload is under way, and how much of it is still to come.
    payload: Option<(u32, usize)>,
    turns: Turns,
    events: VecDeque<Event>,
    growth_left: usize,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Stream<T> {
    owner: T,
    inbox: Inbox,
    /// What the peer may have under way to here.
    window: usize,
    /// What the peer may still send.
    granted: usize,
    /// Read, and not granted anew.
    read: usize,
    credited: Instant,
    is_credit_due: bool,
    /// What may be sent to the peer.
    credit: usize,
    /// The peer knows of it.
    is_known: bool,
    /// Somebody waits for bytes.
    is_awaited: bool,
    /// Somebody waits for credit, or until the peer knows of it.
    needs_leave: bool,
    has_ended: bool,
    peer_ended: bool,
    is_reset: bool,
    voice: Voice,
}

impl<T: Default> Streams<T> {
    /// No streams yet.
    #[must_use]
    pub fn new(side: Side, config: StreamsConfig) -> Self {
        Self {
            side,
            config,
            streams: BTreeMap::new(),
            next: Some(match side {
                Side::Dialed => 1,
                Side::Called => 2,
            }),
            last: 0,
            arrived: VecDeque::new(),
            theirs: 0,
            due: VecDeque::new(),
            header: [0; STREAM_HEADER],
            header_len: 0,
            payload: None,
            turns: Turns::default(),
            events: VecDeque::new(),
            growth_left: config.window_growth,
            spare: Vec::new(),
        }
    }

    /// Opens a stream: its number, or nothing if there are as many as there may be.
    pub fn open(&mut self, now: Instant) -> Option<u32> {
        if self.streams.len() - self.theirs >= self.config.max_streams {
            return None;
        }
        let id = self.next?;
        self.next = id.checked_add(2);
        self.streams.insert(id, Stream::new(now, false));
        self.due.push_back((id, Kind::Open));
        Some(id)
    }

    /// A stream that the peer has opened. From now on it is the caller's to [`Self::close`].
    pub fn accept(&mut self) -> Option<u32> {
        self.arrived.pop_front()
    }

    /// What the owner keeps with a stream.
    pub fn owner(&mut self, id: u32) -> Option<&mut T> {
        Some(&mut self.streams.get_mut(&id)?.owner)
    }

    /// What the owner keeps with each stream.
    pub fn owners(&mut self) -> impl Iterator<Item = &mut T> {
        self.streams.values_mut().map(|stream| &mut stream.owner)
    }

    /// Streams that are open at this end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Streams that were opened at this end.
    #[must_use]
    pub fn ours(&self) -> usize {
        self.streams.len() - self.theirs
    }

    /// Asks to write `len` bytes, at least one.
    pub fn write(&mut self, id: u32, len: usize, room: &Room) -> Write {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Write::Reset;
        };
        if stream.is_reset || stream.has_ended {
            return Write::Reset;
        }
        let len = len.min(stream.credit).min(MAX_STREAM_PAYLOAD);
        stream.needs_leave = len == 0 || !stream.is_known;
        if stream.needs_leave {
            return Write::Wait;
        }
        let n = self.turns.ask(id, &mut stream.voice, len, room);
        if n == 0 {
            self.events.extend(
                self.turns
                    .next(room)
                    .filter(|it| *it != id)
                    .map(Event::Writable),
            );
            return Write::Wait;
        }
        stream.credit -= n;
        let head = Head {
            kind: Kind::Data,
            id,
            value: n,
        };
        Write::Put(head.encode(), n)
    }

    /// No more bytes will be written.
    pub fn end(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.has_ended
        {
            stream.has_ended = true;
            if !stream.is_reset {
                self.due.push_back((id, Kind::End));
            }
            self.turns.leave(id);
            self.events.extend(self.turns.first().map(Event::Writable));
        }
    }

    /// Takes bytes that came.
    pub fn read(&mut self, id: u32, now: Instant, round_trip: Option<Duration>) -> Read {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Read::Reset;
        };
        let Some(chunk) = stream.inbox.pop() else {
            return if stream.peer_ended {
                Read::End
            } else if stream.is_reset {
                Read::Reset
            } else {
                stream.is_awaited = true;
                Read::Wait
            };
        };
        stream.read += chunk.bytes().len();
        if stream.read >= stream.window / 2 && !stream.peer_ended && !stream.is_reset {
            // Half a window within two round trips: the window is what holds it up.
            let is_held_up = round_trip.is_some_and(|trip| now - stream.credited < 2 * trip);
            let growth = stream.window.min(self.growth_left);
            if is_held_up && growth > 0 {
                stream.window += growth;
                stream.read += growth;
                self.growth_left -= growth;
            }
            stream.credited = now;
            if !stream.is_credit_due {
                stream.is_credit_due = true;
                self.due.push_back((id, Kind::Credit));
            }
        }
        Read::Bytes(chunk)
    }

    /// Takes back a chunk whose bytes were taken.
    pub fn reuse(&mut self, chunk: Chunk) {
        self.keep(chunk.into_buffer());
    }

    /// Takes back a [`Self::buffer`] for which nothing came.
    pub fn give_back(&mut self, buffer: Vec<u8>) {
        self.keep(buffer);
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        // The control stream alone is silence.
        if buffer.len() >= MAX_STREAM_PAYLOAD
            && self.spare.len() < MAX_SPARE
            && self.streams.len() > 1
        {
            self.spare.push(buffer);
        }
    }

    /// The owner lets go of a stream. Unless both directions have ended and all was read, the peer hears of a reset.
    pub fn close(&mut self, id: u32) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let was_theirs = !self.is_ours(id);
        self.theirs -= usize::from(was_theirs);
        self.turns.leave(id);
        self.growth_left += stream.window - FIRST_CREDIT;
        if self.streams.len() <= 1 {
            self.spare = Vec::new();
        }
        let is_complete = stream.has_ended && stream.peer_ended && stream.inbox.is_empty();
        if !is_complete && !stream.is_reset {
            self.due.push_back((id, Kind::Reset));
        }
        if !stream.is_known {
            // The peer has never heard of it, and need not.
            self.due.retain(|(due, _)| *due != id);
        }
        // Those who come next may be waiting for this one.
        self.events.extend(self.turns.first().map(Event::Writable));
    }

    /// Whether a frame without payload waits for room.
    #[must_use]
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The next frame without payload, to put on the line now.
    pub fn poll_due(&mut self) -> Option<[u8; STREAM_HEADER]> {
        while let Some((id, kind)) = self.due.pop_front() {
            let mut head = Head { kind, id, value: 0 };
            match (kind, self.streams.get_mut(&id)) {
                (Kind::Credit, Some(stream)) => {
                    stream.is_credit_due = false;
                    head.value = stream.read.min(MAX_VALUE);
                    stream.read -= head.value;
                    stream.granted += head.value;
                    if head.value == 0 {
                        continue;
                    }
                }
                (Kind::Credit, None) => continue,
                (Kind::Open, Some(stream)) => {
                    stream.is_known = true;
                    if stream.needs_leave {
                        stream.needs_leave = false;
                        self.events.push_back(Event::Writable(id));
                    }
                }
                (Kind::Open | Kind::End | Kind::Reset | Kind::Data, _) => {}
            }
            return Some(head.encode());
        }
        None
    }

    /// Tells those whose turn it is: to be called when the line may have got room.
    pub fn note_room(&mut self, room: &Room) {
        if !self.turns.is_empty() {
            self.events
                .extend(self.turns.next(room).map(Event::Writable));
        }
    }

    /// Whether somebody waits for room.
    #[must_use]
    pub fn is_room_awaited(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The next thing to look at.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What is due next from the line.
    #[must_use]
    pub fn wants(&self) -> Wanted {
        match self.payload {
            Some((_, left)) => Wanted::Payload(left),
            None => Wanted::Header(STREAM_HEADER - self.header_len),
        }
    }

    /// A buffer for the payload that is due; how much of it to fill says [`Self::wants`].
    pub fn buffer(&mut self) -> Vec<u8> {
        let left = self.payload.map_or(0, |(_, left)| left);
        if left <= MAX_STREAM_PAYLOAD / 4 {
            return vec![0; left];
        }
        // Large ones are used again.
        let spare = self.spare.pop();
        spare.unwrap_or_else(|| vec![0; MAX_STREAM_PAYLOAD])
    }

    /// Takes bytes of a header: no more than are wanted.
    ///
    /// # Errors
    /// When the peer breaks the protocol. The session has to end.
    pub fn handle_header(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        let end = self.header_len + bytes.len();
        if let Some(room) = self.header.get_mut(self.header_len..end) {
            room.copy_from_slice(bytes);
            self.header_len = end;
        }
        if self.header_len < STREAM_HEADER {
            return Ok(());
        }
        self.header_len = 0;
        let head = Head::decode(self.header)?;
        if head.kind == Kind::Open {
            return self.handle_open(head.id, now);
        }
        if !self.has_been(head.id) {
            return Err(wrong("of a stream that nobody opened", head.id));
        }
        if head.kind == Kind::Data {
            self.payload = Some((head.id, head.value));
        }
        let Some(stream) = self.streams.get_mut(&head.id) else {
            return Ok(());
        };
        match head.kind {
            Kind::Open => {}
            Kind::Data => {
                if stream.peer_ended {
                    return Err(wrong("data after a stream's end", head.id));
                }
                let left = stream.granted.checked_sub(head.value);
                stream.granted =
                    left.ok_or_else(|| wrong("data beyond a stream's credit", head.id))?;
            }
            Kind::End => {
                if stream.peer_ended {
                    return Err(wrong("a second end", head.id));
                }
                // What came after a reset was skipped, so this is the end of something else.
                stream.peer_ended = !stream.is_reset;
                self.tell_reader(head.id);
            }
            Kind::Reset => {
                stream.is_reset = true;
                self.turns.leave(head.id);
                self.tell_reader(head.id);
                self.events.push_back(Event::Writable(head.id));
            }
            Kind::Credit => {
                // More than any window could ask for is no peer of ours.
                stream.credit += head.value;
                if stream.credit > MAX_CREDIT {
                    return Err(wrong("credit beyond all windows", head.id));
                }
                if stream.needs_leave {
                    stream.needs_leave = false;
                    self.events.push_back(Event::Writable(head.id));
                }
            }
        }
        Ok(())
    }

    /// Takes the first `len` bytes of `buffer` as payload: no more than are wanted.
    pub fn handle_payload(&mut self, buffer: Vec<u8>, len: usize) {
        let Some((id, left)) = self.payload.take() else {
            return;
        };
        let left = left.saturating_sub(len);
        self.payload = (left > 0).then_some((id, left));
        let unneeded = match self.streams.get_mut(&id) {
            Some(stream) if !stream.is_reset => {
                let unneeded = stream.inbox.push(Chunk::new(buffer, len));
                self.tell_reader(id);
                unneeded
            }
            // It was reset here, and the peer had not heard of it.
            _ => Some(buffer),
        };
        if let Some(buffer) = unneeded {
            self.keep(buffer);
        }
    }

    fn handle_open(&mut self, id: u32, now: Instant) -> Result<(), Error> {
        if self.is_ours(id) || id <= self.last {
            return Err(wrong("a stream with a number that is not due", id));
        }
        self.last = id;
        if self.due.len() >= MAX_DUE * self.config.max_streams.max(1) {
            return Err(wrong("more streams than can be answered", id));
        }
        if self.theirs < self.config.max_streams {
            self.theirs += 1;
            self.streams.insert(id, Stream::new(now, true));
            self.arrived.push_back(id);
            self.events.push_back(Event::Arrived);
        } else {
            self.due.push_back((id, Kind::Reset));
        }
        Ok(())
    }

    fn tell_reader(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.is_awaited
        {
            stream.is_awaited = false;
            self.events.push_back(Event::Readable(id));
        }
    }

    fn is_ours(&self, id: u32) -> bool {
        (id % 2 == 1) == (self.side == Side::Dialed)
    }

    /// Whether there has ever been a stream of this number.
    fn has_been(&self, id: u32) -> bool {
        match self.is_ours(id) {
            true => id > 0 && self.next.is_none_or(|next| id < next),
            false => id > 0 && id <= self.last,
        }
    }
}

impl<T: Default> Stream<T> {
    fn new(now: Instant, is_known: bool) -> Self {
        Self {
            owner: T::default(),
            inbox: Inbox::default(),
            window: FIRST_CREDIT,
            granted: FIRST_CREDIT,
            read: 0,
            credited: now,
            is_credit_due: false,
            credit: FIRST_CREDIT,
            is_known,
            is_awaited: false,
            needs_leave: false,
            has_ended: false,
            peer_ended: false,
            is_reset: false,
            voice: Voice::default(),
        }
    }
}

fn wrong(kind: &'static str, id: u32) -> Error {
    Error::Frame {
        kind,
        value: id.into(),
    }
}

#[cfg(test)]
mod tests;
