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
            .finish()
    }
}
