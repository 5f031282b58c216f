//! What is known of one camera.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use proto_naxclow::{BaseInfo, CloseReason, Command, Media, Object, Uid};
use tokio::sync::{mpsc, oneshot};

use crate::live::Item;
use crate::report::Admission;

/// A station on the way from the power button to a picture (in this order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Asked our DNS for one of the vendor's names.
    Dns,
    /// Asked over HTTP.
    Http,
    /// Registered over TCP.
    Registered,
    /// Said over TCP that it lives.
    Heartbeat,
    /// Connected over MQTT.
    Mqtt,
    /// Came over UDP.
    Probe,
    /// Sent a picture or sound.
    Media,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Dns,
        Self::Http,
        Self::Registered,
        Self::Heartbeat,
        Self::Mqtt,
        Self::Probe,
        Self::Media,
    ];

    /// The word in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Registered => "registered",
            Self::Heartbeat => "heartbeat",
            Self::Mqtt => "mqtt",
            Self::Probe => "probe",
            Self::Media => "media",
        }
    }
}

/// When a camera was at each station last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps([Option<SystemTime>; 7]);

impl Steps {
    pub(crate) fn reached(&mut self, step: Step) {
        self.reached_at(step, SystemTime::now());
    }

    pub(crate) fn reached_at(&mut self, step: Step, at: SystemTime) {
        if let Some(known) = self.0.get_mut(step as usize) {
            *known = Some(at);
        }
    }

    pub(crate) fn at(&self, step: Step) -> Option<SystemTime> {
        self.0.get(step as usize).copied().flatten()
    }
}

/// The answer to a command: its content, or none when the camera only took it.
pub(crate) type Answer = Option<Object>;

/// What the owner of a connection is told to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Send media there; replaces whoever had it.
    Start(Media, mpsc::Sender<Item>, u64),
    /// No more media for the reader of this number.
    Stop(u64),
    /// Send a command.
    Command(Command, oneshot::Sender<Answer>),
    /// End the session.
    Close(CloseReason),
}

/// A connection that stands.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    /// Tells an old connection of a camera from a new one.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) tasks: mpsc::Sender<Task>,
    pub(crate) datagrams: mpsc::Sender<(SocketAddr, Bytes)>,
}

/// An MQTT connection that stands.
#[derive(Clone, Debug)]
pub(crate) struct Broker {
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) commands: mpsc::Sender<Option<Command>>,
}

/// What a camera tells over MQTT only.
#[derive(Clone, Debug, Default)]
pub(crate) struct SdCard {
    pub(crate) state: Option<i64>,
    pub(crate) capacity: Option<i64>,
    pub(crate) free: Option<i64>,
}

/// How often a standing connection may be replaced in [`CLASH_WITHIN`]: a camera that was switched off and on does
/// it once.
const CLASHES: usize = 3;

/// See [`CLASHES`].
pub(crate) const CLASH_WITHIN: Duration = Duration::from_secs(60);

/// All that is known of one camera.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) uid: Uid,
    pub(crate) admission: Admission,
    pub(crate) steps: Steps,
    /// Token of the last bootstrap.
    pub(crate) pwd: Option<String>,
    pub(crate) address: Option<IpAddr>,
    /// When anything came from it, for the sweep.
    pub(crate) heard: Option<Instant>,
    pub(crate) heard_at: Option<SystemTime>,
    pub(crate) control: Option<Control>,
    pub(crate) broker: Option<Broker>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) is_live: bool,
    pub(crate) base_info: BaseInfo,
    pub(crate) sd_card: SdCard,
    pub(crate) version: Option<String>,
    pub(crate) last_error: Option<String>,
    pub(crate) registrations: u64,
    /// Registrations from another address while the first connection stood.
    pub(crate) clashes: u64,
    pub(crate) clash_told: Option<Instant>,
    /// When it was replaced while its connection stood, in the last minute.
    pub(crate) replaced: VecDeque<Instant>,
}

impl Camera {
    pub(crate) fn new(uid: Uid, admission: Admission) -> Self {
        Self {
            uid,
            admission,
            steps: Steps::default(),
            pwd: None,
            address: None,
            heard: None,
            heard_at: None,
            control: None,
            broker: None,
            endpoint: None,
            is_live: false,
            base_info: BaseInfo::default(),
            sd_card: SdCard::default(),
            version: None,
            last_error: None,
            registrations: 0,
            clashes: 0,
            clash_told: None,
            replaced: VecDeque::new(),
        }
    }

    pub(crate) fn hear(&mut self) {
        self.heard = Some(Instant::now());
        self.heard_at = Some(SystemTime::now());
    }

    /// Whether the camera that registers from `peer` now is another than the one that holds the code: it comes from
    /// elsewhere, or both come again and again.
    pub(crate) fn is_clash(&mut self, older: &Control, peer: IpAddr) -> bool {
        let now = Instant::now();
        self.replaced.retain(|at| now - *at < CLASH_WITHIN);
        if self.replaced.len() < CLASHES {
            self.replaced.push_back(now);
        }
        older.peer.ip() != peer || self.replaced.len() >= CLASHES
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.control.is_some() || self.broker.is_some()
    }

    pub(crate) fn silent_for(&self) -> Option<Duration> {
        self.heard.map(|heard| heard.elapsed())
    }
}
