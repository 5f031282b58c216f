use std::io;
use std::time::Duration;

/// Why a session with a camera ended; the text says what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// No connection came about.
    #[error("cannot reach {target} {path}: {source}")]
    Unreachable {
        /// The camera's address.
        target: String,
        /// How it was tried: "directly", "via agent shed".
        path: String,
        /// What the network said.
        source: io::Error,
    },
    /// The camera wants another login.
    #[error("the camera refused the login{}: check user and password ({said})", .user.as_ref().map(|user| format!(" of {user:?}")).unwrap_or_default())]
    Login {
        /// The name that was tried.
        user: Option<String>,
        /// The camera's own words.
        said: String,
    },
    /// The camera knows nothing at that path.
    #[error("the camera has no stream at {path:?}: check the path of the source ({said})")]
    NotFound {
        /// Path and query of the source.
        path: String,
        /// The camera's own words.
        said: String,
    },
    /// The camera offers nothing that this program carries.
    #[error("the camera offers nothing that can be carried: {0}")]
    Unsupported(String),
    /// The camera broke its protocol, or refused a request.
    #[error("the camera's answer makes no sense here: {0}")]
    Protocol(String),
    /// The configuration asks for what cannot be.
    #[error("{0}")]
    Configuration(String),
    /// No media came for too long.
    #[error("no picture or sound for {} s, though the connection stands", .0.as_secs())]
    Stalled(Duration),
    /// The camera took too long for an answer.
    #[error("the camera did not answer {step} within {} s", .after.as_secs())]
    TimedOut {
        /// What it was asked.
        step: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// The connection stands, and the camera does not say a word.
    #[error("the camera is silent: {0}")]
    Silent(String),
    /// A camera that connects by itself has not come.
    #[error("no pictures come in on {listen}: {why}")]
    Absent {
        /// Where it is awaited.
        listen: String,
        /// What is known about it.
        why: String,
    },
    /// The camera rests, and shall: nothing was sent to it.
    #[error("the camera is left alone for now: {said}")]
    Resting {
        /// Why.
        said: String,
        /// For how long.
        wait: Duration,
    },
    /// The camera closed the session.
    #[error("the camera ended the session: {0}")]
    Closed(String),
    /// The hub did not take what the driver published.
    #[error("unusable media: {0}")]
    Publish(#[from] hub::PublishError),
}

/// A failure's kind: label of the reconnection counter, and how soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nothing answers there.
    Unreachable,
    /// Wrong user or password.
    Login,
    /// Wrong path.
    NotFound,
    /// Nothing that we carry.
    Unsupported,
    /// Broken or refused protocol.
    Protocol,
    /// Silence.
    Stalled,
    /// Left alone on purpose.
    Resting,
    /// The camera closed.
    Closed,
}

impl Reason {
    /// The label in metrics and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Login => "login",
            Self::NotFound => "not_found",
            Self::Unsupported => "unsupported",
            Self::Protocol => "protocol",
            Self::Stalled => "stalled",
            Self::Resting => "resting",
            Self::Closed => "closed",
        }
    }
}

impl DriverError {
    /// The failure's kind.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } | Self::Absent { .. } => Reason::Unreachable,
            Self::Login { .. } => Reason::Login,
            Self::NotFound { .. } => Reason::NotFound,
            Self::Unsupported(_) | Self::Configuration(_) => Reason::Unsupported,
            Self::Protocol(_) | Self::Publish(_) => Reason::Protocol,
            Self::Stalled(_) | Self::TimedOut { .. } | Self::Silent(_) => Reason::Stalled,
            Self::Resting { .. } => Reason::Resting,
            Self::Closed(_) => Reason::Closed,
        }
    }

    /// How long another try would be in vain, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Resting { wait, .. } => Some(*wait),
            Self::Unreachable { .. }
            | Self::Login { .. }
            | Self::NotFound { .. }
            | Self::Unsupported(_)
            | Self::Protocol(_)
            | Self::Configuration(_)
            | Self::Stalled(_)
            | Self::TimedOut { .. }
            | Self::Silent(_)
            | Self::Absent { .. }
            | Self::Closed(_)
            | Self::Publish(_) => None,
        }
    }
}
