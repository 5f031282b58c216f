//! The camera's half of a conversation, section 11.2, for simulators and tests.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use subtle::ConstantTimeEq;

use crate::Error;
use crate::cipher::{Encryption, login_hash};
use crate::framing::FrameDecoder;
use crate::header::{Class, Tag, id};
use crate::media::{MediaInfo, MediaPacket};
use crate::message::{Codec, Message, Payload, Role, extension};
use crate::payloads::{Preview, StreamKind};
use crate::xml::Element;

/// Most streams of one session (section 11.1 guesses so of real cameras).
pub const MAX_PREVIEWS: usize = 12;
/// Media bytes in one message; cameras send up to 38,000.
const MEDIA_CHUNK: usize = 32 * 1024;

/// What a device is and how it behaves.
#[derive(Clone)]
pub struct DeviceConfig {
    /// User names and passwords.
    pub users: Vec<(String, String)>,
    /// The most it can do.
    pub encryption: Encryption,
    /// The session's nonce: 16 upper-case hex digits, fresh random ones.
    pub nonce: String,
    /// Bytes at the start of each media packet under AES, where the mode has that.
    pub encrypt_len: Option<u32>,
    /// The `DeviceInfo` of the login reply.
    pub info: Element,
    /// The `StreamInfoList` of the login reply.
    pub streams: Element,
    /// Sent right after a login: number and command.
    pub pushes: Vec<(u32, Element)>,
    /// Wrong logins until the connection is closed.
    pub max_tries: u32,
    /// Silence after which the connection is closed.
    pub idle: Duration,
}

impl fmt::Debug for DeviceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceConfig")
            .field("encryption", &self.encryption)
            .field("encrypt_len", &self.encrypt_len)
            .finish_non_exhaustive()
    }
}

impl DeviceConfig {
    /// A plain mains camera.
    #[must_use]
    pub fn new(user: &str, password: &str, encryption: Encryption, nonce: &str) -> Self {
        let info = Element::versioned("DeviceInfo")
            .with("firmVersion", "00000000000000")
            .with("type", "ipc")
            .with("channelNum", 1)
            .with("ptzMode", "none")
            .with("typeInfo", "IPC");
        let video = Element::versioned("VideoInput")
            .with("channelId", 0)
            .with("bright", 128)
            .with("contrast", 128)
            .with("saturation", 128)
            .with("hue", 128);
        Self {
            users: vec![(user.to_owned(), password.to_owned())],
            encryption,
            nonce: nonce.to_owned(),
            encrypt_len: None,
            info,
            streams: Element::versioned("StreamInfoList"),
            pushes: vec![(id::VIDEO_INPUT, video)],
            max_tries: 3,
            idle: Duration::from_secs(60),
        }
    }
}

/// A stream that a client watches: the tag of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceStream(pub Tag);

/// What a device tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// A client logged in.
    LoggedIn(String),
    /// A client failed to log in.
    LoginFailed,
    /// A request that the owner answers with [`Device::respond`].
    Request(Message),
    /// A client wants a stream: [`Device::accept`] or [`Device::refuse`] it.
    StreamWanted {
        /// Which.
        stream: DeviceStream,
        /// The recorder's channel.
        channel: u8,
        /// Which picture.
        kind: StreamKind,
    },
    /// A stream ended.
    StreamStopped(DeviceStream),
    /// A message could not be read and was dropped.
    Dropped(Error),
    /// The conversation ended; close the connection. None: in peace.
    Closed(Option<Error>),
}

#[derive(Debug, PartialEq)]
enum State {
    Nonce,
    Login,
    Ready,
    Closed,
}

#[derive(Debug)]
struct Watched {
    stream: DeviceStream,
    handle: u32,
    is_accepted: bool,
}

/// One conversation with one client.
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    state: State,
    decoder: FrameDecoder,
    codec: Codec,
    transmits: VecDeque<Bytes>,
    events: VecDeque<DeviceEvent>,
    watched: Vec<Watched>,
    tries: u32,
    last_received: Instant,
}

impl Device {
    /// Waits for a client's opening.
    #[must_use]
    pub fn new(config: DeviceConfig, now: Instant) -> Self {
        Self {
            config,
            state: State::Nonce,
            decoder: FrameDecoder::default(),
            codec: Codec::new(Role::Device),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            watched: Vec::new(),
            tries: 0,
            last_received: now,
        }
    }

