//! The server side of one RTSP connection.

mod answers;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::Tracks;

use crate::{Authenticator, Error, Input, Lower, Parser, Request, Response, Status, Transport};

/// Most bytes that may wait while the owner thinks about an answer: two of the largest messages. A
/// player waits for the answer before it asks again.
const MAX_WAITING: usize = 256 << 10;
/// Most wrong passwords on one connection: a person mistypes, a guesser is made to reconnect.
const MAX_WRONG_LOGINS: u32 = 5;
/// How long a connection may take to reach its first SETUP, and between requests until then.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// Players time their keep-alives by the timeout they are told; this much lateness is forgiven.
const GRACE: Duration = Duration::from_secs(10);

/// What a [`Server`] is told once.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Who may come in; `None` lets everyone.
    pub authenticator: Option<Arc<Authenticator>>,
    /// Whether datagrams can be sent to this peer.
    pub allows_udp: bool,
    /// Whether interleaved channels always are 2 x track and 2 x track + 1, so that ready-made blocks
    /// fit every player, whatever it proposed. The answer to SETUP says so, and players obey it.
    pub has_fixed_channels: bool,
    /// The Session id; must be hard to guess.
    pub session_id: String,
    /// How long a session over UDP lives without a sign of life.
    pub session_timeout: Duration,
    /// The Server header.
    pub name: String,
}

impl ServerConfig {
    /// The usual settings: no login, TCP and UDP, fixed channels, 60 seconds.
    #[must_use]
    pub fn new(session_id: impl Into<String>) -> Self {
        Self {
            authenticator: None,
            allows_udp: true,
            has_fixed_channels: true,
            session_id: session_id.into(),
            session_timeout: Duration::from_secs(60),
            name: "eyelet".to_owned(),
        }
    }
}

/// What the owner says of a stream that a player asked for.
#[derive(Clone, Debug)]
pub struct Description {
    /// The session name, usually the camera's.
    pub name: String,
    /// Its tracks.
    pub tracks: Tracks,
    /// The tracks' synchronisation sources in the same order, or none if they are not known yet.
    pub ssrcs: Vec<u32>,
}

/// A track that was set up, and how it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackTransport {
    /// Index into the description's tracks.
    pub track: usize,
    /// As agreed.
    pub transport: Transport,
}

/// What the first packet of a track will bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackStart {
    /// Index into the description's tracks.
    pub track: usize,
    /// Sequence number.
    pub seq: u16,
    /// RTP time.
    pub rtptime: u32,
}

/// What the owner has to know or to answer. Until an answer is given, nothing else comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Which tracks does this stream have? Answer with [`Server::answer_describe`].
    DescribeWanted {
        /// "porch/sub": without slashes at its ends.
        path: String,
        /// What followed the question mark.
        query: Option<String>,
        /// Who asks, if logins are on.
        user: Option<String>,
    },
    /// Bind two ports for this track. Answer with [`Server::answer_udp`].
    UdpWanted {
        /// Index into the description's tracks.
        track: usize,
        /// The player's ports for RTP and RTCP.
        client_port: (u16, u16),
    },
    /// Start sending. Answer with [`Server::answer_play`]; media may follow once the response left.
    PlayWanted {
        /// The stream.
        path: String,
        /// What followed the question mark in DESCRIBE.
        query: Option<String>,
        /// The tracks to send.
        tracks: Vec<TrackTransport>,
    },
    /// Stop sending until the next [`Event::PlayWanted`].
    Paused,
    /// An RTCP packet of the player, interleaved.
    Rtcp {
        /// Which track it speaks of.
        track: usize,
        /// The compound packet.
        payload: Bytes,
    },
    /// The session is over; the connection may begin another.
    Teardown,
    /// Send what [`Server::poll_transmit`] still has, then close.
    Closed(Reason),
}

/// Why a connection must close.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Bytes that are no RTSP.
    Malformed(Error),
    /// Nothing heard for too long.
    TimedOut,
    /// Too many wrong passwords.
    WrongLogin,
}

/// The server side of one connection: bytes and time in, bytes and events out.
///
/// After every `handle_*` and `answer_*`, drain [`Self::poll_transmit`] and [`Self::poll_event`];
/// then wait for bytes or for [`Self::poll_timeout`].
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    parser: Parser,
    transmits: VecDeque<Bytes>,
    events: VecDeque<Event>,
    /// The request that waits for the owner's answer.
    pending: Option<Request>,
    user: Option<String>,
    is_logged_in: bool,
    wrong_logins: u32,
    described: Option<Described>,
    session: Option<Session>,
    deadline: Option<Instant>,
    is_closed: bool,
}

