//! From the request for pictures to the pictures (facts, sections 6.1 and 12.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{CloudEvent, CloudSession, LiveFailure};
use crate::channel::Channel;
use crate::{Cmd, Command, Endpoints, Frame, Media, Message, Receiver};

/// How long the camera may take to come over UDP before it is asked again.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// How often it is asked.
const MAX_TRIES: u32 = 3;

/// How often a probe is repeated while its answer is missing: datagrams get lost.
const PROBE_AGAIN: Duration = Duration::from_millis(500);

/// How long the base information is waited for; without it we go on.
const BASE_INFO_WITHIN: Duration = Duration::from_secs(3);

/// How long the echo of the start is waited for before it is repeated.
const ECHO_WITHIN: Duration = Duration::from_secs(2);

/// How long the first picture may take, and any after it.
const MEDIA_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The camera was asked so often to open UDP.
    Asked { tries: u32 },
    /// It came, and was probed.
    Probed { tries: u32, again: Instant },
    /// It was switched into command mode and asked for its base information.
    BaseInfo,
    /// It was told to start.
    Starting { repeated: bool },
    /// Media is expected.
    Running,
}

/// A live stream.
#[derive(Debug)]
pub(super) struct Live {
    media: Media,
    phase: Phase,
    /// When the phase is too long.
    deadline: Instant,
    endpoint: Option<SocketAddr>,
    receiver: Receiver,
    /// Where confirmations go: where the media comes from.
    source: Option<Channel>,
    shown: bool,
    restarted: bool,
    round_trip_at: Option<Instant>,
}

impl Live {
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Whether the camera may be sending.
    pub(super) fn was_started(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Running)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let again = match self.phase {
            Phase::Probed { again, .. } => Some(again),
            _ => None,
        };
        let media = self.receiver.poll_timeout();
        [Some(self.deadline), again, media, self.round_trip_at]
            .into_iter()
            .flatten()
            .min()
    }
}

impl CloudSession {
    pub(super) fn start_live(&mut self, media: Media, now: Instant) {
        let Some(live) = &mut self.live else {
            self.ask(media, 1, false, now);
            return;
        };
        if live.media != media {
            live.media = media;
            if live.was_started() {
                self.send(&Command::Media(media));
            }
        }
    }

    /// Asks the camera to open UDP.
    fn ask(&mut self, media: Media, tries: u32, restarted: bool, now: Instant) {
        let message = Message::NatRequest {
            cli_target: self.config.target.clone(),
            cli_token: self.config.client_token.clone(),
            client: Endpoints {
                ip: "255.255.255.255".to_owned(),
                port: 0,
                nat_ip: self.config.server.ip().to_canonical().to_string(),
                nat_port: self.config.server.port(),
            },
        };
        self.outbox.message(Channel::Control, &message);
        self.live = Some(Live {
            media,
            phase: Phase::Asked { tries },
            deadline: now + PROBE_WITHIN,
            endpoint: None,
            receiver: Receiver::new(self.config.confirm_pcm),
            source: None,
            shown: false,
            restarted,
            round_trip_at: None,
        });
    }

    pub(super) fn handle_datagram(&mut self, from: SocketAddr, frame: &Frame, now: Instant) {
        let from_camera = from.ip().to_canonical() == self.config.peer.to_canonical();
        if self.uid.is_none() || !(from_camera || self.config.any_source) {
            return;
        }
        let here = Channel::Datagram(from);
        if frame.cmd == Cmd::Json {
            match Message::read(&frame.payload) {
                Ok(Message::AddressQuery) => {
                    let answer = Message::AddressAnswer {
                        ip: from.ip().to_canonical().to_string(),
                        port: from.port(),
                    };
                    self.outbox.message(here, &answer);
                }
                Ok(Message::ProbeAnswer { uid, .. }) if self.uid.as_ref() == Some(&uid) => {
                    self.handle_probe_answer(from, now);
                }
                _ => {}
            }
            return;
        }
        // Everything else has to come from the endpoint that the probe bound: addresses are easily forged.
        if self.endpoint() != Some(from) {
            return;
        }
        match frame.cmd {
            Cmd::Heartbeat if frame.payload.is_empty() => self.outbox.empty(here, Cmd::Heartbeat),
            _ => self.media(here, frame, now),
        }
    }

