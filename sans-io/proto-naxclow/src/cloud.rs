//! The cloud's half of a camera's session in station mode (facts, sections 4, 6 and 12.2).

mod datagram;
mod event;
mod live;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::channel::{Channel, Outbox, Transmit};
use crate::receiver::Item;
use crate::{
    BaseInfo, Cmd, Command, Error, Frame, FrameDecoder, Media, Message, Object, Side, Uid,
};

pub use datagram::{Datagram, address_answer};
pub use event::{CloseReason, CloudEvent, LiveFailure};
use live::Live;

/// How long a connection may take to register (facts, section 12.2).
const REGISTER_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer to a command is waited for; many set commands may never be answered (facts, section 8.1).
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Most unreadable messages in a row before the connection is closed (facts, section 4.1).
pub const MAX_UNREADABLE: u32 = 16;

/// Most commands that wait for an answer: more than there are commands.
pub const MAX_COMMANDS: usize = 32;

/// Most events that wait; an owner that drains after each input never meets it.
const MAX_EVENTS: usize = 1024;

/// What the cloud decides about a session.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// Our UDP address as the camera sees it.
    pub server: SocketAddr,
    /// Where the camera's TCP connection comes from.
    pub peer: IpAddr,
    /// Take media from other addresses than `peer`'s too; for cameras whose UDP leaves elsewhere.
    pub any_source: bool,
    /// `cliTarget`, 32 hexadecimal digits.
    pub target: String,
    /// `cliToken`, eight characters.
    pub client_token: String,
    /// Time since 1970 when the session begins, for the camera's clock.
    pub unix_time: Duration,
    /// Dead after so long without a byte: four heartbeats missed.
    pub idle: Duration,
    /// Confirm 16-bit sound too, see [`crate::Receiver::new`].
    pub confirm_pcm: bool,
    /// Ask for the round trip so often while live, as the vendor's client does; `None` never.
    pub round_trip: Option<Duration>,
}

impl CloudConfig {
    /// What the reference server does, for a camera at `peer` that sees us at `server`.
    pub fn new(server: SocketAddr, peer: IpAddr, unix_time: Duration) -> Self {
        Self {
            server,
            peer,
            any_source: false,
            target: "00112233445566778899aabbccddeeff".to_owned(),
            client_token: "deadc0de".to_owned(),
            unix_time,
            idle: Duration::from_secs(20),
            confirm_pcm: false,
            round_trip: Some(Duration::from_secs(2)),
        }
    }
}

/// One camera's TCP connection, and its UDP while it is live.
///
/// After each call, drain [`poll_transmit`](Self::poll_transmit) and [`poll_event`](Self::poll_event), then call
/// [`handle_timeout`](Self::handle_timeout) no later than [`poll_timeout`](Self::poll_timeout) says.
#[derive(Debug)]
pub struct CloudSession {
    config: CloudConfig,
    started: Instant,
    decoder: FrameDecoder,
    uid: Option<Uid>,
    /// When the last byte came over TCP.
    heard: Instant,
    unreadable: u32,
    closed: bool,
    /// The camera was told that a client is there (code 53).
    command_mode: bool,
    waiting: Vec<(i64, Instant)>,
    live: Option<Live>,
    outbox: Outbox,
    events: VecDeque<CloudEvent>,
}

impl CloudSession {
    /// A connection that was just accepted.
    pub fn new(config: CloudConfig, now: Instant) -> Self {
        Self {
            config,
            started: now,
            decoder: FrameDecoder::default(),
            uid: None,
            heard: now,
            unreadable: 0,
            closed: false,
            command_mode: false,
            waiting: Vec::new(),
            live: None,
            outbox: Outbox::new(Side::Cloud),
            events: VecDeque::new(),
        }
    }

    /// The camera, once it has registered.
    pub fn uid(&self) -> Option<&Uid> {
        self.uid.as_ref()
    }

