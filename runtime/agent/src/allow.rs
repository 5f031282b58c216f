use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use dialer::{ParseTargetError, Target};

use crate::site::Site;

/// Port of RTSP.
const RTSP: u16 = 554;

/// Ports at which Reolink cameras wait for a hello.
const HELLO_PORTS: [u16; 2] = [2015, 2018];

/// What datagrams begin with in a list.
const UDP: &str = "udp:";

/// Something that the gateway may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// TCP connections to `HOST:PORT`.
    Connections(Target),
    /// Datagrams, `udp:…`.
    Datagrams(DatagramRule),
}

/// Whither datagrams may go first; whoever answers may then be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatagramRule {
    /// `udp:ADDRESS`, or `udp:ADDRESS:PORT` where a camera waits for hellos at a port of its own.
    Camera(Ipv4Addr, Option<u16>),
    /// `udp:broadcast`: hellos to every camera in the agent's own networks.
    Broadcast,
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(target) => target.fmt(f),
            Self::Datagrams(DatagramRule::Camera(address, None)) => write!(f, "{UDP}{address}"),
            Self::Datagrams(DatagramRule::Camera(address, Some(port))) => {
                write!(f, "{UDP}{address}:{port}")
            }
            Self::Datagrams(DatagramRule::Broadcast) => write!(f, "{UDP}broadcast"),
        }
    }
}

/// Why a text is nothing that can be allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAllowedError {
    /// It is no target.
    #[error(transparent)]
    Target(#[from] ParseTargetError),
    /// It begins like datagrams and goes on otherwise.
    #[error(
        "{0:?} allows no datagrams: expected udp:broadcast, udp:ADDRESS or udp:ADDRESS:PORT with an IPv4 address"
    )]
    Datagrams(String),
}

impl FromStr for Allowed {
    type Err = ParseAllowedError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(rule) = text.strip_prefix(UDP) else {
            return Ok(Self::Connections(text.parse()?));
        };
        let bad = || ParseAllowedError::Datagrams(text.to_owned());
        if rule == "broadcast" {
            return Ok(Self::Datagrams(DatagramRule::Broadcast));
        }
        let (address, port) = match rule.split_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (rule, None),
        };
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0));
        match port {
            _ if address.is_broadcast() => Err(bad()),
            Some(None) => Err(bad()),
            port => Ok(Self::Datagrams(DatagramRule::Camera(
                address,
                port.flatten(),
            ))),
        }
    }
}

/// What the gateway may have. Decided at the site: a stolen gateway cannot look around there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowList {
    targets: Vec<Target>,
    datagrams: Vec<DatagramRule>,
}

impl Default for AllowList {
    /// RTSP on this machine's loopback.
    fn default() -> Self {
        Self::new(
            ["127.0.0.1", "localhost", "::1"]
                .map(|host| Target::new(host, RTSP))
                .to_vec(),
        )
    }
}

impl AllowList {
    /// Connections to exactly these, and no datagrams.
    #[must_use]
    pub fn new(targets: Vec<Target>) -> Self {
        let datagrams = Vec::new();
        Self { targets, datagrams }
    }

    /// Exactly these.
    pub fn of(allowed: impl IntoIterator<Item = Allowed>) -> Self {
        let mut list = Self::new(Vec::new());
        for one in allowed {
            match one {
                Allowed::Connections(target) => list.targets.push(target),
                Allowed::Datagrams(rule) => list.datagrams.push(rule),
            }
        }
        list
    }

    /// Whether `target` is one of them. Names are compared as text, addresses as addresses; nothing is resolved, so
    /// a name that suddenly points elsewhere gets no further than a name that is allowed.
    #[must_use]
    pub fn allows(&self, target: &Target) -> bool {
        self.targets
            .iter()
            .any(|allowed| allowed.port == target.port && same_host(&allowed.host, &target.host))
    }

    /// Whether a datagram may go to `peer` that has sent none itself.
    #[must_use]
    pub fn allows_datagrams(&self, peer: SocketAddr) -> bool {
        self.datagrams.iter().any(|rule| match *rule {
            DatagramRule::Broadcast => {
                peer.ip() == Ipv4Addr::BROADCAST && HELLO_PORTS.contains(&peer.port())
            }
            DatagramRule::Camera(address, Some(port)) => peer == SocketAddr::from((address, port)),
            DatagramRule::Camera(address, None) => {
                peer.ip() == address && HELLO_PORTS.contains(&peer.port())
            }
        })
    }

    /// Whether datagrams of `peer` are taken, and may be answered.
    #[must_use]
    pub(crate) fn hears(&self, peer: IpAddr, site: &Site) -> bool {
        let IpAddr::V4(peer) = peer else {
            return false;
        };
        self.datagrams.iter().any(|rule| match *rule {
            DatagramRule::Camera(address, _) => address == peer,
            // A broadcast does not leave the site's networks, so its answers come from there.
            DatagramRule::Broadcast => site.has(peer),
        })
    }

