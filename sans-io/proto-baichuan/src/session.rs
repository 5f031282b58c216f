//! The client's half of a conversation, section 11.1: log in, ask, watch, leave.

mod config;
mod event;
mod login;
mod request;
mod snapshot;
mod stream;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::request::{Asked, Pending, client_message};
use self::snapshot::Snapshot;
use self::stream::Stream;
use crate::framing::FrameDecoder;
use crate::header::{Tag, id};
use crate::message::{Codec, Message, Payload, Role};
use crate::xml::Element;

pub use config::{Hello, SessionConfig};
pub use event::{CloseReason, RequestId, SessionEvent, StreamId};
pub use login::MAX_NONCE;
pub use request::MAX_PENDING;
pub use snapshot::MAX_SNAPSHOT;

/// How long a logout waits for its answer (section 9.4).
const LOGOUT_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq)]
enum State {
    Nonce,
    Login,
    Ready,
    LoggingOut,
    Closed,
}

/// One conversation with one device, over TCP or over the stream that `bcudp` makes.
///
/// After every call drain [`Self::poll_transmit`] and [`Self::poll_event`], then wait until [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    state: State,
    decoder: FrameDecoder,
    codec: Codec,
    transmits: VecDeque<Bytes>,
    events: VecDeque<SessionEvent>,
    pending: Vec<Pending>,
    streams: Vec<Stream>,
    snapshot: Option<Snapshot>,
    number: u16,
    deadline: Instant,
    last_received: Instant,
    last_asked: Instant,
    missed_pings: u32,
}

impl Session {
    /// Opens the conversation.
    #[must_use]
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let mut session = Self {
            state: State::Nonce,
            decoder: FrameDecoder::default(),
            codec: Codec::new(Role::Client),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            pending: Vec::new(),
            streams: Vec::new(),
            snapshot: None,
            number: 0,
            deadline: now + config.nonce_timeout,
            last_received: now,
            last_asked: now,
            missed_pings: 0,
            config,
        };
        session.say_hello();
        session
    }

    /// Whether requests can be sent.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Takes any piece of the stream from the device.
    pub fn handle_input(&mut self, input: &[u8], now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.last_received = now;
        self.decoder.push(input);
        while self.state != State::Closed {
            match self.decoder.poll() {
                Ok(None) => return,
                Ok(Some(frame)) => match self.codec.decode(frame) {
                    Ok(message) => self.handle_message(message, now),
                    Err(error) => self.events.push_back(SessionEvent::Dropped(error)),
                },
                Err(error) => self.end(CloseReason::Lost(error)),
            }
        }
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Closed => {}
            State::Nonce if now >= self.deadline => self.end(CloseReason::NoNonce),
            State::Login if now >= self.deadline => self.end(CloseReason::NoLoginReply),
            State::LoggingOut if now >= self.deadline => self.end(CloseReason::LoggedOut),
            State::Nonce | State::Login | State::LoggingOut => {}
            State::Ready => {
                self.expire(now);
                self.retry_streams(now);
                if self.is_ready() && self.ping_at().is_some_and(|at| now >= at) {
                    let ping = self.request_tag(Tag::default());
                    self.ask(id::LINK_TYPE, ping, None, Payload::None, Asked::Ping, now);
                }
            }
        }
    }

    /// The next bytes for the device: one message, which over UDP begins a datagram of its own.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Nonce | State::Login | State::LoggingOut => Some(self.deadline),
            State::Ready => {
                let pending = self.pending.iter().map(|pending| pending.deadline);
                let retries = self.streams.iter().filter_map(|stream| stream.retry_at);
                pending.chain(retries).chain(self.ping_at()).min()
            }
        }
    }

    /// Stops every stream and logs out; [`SessionEvent::Closed`] follows within a second.
    pub fn close(&mut self, now: Instant) {
        match self.state {
            State::Closed | State::LoggingOut => return,
            State::Nonce | State::Login => return self.end(CloseReason::LoggedOut),
            State::Ready => {}
        }
        while let Some(stream) = self.streams.first() {
            let _ = self.stop_stream(stream.id, now);
        }
        self.pending.clear();
        self.state = State::LoggingOut;
        self.deadline = now + LOGOUT_WAIT;
        let tag = self.request_tag(Tag::default());
        // The content is ignored: no reason to send name and password once more (section 4.4).
        let payload = Payload::of(Element::versioned("LoginUser").with("userVer", 1));
        let logout = client_message(id::LOGOUT, tag, None, payload);
        let _ = self.send(&logout);
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        match self.state {
            State::Nonce if message.id == id::LOGIN => self.handle_nonce(&message, now),
            State::Login if message.id == id::LOGIN => self.handle_login(&message, now),
            State::LoggingOut if message.id == id::LOGOUT => self.end(CloseReason::LoggedOut),
            State::Nonce | State::Login | State::LoggingOut | State::Closed => {}
            State::Ready => self.handle_ready(message, now),
        }
    }

    fn handle_ready(&mut self, message: Message, now: Instant) {
        self.missed_pings = 0;
        if message.id == id::UDP_KEEP_ALIVE {
            // 200 is an answer; answering it would never end (section 9.4).
            if message.status != 200 {
                let answer = Message {
                    status: 200,
                    ..client_message(id::UDP_KEEP_ALIVE, message.tag, None, Payload::None)
                };
                let _ = self.send(&answer);
            }
            return;
        }
        if message.id == id::LONG_TIME_PREVIEW && message.tag.number == 0 {
            // A battery camera wants to end a live view; what runs is wanted, or it would have been stopped.
            self.continue_streams(now);
        }
        if message.id == id::SNAP && self.snapshot.is_some() {
            return self.handle_snapshot(message, now);
        }
        let is_answer = |pending: &Pending| {
            pending.request.id == message.id && pending.request.number == message.tag.number
        };
        let asked = self.pending.iter().position(is_answer);
        let asked = asked.map(|at| self.pending.swap_remove(at));
        match asked.map(|pending| (pending.asked, pending.request)) {
            Some((Asked::Request, request)) => self
                .events
                .push_back(SessionEvent::Reply { request, message }),
            Some((Asked::StreamStart, request)) => {
                self.handle_start(StreamId(request.number), message, now);
            }
            Some((Asked::Ping | Asked::StreamStop | Asked::Snapshot, _)) => {}
            None if message.id == id::PREVIEW => self.handle_media(message),
            None => self.events.push_back(SessionEvent::Push(message)),
        }
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.pending.clear();
        self.streams.clear();
        self.snapshot = None;
        self.events.push_back(SessionEvent::Closed(reason));
    }
}
