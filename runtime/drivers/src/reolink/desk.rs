//! What a session is asked for, and to whom its answers go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto_baichuan::{
    Answer, CloseReason, Command, MediaPacket, Message, Notice, RequestId, Session, SessionEvent,
    StreamId, StreamKind, id,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::device::{Device, Media, Order};
use super::events::Event;
use super::outage::Outage;
use super::request::Request;

/// How long we wait for a device to tell its battery by itself before we ask, once for each session.
const BATTERY_WAIT: Duration = Duration::from_secs(2);

/// How long an answer may take; the session's own limit.
const REPLY: Duration = Duration::from_secs(10);

/// A session and those who wait for something of it.
pub(super) struct Desk {
    device: Arc<Device>,
    pub(super) session: Session,
    /// Why the session ended.
    pub(super) ended: Option<CloseReason>,
    waiting: HashMap<RequestId, Waiter>,
    watchers: HashMap<StreamId, Watcher>,
    ask_battery_at: Option<Instant>,
    tells_alarms: bool,
}

enum Waiter {
    Reply(oneshot::Sender<Result<Option<Message>, Outage>>),
    Snapshot(oneshot::Sender<Result<Bytes, Outage>>),
    /// We asked this for ourselves.
    Facts(Command),
}

struct Watcher {
    channel: u8,
    kind: StreamKind,
    media: mpsc::Sender<Media>,
    /// Packets were lost: nothing makes sense before the next keyframe.
    is_behind: bool,
    is_reported: bool,
}

impl Order {
    /// Tells whoever waits for it that it will not be done.
    pub(super) fn refuse(self, outage: &Outage) {
        match self {
            Self::Ask { reply, .. } => drop(reply.send(Err(outage.clone()))),
            Self::Snapshot { reply, .. } => drop(reply.send(Err(outage.clone()))),
            Self::Watch { .. } | Self::Tidy | Self::Talk { .. } | Self::Listen => {}
        }
    }
}

