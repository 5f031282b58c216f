use std::net::{IpAddr, SocketAddr};

/// Where the cloud listens, and what it tells cameras. What of it stands by itself is told by the configuration alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The HTTP bootstrap. Cameras ask port 80.
    pub http: SocketAddr,
    /// Control connections.
    pub tcp: SocketAddr,
    /// Media. Cameras fall back to TCP's port number, so it should be the same.
    pub udp: SocketAddr,
    /// The broker's part, for firmware that insists on it. Cameras ask port 1883.
    pub mqtt: Option<SocketAddr>,
    /// Answers for the vendor's names, for networks whose router cannot give them. Cameras ask port 53.
    pub dns: Option<SocketAddr>,
    /// Our address as cameras reach it; `None` for the one that their request came to.
    pub host: Option<IpAddr>,
    /// Refuse a camera whose token is not the one that it was given over HTTP.
    pub strict_token: bool,
    /// Take media from other addresses than the control connection's, for networks that route UDP elsewhere.
    pub any_source: bool,
}
