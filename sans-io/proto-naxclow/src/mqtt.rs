//! The few MQTT 3.1.1 packets of a camera and its broker (facts, section 11).
//!
//! No general broker: a camera may publish its state and hear what is published to itself. [`MqttSession`] is the
//! broker's half of one connection.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use crate::{Command, Error, Object, Style, Uid};

/// Longest packet that is read. The longest known, an Info, has 323 bytes.
pub const MAX_PACKET: usize = 8192;

/// Most topics in one subscription; cameras name one.
const MAX_TOPICS: usize = 8;

/// Most packets that wait to be sent; an owner that drains after each input never meets it.
const MAX_QUEUED: usize = 256;

/// How long a connection may take to say who it is.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Silence that ends a session of a client without a keep-alive of its own.
const MAX_SILENCE: Duration = Duration::from_secs(300);

/// Where cameras tell whether they are there.
pub const STATUS_TOPIC: &str = "Naxclow/P2P/Users/Device/Status";

/// Where cameras describe themselves.
pub const INFO_TOPIC: &str = "Naxclow/P2P/Users/Device/Info";

/// Where a camera hears commands.
pub fn command_topic(uid: &Uid) -> String {
    format!("Naxclow/P2P/Users/Device/sub/{uid}")
}

/// The state that a camera publishes, spaced as in the capture.
pub fn status(uid: &Uid, status: i64) -> String {
    format!("{{\"device\":\"{uid}\",\"token\":\"NAXCLOW\",\"status\": {status}}}")
}

/// What a client says when it connects.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Its name; cameras give their device code.
    pub client_id: String,
    /// Seconds of silence that it promises never to exceed; 0 promises nothing.
    pub keep_alive: u16,
    /// Forget what was before.
    pub clean: bool,
    /// Topic, text and quality of what is to be published when it vanishes.
    pub will: Option<(String, Bytes, u8)>,
    /// User name.
    pub user: Option<String>,
    /// Password, checked by nobody.
    pub password: Option<Bytes>,
}

impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connect({:?}, password hidden)", self.client_id)
    }
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// 1
    Connect(Connect),
    /// 2: taken (0) or not.
    ConnAck(u8),
    /// 3
    Publish {
        /// Where to.
        topic: String,
        /// What.
        payload: Bytes,
        /// Number to acknowledge; none at quality 0.
        id: Option<u16>,
    },
    /// 4
    PubAck(u16),
    /// 8: topics and their qualities.
    Subscribe(u16, Vec<(String, u8)>),
    /// 9: the qualities granted, 0x80 for a refusal.
    SubAck(u16, Vec<u8>),
    /// 10
    Unsubscribe(u16),
    /// 11
    UnsubAck(u16),
    /// 12
    PingReq,
    /// 13
    PingResp,
    /// 14
    Disconnect,
}

