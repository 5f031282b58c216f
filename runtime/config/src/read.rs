//! From YAML nodes to [`Config`], collecting every problem on the way.

mod agents;
mod cameras;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use dialer::Target;
use proto_tunnel::AgentName;

use crate::keys::{self, Section};
use crate::names::CameraName;
use crate::problem::{Position, Problem};
use crate::secret::Secret;
use crate::source::Scheme;
use crate::tree::{Entry, Node, Value};
use crate::{
    A9, Camera, Config, Decoder, Forward, Http, Passthrough, Pixels, Quic, RawMode, Rtsp, Transport,
};

/// Bytes of password in the handshake of a camera that pushes over UDP.
const HANDSHAKE_PASSWORD: usize = 8;

/// Longest text from the file that a message quotes.
const MAX_QUOTED: usize = 60;

pub(crate) struct Reader {
    pub(crate) file: String,
    pub(crate) problems: Vec<Problem>,
}

/// The fields of one mapping, by key.
type Fields<'a> = HashMap<&'a str, &'a Node>;

impl Reader {
    pub(crate) fn problem(&mut self, at: Position, message: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.clone(),
            at,
            message: message.into(),
        });
    }

    /// Reads the whole file. The value is only good if no problem was found.
    pub(crate) fn config(&mut self, root: &Node) -> Config {
        let default = Config::default();
        let Some(fields) = self.section(root, "", &keys::ROOT) else {
            return default;
        };
        let config = Config {
            data: fields
                .get("data")
                .and_then(|node| self.text(node, "data"))
                .map_or(default.data, PathBuf::from),
            http: self.http(fields.get("http"), default.http),
            rtsp: self.rtsp(fields.get("rtsp"), default.rtsp),
            a9: fields.get("a9").map(|node| self.a9(node)),
            pixels: self.pixels(fields.get("pixels"), default.pixels),
            agents: self.agents(fields.get("agents")),
            cameras: self.cameras(fields.get("cameras")),
            forwards: self.forwards(fields.get("forwards")),
        };
        self.check_listeners(&config, &fields);
        self.check_a9(&config, &fields);
        config
    }

    fn http(&mut self, node: Option<&&Node>, default: Http) -> Http {
        let Some(fields) = node.and_then(|node| self.section(node, "http", &keys::HTTP)) else {
            return default;
        };
        let listen = fields
            .get("listen")
            .and_then(|node| self.value(node, "http.listen", parse_listen))
            .unwrap_or(default.listen);
        let public = fields.get("public").and_then(|node| {
            self.value(node, "http.public", |text| {
                parse_endpoint(text, listen.port())
            })
        });
        let quic = fields.get("quic");
        let quic = quic.and_then(|node| self.value(node, "http.quic", parse_quic));
        let agent_ca = fields.get("agent_ca");
        let agent_ca = agent_ca.and_then(|node| self.text(node, "http.agent_ca"));
        Http {
            listen,
            public,
            quic: quic.unwrap_or(default.quic),
            agent_ca: agent_ca.map(PathBuf::from),
        }
    }

    fn rtsp(&mut self, node: Option<&&Node>, default: Rtsp) -> Rtsp {
        let Some(fields) = node.and_then(|node| self.section(node, "rtsp", &keys::RTSP)) else {
            return default;
        };
        let listen = fields
            .get("listen")
            .and_then(|node| self.value(node, "rtsp.listen", parse_listen))
            .unwrap_or(default.listen);
        let mut users = BTreeMap::new();
        let entries = fields
            .get("users")
            .map_or(Vec::new(), |node| self.entries(node, "rtsp.users"));
        for entry in entries {
            let path = format!("rtsp.users.{}", quoted(&entry.key));
            if entry.key.is_empty()
                || entry.key.contains(':')
                || entry.key.contains('"')
                || entry.key.chars().any(char::is_control)
            {
                self.problem(entry.key_at, format!("{path} cannot name a user: a login has no ':', '\"' or control character in its user name"));
            }
            if let Some(password) = self.secret(&entry.node, &path) {
                if password.is_empty() {
                    self.problem(entry.node.at, format!("{path}: the password is empty"));
                }
                users.insert(entry.key.clone(), password);
            }
        }
        let passthrough = self.passthrough(&fields);
        Rtsp {
            listen,
            users,
            passthrough,
        }
    }

    fn passthrough(&mut self, fields: &Fields<'_>) -> Option<Passthrough> {
        let value = |key: &str| fields.get(key).map(|node| (*node, format!("rtsp.{key}")));
        let agent = value("passthrough").map(|(node, path)| self.value(node, &path, parse_agent));
        let target = value("passthrough_to")
            .map(|(node, path)| (node.at, self.value(node, &path, parse_target)));
        let from = value("passthrough_from").map(|(node, path)| {
            let is_for_anyone = self.value(node, &path, |text| match text {
                "loopback" => Ok(false),
                "anyone" => Ok(true),
                _ => Err(format!(
                    "expected loopback or anyone, found \"{}\"",
                    quoted(text)
                )),
            });
            (node.at, is_for_anyone)
        });
        if agent.is_none() {
            for (at, key) in [
                (target.as_ref().map(|(at, _)| *at), "passthrough_to"),
                (from.as_ref().map(|(at, _)| *at), "passthrough_from"),
            ] {
                if let Some(at) = at {
                    self.problem(
                        at,
                        format!("rtsp.{key} has no effect without rtsp.passthrough, which names the agent"),
                    );
                }
            }
        }
        Some(Passthrough {
            agent: agent??,
            target: target.and_then(|(_, target)| target),
            is_for_anyone: from.and_then(|(_, anyone)| anyone).unwrap_or(false),
        })
    }

    fn pixels(&mut self, node: Option<&&Node>, default: Pixels) -> Pixels {
        let Some(fields) = node.and_then(|node| self.section(node, "pixels", &keys::PIXELS)) else {
            return default;
        };
        let value = |key: &str, path: &str| fields.get(key).map(|node| (*node, path.to_owned()));
        let (fps, decoder, ffmpeg) = (
            value("fps", "pixels.fps"),
            value("decoder", "pixels.decoder"),
            value("ffmpeg", "pixels.ffmpeg"),
        );
        Pixels {
            millifps: fps
                .and_then(|(node, path)| self.value(node, &path, parse_rate))
                .unwrap_or(default.millifps),
            decoder: decoder
                .and_then(|(node, path)| self.value(node, &path, parse_decoder))
                .unwrap_or(default.decoder),
            ffmpeg: ffmpeg
                .and_then(|(node, path)| self.text(node, &path))
                .map_or(default.ffmpeg, PathBuf::from),
        }
    }

    fn a9(&mut self, node: &Node) -> A9 {
        let default = A9::default();
        let Some(fields) = self.section(node, "a9", &keys::A9) else {
            return default;
        };
        let mut listen = |key: &str| {
            let node = fields.get(key)?;
            self.value(node, &format!("a9.{key}"), parse_listen)
        };
        let (http, tcp, udp) = (listen("http"), listen("tcp"), listen("udp"));
        let (mqtt, dns) = (listen("mqtt"), listen("dns"));
        let mut switch = |key: &str| {
            let node = fields.get(key)?;
            self.value(node, &format!("a9.{key}"), parse_switch)
        };
        let (strict_token, any_source) = (switch("strict_token"), switch("any_source"));
        A9 {
            http: http.unwrap_or(default.http),
            tcp: tcp.unwrap_or(default.tcp),
            // One port number for both, unless somebody asks for two.
            udp: udp.unwrap_or(tcp.unwrap_or(default.udp)),
            mqtt,
            dns,
            host: fields
                .get("host")
                .and_then(|node| self.value(node, "a9.host", parse_address)),
            strict_token: strict_token.unwrap_or(default.strict_token),
            any_source: any_source.unwrap_or(default.any_source),
        }
    }

    /// Cameras that come by themselves need somewhere to come to.
    fn check_a9(&mut self, config: &Config, fields: &Fields<'_>) {
        let mut seen: Vec<(&str, &CameraName)> = Vec::new();
        let mut problems = Vec::new();
        for camera in config
            .cameras
            .iter()
            .filter(|camera| camera.source.scheme == Scheme::A9)
        {
            let (name, code) = (&camera.name, camera.source.target.host.as_str());
            if config.a9.is_none() {
                problems.push((name, format!("cameras.{name}: an a9:// camera comes by itself, and nothing listens for it: add the key a9 (a9: {{}} takes all defaults)")));
            }
            if camera.via.is_some() {
                problems.push((
                    name,
                    format!(
                        "cameras.{name}.via: an a9:// camera comes by itself; no agent can reach it"
                    ),
                ));
            }
            if let Some((_, other)) = seen
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(code))
            {
                problems.push((
                    name,
                    format!("cameras.{name}: device code {code} is cameras.{other} already"),
                ));
            }
            seen.push((code, name));
        }
        let at = |name: &CameraName| match fields.get("cameras").map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .iter()
                .find(|entry| entry.key == name.as_str())
                .map(|entry| entry.key_at),
            _ => None,
        };
        for (name, message) in problems {
            self.problem(at(name).unwrap_or_default(), message);
        }
    }

    fn forwards(&mut self, node: Option<&&Node>) -> Vec<Forward> {
        let items = match node.map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            Some(Value::Scalar(_) | Value::Map(_)) => {
                self.expected(
                    node.expect("it has a value"),
                    "forwards",
                    "a list (lines that begin with \"- \")",
                );
                &[]
            }
            None | Some(Value::Null | Value::Broken) => &[],
        };
        let mut forwards = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("forwards[{index}]");
            forwards.extend(self.forward(item, &path));
        }
        forwards
    }

    fn forward(&mut self, node: &Node, path: &str) -> Option<Forward> {
        let fields = self.section(node, path, &keys::FORWARD)?;
        for key in keys::FORWARD.keys {
            if !fields.contains_key(key.name) {
                self.problem(
                    node.at,
                    format!(
                        "{path} has no {}; a forward needs listen, agent and target",
                        key.name
                    ),
                );
            }
        }
        let value = |key: &str| fields.get(key).map(|node| (*node, format!("{path}.{key}")));
        let listen = value("listen").and_then(|(node, path)| self.value(node, &path, parse_listen));
        let agent = value("agent").and_then(|(node, path)| self.value(node, &path, parse_agent));
        let target = value("target").and_then(|(node, path)| self.value(node, &path, parse_target));
        Some(Forward {
            listen: listen?,
            agent: agent?,
            target: target?,
        })
    }

    /// No two listeners on one port. Port 0 asks the system for a free one and collides with nothing.
    fn check_listeners(&mut self, config: &Config, fields: &Fields<'_>) {
        let inner = |node: Option<&&Node>, key: &str| match node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.iter().find(|e| e.key == key).map(|e| e.node.at),
            _ => None,
        };
        let mut listeners: Vec<(String, SocketAddr, Position)> = Vec::new();
        let mut add = |reader: &mut Self, path: String, address: SocketAddr, at: Position| {
            if let Some((other, _, _)) = listeners
                .iter()
                .find(|(_, other, _)| collide(*other, address))
            {
                reader.problem(at, format!("{path}: {address} is taken by {other} already"));
            }
            listeners.push((path, address, at));
        };
        let http = inner(fields.get("http"), "listen").unwrap_or_default();
        let rtsp = inner(fields.get("rtsp"), "listen").unwrap_or(http);
        add(self, "http.listen".into(), config.http.listen, http);
        add(self, "rtsp.listen".into(), config.rtsp.listen, rtsp);
        if let Some(Value::Map(cameras)) = fields.get("cameras").map(|node| &node.value) {
            for camera in cameras {
                let address = config.camera(&camera.key).and_then(|camera| camera.raw);
                let Value::Map(entries) = &camera.node.value else {
                    continue;
                };
                let entry = entries.iter().find(|entry| entry.key == "raw");
                if let (Some(address), Some(entry)) = (address, entry) {
                    let path = format!("cameras.{}.raw", quoted(&camera.key));
                    add(self, path, address, entry.node.at);
                }
            }
        }
        if let Some(a9) = &config.a9 {
            // UDP has ports of its own.
            let tcp = [
                ("http", Some(a9.http)),
                ("tcp", Some(a9.tcp)),
                ("mqtt", a9.mqtt),
            ];
            for (key, address) in tcp {
                if let Some(address) = address {
                    let at = inner(fields.get("a9"), key).unwrap_or_default();
                    add(self, format!("a9.{key}"), address, at);
                }
            }
        }
        let camera_at = |name: &str| inner(fields.get("cameras"), name).unwrap_or_default();
        let mut awaited: Vec<&Camera> = Vec::new();
        for camera in &config.cameras {
            let Some(address) = camera.awaited_at() else {
                continue;
            };
            let at = camera_at(camera.name.as_str());
            let path = format!("cameras.{}", camera.name);
            let scheme = camera.source.scheme;
            let mut same = awaited.iter().filter(|other| {
                other.source.scheme == scheme && other.awaited_at() == Some(address)
            });
            // Cameras that are told apart by their own addresses share a port.
            match same.clone().find(|other| other.source.path == camera.source.path) {
                Some(other) => self.problem(at, format!(
                    "{path}: camera {} is awaited on {address} already; name each camera's own address with ?from=ADDRESS, or give each a port",
                    other.name
                )),
                None if same.next().is_none() && scheme == Scheme::JpegPush => {
                    add(self, path, address, at);
                }
                None => {}
            }
            awaited.push(camera);
        }
        let Some(Value::List(items)) = fields.get("forwards").map(|node| &node.value) else {
            return;
        };
        for (index, item) in items.iter().enumerate() {
            let Value::Map(entries) = &item.value else {
                continue;
            };
            let Some(entry) = entries.iter().find(|entry| entry.key == "listen") else {
                continue;
            };
            let Value::Scalar(text) = &entry.node.value else {
                continue;
            };
            if let Ok(address) = parse_listen(text) {
                add(
                    self,
                    format!("forwards[{index}].listen"),
                    address,
                    entry.node.at,
                );
            }
        }
    }

    /// The fields of a mapping with fixed keys; unknown ones are reported. `None` if it is no mapping,
    /// which is reported too.
    fn section<'a>(&mut self, node: &'a Node, path: &str, section: &Section) -> Option<Fields<'a>> {
        let mut fields = Fields::new();
        let is_section = matches!(node.value, Value::Map(_) | Value::Null);
        for entry in self.entries(node, path) {
            if section.keys.iter().any(|key| key.name == entry.key) {
                fields.insert(&entry.key, &entry.node);
            } else {
                self.unknown_key(entry, path, section);
            }
        }
        is_section.then_some(fields)
    }

    fn unknown_key(&mut self, entry: &Entry, path: &str, section: &Section) {
        let place = if path.is_empty() {
            String::new()
        } else {
            format!(" in {path}")
        };
        let key = quoted(&entry.key);
        let names = || section.keys.iter().map(|key| key.name);
        let hint = if path.is_empty() && keys::LATER.contains(&entry.key.as_str()) {
            "this release does not have it yet".to_owned()
        } else if entry.key == "<<" {
            "merge keys are not supported; repeat the lines, or use an alias for a whole value"
                .to_owned()
        } else if let Some(near) = nearest(&entry.key, names()) {
            format!("did you mean \"{near}\"?")
        } else {
            format!("valid keys: {}", names().collect::<Vec<_>>().join(", "))
        };
        self.problem(
            entry.key_at,
            format!("unknown key \"{key}\"{place}; {hint}"),
        );
    }

    /// The entries of a mapping; nothing at all is an empty one. A key given twice is reported.
    fn entries<'a>(&mut self, node: &'a Node, path: &str) -> Vec<&'a Entry> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null | Value::Broken => &[],
            Value::Scalar(_) | Value::List(_) => {
                let path = if path.is_empty() { "the file" } else { path };
                self.expected(node, path, "keys and values (lines such as \"key: value\")");
                &[]
            }
        };
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let mut unique = Vec::with_capacity(entries.len());
        for entry in entries {
            if let Some(line) = seen.get(entry.key.as_str()) {
                let place = if path.is_empty() {
                    String::new()
                } else {
                    format!("{path}.")
                };
                let message = format!(
                    "{place}{} is there twice; the first is in line {line}",
                    quoted(&entry.key)
                );
                self.problem(entry.key_at, message);
                continue;
            }
            seen.insert(&entry.key, entry.key_at.line);
            unique.push(entry);
        }
        unique
    }

    fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        self.value(node, path, |text| match text {
            "" => Err("expected text, found an empty one".into()),
            text => Ok(text.to_owned()),
        })
    }

    fn secret(&mut self, node: &Node, path: &str) -> Option<Secret> {
        self.value(node, path, |text| Ok(Secret::new(text)))
    }

    /// Reads a scalar. What `parse` says about it is reported with path and place.
    fn value<T>(
        &mut self,
        node: &Node,
        path: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match &node.value {
            Value::Scalar(text) => match parse(text) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.problem(node.at, format!("{path}: {message}"));
                    None
                }
            },
            Value::Null => {
                self.problem(node.at, format!("{path}: expected a value, found nothing; leave the key out for its default, or write \"\" for an empty text"));
                None
            }
            Value::List(_) | Value::Map(_) => {
                self.expected(node, path, "one value");
                None
            }
            Value::Broken => None,
        }
    }

    fn expected(&mut self, node: &Node, path: &str, what: &str) {
        let found = match &node.value {
            Value::Null | Value::Broken => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "keys and values",
        };
        self.problem(node.at, format!("{path}: expected {what}, found {found}"));
    }
}

