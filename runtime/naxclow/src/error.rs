use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use proto_naxclow::LiveFailure;

/// What does not work, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A port is not to be had.
    #[error("the A9 cloud cannot listen on {address} for {what} (`{key}`): {source}{}", hint(*.address, .source))]
    Listen {
        /// What it is for.
        what: &'static str,
        /// The key that names another.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A text that is no device code.
    #[error(
        "{0:?} is no device code: it has 8 to 32 letters and digits, and stands in the camera's network name after `Nax_`"
    )]
    Uid(String),
    /// A camera that has never come.
    #[error("no camera {0} has come here yet: `eyelet a9 doctor` tells what to look at")]
    Unknown(String),
    /// A camera that is away.
    #[error("camera {uid} is not connected{}: `eyelet a9 doctor` tells how far it came", .ago.map(|ago| format!("; it was last heard {} s ago", ago.as_secs())).unwrap_or_default())]
    Away {
        /// Which.
        uid: String,
        /// Since when.
        ago: Option<Duration>,
    },
    /// A camera that only speaks MQTT.
    #[error(
        "camera {0} only came over MQTT: this firmware never asks for the control port, and nobody knows how it sends pictures"
    )]
    OnlyMqtt(String),
    /// A camera that did not answer.
    #[error("camera {0} did not answer the command")]
    NoAnswer(String),
    /// No pictures came about.
    #[error("camera {uid}: {failure}")]
    Live {
        /// Which.
        uid: String,
        /// How far it came.
        failure: LiveFailure,
    },
    /// Too much at once.
    #[error("camera {0} is busy with other commands: try again")]
    Busy(String),
    /// A command that cannot be read.
    #[error("{0}")]
    Order(String),
    /// A name for a camera that cannot be one.
    #[error("{0}")]
    Name(String),
    /// The state file.
    #[error("the camera could not be written down: {0}")]
    Store(#[from] store::Error),
    /// A camera in access-point mode.
    #[error("{0}")]
    AccessPoint(String),
}

/// What to do about a port.
fn hint(address: SocketAddr, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::PermissionDenied => format!(
            ". Ports below 1024 are the system's: let systemd give the capability (AmbientCapabilities=CAP_NET_BIND_SERVICE), or run `setcap cap_net_bind_service=+ep` on the program, or lead port {} here by a firewall rule and name another port",
            address.port()
        ),
        io::ErrorKind::AddrInUse => format!(
            ". Another program has port {}: end it, or name one address of this machine instead of all",
            address.port()
        ),
        io::ErrorKind::AddrNotAvailable => {
            ". This machine has no such address; 0.0.0.0 stands for all of them".to_owned()
        }
        _ => String::new(),
    }
}
