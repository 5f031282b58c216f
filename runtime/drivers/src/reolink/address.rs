use std::fmt;
use std::net::{IpAddr, SocketAddr};

use dialer::Target;
use proto_baichuan::bcudp::Method;
use proto_baichuan::{Encryption, NibbleOrder, StreamKind};
use url::Url;

use crate::{Camera, DriverError};

/// The port on which cameras listen unless set otherwise ("media port" in the vendor's app).
const PORT: u16 = 9000;

/// Lengths of a UID; all known ones have 16.
const MIN_UID: usize = 8;
const MAX_UID: usize = 32;

/// Most look-up servers that a source may name.
const MAX_SERVERS: usize = 16;

/// Most wakes a day that can be configured: one each minute.
const MAX_WAKES: u32 = 1_440;

/// What a `reolink://` source says, its query included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) place: Place,
    /// A recorder's channel; 0 is the first, and the only one of most cameras.
    pub(super) channel: u8,
    pub(super) stream: StreamKind,
    /// The most that is offered at login.
    pub(super) encryption: Encryption,
    /// Connections within any 24 hours; no limit if none is given.
    pub(super) wakes_per_day: Option<u32>,
    /// How talk is packed for this camera.
    pub(super) nibbles: NibbleOrder,
}

/// Where the device is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// At a known address, over TCP.
    Tcp(Target),
    /// Somewhere, over UDP.
    Uid(Search),
}

/// How a camera that is known by its UID is found.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Search {
    pub(super) uid: String,
    /// Where it is, if that is known; port 0 stands for the usual ones.
    pub(super) address: Option<SocketAddr>,
    /// Our own UDP port, for firewalls and containers.
    pub(super) port: Option<u16>,
    /// The farthest way that is allowed.
    pub(super) method: Method,
    /// Look-up servers instead of the vendor's.
    pub(super) servers: Vec<String>,
}

/// A UID as it may be shown: who knows all of it can ask the vendor for the camera.
pub(super) fn masked(uid: &str) -> String {
    let shown: String = uid.chars().take(4).collect();
    format!("{shown}…")
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(target) => target.fmt(f),
            Self::Uid(search) => f.write_str(&masked(&search.uid)),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address {
    pub(super) fn of(camera: &Camera) -> Result<Self, DriverError> {
        Self::parse(&camera.url).map_err(DriverError::Configuration)
    }

    fn parse(url: &Url) -> Result<Self, String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if !matches!(url.path(), "" | "/") {
            return Err(format!(
                "a reolink source has no path, found {:?}: channel and stream are written ?channel=0&stream=sub",
                url.path()
            ));
        }
        let place = match url.scheme() {
            "reolink+uid" => Place::Uid(search(host)?),
            _ => Place::Tcp(Target::new(host, url.port().unwrap_or(PORT))),
        };
        let mut address = Self {
            place,
            channel: 0,
            stream: StreamKind::Main,
            encryption: Encryption::FullAes,
            wakes_per_day: None,
            nibbles: NibbleOrder::HighFirst,
        };
        for (key, value) in url.query_pairs() {
            address.set(&key, &value)?;
        }
        Ok(address)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "channel" => self.channel = number(key, value, 255)?,
            "stream" => self.stream = stream(value)?,
            "encryption" => self.encryption = encryption(value)?,
            "wakes_per_day" => self.wakes_per_day = Some(number(key, value, MAX_WAKES)?),
            "talk" => {
                self.nibbles = match value {
                    "high-first" => NibbleOrder::HighFirst,
                    "low-first" => NibbleOrder::LowFirst,
                    _ => return Err(odd(key, value, "high-first or low-first")),
                }
            }
            "address" | "port" | "discovery" | "servers" => match &mut self.place {
                Place::Uid(search) => search.set(key, value)?,
                Place::Tcp(_) => {
                    return Err(format!(
                        "{key} belongs to reolink+uid:// sources; this one has its address already"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "a reolink source has no option {key:?}; it has channel, stream, encryption, wakes_per_day and talk; with a UID also address, port, discovery and servers"
                ));
            }
        }
        Ok(())
    }
}