impl Packet {
    /// The packet as bytes.
    pub fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        let first = match self {
            Self::Connect(connect) => {
                put_text(&mut body, b"MQTT");
                let will = connect.will.as_ref();
                let flags = u8::from(connect.user.is_some()) << 7
                    | u8::from(connect.password.is_some()) << 6
                    | will.map_or(0, |(_, _, quality)| 4 | (quality & 3) << 3)
                    | u8::from(connect.clean) << 1;
                body.extend_from_slice(&[4, flags]);
                body.extend_from_slice(&connect.keep_alive.to_be_bytes());
                put_text(&mut body, connect.client_id.as_bytes());
                if let Some((topic, payload, _)) = will {
                    put_text(&mut body, topic.as_bytes());
                    put_text(&mut body, payload);
                }
                if let Some(user) = &connect.user {
                    put_text(&mut body, user.as_bytes());
                }
                if let Some(password) = &connect.password {
                    put_text(&mut body, password);
                }
                // Will quality 1 is the flag byte 0xCE of the capture: user, password, will, clean.
                0x10
            }
            Self::ConnAck(code) => {
                body.extend_from_slice(&[0, *code]);
                0x20
            }
            Self::Publish { topic, payload, id } => {
                put_text(&mut body, topic.as_bytes());
                if let Some(id) = id {
                    body.extend_from_slice(&id.to_be_bytes());
                }
                body.extend_from_slice(payload);
                if id.is_some() { 0x32 } else { 0x30 }
            }
            Self::PubAck(id) => {
                body.extend_from_slice(&id.to_be_bytes());
                0x40
            }
            Self::Subscribe(id, topics) => {
                body.extend_from_slice(&id.to_be_bytes());
                for (topic, quality) in topics {
                    put_text(&mut body, topic.as_bytes());
                    body.push(*quality);
                }
                0x82
            }
            Self::SubAck(id, granted) => {
                body.extend_from_slice(&id.to_be_bytes());
                body.extend_from_slice(granted);
                0x90
            }
            Self::Unsubscribe(id) => {
                body.extend_from_slice(&id.to_be_bytes());
                0xA2
            }
            Self::UnsubAck(id) => {
                body.extend_from_slice(&id.to_be_bytes());
                0xB0
            }
            Self::PingReq => 0xC0,
            Self::PingResp => 0xD0,
            Self::Disconnect => 0xE0,
        };
        let mut bytes = vec![first];
        let mut len = body.len();
        loop {
            let digit = u8::try_from(len % 128).unwrap_or_default();
            len /= 128;
            bytes.push(digit | u8::from(len > 0) << 7);
            if len == 0 {
                break;
            }
        }
        bytes.extend_from_slice(&body);
        bytes.into()
    }

    fn read(first: u8, body: &[u8]) -> Result<Self, Error> {
        let mut body = body;
        Ok(match (first >> 4, first & 0x0F) {
            (1, 0) => Self::Connect(read_connect(&mut body)?),
            (2, 0) => {
                take_u8(&mut body)?;
                Self::ConnAck(take_u8(&mut body)?)
            }
            (3, flags) => {
                let topic = take_string(&mut body)?;
                let id = match flags >> 1 & 3 {
                    0 => None,
                    1 => Some(take_u16(&mut body)?),
                    _ => return Err(Error::Mqtt("quality 2 is not served")),
                };
                let payload = Bytes::copy_from_slice(body);
                Self::Publish { topic, payload, id }
            }
            (4, 0) => Self::PubAck(take_u16(&mut body)?),
            (8, 2) => {
                let id = take_u16(&mut body)?;
                let mut topics = Vec::new();
                while !body.is_empty() {
                    topics.push((take_string(&mut body)?, take_u8(&mut body)?));
                    if topics.len() > MAX_TOPICS {
                        return Err(Error::Mqtt("too many topics"));
                    }
                }
                Self::Subscribe(id, topics)
            }
            (9, 0) => Self::SubAck(take_u16(&mut body)?, body.to_vec()),
            (10, 2) => Self::Unsubscribe(take_u16(&mut body)?),
            (11, 0) => Self::UnsubAck(take_u16(&mut body)?),
            (12, 0) => Self::PingReq,
            (13, 0) => Self::PingResp,
            (14, 0) => Self::Disconnect,
            _ => return Err(Error::Mqtt("an unknown packet")),
        })
    }
}

fn read_connect(body: &mut &[u8]) -> Result<Connect, Error> {
    if take_text(body)? != b"MQTT"[..] || take_u8(body)? != 4 {
        return Err(Error::Mqtt("not MQTT 3.1.1"));
    }
    let flags = take_u8(body)?;
    let keep_alive = take_u16(body)?;
    let client_id = take_string(body)?;
    let will = if flags & 4 != 0 {
        Some((take_string(body)?, take_text(body)?, flags >> 3 & 3))
    } else {
        None
    };
    let user = if flags & 0x80 != 0 {
        Some(take_string(body)?)
    } else {
        None
    };
    let password = if flags & 0x40 != 0 {
        Some(take_text(body)?)
    } else {
        None
    };
    Ok(Connect {
        client_id,
        keep_alive,
        clean: flags & 2 != 0,
        will,
        user,
        password,
    })
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let text = text.get(..usize::from(u16::MAX)).unwrap_or(text);
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text);
}

