//! The configuration file, typed, with errors that help.
//!
//! One YAML file (JSON is YAML too) becomes a [`Config`]. Everything that is wrong in it is reported at
//! once, each with file, line, column, what was expected, and the nearest valid key. The crate reads
//! the file and environment variables and nothing else: it opens no socket and starts nothing.
//!
//! ```
//! let config = config::Config::parse("cameras:\n  porch: rtsp://admin:secret@192.168.1.10/stream1", "eyelet.yaml").unwrap();
//! let porch = config.camera("porch").unwrap();
//! assert_eq!(porch.source.to_string(), "rtsp://admin:***@192.168.1.10/stream1");
//!
//! let error = config::Config::parse("cameras:\n  porch: { sorce: x }", "eyelet.yaml").unwrap_err();
//! assert!(error.to_string().contains(r#"eyelet.yaml:2:12: unknown key "sorce" in cameras.porch; did you mean "source"?"#));
//! ```
#![warn(missing_docs)]

mod duration;
mod environment;
mod keys;
mod names;
mod problem;
mod read;
mod reference;
mod secret;
mod source;
mod tree;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use dialer::Target;
pub use proto_tunnel::AgentName;
use serde::{Serialize, Serializer};

pub use names::CameraName;
pub use problem::{Error, Position, Problem, Problems};
pub use reference::{reference, schema};
pub use secret::Secret;
pub use source::{Credentials, Scheme, Source, SourceError};

/// Largest configuration file. Ten thousand cameras with every key fit.
const MAX_FILE: u64 = 4 << 20;

/// All that a user can set. Two configurations compare equal if they mean the same, which is how a
/// reload finds what changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Folder of the database and keys.
    pub data: PathBuf,
    /// The HTTP listener.
    pub http: Http,
    /// The RTSP listener.
    pub rtsp: Rtsp,
    /// The cloud of A9 cameras, if there is to be one.
    pub a9: Option<A9>,
    /// How JPEG pictures are made of other video.
    pub pixels: Pixels,
    /// What holds for single agents, in the file's order; each name is there once.
    pub agents: Vec<Agent>,
    /// The cameras in the file's order; each name is there once.
    pub cameras: Vec<Camera>,
    /// The forwards in the file's order; each address is there once.
    pub forwards: Vec<Forward>,
}

/// Dashboard, API and agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where agents find this machine from outside.
    #[serde(serialize_with = "as_text_or_null")]
    pub public: Option<Target>,
    /// Where agents come by QUIC.
    pub quic: Quic,
    /// Certificates of the authorities that sign agents' certificates; without it agents need none.
    pub agent_ca: Option<PathBuf>,
}

/// Where agents come by QUIC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Quic {
    /// Where they come by WebSocket, if that UDP port is free.
    #[default]
    Same,
    /// Nowhere.
    Off,
    /// Here.
    #[serde(untagged)]
    At(SocketAddr),
}

/// What holds for one agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Its name.
    #[serde(serialize_with = "as_text")]
    pub name: AgentName,
    /// Most bits a second through it, each way.
    pub limit: Option<Bitrate>,
}

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Bitrate(u64);

impl Bitrate {
    /// As bytes a second.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0 / 8
    }
}

/// The RTSP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rtsp {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Passwords by user; nobody is asked for one if it is empty.
    pub users: BTreeMap<String, Secret>,
    /// Where connections go that ask for none of our cameras.
    pub passthrough: Option<Passthrough>,
}

/// The way through to an agent's camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passthrough {
    /// The agent.
    #[serde(serialize_with = "as_text")]
    pub agent: AgentName,
    /// Host and port as the agent sees them; without it the agent's own choice.
    #[serde(serialize_with = "as_text_or_null")]
    pub target: Option<Target>,
    /// Whether viewers on other machines may take it.
    pub is_for_anyone: bool,
}

/// The cloud of A9 cameras.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct A9 {
    /// Where cameras fetch their configuration.
    pub http: SocketAddr,
    /// Where they register.
    pub tcp: SocketAddr,
    /// Where their media comes in.
    pub udp: SocketAddr,
    /// Where MQTT is answered.
    pub mqtt: Option<SocketAddr>,
    /// Where DNS is answered.
    pub dns: Option<SocketAddr>,
    /// This machine's address as cameras reach it.
    pub host: Option<IpAddr>,
    /// Refuse wrong tokens.
    pub strict_token: bool,
    /// Take media from any address.
    pub any_source: bool,
}

impl Default for A9 {
    fn default() -> Self {
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self {
            http: any(80),
            tcp: any(6123),
            udp: any(6123),
            mqtt: None,
            dns: None,
            host: None,
            strict_token: false,
            any_source: false,
        }
    }
}

/// How JPEG pictures are made of other video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pixels {
    /// Most pictures a thousand seconds: as an integer they compare.
    #[serde(rename = "fps", serialize_with = "as_rate")]
    pub millifps: u32,
    /// Who decodes.
    pub decoder: Decoder,
    /// The ffmpeg program.
    pub ffmpeg: PathBuf,
}

