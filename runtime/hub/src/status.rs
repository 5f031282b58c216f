use std::time::{Duration, Instant, SystemTime};

/// What the upstream of a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody watches, nothing is sent to the camera.
    Idle,
    /// Somebody watches, the camera has not given a picture yet.
    Connecting,
    /// Media arrives.
    Live,
    /// The last try failed, the next one waits.
    Waiting,
}

impl State {
    /// The word in API and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Waiting => "waiting",
        }
    }
}

/// What the upstream of a stream is doing, since when, and what went wrong last.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Since when, on the monotonic clock.
    pub since: Instant,
    /// Since when, as UTC.
    pub since_wall: SystemTime,
    /// The last failure in words for people; gone once media flows again.
    pub error: Option<String>,
    /// When the next try begins, while waiting.
    pub retry_at: Option<Instant>,
    /// Time from the last start of the upstream to its first picture.
    pub time_to_first_picture: Option<Duration>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: State::Idle,
            since: Instant::now(),
            since_wall: SystemTime::now(),
            error: None,
            retry_at: None,
            time_to_first_picture: None,
        }
    }
}