/// The word that `text` was meant to be, if one is near enough.
pub(crate) fn nearest<'a>(text: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > MAX_QUOTED {
        return None;
    }
    let text = text.to_ascii_lowercase();
    words
        .map(|word| (strsim::damerau_levenshtein(&text, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A piece of the file for a message: short, on one line.
fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(MAX_QUOTED)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > MAX_QUOTED {
        shown.push('…');
    }
    shown
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let local = text
        .strip_prefix("localhost:")
        .map(|port| format!("127.0.0.1:{port}"));
    let address = local.as_deref().unwrap_or(text);
    address.parse().map_err(|_| {
        let hint = match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) => format!("; for every address of this machine write \"0.0.0.0:{port}\""),
            Err(_) => String::new(),
        };
        format!(
            "expected an address and a port such as \"127.0.0.1:8080\", found \"{}\"{hint}",
            quoted(text)
        )
    })
}

fn parse_endpoint(text: &str, default_port: u16) -> Result<Target, String> {
    let has_port = match text.strip_prefix('[') {
        Some(rest) => rest.contains("]:"),
        None => text.contains(':'),
    };
    let whole = if has_port {
        text.to_owned()
    } else {
        format!("{text}:{default_port}")
    };
    whole.parse().map_err(|_| {
        format!(
            "expected a host and a port such as \"eyelet.example.com:8080\", found \"{}\"",
            quoted(text)
        )
    })
}