/// Who decodes video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decoder {
    /// Eyelet, and ffmpeg what Eyelet does not take.
    #[default]
    BuiltIn,
    /// ffmpeg.
    Ffmpeg,
}

/// What is shown of a camera that gives nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backup {
    /// Its last still.
    #[default]
    Last,
    /// Nothing.
    None,
    /// The JPEG picture in this file.
    #[serde(untagged)]
    File(PathBuf),
}

/// One camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Camera {
    /// Its name, in URLs and on the dashboard.
    pub name: CameraName,
    /// Where it is. The keys `user` and `password` are already laid over the URL's.
    pub source: Source,
    /// The agent through which it is reached; directly if there is none.
    #[serde(serialize_with = "as_text_or_null")]
    pub via: Option<AgentName>,
    /// How an RTSP camera sends its media.
    pub transport: Transport,
    /// How long the upstream is kept after the last viewer left.
    #[serde(serialize_with = "as_duration_text")]
    pub idle: Duration,
    /// What is shown of it when it gives nothing.
    pub backup: Backup,
    /// Where bare JPEG pictures are given over TCP, if anywhere.
    pub raw: Option<SocketAddr>,
    /// What a silent viewer gets there.
    pub raw_mode: RawMode,
    /// Least time between two pictures of a JPEG camera, if it is set.
    #[serde(serialize_with = "as_duration_text_or_null")]
    pub interval: Option<Duration>,
    /// How long no media may come before the upstream is made anew.
    #[serde(serialize_with = "as_duration_text")]
    pub timeout: Duration,
    /// Its settings, if it has some that can be reached.
    pub control: Option<Control>,
}

/// What a viewer of the raw listener that says nothing gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RawMode {
    /// Pictures until it leaves.
    #[default]
    Continuous,
    /// The newest picture, and then the end.
    Single,
}

/// Where the settings of an ESP32 camera are, and which may be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    /// An `http://` source without a path. The camera's login is laid over it if it has none.
    pub source: Source,
    /// The settings that may be changed.
    pub allow: Vec<String>,
}

/// How an RTSP camera sends its media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Inside the RTSP connection.
    #[default]
    Tcp,
    /// In datagrams.
    Udp,
}

