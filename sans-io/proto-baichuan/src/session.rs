//! The client's half of a conversation, section 11.1: log in, ask, watch, leave.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::cipher::{Encryption, legacy_hash, login_hash};
use crate::framing::FrameDecoder;
use crate::header::{Class, Tag, id};
use crate::media::{MediaPacket, MediaParser};
use crate::message::{Codec, Message, Payload, Role, extension};
use crate::payloads::{DeviceInfo, Preview, StreamKind, StreamTable};
use crate::xml::Element;
use crate::{Error, MAX_TO_CAMERA};

/// Most requests that wait for answers at a time; a caller with more has lost count.
pub const MAX_PENDING: usize = 256;
/// Largest snapshot accepted; a 4K camera's picture stays below 4 MiB.
pub const MAX_SNAPSHOT: usize = 16 * 1024 * 1024;
/// Longest nonce accepted; known ones have 16 to 21 characters.
pub const MAX_NONCE: usize = 256;
/// Times that a refused stream start is tried again, and after how long (section 7.2).
const START_RETRIES: u32 = 5;
const START_RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long a logout waits for its answer (section 9.4).
const LOGOUT_WAIT: Duration = Duration::from_secs(1);
/// Commands that some firmware carries out without an answer, and the silence that means success (section 5.1).
const SILENT_COMMANDS: [u32; 5] = [36, 59, 209, 213, 288];
const SILENCE: Duration = Duration::from_millis(500);
/// How long a ping waits for its answer, and how many unanswered ones in a row mean that the camera is gone (section 11.1).
const PING_WAIT: Duration = Duration::from_secs(5);
const MAX_MISSED_PINGS: u32 = 5;

/// How a conversation opens (section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hello {
    /// A header alone, the only form that new firmware answers.
    #[default]
    HeaderOnly,
    /// With the hashes of old, for firmware that does not answer the other form: on a new connection, please.
    Legacy,
}

/// What a session needs to know.
#[derive(Clone)]
pub struct SessionConfig {
    /// User name; cameras tell upper from lower case.
    pub user: String,
    /// Password.
    pub password: String,
    /// The most that is offered.
    pub encryption: Encryption,
    /// How to open.
    pub hello: Hello,
    /// How long to wait for the nonce.
    pub nonce_timeout: Duration,
    /// How long to wait for any other answer.
    pub reply_timeout: Duration,
    /// Ping when nothing came for so long; None for cameras that shall sleep.
    pub keep_alive: Option<Duration>,
}

impl SessionConfig {
    /// The usual times, and everything offered.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            encryption: Encryption::FullAes,
            hello: Hello::HeaderOnly,
            nonce_timeout: Duration::from_secs(3),
            reply_timeout: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(5)),
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("user", &self.user)
            .field("encryption", &self.encryption)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}

/// Names a request in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The message's number.
    pub id: u32,
    /// The request counter.
    pub number: u16,
}

/// Names a running stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId(pub u16);

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// We logged out.
    LoggedOut,
    /// Nothing answered the opening: try [`Hello::Legacy`] on a new connection, or it is no such camera.
    NoNonce,
    /// Nothing answered the login.
    NoLoginReply,
    /// Wrong user or password: do not try again with the same.
    WrongPassword {
        /// Attempts left before the camera locks, if it tells.
        remaining: Option<u32>,
        /// Seconds until it unlocks, if it tells.
        unlock_seconds: Option<u32>,
    },
    /// The device is bound to an account and refuses local logins (section 4.5).
    AccountBound,
    /// The device answered the opening or the login with this status.
    Refused(u16),
    /// The device does not answer pings any more.
    Silent,
    /// What came is not this protocol, or not in a form we know.
    Lost(Error),
}

