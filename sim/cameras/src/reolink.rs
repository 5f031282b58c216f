//! A camera that speaks Baichuan, over TCP and over UDP: one on mains, one on a battery, a recorder.

mod answers;
mod clips;
mod conversation;
mod servers;
mod state;
mod tcp;
mod udp;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto_baichuan::{AlarmEvent, Encryption, Notice};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

use self::state::{Counters, State};
use crate::Fault;
use crate::rtsp::seed;

pub use proto_baichuan::Encryption as ReolinkEncryption;
pub use servers::ReolinkServers;
pub use state::ReolinkCounters;

/// Notices that wait for slow sessions; who is further behind than this misses some, as on a device.
const MAX_NOTICES: usize = 64;

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReolinkModel {
    /// On mains: TCP and UDP, always awake.
    Mains,
    /// On a battery: sleeps when nobody is here, and then answers nothing but hellos.
    Battery,
    /// A recorder with so many cameras; those with odd numbers are H.265.
    Recorder {
        /// At least 1.
        channels: u8,
    },
}

/// How the main stream is coded; the sub stream is always H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReolinkVideo {
    /// AVC.
    H264,
    /// HEVC.
    H265,
}

/// How sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReolinkAudio {
    /// As most cameras.
    Aac,
    /// As old ones, 8 kHz.
    Adpcm,
    /// No microphone.
    None,
}

/// What a simulated camera is.
#[derive(Clone, Debug)]
pub struct ReolinkConfig {
    /// Which kind.
    pub model: ReolinkModel,
    /// Its UID, 16 characters.
    pub uid: String,
    /// The one account.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The strongest encryption that it offers.
    pub encryption: Encryption,
    /// Bytes at the start of each media message under AES, if that encryption has it.
    pub encrypt_len: Option<u32>,
    /// The main stream's codec.
    pub video: ReolinkVideo,
    /// The sound's codec.
    pub audio: ReolinkAudio,
    /// A battery camera falls asleep so long after its last client went.
    pub asleep_after: Duration,
    /// A battery camera takes so long from the hello that wakes it until it answers.
    pub boot: Duration,
    /// A person walks by so often, for five seconds.
    pub walks: Option<Duration>,
    /// An H.264 main stream is filled up to this rate; nothing is added without.
    pub bits_per_second: Option<u32>,
}

impl Default for ReolinkConfig {
    fn default() -> Self {
        Self {
            model: ReolinkModel::Mains,
            uid: "95270000ABCDEFGH".to_owned(),
            user: "admin".to_owned(),
            password: "demo".to_owned(),
            encryption: Encryption::Aes,
            encrypt_len: None,
            video: ReolinkVideo::H264,
            audio: ReolinkAudio::Aac,
            asleep_after: Duration::from_secs(10),
            boot: Duration::from_millis(500),
            walks: None,
            bits_per_second: None,
        }
    }
}

/// A simulated Reolink camera. Clones are the same camera.
#[derive(Clone, Debug)]
pub struct ReolinkCamera {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ReolinkConfig,
    epoch: Instant,
    seed: [u8; 32],
    state: State,
    counters: Counters,
    notices: broadcast::Sender<Notice>,
    fault: watch::Sender<Option<Fault>>,
    /// Goes up when all connections are to be cut.
    cuts: watch::Sender<u64>,
    /// The motion sensor of a sleeping camera.
    motion: Notify,
}

impl ReolinkCamera {
    /// A camera as described, switched on at this moment.
    #[must_use]
    pub fn new(config: ReolinkConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: State::new(&config),
                epoch: Instant::now(),
                seed: seed(),
                counters: Counters::default(),
                notices: broadcast::Sender::new(MAX_NOTICES),
                fault: watch::Sender::new(None),
                cuts: watch::Sender::new(0),
                motion: Notify::new(),
                config,
            }),
        }
    }

    /// Lets the camera misbehave from here on, or no longer.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.fault.send_replace(fault);
    }

    /// Cuts every connection, once.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Something happens before the camera: told to every session that asked for alarms. A sleeping camera wakes.
    pub fn alarm(&self, alarm: AlarmEvent) {
        let is_alarm = !alarm.kinds().is_empty();
        self.shared.state.set_alarm(alarm.clone());
        self.shared.tell(Notice::Alarm(alarm));
        if is_alarm {
            self.shared.motion.notify_waiters();
        }
    }

    /// Changes the battery's charge, and tells.
    pub fn set_battery_percent(&self, percent: u8) {
        let battery = self.shared.state.set_battery_percent(percent);
        self.shared.tell(Notice::Battery(battery));
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> ReolinkCounters {
        self.shared.counters.read()
    }

    /// What was said through its speaker last, 16 kHz, at most ten seconds.
    #[must_use]
    pub fn heard(&self) -> Vec<i16> {
        self.shared.state.heard()
    }

    /// The address to watch it at, login included, if it listens at `address`.
    #[must_use]
    pub fn url(&self, address: impl std::fmt::Display) -> String {
        let ReolinkConfig { user, password, .. } = &self.shared.config;
        format!("reolink://{user}:{password}@{address}")
    }

    /// Its UID.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.shared.config.uid
    }

    /// Lets a person walk by as often as the configuration says. Ends only by being dropped.
    pub async fn live(self) -> io::Result<()> {
        let Some(every) = self.shared.config.walks else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(every).await;
            self.alarm(AlarmEvent {
                status: vec!["MD".to_owned()],
                ai: vec!["people".to_owned()],
                ..AlarmEvent::default()
            });
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.alarm(AlarmEvent::default());
        }
    }
}

impl Shared {
    /// Nobody may be listening, which is no harm.
    fn tell(&self, notice: Notice) {
        drop(self.notices.send(notice));
    }

    fn channels(&self) -> u8 {
        match self.config.model {
            ReolinkModel::Mains | ReolinkModel::Battery => 1,
            ReolinkModel::Recorder { channels } => channels.max(1),
        }
    }
}
