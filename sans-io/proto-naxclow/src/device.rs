//! The camera's half, in station and in access-point mode, for tests and simulators (facts, section 12.1).
//!
//! The owner makes the connections: it fetches the configuration, connects, and makes a [`Device`] of the TCP
//! connection. It draws the pictures too.

mod access_point;
mod profile;
mod sender;
mod station;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::audio::AudioCodec;
use crate::channel::{Channel, Outbox, Transmit};
use crate::recordings::Minute;
use crate::{
    BaseInfo, Cmd, Command, Error, Frame, FrameDecoder, Media, Message, Object, Side, Uid,
    confirmed,
};

pub use profile::{Confirmation, Profile};
use sender::Sender;
use station::Nat;

/// How often a camera says that it lives (capture).
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// Most events that wait; an owner that drains after each input never meets it.
const MAX_EVENTS: usize = 1024;

/// How a simulated camera behaves.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Its device code.
    pub uid: Uid,
    /// `pwd` of the bootstrap reply.
    pub token: String,
    /// `domain` of the bootstrap reply.
    pub domain: String,
    /// The other end of its TCP connection; UDP falls back to the same address and port.
    pub peer: SocketAddr,
    /// Its own address.
    pub local: SocketAddr,
    /// What it says of itself; set commands change it.
    pub base_info: BaseInfo,
    /// Writes JSON as fw 202412061749 does, and a NUL after it.
    pub odd_json: bool,
    /// Which sound it sends.
    pub audio: AudioCodec,
    /// What it makes of missing confirmations.
    pub confirmation: Confirmation,
    /// Does nothing before code 53 came. No tested firmware is so.
    pub needs_online: bool,
    /// What is on its SD card.
    pub recordings: Vec<(Minute, Bytes)>,
}

/// What happened to the camera.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceEvent {
    /// The cloud took the registration.
    Registered,
    /// Draw and send these media from now on; none to stop.
    Media(Media),
    /// Nobody confirms; it stopped sending.
    Unconfirmed,
    /// A command came.
    Command(Command),
    /// Reboot: close, and begin again.
    Reboot,
}

/// A camera.
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    access_point: bool,
    decoder: FrameDecoder,
    registered: bool,
    online: bool,
    heartbeat_at: Option<Instant>,
    nat: Option<Nat>,
    media: Media,
    sender: Sender,
    download: VecDeque<Bytes>,
    outbox: Outbox,
    events: VecDeque<DeviceEvent>,
}

impl Device {
    /// A camera whose connection to the cloud was just made. It registers at once.
    pub fn station(config: DeviceConfig) -> Self {
        let mut device = Self::new(config, false);
        let register = Message::Register {
            uid: device.config.uid.clone(),
            token: device.config.token.clone(),
            domain: device.config.domain.clone(),
        };
        device.outbox.message(Channel::Control, &register);
        device
    }

    /// A camera in access-point mode that a client just connected to.
    pub fn access_point(config: DeviceConfig, now: Instant) -> Self {
        let mut device = Self::new(config, true);
        device.heartbeat_at = Some(now + HEARTBEAT_EVERY);
        device
    }

    fn new(config: DeviceConfig, access_point: bool) -> Self {
        Self {
            access_point,
            decoder: FrameDecoder::default(),
            registered: false,
            online: false,
            heartbeat_at: None,
            nat: None,
            media: Media::default(),
            sender: Sender::new(config.confirmation),
            download: VecDeque::new(),
            outbox: Outbox::new(Side::Camera),
            events: VecDeque::new(),
            config,
        }
    }

    /// What the camera says of itself now.
    pub fn base_info(&self) -> &BaseInfo {
        &self.config.base_info
    }