    /// Takes any piece of the stream from the client.
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
                    Ok(message) => self.handle_message(message),
                    Err(error) => self.events.push_back(DeviceEvent::Dropped(error)),
                },
                Err(error) => self.end(Some(error)),
            }
        }
    }

    /// Time has come: who says nothing for long is gone.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| now >= at) {
            self.end(None);
        }
    }

    /// The next bytes for the client: one message, which over UDP begins a datagram of its own.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<DeviceEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.state != State::Closed).then(|| self.last_received + self.config.idle)
    }

    /// Answers a request.
    pub fn respond(
        &mut self,
        request: &Message,
        status: u16,
        extension: Option<Element>,
        payload: Payload,
    ) -> Result<(), Error> {
        if matches!(payload, Payload::Xml(_)) {
            self.codec.end_binary(request.id, request.tag);
        }
        self.send(request.id, request.tag, status, extension, payload)
    }

    /// Tells the client something that it did not ask for.
    pub fn push(&mut self, id: u32, payload: Payload) -> Result<(), Error> {
        if self.state != State::Ready {
            return Err(Error::Misuse("a push before the login or after the end"));
        }
        self.send(id, Tag::default(), 200, None, payload)
    }

    /// Asks for a sign of life, as UDP cameras do (section 9.4).
    pub fn keep_alive(&mut self) -> Result<(), Error> {
        self.send(id::UDP_KEEP_ALIVE, Tag::default(), 0, None, Payload::None)
    }

    /// Begins a stream that a client wants.
    pub fn accept(&mut self, stream: DeviceStream, info: MediaInfo) -> Result<(), Error> {
        if let Some(watched) = self.watched.iter_mut().find(|it| it.stream == stream) {
            watched.is_accepted = true;
            self.send_bytes(stream, &MediaPacket::Info(info).encode(), true)?;
        }
        Ok(())
    }

    /// Refuses a stream that a client wants: 400 is "not ready" or "too many".
    pub fn refuse(&mut self, stream: DeviceStream, status: u16) -> Result<(), Error> {
        self.watched.retain(|watched| watched.stream != stream);
        self.send(id::PREVIEW, stream.0, status, None, Payload::None)
    }

    /// Sends a packet of a stream; nothing if the stream does not run.
    pub fn send_media(&mut self, stream: DeviceStream, packet: &MediaPacket) -> Result<(), Error> {
        let runs = |watched: &Watched| watched.stream == stream && watched.is_accepted;
        if !self.watched.iter().any(runs) {
            return Ok(());
        }
        let has_extension = self.config.encrypt_len.is_some();
        self.send_bytes(stream, &packet.encode(), has_extension)
    }

    /// Sends bytes of a stream in as many messages as it takes; only the first has the extension.
    fn send_bytes(
        &mut self,
        stream: DeviceStream,
        bytes: &Bytes,
        has_extension: bool,
    ) -> Result<(), Error> {
        let head = match self.config.encrypt_len {
            Some(len) if self.codec.encryption().encrypts_media() => {
                let len = len.to_string();
                extension(&[("encryptLen", &len), ("binaryData", "1")])
            }
            _ => extension(&[("binaryData", "1")]),
        };
        let mut head = has_extension.then_some(head);
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(MEDIA_CHUNK));
            let payload = Payload::Binary(piece);
            self.send(id::PREVIEW, stream.0, 200, head.take(), payload)?;
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message) {
        match (&self.state, message.id) {
            (State::Closed, _) => {}
            // Anew at any time: some clients probe with a login that they drop, others log in twice.
            (_, id::LOGIN) if message.class == Class::LEGACY => self.answer_nonce(&message),
            (State::Login, id::LOGIN) => self.answer_login(&message),
            (State::Nonce | State::Login, _) => self.answer(&message, 401),
            (State::Ready, _) => self.handle_ready(message),
        }
    }

    fn answer_nonce(&mut self, message: &Message) {
        let [code, mark] = message.status.to_le_bytes();
        let code = if mark == 0xdc { code } else { 0 };
        let encryption = self.config.encryption.answer(code);
        self.codec
            .set_encryption(encryption, &self.config.nonce, "");
        self.state = State::Login;
        let element = Element::versioned("Encryption")
            .with("type", "md5")
            .with("nonce", &self.config.nonce);
        self.transmit(&Message {
            id: id::LOGIN,
            tag: message.tag,
            status: 0xdd00 | u16::from(encryption.code()),
            class: Class::NONCE_REPLY,
            extension: None,
            payload: Payload::of(element),
        });
    }

    fn answer_login(&mut self, message: &Message) {
        let login = message.command("LoginUser");
        let field = |name| login.and_then(|user| user.value(name)).unwrap_or_default();
        let (name, password) = (field("userName"), field("password"));
        let nonce = &self.config.nonce;
        // Every account is compared in full, so that the time tells nothing.
        let mut known = None;
        for user in &self.config.users {
            let same_name = login_hash(&user.0, nonce).as_bytes().ct_eq(name.as_bytes());
            let hash = login_hash(&user.1, nonce);
            let same = same_name & hash.as_bytes().ct_eq(password.as_bytes());
            if bool::from(same) {
                known = Some(user.clone());
            }
        }
        let Some((user, password)) = known else {
            self.tries += 1;
            self.events.push_back(DeviceEvent::LoginFailed);
            self.answer(message, 401);
            if self.tries >= self.config.max_tries {
                self.end(None);
            }
            return;
        };
        let encryption = self.codec.encryption();
        self.codec
            .set_encryption(encryption, &self.config.nonce, &password);
        self.state = State::Ready;
        self.tries = 0;
        let body = Element::new("body")
            .containing(self.config.info.clone())
            .containing(self.config.streams.clone());
        let reply = device_message(message.id, message.tag, 200, None, Payload::Xml(body));
        self.transmit(&reply);
        for (id, command) in self.config.pushes.clone() {
            let push = device_message(id, Tag::default(), 200, None, Payload::of(command));
            self.transmit(&push);
        }
        self.events.push_back(DeviceEvent::LoggedIn(user));
    }

    fn handle_ready(&mut self, message: Message) {
        match message.id {
            id::LOGOUT => {
                self.answer(&message, 200);
                self.end(None);
            }
            id::LINK_TYPE => {
                let link = Payload::of(Element::versioned("LinkType").with("type", "LAN"));
                self.transmit(&device_message(message.id, message.tag, 200, None, link));
            }
            // A camera never answers these (section 9.4).
            id::UDP_KEEP_ALIVE => {}
            id::PREVIEW => self.handle_preview(&message),
            id::PREVIEW_STOP => self.handle_stop(&message),
            _ => self.events.push_back(DeviceEvent::Request(message)),
        }
    }

    fn handle_preview(&mut self, message: &Message) {
        let preview = Preview::from_xml(message.command("Preview").unwrap_or(&Element::default()));
        let stream = DeviceStream(message.tag);
        let is_known = self.watched.iter().any(|watched| watched.stream == stream);
        if self.watched.len() >= MAX_PREVIEWS && !is_known {
            return self.answer(message, 400);
        }
        if !is_known {
            self.watched.push(Watched {
                stream,
                handle: preview.handle,
                is_accepted: false,
            });
        }
        self.events.push_back(DeviceEvent::StreamWanted {
            stream,
            channel: preview.channel,
            kind: preview.kind.unwrap_or(StreamKind::Main),
        });
    }

    /// By the counter of the start if there is such a stream, else by the handle (section 7.2).
    fn handle_stop(&mut self, message: &Message) {
        let preview = Preview::from_xml(message.command("Preview").unwrap_or(&Element::default()));
        let number = message.tag.number;
        let by_number = self.watched.iter().any(|it| it.stream.0.number == number);
        let (stopped, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.watched)
            .into_iter()
            .partition(|it| match by_number {
                true => it.stream.0.number == number,
                false => it.handle == preview.handle,
            });
        self.watched = rest;
        for watched in stopped {
            self.codec.end_binary(id::PREVIEW, watched.stream.0);
            self.events
                .push_back(DeviceEvent::StreamStopped(watched.stream));
        }
        self.answer(message, 200);
    }

    fn answer(&mut self, message: &Message, status: u16) {
        let reply = device_message(message.id, message.tag, status, None, Payload::None);
        self.transmit(&reply);
    }

    fn send(
        &mut self,
        id: u32,
        tag: Tag,
        status: u16,
        extension: Option<Element>,
        payload: Payload,
    ) -> Result<(), Error> {
        if self.state == State::Closed {
            return Err(Error::Misuse("a message after the end"));
        }
        let message = device_message(id, tag, status, extension, payload);
        self.transmits.push_back(self.codec.encode(&message)?);
        Ok(())
    }

    /// Sends what our own code made; the owner's documents may be too long, which is told as an event.
    fn transmit(&mut self, message: &Message) {
        match self.codec.encode(message) {
            Ok(bytes) => self.transmits.push_back(bytes),
            Err(error) => self.events.push_back(DeviceEvent::Dropped(error)),
        }
    }

    fn end(&mut self, error: Option<Error>) {
        self.state = State::Closed;
        for watched in std::mem::take(&mut self.watched) {
            self.events
                .push_back(DeviceEvent::StreamStopped(watched.stream));
        }
        self.events.push_back(DeviceEvent::Closed(error));
    }
}

fn device_message(
    id: u32,
    tag: Tag,
    status: u16,
    extension: Option<Element>,
    payload: Payload,
) -> Message {
    Message {
        id,
        tag,
        status,
        class: Class::DEVICE,
        extension,
        payload,
    }
}