impl Desk {
    pub(super) fn new(device: Arc<Device>, session: Session) -> Self {
        Self {
            device,
            session,
            ended: None,
            waiting: HashMap::new(),
            watchers: HashMap::new(),
            ask_battery_at: None,
            tells_alarms: false,
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn due(&self) -> Option<std::time::Instant> {
        let battery = self.ask_battery_at.map(Instant::into_std);
        self.session.poll_timeout().into_iter().chain(battery).min()
    }

    pub(super) fn handle_timeout(&mut self) {
        let now = Instant::now();
        self.session.handle_timeout(now.into_std());
        if self.ask_battery_at.is_some_and(|at| now >= at) {
            self.ask_battery_at = None;
            self.inquire(Command::Battery { channel: 0 });
        }
    }

    /// Tells everyone that the session is over.
    pub(super) fn refuse_all(&mut self, outage: &Outage) {
        for (_, waiter) in self.waiting.drain() {
            match waiter {
                Waiter::Reply(reply) => drop(reply.send(Err(outage.clone()))),
                Waiter::Snapshot(reply) => drop(reply.send(Err(outage.clone()))),
                Waiter::Facts(_) => {}
            }
        }
        self.watchers.clear();
    }

    /// Does one thing for somebody.
    pub(super) fn take(&mut self, order: Order) {
        let now = Instant::now().into_std();
        match order {
            Order::Watch {
                channel,
                kind,
                media,
            } => match self.session.start_stream(channel, kind, now) {
                Ok(stream) => {
                    let watcher = Watcher {
                        channel,
                        kind,
                        media,
                        is_behind: false,
                        is_reported: false,
                    };
                    self.watchers.insert(stream, watcher);
                }
                Err(error) => {
                    let outage = Outage::Protocol(error.to_string());
                    let _ = media.try_send(Media::Refused(outage));
                }
            },
            Order::Tidy => self.tidy(),
            Order::Ask { request, reply } => match self.send(request) {
                Ok(id) => drop(self.waiting.insert(id, Waiter::Reply(reply))),
                Err(outage) => drop(reply.send(Err(outage))),
            },
            Order::Snapshot {
                channel,
                kind,
                reply,
            } => match self.session.snapshot(channel, kind, now) {
                Ok(id) => drop(self.waiting.insert(id, Waiter::Snapshot(reply))),
                Err(error) => drop(reply.send(Err(Outage::Protocol(error.to_string())))),
            },
            Order::Talk { channel, packet } => {
                if let Err(error) = self.session.talk(channel, &packet) {
                    tracing::debug!(device = ?self.device, "a piece of talk was not sent: {error}");
                }
            }
            Order::Listen => {
                if !self.tells_alarms {
                    self.tells_alarms = true;
                    self.inquire(Command::StartAlarms);
                }
            }
        }
    }

    /// Handles what the session tells; false if it had nothing to tell.
    pub(super) fn work(&mut self) -> bool {
        let Some(event) = self.session.poll_event() else {
            return false;
        };
        match event {
            SessionEvent::Ready {
                device,
                streams,
                encryption,
            } => {
                tracing::debug!(device = ?self.device, kind = device.kind, firmware = device.firmware, ?encryption, "logged in");
                self.device.care().succeeded();
                let is_battery = device.is_battery();
                let knows = self.device.facts.borrow().version.is_some();
                self.device.facts.send_modify(|facts| {
                    facts.device = Some(*device);
                    facts.streams = streams;
                    facts.encryption = Some(encryption);
                    facts.outage = None;
                });
                self.ask_battery_at = is_battery.then(|| Instant::now() + BATTERY_WAIT);
                if !knows {
                    self.inquire(Command::Version { channel: None });
                    self.inquire(Command::Support);
                }
            }
            SessionEvent::Reply { request, message } => self.answer(request, message),
            SessionEvent::Silence(request) => match self.waiting.remove(&request) {
                Some(Waiter::Reply(reply)) => drop(reply.send(Ok(None))),
                Some(Waiter::Snapshot(_) | Waiter::Facts(_)) | None => {}
            },
            SessionEvent::TimedOut(request) => {
                let outage = Outage::TimedOut {
                    step: "a request",
                    after: REPLY,
                };
                match self.waiting.remove(&request) {
                    Some(Waiter::Reply(reply)) => drop(reply.send(Err(outage))),
                    Some(Waiter::Snapshot(reply)) => drop(reply.send(Err(outage))),
                    Some(Waiter::Facts(_)) | None => {}
                }
            }
            SessionEvent::Push(message) => self.hear(&message),
            SessionEvent::StreamStarted(stream) => {
                if let Some(watcher) = self.watchers.get(&stream) {
                    tracing::debug!(device = ?self.device, channel = watcher.channel, stream = watcher.kind.name(), "the stream starts");
                }
                self.report_battery();
            }
            SessionEvent::StreamRefused { stream, status } => {
                if let Some(watcher) = self.watchers.remove(&stream) {
                    let outage = refusal(&watcher, status, &self.device);
                    let _ = watcher.media.try_send(Media::Refused(outage));
                }
            }
            SessionEvent::Media { stream, packet } => self.pass_on(stream, packet),
            SessionEvent::Snapshot { request, jpeg } => {
                if let Some(Waiter::Snapshot(reply)) = self.waiting.remove(&request) {
                    let _ = reply.send(Ok(jpeg));
                }
            }
            SessionEvent::Dropped(error) => {
                tracing::debug!(device = ?self.device, "a message was dropped: {error}");
            }
            SessionEvent::Closed(reason) => self.ended = Some(reason),
            _ => {}
        }
        true
    }

    /// Hands a packet to who watches. Never waits.
    fn pass_on(&mut self, stream: StreamId, packet: MediaPacket) {
        let Some(watcher) = self.watchers.get_mut(&stream) else {
            return;
        };
        if watcher.is_behind {
            let is_start = matches!(&packet, MediaPacket::Video(video) if video.is_keyframe);
            if !is_start {
                return;
            }
            watcher.is_behind = false;
        }
        let received = Instant::now().into_std();
        match watcher.media.try_send(Media::Packet(packet, received)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => watcher.is_behind = true,
            Err(mpsc::error::TrySendError::Closed(_)) => self.tidy(),
        }
    }

    /// Stops streams that nobody takes any more.
    fn tidy(&mut self) {
        let gone: Vec<StreamId> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| watcher.media.is_closed())
            .map(|(stream, _)| *stream)
            .collect();
        for stream in gone {
            self.watchers.remove(&stream);
            let _ = self.session.stop_stream(stream, Instant::now().into_std());
        }
    }

    fn answer(&mut self, request: RequestId, message: Message) {
        match self.waiting.remove(&request) {
            Some(Waiter::Reply(reply)) => drop(reply.send(Ok(Some(message)))),
            Some(Waiter::Snapshot(reply)) => {
                let outage = Outage::Protocol(format!(
                    "it gave no picture (status {}); a battery camera's sensor may not be up yet",
                    message.status
                ));
                let _ = reply.send(Err(outage));
            }
            Some(Waiter::Facts(question)) => self.learn(&question, &message),
            None => {}
        }
    }

    /// Learns from the answer to a question of our own; who does not know it has told nothing.
    fn learn(&mut self, question: &Command, message: &Message) {
        let facts = &self.device.facts;
        match Answer::read(question, message) {
            Ok(Answer::Version(version)) => {
                facts.send_modify(|facts| facts.version = Some(*version));
            }
            Ok(Answer::Support(support)) => {
                facts.send_modify(|facts| facts.support = Some(support));
            }
            Ok(Answer::Battery(battery)) => self.notice(Notice::Battery(battery)),
            Ok(_) | Err(_) => {}
        }
    }

    /// Learns from what the device tells by itself.
    fn hear(&mut self, message: &Message) {
        if message.id == id::LONG_TIME_PREVIEW {
            // Battery cameras end a live view after a while, unless somebody still looks.
            return self.go_on();
        }
        for notice in Notice::read(message) {
            self.notice(notice);
        }
    }

    fn notice(&mut self, notice: Notice) {
        self.device.facts.send_modify(|facts| facts.take(&notice));
        let is_battery = matches!(notice, Notice::Battery(_));
        // Nobody need listen.
        let _ = self.device.events.send(Event::now(notice));
        if is_battery {
            self.ask_battery_at = None;
            self.report_battery();
        }
    }

    /// Writes the charge into the log, once for each stream.
    fn report_battery(&mut self) {
        let facts = self.device.facts.borrow();
        for watcher in self.watchers.values_mut() {
            let Some((battery, _)) = facts.batteries.get(&watcher.channel) else {
                continue;
            };
            if !watcher.is_reported {
                watcher.is_reported = true;
                tracing::info!(device = ?self.device, channel = watcher.channel, percent = battery.percent, charging = battery.charge_status, celsius = battery.celsius, "streaming from a battery camera at {} %", battery.percent);
            }
        }
    }

    fn go_on(&mut self) {
        let watched: Vec<(u8, StreamKind)> = self
            .watchers
            .values()
            .filter(|watcher| !watcher.media.is_closed())
            .map(|watcher| (watcher.channel, watcher.kind))
            .collect();
        for (channel, kind) in watched {
            self.inquire(Command::ContinuePreview { channel, kind });
        }
    }

    /// Asks for ourselves.
    fn inquire(&mut self, question: Command) {
        if let Ok(id) = self.send(Request::from(&question)) {
            self.waiting.insert(id, Waiter::Facts(question));
        }
    }

    fn send(&mut self, request: Request) -> Result<RequestId, Outage> {
        let Request {
            id,
            channel,
            extension,
            payload,
        } = request;
        let now = Instant::now().into_std();
        self.session
            .request(id, channel, extension, payload, now)
            .map_err(|error| Outage::Protocol(error.to_string()))
    }
}

fn refusal(watcher: &Watcher, status: u16, device: &Device) -> Outage {
    let asleep = device
        .facts
        .borrow()
        .device
        .as_ref()
        .is_some_and(|info| info.is_asleep);
    let stream = watcher.kind.name();
    Outage::Protocol(if asleep {
        "it is in privacy mode and gives no pictures: end that in the vendor's app".to_owned()
    } else if status == 0 {
        format!("it did not answer the request for {stream}")
    } else {
        format!(
            "it refused {stream} of channel {} with status {status}: too many viewers at the camera, no such channel, or a model without that stream (most have main and sub only)",
            watcher.channel
        )
    })
}
