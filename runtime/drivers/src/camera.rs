use std::fmt;
use std::time::Duration;

use hub::StreamName;
use url::Url;

/// How media travels, where the protocol leaves a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Inside the control connection.
    #[default]
    Tcp,
    /// As datagrams of its own.
    Udp,
}

/// A configured camera, as its driver needs it.
#[derive(Clone)]
pub struct Camera {
    /// The camera's stream in the hub.
    pub name: StreamName,
    /// Where it is, without login.
    pub url: Url,
    /// The login's name, if the camera wants one.
    pub user: Option<String>,
    /// The login's password.
    pub password: Option<String>,
    /// How media shall travel.
    pub transport: Transport,
    /// How long the upstream stays after its last reader left.
    pub idle: Duration,
    /// Least time between two pictures of a JPEG camera; its driver's own pace if none is set.
    pub interval: Option<Duration>,
    /// Silence of the media after which the upstream counts as dead.
    pub timeout: Duration,
}

impl Camera {
    /// Silence of the media that ends a session, if nothing is said. Cameras send pictures at least
    /// once a second; a slower one would not be told from a dead one by anybody who looks at it.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// How long media may be away: a camera that is asked for one picture a minute is not dead.
    pub(crate) fn patience(&self) -> Duration {
        match self.interval {
            Some(interval) => self.timeout.max(interval * 2 + Self::TIMEOUT),
            None => self.timeout,
        }
    }
}

impl fmt::Debug for Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Camera")
            .field("name", &self.name)
            .field("url", &self.url.as_str())
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("transport", &self.transport)
            .field("idle", &self.idle)
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish()
    }
}
