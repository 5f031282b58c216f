//! The cameras of a configuration.

use std::path::PathBuf;
use std::str::FromStr;

use super::{
    Fields, HANDSHAKE_PASSWORD, MAX_QUOTED, Reader, parse_agent, parse_listen, parse_raw_mode,
    parse_transport, quoted,
};
use crate::keys;
use crate::names::CameraName;
use crate::secret::Secret;
use crate::source::{self, Credentials, Scheme, Source};
use crate::tree::{Entry, Node, Value};
use crate::{Backup, Camera, Control, Transport, duration};

impl Reader {
    pub(super) fn cameras(&mut self, node: Option<&&Node>) -> Vec<Camera> {
        let mut cameras = Vec::new();
        let entries = node.map_or(Vec::new(), |node| self.entries(node, "cameras"));
        for entry in entries {
            let name = match entry.key.parse::<CameraName>() {
                Ok(name) => Some(name),
                Err(message) => {
                    self.problem(entry.key_at, message);
                    None
                }
            };
            let path = format!("cameras.{}", quoted(&entry.key));
            cameras.extend(self.camera(entry, &path, name));
        }
        cameras
    }

    fn camera(&mut self, entry: &Entry, path: &str, name: Option<CameraName>) -> Option<Camera> {
        let node = &entry.node;
        let fields = match &node.value {
            Value::Scalar(_) => Fields::from([("source", node)]),
            Value::Map(_) => self.section(node, path, &keys::CAMERA)?,
            Value::Null => {
                self.problem(entry.key_at, format!("{path}: expected a source such as \"rtsp://192.168.1.10/stream1\" or the key source, found nothing"));
                return None;
            }
            Value::List(_) => {
                self.expected(node, path, "a source or keys");
                return None;
            }
            Value::Broken => return None,
        };
        let value = |key: &str| fields.get(key).map(|node| (*node, format!("{path}.{key}")));
        let source = match value("source") {
            Some((node, path)) => self.value(node, &path, |text| {
                Source::from_str(text).map_err(|e| e.to_string())
            }),
            None => {
                self.problem(entry.key_at, format!("{path} has no source; expected a line such as source: rtsp://192.168.1.10/stream1"));
                None
            }
        };
        let via = value("via").and_then(|(node, path)| self.value(node, &path, parse_agent));
        let user = value("user").and_then(|(node, path)| self.text(node, &path));
        let password = value("password").and_then(|(node, path)| self.secret(node, &path));
        let transport = value("transport")
            .map(|(node, path)| (node.at, self.value(node, &path, parse_transport)));
        let raw = value("raw").and_then(|(node, path)| self.value(node, &path, parse_listen));
        let raw_mode =
            value("raw_mode").and_then(|(node, path)| self.value(node, &path, parse_raw_mode));
        let backup = value("backup").and_then(|(node, path)| self.text(node, &path));
        let mut time =
            |key| value(key).and_then(|(node, path)| self.value(node, &path, duration::parse));
        let (idle, interval, timeout) = (time("idle"), time("interval"), time("timeout"));
        if timeout.is_some_and(|timeout| timeout.is_zero())
            && let Some((node, path)) = value("timeout")
        {
            self.problem(node.at, format!("{path}: expected more than 0s"));
        }
        let control = value("control").and_then(|(node, path)| self.control(node, &path));
        if let (Some(agent), Some((at, Some(Transport::Udp)))) = (&via, &transport) {
            self.problem(*at, format!("{path}.transport: expected tcp, found udp: the tunnel to agent {agent} carries connections, not datagrams"));
        }
        let mut source = source?;
        if source.scheme.listens()
            && via.is_some()
            && let Some((node, path)) = value("via")
        {
            self.problem(node.at, format!(
                "{path}: a {}:// camera connects to this machine by itself, so no agent can fetch it: take out via, and let the camera send to this machine",
                source.scheme.as_str()
            ));
        }
        match with_keys(source.scheme, source.credentials.take(), user, password) {
            Ok(credentials) => source.credentials = credentials,
            Err(message) => self.problem(entry.key_at, format!("{path}: {message}")),
        }
        let login = source.credentials.clone();
        Some(Camera {
            name: name?,
            source,
            via,
            transport: transport.and_then(|t| t.1).unwrap_or_default(),
            idle: idle.unwrap_or(Camera::IDLE),
            raw,
            raw_mode: raw_mode.unwrap_or_default(),
            backup: match backup.as_deref() {
                None | Some("last") => Backup::Last,
                Some("none") => Backup::None,
                Some(path) => Backup::File(PathBuf::from(path)),
            },
            interval,
            timeout: timeout.unwrap_or(Camera::TIMEOUT),
            control: control.map(|mut control| {
                let own = control.source.credentials.take();
                control.source.credentials = own.or_else(|| login.clone());
                control
            }),
        })
    }