    /// The targets of connections.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter()
    }
}

impl fmt::Display for AllowList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let targets = self.targets.iter().cloned().map(Allowed::Connections);
        let datagrams = self.datagrams.iter().copied().map(Allowed::Datagrams);
        for (at, allowed) in targets.chain(datagrams).enumerate() {
            let blank = if at == 0 { "" } else { " " };
            write!(f, "{blank}{allowed}")?;
        }
        Ok(())
    }
}

fn same_host(a: &str, b: &str) -> bool {
    match (a.parse::<IpAddr>(), b.parse::<IpAddr>()) {
        (Ok(a), Ok(b)) => a == b,
        (Err(_), Err(_)) => a.eq_ignore_ascii_case(b),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &AllowList, host: &str, port: u16) -> bool {
        list.allows(&Target::new(host, port))
    }

    #[test]
    fn by_default_only_rtsp_on_loopback_is_allowed() {
        let list = AllowList::default();
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST",
            "::1",
            "0:0:0:0:0:0:0:1",
        ] {
            assert!(allows(&list, host, 554), "{host}");
        }
        for (host, port) in [
            ("127.0.0.1", 80),
            ("127.0.0.1", 22),
            ("127.0.0.2", 554),
            ("192.168.1.10", 554),
            ("0.0.0.0", 554),
            ("::", 554),
            ("::ffff:127.0.0.1", 554),
            ("localhost.", 554),
            ("0177.0.0.1", 554),
            ("2130706433", 554),
            ("127.1", 554),
            ("", 554),
        ] {
            assert!(!allows(&list, host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_list_of_ones_own_replaces_the_default() {
        let list = AllowList::new(vec![
            "cam.lan:8554".parse().unwrap(),
            "[fd00::5]:554".parse().unwrap(),
        ]);
        assert!(allows(&list, "CAM.lan", 8554));
        assert!(allows(&list, "fd00:0::5", 554));
        assert!(!allows(&list, "127.0.0.1", 554));
    }

    fn list(text: &str) -> AllowList {
        AllowList::of(text.split(' ').map(|one| one.parse::<Allowed>().unwrap()))
    }

    #[test]
    fn datagrams_go_to_hello_ports_of_what_is_named_and_nowhere_else() {
        let text = "cam.lan:554 udp:192.168.1.44 udp:192.168.1.45:3000";
        let list = list(text);
        assert_eq!(list.to_string(), text);
        let allows = |peer: &str| list.allows_datagrams(peer.parse().unwrap());
        assert!(allows("192.168.1.44:2015") && allows("192.168.1.44:2018"));
        assert!(allows("192.168.1.45:3000"));
        for peer in [
            "192.168.1.44:53",
            "192.168.1.45:2015",
            "192.168.1.46:2015",
            "255.255.255.255:2015",
            "192.168.1.255:2015",
            "[::ffff:192.168.1.44]:2015",
        ] {
            assert!(!allows(peer), "{peer}");
        }
        let site = Site::default();
        assert!(list.hears("192.168.1.45".parse().unwrap(), &site));
        assert!(!list.hears("192.168.1.46".parse().unwrap(), &site));
        let none = AllowList::default();
        assert!(!none.allows_datagrams("127.0.0.1:2015".parse().unwrap()));
        assert!(!none.hears("127.0.0.1".parse().unwrap(), &site));
    }

    #[test]
    fn a_broadcast_is_answered_from_the_site_only() {
        let list = list("udp:broadcast");
        let allows = |peer: &str| list.allows_datagrams(peer.parse().unwrap());
        assert!(allows("255.255.255.255:2015") && allows("255.255.255.255:2018"));
        assert!(!allows("255.255.255.255:1900") && !allows("192.168.1.44:2015"));
        let site = Site::default();
        assert!(list.hears("127.0.0.1".parse().unwrap(), &site));
        let private =
            ["10.255.77.1", "172.31.253.9", "192.168.253.9"].map(|it| it.parse().unwrap());
        let is_elsewhere = |it: &Ipv4Addr| !dialer::subnets().iter().any(|here| here.contains(*it));
        for elsewhere in private.into_iter().filter(is_elsewhere) {
            assert!(!list.hears(elsewhere.into(), &site), "{elsewhere}");
        }
        for stranger in ["203.0.113.9", "::1"] {
            assert!(!list.hears(stranger.parse().unwrap(), &site), "{stranger}");
        }
    }

    #[test]
    fn what_allows_nothing_is_refused_with_what_is_expected() {
        for text in [
            "udp:",
            "udp:camera",
            "udp:1.2.3.4:0",
            "udp:255.255.255.255",
            "udp:::1",
        ] {
            let error = text.parse::<Allowed>().unwrap_err().to_string();
            assert!(error.contains("udp:broadcast"), "{text}: {error}");
        }
    }
}