#[derive(Debug)]
struct Described {
    path: String,
    query: Option<String>,
    description: Description,
}

#[derive(Debug, Default)]
struct Session {
    tracks: Vec<TrackTransport>,
    is_playing: bool,
}

impl Server {
    /// A connection just accepted.
    #[must_use]
    pub fn new(config: ServerConfig, now: Instant) -> Self {
        Self {
            config,
            parser: Parser::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            pending: None,
            user: None,
            is_logged_in: false,
            wrong_logins: 0,
            described: None,
            session: None,
            deadline: now.checked_add(HANDSHAKE),
            is_closed: false,
        }
    }

    /// Takes bytes of the connection, in pieces of any size.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        if self.is_closed {
            return;
        }
        self.parser.feed(bytes);
        self.drain(now);
        let len = self.parser.buffered();
        if self.pending.is_some() && len > MAX_WAITING {
            self.fail(Error::TooLarge {
                what: "input before an answer",
                len,
                max: MAX_WAITING,
            });
        }
    }

    /// Tells the time; due when [`Self::poll_timeout`] says.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.is_closed && self.deadline.is_some_and(|deadline| deadline <= now) {
            self.close(Reason::TimedOut);
        }
    }

    /// A sign of life that came another way: RTCP over UDP.
    pub fn touch(&mut self, now: Instant) {
        let is_tcp = |session: &Session| {
            let mut tracks = session.tracks.iter();
            tracks.any(|t| t.transport.lower == Lower::Tcp)
        };
        self.deadline = match &self.session {
            // A TCP reader that is gone shows when it is written to.
            Some(session) if session.is_playing && is_tcp(session) => None,
            Some(_) => now.checked_add(self.config.session_timeout + GRACE),
            None => now.checked_add(HANDSHAKE),
        };
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Wrong passwords so far. A first request without one, and a stale nonce, are none.
    #[must_use]
    pub fn wrong_logins(&self) -> u32 {
        self.wrong_logins
    }

    /// When [`Self::handle_timeout`] is due next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.is_closed)
    }

    /// Whether media is to be sent.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        self.session.as_ref().is_some_and(|s| s.is_playing)
    }

    /// Who logged in, if logins are on.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn drain(&mut self, now: Instant) {
        while self.pending.is_none() && !self.is_closed {
            match self.parser.poll() {
                Ok(Some(Input::Request(request))) => {
                    self.touch(now);
                    self.handle_request(request, now);
                    self.touch_after_change(now);
                }
                Ok(Some(Input::Interleaved { channel, payload })) => {
                    self.handle_interleaved(channel, payload);
                }
                Ok(Some(Input::Response(_))) => {}
                Ok(None) => return,
                Err(error) => return self.fail(error),
            }
        }
    }

    fn touch_after_change(&mut self, now: Instant) {
        if !self.is_closed {
            self.touch(now);
        }
    }

    fn handle_interleaved(&mut self, channel: u8, payload: Bytes) {
        let Some(session) = &self.session else { return };
        let mut tracks = session.tracks.iter();
        let found = tracks.find(|t| t.transport.interleaved.is_some_and(|(_, b)| b == channel));
        if let Some(TrackTransport { track, .. }) = found {
            let track = *track;
            self.events.push_back(Event::Rtcp { track, payload });
        }
    }

    fn fail(&mut self, error: Error) {
        let status = match error {
            Error::NotRtsp { .. } => Status::VERSION_NOT_SUPPORTED,
            Error::Malformed { .. } | Error::TooLarge { .. } => Status::BAD_REQUEST,
        };
        self.respond(Response::new(status).header("Connection", "close"));
        self.close(Reason::Malformed(error));
    }

    fn close(&mut self, reason: Reason) {
        self.is_closed = true;
        self.pending = None;
        if self.session.take().is_some() {
            self.events.push_back(Event::Teardown);
        }
        self.events.push_back(Event::Closed(reason));
    }

    fn respond(&mut self, mut response: Response) {
        if !self.config.name.is_empty() {
            response.headers.push("Server", self.config.name.clone());
        }
        self.transmits.push_back(response.encode());
    }
}