    /// Takes bytes of the TCP stream, in any pieces, or a datagram. An error ends the connection.
    pub fn handle_input(
        &mut self,
        channel: Channel,
        bytes: &[u8],
        now: Instant,
    ) -> Result<(), Error> {
        if let Channel::Datagram(from) = channel {
            if let Ok(frame) = Frame::decode_datagram(bytes) {
                self.handle_datagram(from, &frame, now);
            }
            return Ok(());
        }
        self.decoder.feed(bytes);
        while let Some(frame) = self.decoder.poll()? {
            self.handle_frame(&frame, now);
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: &Frame, now: Instant) {
        match frame.cmd {
            Cmd::Json => {
                if let Ok(message) = Message::read(&frame.payload) {
                    match self.access_point {
                        true => self.handle_client(message, now),
                        false => self.handle_cloud(message, now),
                    }
                }
            }
            Cmd::LiveMotion if self.access_point => {
                self.outbox.empty(Channel::Control, Cmd::LiveMotion);
            }
            Cmd::DirectMotion if self.access_point => {
                let id = Object::default().with("devId", self.config.uid.as_str());
                let text = id.write(crate::Style::Spaced);
                let frame = Frame::control(Cmd::DirectMotion, text, Side::Camera);
                self.outbox.frame(Channel::Control, &frame);
            }
            Cmd::Confirm => self.handle_confirm(&frame.payload, now),
            _ => {}
        }
    }

    fn handle_confirm(&mut self, payload: &[u8], now: Instant) {
        if let Ok(ids) = confirmed(payload) {
            self.sender.confirm(ids, now);
        }
    }

    /// Does what a command says; gives the content of the answer, if there is one.
    fn obey(&mut self, content: &Object, now: Instant) -> Option<Object> {
        let command = Command::read(content).ok()?;
        let info = &mut self.config.base_info;
        let answer = match &command {
            Command::Reboot => {
                self.event(DeviceEvent::Reboot);
                return None;
            }
            Command::BaseInfo { .. } => Some(info.content()),
            Command::SdStatus => Some(
                Object::default()
                    .with("code", 218)
                    .with("sdDevStatus", info.sd_status.unwrap_or_default()),
            ),
            // Nothing answers this one (facts, section 6.1, row 8).
            Command::Retransmission => None,
            // Nobody knows what an unknown code is answered with (facts, section 12.1).
            Command::Other(_) => None,
            Command::Media(media) => {
                self.media = *media;
                self.sender.start(now);
                let media = *media;
                self.event(DeviceEvent::Media(media));
                return Some(content.clone().without("devTarget"));
            }
            _ => Some(content.clone().without("devTarget")),
        };
        match &command {
            Command::InfraredLed(on) => info.infrared_led = Some(*on),
            Command::InstructionLed(on) => info.instruction_led = Some(*on),
            Command::RecordOnMotion(on) => info.record_on_motion = Some(*on),
            Command::MotionAlert(on) => info.motion_alert = Some(*on),
            Command::SpeedGrade(step) => info.speed_grade = Some(*step),
            Command::Flip(flip) => info.flip = Some(*flip),
            Command::SetWifi(wifi) => info.wifi_name = Some(wifi.name().to_owned()),
            _ => {}
        }
        self.event(DeviceEvent::Command(command));
        answer
    }

    /// Sends a picture, when pictures are wanted. False when it was not sent: too much is unconfirmed.
    pub fn send_picture(&mut self, jpeg: &[u8], now: Instant) -> bool {
        match (self.media.video, self.media_channel()) {
            (true, Some(channel)) => self.sender.picture(jpeg, channel, &mut self.outbox, now),
            _ => false,
        }
    }

    /// Sends a block of sound, when sound is wanted.
    pub fn send_audio(&mut self, block: Bytes, now: Instant) -> bool {
        let cmd = match self.config.audio {
            AudioCodec::ALaw => Cmd::ALaw,
            AudioCodec::Pcm => Cmd::Pcm,
        };
        match (self.media.audio, self.media_channel()) {
            (true, Some(channel)) => self
                .sender
                .sound(cmd, block, channel, &mut self.outbox, now),
            _ => false,
        }
    }

    fn media_channel(&self) -> Option<Channel> {
        match self.access_point {
            true => Some(Channel::Control),
            false => self.nat.as_ref()?.endpoint().map(Channel::Datagram),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.heartbeat_at.is_some_and(|at| at <= now) {
            self.heartbeat_at = Some(now + HEARTBEAT_EVERY);
            self.outbox.empty(Channel::Control, Cmd::Heartbeat);
            if let Some(to) = self.nat.as_ref().and_then(Nat::endpoint) {
                self.outbox.empty(Channel::Datagram(to), Cmd::Heartbeat);
            }
        }
        self.nat_timeout(now);
        if self.media == Media::default() {
            return;
        }
        if self.sender.gave_up(now) {
            self.media = Media::default();
            self.event(DeviceEvent::Unconfirmed);
        } else if let Some(channel) = self.media_channel() {
            self.sender.repeat(channel, &mut self.outbox, now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let nat = self.nat.as_ref().and_then(Nat::poll_timeout);
        let sender = (self.media != Media::default()).then(|| self.sender.poll_timeout());
        [self.heartbeat_at, nat, sender.flatten()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next frame to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        if let Some(transmit) = self.outbox.poll() {
            return Some(transmit);
        }
        // A recording goes out as fast as it is written, and never waits in the queue.
        let bytes = self.download.pop_front()?;
        let channel = Channel::Control;
        Some(Transmit { channel, bytes })
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<DeviceEvent> {
        self.events.pop_front()
    }

    fn event(&mut self, event: DeviceEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}