fn parse_target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|_| {
        format!("expected a host and a port as the agent sees them, such as \"127.0.0.1:554\", found \"{}\"", quoted(text))
    })
}

fn parse_agent(text: &str) -> Result<AgentName, String> {
    text.parse()
        .map_err(|error: proto_tunnel::Error| error.to_string())
}

/// Pictures a second, as thousandths.
fn parse_rate(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        Ok(fps) if (0.1..=30.0).contains(&fps) => Ok((fps * 1_000.0).round() as u32),
        _ => Err(format!(
            "expected pictures a second from 0.1 to 30, found \"{}\"",
            quoted(text)
        )),
    }
}

fn parse_decoder(text: &str) -> Result<Decoder, String> {
    match text {
        "built-in" => Ok(Decoder::BuiltIn),
        "ffmpeg" => Ok(Decoder::Ffmpeg),
        _ => Err(format!(
            "expected built-in or ffmpeg, found \"{}\"",
            quoted(text)
        )),
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an IP address such as \"192.168.1.2\", found \"{}\"",
            quoted(text)
        )
    })
}

fn parse_quic(text: &str) -> Result<Quic, String> {
    match text {
        "off" => Ok(Quic::Off),
        text => parse_listen(text).map(Quic::At),
    }
}

fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!(
            "expected true or false, found \"{}\"",
            quoted(text)
        )),
    }
}

fn parse_transport(text: &str) -> Result<Transport, String> {
    match text {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        _ => Err(format!("expected tcp or udp, found \"{}\"", quoted(text))),
    }
}

fn parse_raw_mode(text: &str) -> Result<RawMode, String> {
    match text {
        "continuous" => Ok(RawMode::Continuous),
        "single" => Ok(RawMode::Single),
        _ => Err(format!(
            "expected continuous or single, found \"{}\"",
            quoted(text)
        )),
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip()
        || (a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified()));
    a.port() == b.port() && a.port() != 0 && same_address
}