    /// Where its media comes from, while it is live.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.live.as_ref()?.endpoint()
    }

    /// Takes bytes of the TCP stream, in any pieces, or a datagram. An error ends the session, and
    /// [`CloudEvent::Closed`] follows; datagrams never do, anybody can send them.
    pub fn handle_input(
        &mut self,
        channel: Channel,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        if self.closed {
            return Ok(());
        }
        match channel {
            Channel::Control => self.handle_stream(bytes, now),
            Channel::Datagram(from) => {
                if let Ok(frame) = Frame::decode_datagram(bytes) {
                    self.handle_datagram(from, &frame, now);
                }
                Ok(())
            }
        }
    }

    fn handle_stream(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        if !bytes.is_empty() && self.uid.is_some() {
            self.heard = now;
        }
        self.decoder.feed(bytes);
        while !self.closed {
            match self.decoder.poll() {
                Ok(Some(frame)) => self.handle_frame(&frame, now),
                Ok(None) => break,
                Err(error) => {
                    self.close(CloseReason::Unreadable);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: &Frame, now: Instant) {
        match frame.cmd {
            Cmd::Json => match Message::read(&frame.payload) {
                Ok(message) => {
                    self.unreadable = 0;
                    self.handle_message(message, now);
                }
                Err(_) => {
                    self.unreadable += 1;
                    if self.unreadable >= MAX_UNREADABLE {
                        self.close(CloseReason::Unreadable);
                    }
                }
            },
            Cmd::Heartbeat if frame.payload.is_empty() => {
                self.outbox.empty(Channel::Control, Cmd::Heartbeat);
                self.event(CloudEvent::Heartbeat);
            }
            // Nobody has seen media here in station mode, but it costs nothing to take it (facts, section 6.2).
            Cmd::Jpeg | Cmd::ALaw | Cmd::Pcm => self.media(Channel::Control, frame, now),
            _ => self.event(CloudEvent::Unknown(format!(
                "command {}",
                u16::from(frame.cmd)
            ))),
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        if self.uid.is_none() && !matches!(message, Message::Register { .. }) {
            return;
        }
        match message {
            Message::Register { uid, token, domain } => self.register(uid, token, domain, now),
            Message::Forward { content, .. } => self.handle_answer(content, now),
            // Says what came of our request; the probe tells more (facts, section 6.1, row 4).
            Message::NatResult { .. } | Message::RoundTripAnswer { .. } => {}
            other => {
                let code = other.object().integer("code").unwrap_or_default();
                self.event(CloudEvent::Unknown(format!("code {code}")));
            }
        }
    }

    fn register(&mut self, uid: Uid, token: String, domain: String, now: Instant) {
        if self.uid.as_ref().is_some_and(|known| *known != uid) {
            self.close(CloseReason::TwoCameras);
            return;
        }
        self.heard = now;
        let again = self.uid.replace(uid.clone()).is_some();
        self.outbox
            .message(Channel::Control, &Message::Registered { status: 200 });
        if !again {
            self.event(CloudEvent::Registered { uid, token, domain });
        }
    }

    fn handle_answer(&mut self, content: Object, now: Instant) {
        let code = content.integer("code").unwrap_or(-1);
        self.waiting.retain(|(waiting, _)| *waiting != code);
        if code == 4 {
            self.event(CloudEvent::BaseInfo(BaseInfo::read(&content)));
        }
        self.live_answer(code, now);
        self.event(CloudEvent::Answer {
            code,
            content: Some(content),
        });
    }

    /// Sends a command. Its [`CloudEvent::Answer`] may say that none came.
    pub fn command(&mut self, command: &Command, now: Instant) -> Result<(), Error> {
        if self.uid.is_none() || self.closed {
            return Err(Error::State("the camera is not registered"));
        }
        if self.waiting.len() >= MAX_COMMANDS {
            return Err(Error::State("too many commands wait for an answer"));
        }
        self.online();
        self.send(command);
        self.waiting.push((command.code(), now + ANSWER_WITHIN));
        Ok(())
    }

    /// Reads the base information again, and sets the camera's clock.
    pub fn ask_base_info(&mut self, now: Instant) -> Result<(), Error> {
        let unix_time = self.unix_time(now).as_secs().try_into().unwrap_or_default();
        self.command(&Command::BaseInfo { unix_time }, now)
    }

    fn send(&mut self, command: &Command) {
        let message = Message::Forward {
            target: self.config.target.clone(),
            content: command.content(),
        };
        self.outbox.message(Channel::Control, &message);
    }

    /// Switches the camera into command mode, once.
    fn online(&mut self) {
        if !self.command_mode {
            self.command_mode = true;
            self.outbox
                .message(Channel::Control, &Message::ClientOnline { status: 1 });
        }
    }

    fn unix_time(&self, now: Instant) -> Duration {
        self.config.unix_time + now.saturating_duration_since(self.started)
    }

    /// Asks for these media; while live, changes which. Nothing to send is [`stop`](Self::stop).
    pub fn start(&mut self, media: Media, now: Instant) -> Result<(), Error> {
        if self.uid.is_none() || self.closed {
            return Err(Error::State("the camera is not registered"));
        }
        if media == Media::default() {
            self.stop();
        } else {
            self.start_live(media, now);
        }
        Ok(())
    }

    /// Ends the live stream; the camera stays registered.
    pub fn stop(&mut self) {
        if self.live.take().is_some_and(|live| live.was_started()) {
            self.send(&Command::Media(Media::default()));
        }
        self.command_mode = false;
    }

    /// Ends the session from our side, because the camera registered anew elsewhere or is not wanted.
    pub fn close(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.live = None;
            self.waiting.clear();
            self.outbox.clear();
            self.events.push_back(CloudEvent::Closed(reason));
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        if self.silent_at() <= now {
            self.close(match self.uid {
                Some(_) => CloseReason::Silent,
                None => CloseReason::NotRegistered,
            });
            return;
        }
        let late = |(code, at): &(i64, Instant)| (*at <= now).then_some(*code);
        let unanswered: Vec<i64> = self.waiting.iter().filter_map(late).collect();
        self.waiting.retain(|(_, at)| *at > now);
        for code in unanswered {
            self.event(CloudEvent::Answer {
                code,
                content: None,
            });
        }
        self.live_timeout(now);
    }

    fn silent_at(&self) -> Instant {
        match self.uid {
            Some(_) => self.heard + self.config.idle,
            None => self.started + REGISTER_WITHIN,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let answers = self.waiting.iter().map(|(_, at)| *at).min();
        let live = self.live.as_ref().and_then(Live::poll_timeout);
        [Some(self.silent_at()), answers, live]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.poll()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<CloudEvent> {
        self.events.pop_front()
    }

    fn event(&mut self, event: CloudEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn item(&mut self, item: Item) {
        match item {
            Item::Picture(jpeg) => self.event(CloudEvent::Picture(jpeg)),
            Item::Audio(codec, block) => self.event(CloudEvent::Audio(codec, block)),
            Item::Recording(_) => {}
        }
    }
}