/// A port of this machine that leads to a port at an agent's site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// Where to listen on this machine.
    pub listen: SocketAddr,
    /// The agent.
    #[serde(serialize_with = "as_text")]
    pub agent: AgentName,
    /// Host and port as the agent sees them.
    #[serde(serialize_with = "as_text")]
    pub target: Target,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: PathBuf::from("./eyelet-data"),
            http: Http {
                listen: local(8080),
                public: None,
                quic: Quic::Same,
                agent_ca: None,
            },
            rtsp: Rtsp {
                listen: local(8554),
                users: BTreeMap::new(),
                passthrough: None,
            },
            a9: None,
            pixels: Pixels {
                millifps: 5_000,
                decoder: Decoder::BuiltIn,
                ffmpeg: PathBuf::from("ffmpeg"),
            },
            agents: Vec::new(),
            cameras: Vec::new(),
            forwards: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file, with variables from the process's environment.
    ///
    /// # Errors
    /// The file cannot be read, or all that is wrong in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::parse(&read_file(path)?, &path.display().to_string())
    }

    /// Reads only these sections of a file, the rest is as if it were left out: what is wrong
    /// there, and variables that are not set, concern others.
    ///
    /// # Errors
    /// The file cannot be read, or all that is wrong in these sections.
    pub fn load_sections(path: impl AsRef<Path>, sections: &[&str]) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::parse_sections(
            &read_file(path)?,
            &path.display().to_string(),
            |variable| std::env::var(variable).ok(),
            |key| sections.contains(&key),
        )
    }

    /// Reads a text, with variables from the process's environment. `name` stands in messages where
    /// a file's name would.
    ///
    /// # Errors
    /// All that is wrong in it.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        Self::parse_with(text, name, |variable| std::env::var(variable).ok())
    }

    /// Reads a text, with variables from `environment`.
    ///
    /// # Errors
    /// All that is wrong in it.
    pub fn parse_with(
        text: &str,
        name: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        Self::parse_sections(text, name, environment, |_| true)
    }

    fn parse_sections(
        text: &str,
        name: &str,
        environment: impl Fn(&str) -> Option<String>,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, Error> {
        let mut reader = read::Reader {
            file: name.to_owned(),
            problems: Vec::new(),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config = Self::default();
        match tree::read(text) {
            Ok(None) => {}
            Ok(Some(mut root)) => {
                if let tree::Value::Map(entries) = &mut root.value {
                    entries.retain(|entry| is_wanted(&entry.key));
                }
                tree::each_scalar(&mut root, &mut |at, text| {
                    environment::expand(text, &environment)
                        .map_err(|message| reader.problem(at, message))
                        .ok()
                });
                config = reader.config(&root);
            }
            Err((at, message)) => reader.problem(at, message),
        }
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(Error::Invalid(Problems::new(reader.problems)))
        }
    }

    /// The camera of that name.
    #[must_use]
    pub fn camera(&self, name: &str) -> Option<&Camera> {
        self.cameras
            .iter()
            .find(|camera| camera.name.as_str() == name)
    }

    /// What is allowed but may surprise, in plain words; one sentence or two each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let is_wide = |address: &SocketAddr| !address.ip().is_loopback();
        if is_wide(&self.http.listen) {
            warnings.push(format!(
                "http listens on {}: there are no accounts yet, so anyone who can reach it sees every camera. Let a firewall or a reverse proxy with a login stand before it.",
                self.http.listen
            ));
        }
        if is_wide(&self.rtsp.listen) && self.rtsp.users.is_empty() {
            warnings.push(format!(
                "rtsp listens on {} and asks for no password: anyone who can reach it can watch every camera. Name users under rtsp.users.",
                self.rtsp.listen
            ));
        }
        for camera in &self.cameras {
            if let Some(raw) = camera.raw.as_ref().filter(|raw| is_wide(raw)) {
                warnings.push(format!(
                    "the raw pictures of camera {} are given on {raw} without a password: anyone who can reach it can watch.",
                    camera.name
                ));
            }
            let Some(address) = camera.awaited_at().filter(is_wide) else {
                continue;
            };
            let has_password =
                camera.source.scheme.has_password_alone() && camera.source.credentials.is_some();
            if !has_password && !camera.source.path.contains("from=") {
                warnings.push(format!(
                    "camera {} is awaited on {address}: anyone who can reach that port can send pictures in its place. ?from=ADDRESS in its source admits one address only.",
                    camera.name
                ));
            }
        }
        if let Some(way) = &self.rtsp.passthrough
            && way.is_for_anyone
            && is_wide(&self.rtsp.listen)
        {
            warnings.push(format!(
                "rtsp on {} leads to the camera of agent {} for anyone who can reach it; only the camera's own login protects it.",
                self.rtsp.listen, way.agent
            ));
        }
        if let Some(a9) = &self.a9
            && a9.tcp.port() != a9.udp.port()
        {
            warnings.push(format!(
                "a9.udp has port {} and a9.tcp port {}: a camera that is not told the UDP port falls back to the number of the TCP port, and gives no pictures then.",
                a9.udp.port(),
                a9.tcp.port()
            ));
        }
        for forward in self
            .forwards
            .iter()
            .filter(|forward| is_wide(&forward.listen))
        {
            warnings.push(format!(
                "the forward on {} leads to {} behind agent {} for anyone who can reach it; only the camera's own login protects it.",
                forward.listen, forward.target, forward.agent
            ));
        }
        warnings
    }
}

impl Control {
    /// The settings that may be changed if nothing is said: those of the picture and its light. What
    /// restarts the camera, or writes or clears its memory, must be named.
    pub const ALLOW: &[&str] = &[
        "framesize",
        "quality",
        "brightness",
        "contrast",
        "saturation",
        "sharpness",
        "special_effect",
        "wb_mode",
        "awb",
        "awb_gain",
        "aec",
        "aec2",
        "ae_level",
        "aec_value",
        "agc",
        "agc_gain",
        "gainceiling",
        "bpc",
        "wpc",
        "raw_gma",
        "lenc",
        "hmirror",
        "vflip",
        "dcw",
        "colorbar",
        "led_intensity",
        "lamp",
        "rotate",
        "min_frame_time",
    ];
}

/// The text of a configuration file, for [`Config::parse`]; for who looks at it before.
///
/// # Errors
/// The file cannot be read, is far too large, or is no text.
pub fn read_file(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE,
        });
    }
    String::from_utf8(text).map_err(|_| unreadable(std::io::Error::other("it is not UTF-8 text")))
}

impl Camera {
    /// How long the upstream is kept after the last viewer left, if nothing is said.
    pub const IDLE: Duration = Duration::from_secs(10);

    /// How long no media may come before the upstream is made anew, if nothing is said.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    /// Where it is awaited, if it comes to this machine by itself.
    #[must_use]
    pub fn awaited_at(&self) -> Option<SocketAddr> {
        self.source.awaited_at()
    }
}

impl Transport {
    /// The word in the file: `tcp` or `udp`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_text_or_null<S: Serializer>(
    value: &Option<impl Display>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value
        .as_ref()
        .map(ToString::to_string)
        .serialize(serializer)
}

fn as_duration_text_or_null<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(duration::format).serialize(serializer)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_rate<S: Serializer>(millifps: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(f64::from(*millifps) / 1_000.0)
}

fn as_duration_text<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration::format(*duration))
}
