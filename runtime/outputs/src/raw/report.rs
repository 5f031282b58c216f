use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hub::{Event, State, Stream};
use serde_json::{Value, json};

/// How one camera's stream has done so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Since the program began to serve it.
    pub uptime: Duration,
    /// Pictures from the camera.
    pub pictures: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Pictures a second over the last seconds; 0 while nothing arrives.
    pub fps: f64,
    /// Viewers at this moment, over all outputs.
    pub viewers: u64,
    /// Pictures that slow viewers missed.
    pub dropped: u64,
    /// Sessions with the camera that ended with an error, by reason.
    pub reconnects: BTreeMap<&'static str, u64>,
    /// How old the newest picture is.
    pub age: Option<Duration>,
    /// Live, stale, or what the upstream is doing.
    pub state: &'static str,
}

impl Report {
    /// The report on `stream` at this moment.
    #[must_use]
    pub fn of(stream: &Stream, started: Instant) -> Self {
        let statistics = stream.statistics();
        let age = match stream.ring().newest_keyframe().as_deref() {
            Some(Event::AccessUnit(unit, _)) => Some(unit.received.elapsed()),
            Some(Event::Tracks(_)) | None => None,
        };
        let state = stream.status().state;
        let is_stale = age.is_some_and(|age| age >= crate::mjpeg::STALE);
        let outputs = statistics.outputs.values();
        Self {
            uptime: started.elapsed(),
            pictures: statistics.access_units,
            bytes: statistics.bytes,
            fps: statistics.fps,
            viewers: outputs.clone().map(|output| output.viewers).sum(),
            dropped: outputs.map(|output| output.dropped).sum(),
            reconnects: statistics.reconnects,
            age,
            state: match (state, is_stale) {
                (State::Live, true) => "stale",
                _ => state.name(),
            },
        }
    }

    /// Pictures a second since the start.
    #[must_use]
    pub fn mean_fps(&self) -> f64 {
        self.pictures as f64 / self.uptime.as_secs_f64().max(1e-3)
    }

    /// Bytes of a picture.
    #[must_use]
    pub fn mean_bytes(&self) -> u64 {
        self.bytes.checked_div(self.pictures).unwrap_or(0)
    }

    /// The report for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let rounded = |number: f64| (number * 100.0).round() / 100.0;
        json!({
            "state": self.state,
            "uptime_seconds": self.uptime.as_secs(),
            "pictures": self.pictures,
            "bytes": self.bytes,
            "fps": rounded(self.fps),
            "mean_fps": rounded(self.mean_fps()),
            "mean_picture_bytes": self.mean_bytes(),
            "viewers": self.viewers,
            "dropped": self.dropped,
            "reconnects": self.reconnects,
            "newest_picture_age_seconds": self.age.map(|age| rounded(age.as_secs_f64())),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, up {:.1} min: {} pictures, {:.1} MB, {:.1} a second now and {:.1} on average, {:.1} kB each; {} viewers, {} pictures skipped, {} reconnects",
            self.state,
            self.uptime.as_secs_f64() / 60.0,
            self.pictures,
            self.bytes as f64 / 1e6,
            self.fps,
            self.mean_fps(),
            self.mean_bytes() as f64 / 1e3,
            self.viewers,
            self.dropped,
            self.reconnects.values().sum::<u64>(),
        )?;
        match self.age {
            Some(age) => write!(f, "; newest picture {:.1} s old", age.as_secs_f64()),
            None => write!(f, "; no picture yet"),
        }
    }
}