impl Search {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "address" => {
                let known = value.parse::<SocketAddr>();
                let known = known.or_else(|_| value.parse().map(|ip: IpAddr| (ip, 0).into()));
                self.address = Some(known.map_err(|_| odd(key, value, "an IP address"))?);
            }
            "port" => self.port = Some(number(key, value, 65_535)?),
            "servers" => {
                self.servers = value
                    .split(',')
                    .take(MAX_SERVERS)
                    .map(str::to_owned)
                    .collect();
            }
            _ => {
                self.method = match value {
                    "local" => Method::Local,
                    "remote" => Method::Remote,
                    "relay" => Method::Relay,
                    _ => return Err(odd(key, value, "local, remote or relay")),
                }
            }
        }
        Ok(())
    }
}

/// A search for this UID in our own network.
fn search(uid: &str) -> Result<Search, String> {
    let is_uid = (MIN_UID..=MAX_UID).contains(&uid.len())
        && uid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_uid {
        return Err(format!(
            "expected a UID after reolink+uid://, 16 letters and digits as on the camera's label, found {} characters",
            uid.len()
        ));
    }
    Ok(Search {
        uid: uid.to_ascii_uppercase(),
        address: None,
        port: None,
        method: Method::Local,
        servers: Vec::new(),
    })
}

fn number<T: TryFrom<u32>>(key: &str, value: &str, max: u32) -> Result<T, String> {
    let number = value.parse::<u32>().ok().filter(|number| *number <= max);
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| odd(key, value, &format!("a number from 0 to {max}")))
}

fn stream(value: &str) -> Result<StreamKind, String> {
    match value {
        "main" => Ok(StreamKind::Main),
        "sub" => Ok(StreamKind::Sub),
        "extern" => Ok(StreamKind::Extern),
        _ => Err(odd("stream", value, "main, sub or extern")),
    }
}

fn encryption(value: &str) -> Result<Encryption, String> {
    match value {
        "none" => Ok(Encryption::None),
        "xor" => Ok(Encryption::Xor),
        "aes" => Ok(Encryption::Aes),
        "full" => Ok(Encryption::FullAes),
        _ => Err(odd("encryption", value, "none, xor, aes or full")),
    }
}

fn odd(key: &str, value: &str, expected: &str) -> String {
    format!("{key} of a reolink source: expected {expected}, found {value:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, String> {
        Address::parse(&text.parse().unwrap())
    }

    #[test]
    fn a_bare_address_is_the_main_stream_of_the_first_channel_at_port_9000() {
        let address = parse("reolink://192.168.1.44").unwrap();
        assert_eq!(address.place, Place::Tcp(Target::new("192.168.1.44", 9000)));
        assert_eq!((address.channel, address.stream), (0, StreamKind::Main));
        assert_eq!(address.encryption, Encryption::FullAes);
    }

    #[test]
    fn options_stand_in_the_query() {
        let address =
            parse("reolink://nvr.local:9001?channel=3&stream=sub&encryption=aes&wakes_per_day=20")
                .unwrap();
        assert_eq!(address.place, Place::Tcp(Target::new("nvr.local", 9001)));
        assert_eq!((address.channel, address.stream), (3, StreamKind::Sub));
        assert_eq!(address.encryption, Encryption::Aes);
        assert_eq!(address.wakes_per_day, Some(20));
    }

    #[test]
    fn a_uid_is_searched_at_home_unless_more_is_allowed() {
        let found = |text: &str| match parse(text).unwrap().place {
            Place::Uid(search) => search,
            Place::Tcp(target) => panic!("{target}"),
        };
        let plain = found("reolink+uid://95270000abcdEFGH");
        assert_eq!(
            (plain.uid.as_str(), plain.method),
            ("95270000ABCDEFGH", Method::Local)
        );
        let full =
            found("reolink+uid://95270000ABCDEFGH?address=192.168.1.44&port=51000&discovery=relay");
        assert_eq!(full.address, Some("192.168.1.44:0".parse().unwrap()));
        assert_eq!((full.port, full.method), (Some(51_000), Method::Relay));
        let place = Place::Uid(full);
        assert_eq!(
            format!("{place} {place:?}"),
            "9527… 9527…",
            "a UID is half a secret"
        );
    }

    #[test]
    fn a_mistake_says_what_was_expected() {
        for (url, said) in [
            ("reolink://cam/h264Preview_01_main", "has no path"),
            ("reolink://cam?stream=big", "main, sub or extern"),
            ("reolink://cam?channel=300", "from 0 to 255"),
            ("reolink://cam?chanel=1", "has no option \"chanel\""),
            ("reolink://cam?discovery=relay", "belongs to reolink+uid"),
            ("reolink+uid://cam", "16 letters and digits"),
            (
                "reolink+uid://95270000ABCDEFGH?address=home",
                "an IP address",
            ),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