    fn control(&mut self, node: &Node, path: &str) -> Option<Control> {
        let fields = match &node.value {
            Value::Scalar(_) => Fields::from([("source", node)]),
            Value::Map(_) => self.section(node, path, &keys::CONTROL)?,
            Value::Null | Value::List(_) => {
                self.expected(
                    node,
                    path,
                    "a source such as \"http://192.168.1.101\" or keys",
                );
                return None;
            }
            Value::Broken => return None,
        };
        let Some(source) = fields.get("source") else {
            self.problem(
                node.at,
                format!("{path} has no source; expected one such as http://192.168.1.101"),
            );
            return None;
        };
        let source = self.value(source, path, |text| {
            let source = Source::from_str(text).map_err(|error| error.to_string())?;
            if source.scheme != Scheme::Http || !matches!(source.path.as_str(), "" | "/") {
                return Err("expected where the camera's own page is, such as http://192.168.1.101, without a path".into());
            }
            Ok(source)
        });
        let allow = match fields.get("allow") {
            Some(node) => self.words(node, &format!("{path}.allow")),
            None => Control::ALLOW.iter().map(|&name| name.to_owned()).collect(),
        };
        Some(Control {
            source: source?,
            allow,
        })
    }

    /// A list of plain words, or one alone.
    fn words(&mut self, node: &Node, path: &str) -> Vec<String> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Scalar(_) => std::slice::from_ref(node),
            Value::Null | Value::Broken => &[],
            Value::Map(_) => {
                self.expected(node, path, "a list of words");
                &[]
            }
        };
        let mut words = Vec::new();
        for item in items {
            words.extend(self.value(item, path, |text| {
                let is_word = !text.is_empty()
                    && text.len() <= MAX_QUOTED
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                is_word.then(|| text.to_owned()).ok_or_else(|| {
                    format!(
                        "expected the name of a setting such as framesize, found \"{}\"",
                        quoted(text)
                    )
                })
            }));
        }
        words
    }
}

/// Lays the separate keys over what the URL has.
fn with_keys(
    scheme: Scheme,
    url: Option<Credentials>,
    user: Option<String>,
    password: Option<Secret>,
) -> Result<Option<Credentials>, String> {
    if url.is_none() && user.is_none() && password.is_none() {
        return Ok(None);
    }
    let (url_user, url_password) =
        url.map_or((None, None), |url| (Some(url.user), Some(url.password)));
    let user = match user.or(url_user) {
        Some(user) => user,
        None if scheme.has_password_alone() => String::new(),
        None => return Err("there is a password but no user".into()),
    };
    let password = password.or(url_password).unwrap_or_default();
    if scheme.has_password_alone() && password.reveal().len() != HANDSHAKE_PASSWORD {
        return Err(format!(
            "the password of a {}:// camera has {HANDSHAKE_PASSWORD} characters (the library's own is ESP32CAM); this one has {}",
            scheme.as_str(),
            password.reveal().len()
        ));
    }
    source::check_credentials(&user, password.reveal())?;
    Ok(Some(Credentials { user, password }))
}
