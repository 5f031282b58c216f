//! What the camera remembers, and what it counts.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proto_baichuan::{
    AdpcmState, AlarmEvent, Battery, CameraTime, FloodlightTask, Infrared, Led, NibbleOrder, Pir,
    Preset, Range, ZoomFocus,
};

use super::{ReolinkConfig, ReolinkModel};

/// Ten seconds of what was said through the speaker.
const MAX_HEARD: usize = 160_000;
/// Presets of a camera (section 7.8).
const MAX_PRESETS: usize = 64;

/// What can be set, for all channels at once: a simulated recorder's cameras do everything together.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) led: Led,
    pub(super) pir: Pir,
    pub(super) light: FloodlightTask,
    pub(super) is_light_on: bool,
    pub(super) is_siren_on: bool,
    pub(super) is_asleep: bool,
    pub(super) is_talking: bool,
    pub(super) presets: Vec<Preset>,
    pub(super) zoom: ZoomFocus,
    pub(super) battery: Battery,
    pub(super) alarm: AlarmEvent,
    /// The time that somebody set, and when.
    pub(super) time: Option<(CameraTime, tokio::time::Instant)>,
    heard: VecDeque<i16>,
}

impl State {
    pub(super) fn new(config: &ReolinkConfig) -> Self {
        let range = |current| Range {
            min: 0,
            max: 32,
            current,
        };
        let is_battery = config.model == ReolinkModel::Battery;
        Self {
            inner: Mutex::new(Inner {
                led: Led::new(0, Infrared::Auto, true),
                pir: Pir::new(0, true),
                light: FloodlightTask::new(0, 60),
                is_light_on: false,
                is_siren_on: false,
                is_asleep: false,
                is_talking: false,
                presets: vec![Preset {
                    id: 0,
                    name: "door".to_owned(),
                }],
                zoom: ZoomFocus {
                    channel: 0,
                    zoom: Some(range(0)),
                    focus: Some(range(7)),
                },
                battery: Battery {
                    channel: 0,
                    percent: if is_battery { 87 } else { 100 },
                    charge_status: "none".to_owned(),
                    adapter_status: "none".to_owned(),
                    millivolts: Some(4012),
                    milliamperes: Some(-120),
                    celsius: Some(19),
                    is_low: false,
                },
                alarm: AlarmEvent::default(),
                time: None,
                heard: VecDeque::new(),
            }),
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.inner.lock().unwrap_or_else(|e| e.into_inner()))
    }

    pub(super) fn set_alarm(&self, alarm: AlarmEvent) {
        self.change(|inner| inner.alarm = alarm);
    }

    pub(super) fn set_battery_percent(&self, percent: u8) -> Battery {
        self.change(|inner| {
            inner.battery.percent = percent.min(100);
            inner.battery.is_low = percent < 10;
            inner.battery.clone()
        })
    }

    pub(super) fn heard(&self) -> Vec<i16> {
        self.change(|inner| inner.heard.iter().copied().collect())
    }
}

impl Inner {
    pub(super) fn save_preset(&mut self, preset: Preset) {
        self.presets.retain(|known| known.id != preset.id);
        if self.presets.len() < MAX_PRESETS {
            self.presets.push(preset);
        }
        self.presets.sort_by_key(|preset| preset.id);
    }

    /// Clients do not agree which half of a byte comes first: the smoother sound is meant.
    pub(super) fn hear(&mut self, block: &[u8]) {
        let decode = |order| AdpcmState::decode(block, order).map(|(samples, _)| samples);
        let roughness = |samples: &[i16]| -> i64 {
            let steps = samples.windows(2);
            steps
                .map(|pair| (i64::from(pair[1]) - i64::from(pair[0])).abs())
                .sum()
        };
        let sounds = [NibbleOrder::HighFirst, NibbleOrder::LowFirst].map(decode);
        let smoothest = sounds
            .into_iter()
            .flatten()
            .min_by_key(|samples| roughness(samples));
        self.heard.extend(smoothest.unwrap_or_default());
        let surplus = self.heard.len().saturating_sub(MAX_HEARD);
        self.heard.drain(..surplus);
    }
}

/// What happened to a camera so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReolinkCounters {
    /// Datagrams that reached it, awake or asleep.
    pub datagrams: u64,
    /// TCP connections.
    pub connections: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed.
    pub failed_logins: u64,
    /// Streams that run at this moment.
    pub streams: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Times that it was woken over the network.
    pub wakes: u64,
    /// Times that it fell asleep.
    pub sleeps: u64,
    /// Moves, presets, reboots and the like that were carried out.
    pub orders: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) datagrams: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) logins: AtomicU64,
    pub(super) failed_logins: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) snapshots: AtomicU64,
    pub(super) wakes: AtomicU64,
    pub(super) sleeps: AtomicU64,
    pub(super) orders: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self) -> ReolinkCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReolinkCounters {
            datagrams: read(&self.datagrams),
            connections: read(&self.connections),
            logins: read(&self.logins),
            failed_logins: read(&self.failed_logins),
            streams: read(&self.streams),
            snapshots: read(&self.snapshots),
            wakes: read(&self.wakes),
            sleeps: read(&self.sleeps),
            orders: read(&self.orders),
        }
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