fn take_u8(body: &mut &[u8]) -> Result<u8, Error> {
    let (first, rest) = body.split_first().ok_or(CUT)?;
    *body = rest;
    Ok(*first)
}

fn take_u16(body: &mut &[u8]) -> Result<u16, Error> {
    let (first, rest) = body.split_first_chunk().ok_or(CUT)?;
    *body = rest;
    Ok(u16::from_be_bytes(*first))
}

fn take_text(body: &mut &[u8]) -> Result<Bytes, Error> {
    let len = usize::from(take_u16(body)?);
    let text = body.get(..len).ok_or(CUT)?;
    *body = body.get(len..).unwrap_or_default();
    Ok(Bytes::copy_from_slice(text))
}

fn take_string(body: &mut &[u8]) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&take_text(body)?).into_owned())
}

const CUT: Error = Error::Mqtt("a packet that is shorter than what is in it");

/// Cuts a TCP stream into packets.
#[derive(Debug, Default)]
pub struct PacketDecoder {
    buffer: BytesMut,
    failed: Option<Error>,
}

impl PacketDecoder {
    /// Takes the next bytes. After an error they are ignored.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next packet, if all of it has come. An error is final.
    pub fn poll(&mut self) -> Result<Option<Packet>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let polled = self.next();
        if let Err(error) = &polled {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        polled
    }

    fn next(&mut self) -> Result<Option<Packet>, Error> {
        let Some((&first, rest)) = self.buffer.split_first() else {
            return Ok(None);
        };
        let (mut len, mut digits) = (0_usize, 0);
        loop {
            let Some(&digit) = rest.get(digits) else {
                return Ok(None);
            };
            len |= usize::from(digit & 0x7F) << (7 * digits);
            digits += 1;
            if len > MAX_PACKET || digits > 4 {
                return Err(Error::Mqtt("a packet that is too long"));
            }
            if digit & 0x80 == 0 {
                break;
            }
        }
        if self.buffer.len() < 1 + digits + len {
            return Ok(None);
        }
        self.buffer.advance(1 + digits);
        let body = self.buffer.split_to(len);
        Packet::read(first, &body).map(Some)
    }
}

/// What happened in an [`MqttSession`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MqttEvent {
    /// A camera said who it is. An older session of the same camera has to be closed now.
    Connected(Uid),
    /// It hears commands from now on.
    Subscribed,
    /// It says that it is there (1) or going (0).
    Status(i64),
    /// It described itself; the names differ from [`BaseInfo`](crate::BaseInfo)'s.
    Info(Object),
    /// It published something that nobody knows, to this topic.
    Unknown(String),
    /// The session is over: send what is left, then close the connection.
    Closed(&'static str),
}

/// The broker's half of a camera's MQTT connection.
#[derive(Debug)]
pub struct MqttSession {
    decoder: PacketDecoder,
    uid: Option<Uid>,
    subscribed: bool,
    silence: Duration,
    heard: Instant,
    closed: bool,
    next_id: u16,
    outbox: VecDeque<Bytes>,
    events: VecDeque<MqttEvent>,
}