    /// The first answer binds the endpoint and is probed, the second means that both ways are open.
    fn handle_probe_answer(&mut self, from: SocketAddr, now: Instant) {
        let Some(live) = &mut self.live else {
            return;
        };
        let (Phase::Asked { tries } | Phase::Probed { tries, .. }) = live.phase else {
            return;
        };
        if live.endpoint != Some(from) {
            live.endpoint = Some(from);
            live.phase = Phase::Probed {
                tries,
                again: now + PROBE_AGAIN,
            };
            live.deadline = now + PROBE_WITHIN;
            self.outbox
                .message(Channel::Datagram(from), &Message::Probe);
            return;
        }
        live.phase = Phase::BaseInfo;
        live.deadline = now + BASE_INFO_WITHIN;
        live.round_trip_at = self.config.round_trip.map(|every| now + every);
        // The order of the reference server (facts, section 17, row 21).
        self.outbox
            .message(Channel::Control, &Message::ClientOnline { status: 1 });
        self.command_mode = true;
        self.send(&Command::Retransmission);
        let unix_time = self.unix_time(now).as_secs().try_into().unwrap_or_default();
        self.send(&Command::BaseInfo { unix_time });
    }

    /// An answer over TCP with this code.
    pub(super) fn live_answer(&mut self, code: i64, now: Instant) {
        let Some(live) = &mut self.live else {
            return;
        };
        match live.phase {
            Phase::BaseInfo if code == 4 => self.begin(false, now),
            Phase::Starting { .. } if code == live.media.code() => {
                live.phase = Phase::Running;
                live.deadline = now + MEDIA_WITHIN;
            }
            _ => {}
        }
    }

    fn begin(&mut self, repeated: bool, now: Instant) {
        if let Some(live) = &mut self.live {
            live.phase = Phase::Starting { repeated };
            live.deadline = now + ECHO_WITHIN;
            let media = live.media;
            self.send(&Command::Media(media));
        }
    }

    /// A frame that may carry media.
    pub(super) fn media(&mut self, from: Channel, frame: &Frame, now: Instant) {
        let Some(live) = self.live.as_mut().filter(|live| live.was_started()) else {
            return;
        };
        if !live.receiver.handle_frame(frame, now) {
            return;
        }
        live.source = Some(from);
        live.phase = match live.phase {
            // The echo was lost or is late; media says the same.
            Phase::Starting { .. } => {
                live.deadline = now + MEDIA_WITHIN;
                Phase::Running
            }
            phase => phase,
        };
        let mut items = Vec::new();
        while let Some(item) = live.receiver.poll_item() {
            items.push(item);
        }
        // Only what comes out counts: a camera whose every picture is torn is stalled.
        if !items.is_empty() {
            live.deadline = now + MEDIA_WITHIN;
            live.restarted = false;
            if !std::mem::replace(&mut live.shown, true) {
                self.event(CloudEvent::Live);
            }
        }
        items.into_iter().for_each(|item| self.item(item));
    }

    pub(super) fn live_timeout(&mut self, now: Instant) {
        self.live_traffic(now);
        let Some(live) = &mut self.live else {
            return;
        };
        let (media, again) = (live.media, live.restarted);
        if live.deadline > now {
            if let (Phase::Probed { again, .. }, Some(to)) = (&mut live.phase, live.endpoint)
                && *again <= now
            {
                *again = now + PROBE_AGAIN;
                self.outbox.message(Channel::Datagram(to), &Message::Probe);
            }
            return;
        }
        match live.phase {
            Phase::Asked { tries } | Phase::Probed { tries, .. } if tries < MAX_TRIES => {
                self.ask(media, tries + 1, again, now);
            }
            Phase::Asked { .. } | Phase::Probed { .. } => self.fail(LiveFailure::NoProbe),
            Phase::BaseInfo => self.begin(false, now),
            Phase::Starting { repeated: false } => self.begin(true, now),
            Phase::Starting { repeated: true } => {
                live.phase = Phase::Running;
                live.deadline = now + MEDIA_WITHIN;
            }
            Phase::Running if live.shown && !again => {
                self.event(CloudEvent::Restarting);
                self.ask(media, 1, true, now);
            }
            Phase::Running if again => self.fail(LiveFailure::Stalled),
            Phase::Running => self.fail(LiveFailure::NoMedia),
        }
    }

    /// Confirmations and questions for the round trip.
    fn live_traffic(&mut self, now: Instant) {
        let Some(live) = &mut self.live else {
            return;
        };
        let confirmations = live.receiver.handle_timeout(now);
        if let Some(to) = live.source {
            for frame in confirmations {
                self.outbox.frame(to, &frame);
            }
        }
        let due = live.round_trip_at.is_some_and(|at| at <= now);
        if let (true, Some(every), Some(to)) = (due, self.config.round_trip, live.endpoint) {
            live.round_trip_at = Some(now + every);
            let stamp = self.unix_time(now).as_millis().to_string();
            let here = Channel::Datagram(to);
            self.outbox.message(here, &Message::RoundTrip { stamp });
            self.outbox.empty(here, Cmd::Ping);
        }
    }

    fn fail(&mut self, failure: LiveFailure) {
        self.stop();
        self.event(CloudEvent::LiveFailed(failure));
    }
}