/// What a session tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// Logged in.
    Ready {
        /// What the device says of itself.
        device: Box<DeviceInfo>,
        /// Its streams, if the login reply lists them; message 146 is more reliable.
        streams: Vec<StreamTable>,
        /// What was agreed.
        encryption: Encryption,
    },
    /// The answer to a request, whatever its status.
    Reply {
        /// Which request.
        request: RequestId,
        /// The answer.
        message: Message,
    },
    /// No answer came in time.
    TimedOut(RequestId),
    /// No answer came to a command that some firmware carries out in silence: take it for done.
    Silence(RequestId),
    /// Something that nobody asked for: alarms, battery, states.
    Push(Message),
    /// The device agreed to a stream.
    StreamStarted(StreamId),
    /// The device refused a stream, after all tries.
    StreamRefused {
        /// Which.
        stream: StreamId,
        /// Its last status; 0 when it did not answer at all.
        status: u16,
    },
    /// Media came.
    Media {
        /// Of which stream.
        stream: StreamId,
        /// A packet of it.
        packet: MediaPacket,
    },
    /// A snapshot is complete.
    Snapshot {
        /// Which request.
        request: RequestId,
        /// The picture.
        jpeg: Bytes,
    },
    /// A message could not be read and was dropped; the session goes on.
    Dropped(Error),
    /// The end; nothing follows.
    Closed(CloseReason),
}

#[derive(Debug, PartialEq)]
enum State {
    Nonce,
    Login,
    Ready,
    LoggingOut,
    Closed,
}

#[derive(Debug, PartialEq)]
enum Asked {
    Request,
    Ping,
    StreamStart,
    StreamStop,
    Snapshot,
}

#[derive(Debug)]
struct Pending {
    request: RequestId,
    deadline: Instant,
    asked: Asked,
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    channel: u8,
    kind: StreamKind,
    media: MediaParser,
    retries: u32,
    retry_at: Option<Instant>,
    is_started: bool,
}

#[derive(Debug)]
struct Snapshot {
    request: RequestId,
    size: usize,
    jpeg: Vec<u8>,
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