impl MqttSession {
    /// A connection that was just accepted.
    pub fn new(now: Instant) -> Self {
        Self {
            decoder: PacketDecoder::default(),
            uid: None,
            subscribed: false,
            silence: CONNECT_WITHIN,
            heard: now,
            closed: false,
            next_id: 0,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes bytes of the connection, in any pieces. Anything wrong ends the session.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        self.decoder.feed(bytes);
        while !self.closed {
            match self.decoder.poll() {
                Ok(Some(packet)) => self.handle_packet(packet, now),
                Ok(None) => break,
                Err(_) => self.close("what came is no MQTT 3.1.1"),
            }
        }
    }

    fn handle_packet(&mut self, packet: Packet, now: Instant) {
        let Some(uid) = &self.uid else {
            return self.handle_connect(packet, now);
        };
        self.heard = now;
        match packet {
            Packet::Subscribe(id, topics) => {
                let own = command_topic(uid);
                let granted: Vec<u8> = topics
                    .iter()
                    .map(|(topic, quality)| match *topic == own {
                        true => (*quality).min(1),
                        // Other cameras' commands may hold Wi-Fi keys.
                        false => 0x80,
                    })
                    .collect();
                let heard = granted.iter().any(|quality| *quality != 0x80);
                self.send(&Packet::SubAck(id, granted));
                if heard && !self.subscribed {
                    self.subscribed = true;
                    self.event(MqttEvent::Subscribed);
                }
            }
            Packet::Publish { topic, payload, id } => {
                if let Some(id) = id {
                    self.send(&Packet::PubAck(id));
                }
                self.published(topic, &payload);
            }
            Packet::Unsubscribe(id) => {
                self.subscribed = false;
                self.send(&Packet::UnsubAck(id));
            }
            Packet::PingReq => self.send(&Packet::PingResp),
            Packet::Disconnect => self.close("the camera left"),
            Packet::PubAck(_) | Packet::PingResp => {}
            Packet::Connect(_) | Packet::ConnAck(_) | Packet::SubAck(..) | Packet::UnsubAck(_) => {
                self.close("a packet that makes no sense here")
            }
        }
    }

    fn handle_connect(&mut self, packet: Packet, now: Instant) {
        let Packet::Connect(connect) = packet else {
            return self.close("the first packet is not CONNECT");
        };
        let Ok(uid) = connect.client_id.parse::<Uid>() else {
            // Identifier rejected.
            self.send(&Packet::ConnAck(2));
            return self.close("its client id is no device code");
        };
        self.heard = now;
        // One and a half times the promise, MQTT 3.1.1 section 3.1.2.10.
        self.silence = match connect.keep_alive {
            0 => MAX_SILENCE,
            seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(MAX_SILENCE),
        };
        self.send(&Packet::ConnAck(0));
        self.uid = Some(uid.clone());
        self.event(MqttEvent::Connected(uid));
    }

    fn published(&mut self, topic: String, payload: &[u8]) {
        match (topic.as_str(), Object::read(payload)) {
            (STATUS_TOPIC, Ok(object)) => {
                let status = object.integer("status").unwrap_or_default();
                self.event(MqttEvent::Status(status));
            }
            (INFO_TOPIC, Ok(object)) => self.event(MqttEvent::Info(object)),
            _ => self.event(MqttEvent::Unknown(topic.chars().take(64).collect())),
        }
    }

    /// Publishes a command to the camera; it answers by its next Info, if at all.
    ///
    /// # Errors
    /// The camera is not connected, or does not listen.
    pub fn command(&mut self, command: &Command) -> Result<(), Error> {
        let uid = match &self.uid {
            Some(uid) if self.subscribed && !self.closed => uid,
            _ => return Err(Error::State("the camera does not listen over MQTT")),
        };
        let topic = command_topic(uid);
        let content = match command {
            // Over MQTT it is a member, not a code alone (facts, section 8.1).
            Command::Reboot => command.content().with("reboot", 1),
            _ => command.content(),
        };
        let payload = content.write(Style::Spaced).into();
        self.next_id = self.next_id.wrapping_add(1).max(1);
        let id = Some(self.next_id);
        self.send(&Packet::Publish { topic, payload, id });
        Ok(())
    }

    /// Ends the session.
    pub fn close(&mut self, why: &'static str) {
        if !self.closed {
            self.closed = true;
            self.events.push_back(MqttEvent::Closed(why));
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.heard + self.silence <= now {
            self.close(match self.uid {
                Some(_) => "nothing came from the camera any more",
                None => "it did not say who it is",
            });
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.closed).then_some(self.heard + self.silence)
    }

    /// The next bytes to send.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbox.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<MqttEvent> {
        self.events.pop_front()
    }

    fn send(&mut self, packet: &Packet) {
        if self.outbox.len() < MAX_QUEUED {
            self.outbox.push_back(packet.encode());
        }
    }

    fn event(&mut self, event: MqttEvent) {
        if self.events.len() < MAX_QUEUED {
            self.events.push_back(event);
        }
    }
}