    /// Sends any request of section 6. `extension` None: one with the channel alone where `channel` is given.
    pub fn request(
        &mut self,
        id: u32,
        channel: Option<u8>,
        extension: Option<Element>,
        payload: Payload,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel: channel.unwrap_or(0),
            ..Tag::default()
        });
        let extension = extension.or_else(|| channel.map(channel_extension));
        self.try_ask(id, tag, extension, payload, Asked::Request, now)
    }

    /// Starts a stream; [`SessionEvent::StreamStarted`] or [`SessionEvent::StreamRefused`] follows.
    pub fn start_stream(
        &mut self,
        channel: u8,
        kind: StreamKind,
        now: Instant,
    ) -> Result<StreamId, Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel,
            stream: kind.code(),
            number: 0,
        });
        let stream = StreamId(tag.number);
        self.streams.push(Stream {
            id: stream,
            channel,
            kind,
            media: MediaParser::default(),
            retries: 0,
            retry_at: None,
            is_started: false,
        });
        self.ask_preview(stream, now);
        Ok(stream)
    }

    /// Stops a stream; media that still comes is dropped.
    pub fn stop_stream(&mut self, stream: StreamId, now: Instant) -> Result<(), Error> {
        self.check_ready()?;
        let Some(at) = self.streams.iter().position(|known| known.id == stream) else {
            return Ok(());
        };
        let stopped = self.streams.remove(at);
        let tag = stream_tag(&stopped);
        self.pending.retain(|pending| {
            !(pending.asked == Asked::StreamStart && pending.request.number == tag.number)
        });
        let preview = Preview {
            channel: stopped.channel,
            handle: stopped.kind.handle(),
            kind: None,
        };
        let payload = Payload::of(preview.to_xml());
        self.ask(id::PREVIEW_STOP, tag, None, payload, Asked::StreamStop, now);
        Ok(())
    }

    /// Asks for a keyframe now; models that cannot do it answer 400, which is no harm.
    pub fn request_keyframe(&mut self, stream: StreamId, now: Instant) -> Result<RequestId, Error> {
        let Some(known) = self.streams.iter().find(|known| known.id == stream) else {
            return Err(Error::Misuse("a keyframe of a stream that does not run"));
        };
        let (channel, kind) = (known.channel, known.kind);
        let command = Element::versioned("RequestIframe")
            .with("channelId", channel)
            .with("streamType", kind.name());
        let payload = Payload::of(command);
        self.request(id::REQUEST_IFRAME, Some(channel), None, payload, now)
    }

    /// Asks for a picture, one at a time; [`SessionEvent::Snapshot`], a refusing reply or a time-out follows.
    pub fn snapshot(
        &mut self,
        channel: u8,
        kind: StreamKind,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.check_ready()?;
        if self.snapshot.is_some() {
            return Err(Error::Misuse("a second snapshot beside the first"));
        }
        let command = Element::versioned("Snap")
            .with("channelId", channel)
            .with("logicChannel", channel)
            .with("time", 0)
            .with("fullFrame", 0)
            .with(
                "streamType",
                if kind == StreamKind::Main {
                    "main"
                } else {
                    "sub"
                },
            );
        let tag = self.request_tag(Tag {
            channel,
            ..Tag::default()
        });
        let extension = Some(channel_extension(channel));
        let payload = Payload::of(command);
        let request = self.try_ask(id::SNAP, tag, extension, payload, Asked::Snapshot, now)?;
        self.snapshot = Some(Snapshot {
            request,
            size: usize::MAX,
            jpeg: Vec::new(),
        });
        Ok(request)
    }

    /// Sends one packet of talk (section 7.10); nothing answers it. The caller keeps the pace.
    pub fn talk(&mut self, channel: u8, packet: &MediaPacket) -> Result<(), Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel,
            ..Tag::default()
        });
        let channel = channel.to_string();
        self.send(&Message {
            id: id::TALK,
            tag,
            status: 0,
            class: Class::CLIENT,
            extension: Some(extension(&[("binaryData", "1"), ("channelId", &channel)])),
            payload: Payload::Binary(packet.encode()),
        })
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

    fn say_hello(&mut self) {
        let payload = match self.config.hello {
            Hello::HeaderOnly => Payload::None,
            Hello::Legacy => {
                let mut body = legacy_hash(&self.config.user).to_vec();
                body.extend(legacy_hash(&self.config.password));
                body.resize(LEGACY_BODY, 0);
                Payload::Binary(body.into())
            }
        };
        let hello = Message {
            status: 0xdc00 | u16::from(self.config.encryption.code()),
            class: Class::LEGACY,
            ..client_message(id::LOGIN, Tag::default(), None, payload)
        };
        let _ = self.send(&hello);
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

    fn handle_nonce(&mut self, message: &Message, now: Instant) {
        let [mode, mark] = message.status.to_le_bytes();
        if mark != 0xdd {
            return self.end(refusal(message));
        }
        let nonce = message
            .command("Encryption")
            .and_then(|encryption| encryption.value("nonce"))
            .filter(|nonce| !nonce.is_empty() && nonce.len() <= MAX_NONCE);
        let (encryption, nonce) = match (Encryption::from_code(mode), nonce) {
            (Ok(encryption), Some(nonce)) => (encryption, nonce.to_owned()),
            (Err(error), _) => return self.end(CloseReason::Lost(error)),
            (Ok(_), None) => {
                return self.end(CloseReason::Lost(Error::Field {
                    document: "Encryption",
                    field: "nonce",
                }));
            }
        };
        self.codec
            .set_encryption(encryption, &nonce, &self.config.password);
        let user = Element::versioned("LoginUser")
            .with("userName", login_hash(&self.config.user, &nonce))
            .with("password", login_hash(&self.config.password, &nonce))
            .with("userVer", 1);
        let net = Element::versioned("LoginNet")
            .with("type", "LAN")
            .with("udpPort", 0);
        let body = Element::new("body").containing(user).containing(net);
        let tag = self.request_tag(Tag::default());
        self.state = State::Login;
        self.deadline = now + self.config.reply_timeout;
        let login = client_message(id::LOGIN, tag, None, Payload::Xml(body));
        let _ = self.send(&login);
    }

    fn handle_login(&mut self, message: &Message, now: Instant) {
        let Some(info) = message
            .command("DeviceInfo")
            .filter(|_| message.is_success())
        else {
            // An old camera refuses with 400, another with 200 and nothing: both mean the password.
            let error = message.command("LoginErrInfo");
            let detail = |name| error.and_then(|error| error.number(name));
            return self.end(match message.status {
                200 | 300 | 400 | 401 => CloseReason::WrongPassword {
                    remaining: detail("remainTimes"),
                    unlock_seconds: detail("unlockTime"),
                },
                _ => refusal(message),
            });
        };
        self.state = State::Ready;
        self.last_received = now;
        let list = message.command("StreamInfoList");
        self.events.push_back(SessionEvent::Ready {
            device: Box::new(DeviceInfo::from_xml(info)),
            streams: list.map(StreamTable::from_xml).unwrap_or_default(),
            encryption: self.codec.encryption(),
        });
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

    fn handle_start(&mut self, stream: StreamId, message: Message, now: Instant) {
        let known = self.streams.iter_mut().find(|known| known.id == stream);
        let Some(known) = known else {
            return;
        };
        if message.is_success() {
            known.is_started = true;
            self.events.push_back(SessionEvent::StreamStarted(stream));
            return self.handle_media(message);
        }
        if message.status == 400 && known.retries < START_RETRIES {
            known.retries += 1;
            known.retry_at = Some(now + START_RETRY_AFTER);
            return;
        }
        self.streams.retain(|known| known.id != stream);
        self.events.push_back(SessionEvent::StreamRefused {
            stream,
            status: message.status,
        });
    }

    fn handle_media(&mut self, message: Message) {
        let stream = StreamId(message.tag.number);
        let known = self.streams.iter_mut().find(|known| known.id == stream);
        let (Some(known), Payload::Binary(bytes)) = (known, message.payload) else {
            return;
        };
        known.media.push(&bytes);
        while let Some(packet) = known.media.poll() {
            self.events
                .push_back(SessionEvent::Media { stream, packet });
        }
    }

    /// Chunks are known by the message number alone: some cameras count anew for them (section 7.6).
    fn handle_snapshot(&mut self, message: Message, now: Instant) {
        let Some(mut snapshot) = self.snapshot.take() else {
            return;
        };
        let request = snapshot.request;
        self.pending.retain(|pending| pending.request != request);
        let mut is_last = message.status == 201;
        match &message.payload {
            Payload::Binary(bytes) => snapshot.jpeg.extend_from_slice(bytes),
            Payload::Xml(body) => {
                let size = body
                    .child("Snap")
                    .and_then(|snap| snap.number("pictureSize"));
                snapshot.size = size.unwrap_or(usize::MAX);
            }
            Payload::None => is_last |= message.is_success(),
        }
        if !message.is_success() {
            let event = SessionEvent::Reply { request, message };
            return self.events.push_back(event);
        }
        if snapshot.jpeg.len() > MAX_SNAPSHOT {
            self.events
                .push_back(SessionEvent::Dropped(Error::TooLarge {
                    what: "snapshot",
                    len: snapshot.jpeg.len(),
                    max: MAX_SNAPSHOT,
                }));
            return self.events.push_back(SessionEvent::TimedOut(request));
        }
        if snapshot.jpeg.is_empty() || !(is_last || snapshot.jpeg.len() >= snapshot.size) {
            self.pending.push(Pending {
                request,
                deadline: now + self.config.reply_timeout,
                asked: Asked::Snapshot,
            });
            self.snapshot = Some(snapshot);
            return;
        }
        let jpeg = snapshot.jpeg.into();
        self.events
            .push_back(SessionEvent::Snapshot { request, jpeg });
    }

    fn expire(&mut self, now: Instant) {
        let (due, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| now >= pending.deadline);
        self.pending = pending;
        let due: Vec<Pending> = due;
        for Pending { request, asked, .. } in due {
            match asked {
                Asked::Request if SILENT_COMMANDS.contains(&request.id) => {
                    self.events.push_back(SessionEvent::Silence(request));
                }
                Asked::Request => self.events.push_back(SessionEvent::TimedOut(request)),
                Asked::Snapshot => {
                    self.snapshot = None;
                    self.events.push_back(SessionEvent::TimedOut(request));
                }
                Asked::StreamStart => {
                    let stream = StreamId(request.number);
                    self.streams.retain(|known| known.id != stream);
                    self.events
                        .push_back(SessionEvent::StreamRefused { stream, status: 0 });
                }
                Asked::StreamStop => {}
                Asked::Ping => {
                    self.missed_pings += 1;
                    if self.missed_pings > MAX_MISSED_PINGS {
                        return self.end(CloseReason::Silent);
                    }
                }
            }
        }
    }

    fn retry_streams(&mut self, now: Instant) {
        let due = |stream: &&mut Stream| stream.retry_at.is_some_and(|at| now >= at);
        let mut again = Vec::new();
        for stream in self.streams.iter_mut().filter(due) {
            stream.retry_at = None;
            again.push(stream.id);
        }
        for stream in again {
            self.ask_preview(stream, now);
        }
    }

    fn ask_preview(&mut self, stream: StreamId, now: Instant) {
        let Some(known) = self.streams.iter().find(|known| known.id == stream) else {
            return;
        };
        let tag = stream_tag(known);
        let preview = Preview {
            channel: known.channel,
            handle: known.kind.handle(),
            kind: Some(known.kind),
        };
        self.codec.end_binary(id::PREVIEW, tag);
        let payload = Payload::of(preview.to_xml());
        self.ask(id::PREVIEW, tag, None, payload, Asked::StreamStart, now);
    }

    fn ping_at(&self) -> Option<Instant> {
        let is_asked = self
            .pending
            .iter()
            .any(|pending| pending.asked == Asked::Ping);
        let idle = self.config.keep_alive.filter(|_| !is_asked)?;
        // A ping that timed out is repeated at once, or the wait would count twice.
        Some(if self.missed_pings > 0 {
            self.last_received
        } else {
            self.last_received + idle
        })
    }

    /// The next counter: 0 is for pushes, and what runs keeps its number.
    fn request_tag(&mut self, tag: Tag) -> Tag {
        loop {
            self.number = self.number.wrapping_add(1);
            let number = self.number;
            let is_stream = self.streams.iter().any(|stream| stream.id.0 == number);
            let is_asked = self
                .pending
                .iter()
                .any(|asked| asked.request.number == number);
            if number != 0 && !is_stream && !is_asked {
                return Tag { number, ..tag };
            }
        }
    }

    fn check_ready(&self) -> Result<(), Error> {
        if self.state != State::Ready {
            return Err(Error::Misuse("a request before the login or after the end"));
        }
        if self.pending.len() >= MAX_PENDING || self.streams.len() >= MAX_PENDING {
            return Err(Error::Misuse("too many requests wait for answers"));
        }
        Ok(())
    }

    /// For requests whose size is fixed.
    fn ask(
        &mut self,
        id: u32,
        tag: Tag,
        extension: Option<Element>,
        payload: Payload,
        asked: Asked,
        now: Instant,
    ) {
        let _ = self.try_ask(id, tag, extension, payload, asked, now);
    }

    fn try_ask(
        &mut self,
        id: u32,
        tag: Tag,
        extension: Option<Element>,
        payload: Payload,
        asked: Asked,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.codec.end_binary(id, tag);
        self.send(&client_message(id, tag, extension, payload))?;
        let wait = match asked {
            Asked::Ping => PING_WAIT,
            _ if SILENT_COMMANDS.contains(&id) => SILENCE,
            _ => self.config.reply_timeout,
        };
        let number = tag.number;
        let request = RequestId { id, number };
        self.pending.push(Pending {
            request,
            deadline: now + wait,
            asked,
        });
        Ok(request)
    }

    fn send(&mut self, message: &Message) -> Result<(), Error> {
        let bytes = self.codec.encode(message)?;
        debug_assert!(bytes.len() <= MAX_TO_CAMERA, "the codec holds the limit");
        self.transmits.push_back(bytes);
        Ok(())
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = State::Closed;
        self.pending.clear();
        self.streams.clear();
        self.snapshot = None;
        self.events.push_back(SessionEvent::Closed(reason));
    }
}

/// Length of the legacy login's fixed fields (section 4.1).
const LEGACY_BODY: usize = 1836;

fn client_message(id: u32, tag: Tag, extension: Option<Element>, payload: Payload) -> Message {
    Message {
        id,
        tag,
        status: 0,
        class: Class::CLIENT,
        extension,
        payload,
    }
}

fn channel_extension(channel: u8) -> Element {
    Element::versioned("Extension").with("channelId", channel)
}

fn stream_tag(stream: &Stream) -> Tag {
    Tag {
        channel: stream.channel,
        stream: stream.kind.code(),
        number: stream.id.0,
    }
}

fn refusal(message: &Message) -> CloseReason {
    match message.status {
        406 => CloseReason::AccountBound,
        401 => CloseReason::WrongPassword {
            remaining: None,
            unlock_seconds: None,
        },
        status => CloseReason::Refused(status),
    }
}
