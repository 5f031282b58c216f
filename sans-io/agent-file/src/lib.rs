//! `config.json` of the camera agent that came before, in all its dialects.
//!
//! Its builder, its repository, its documents and its install guide each had keys of their own, and none of them was
//! ever read. [`AgentFile::parse`] takes the union, and says of every key what becomes of it.
//!
//! ```
//! let text = r#"{ "camera": { "ip": "192.168.1.10", "rtsp_port": 554 }, "p2p": { "enabled": true } }"#;
//! let file = agent_file::AgentFile::parse(text)?;
//! assert_eq!(file.camera_host.as_deref(), Some("192.168.1.10"));
//! assert_eq!(file.notes[0].to_string(), "p2p.enabled has no effect: the tunnel is the only way");
//! # Ok::<(), agent_file::Error>(())
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod json;
mod keys;

use std::fmt;

use json::Value;
use keys::{Field, KEYS, WHOLE_SECTIONS};

/// Largest file in bytes; the longest known one has two thousand.
pub const MAX_FILE: usize = 64 << 10;

/// Most stream paths; cameras have two or three.
const MAX_PATHS: usize = 16;

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is longer than [`MAX_FILE`].
    TooLong,
    /// It is no JSON.
    Syntax {
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// It is JSON, but no object.
    NoObject,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_FILE} bytes"),
            Self::Syntax {
                line,
                column,
                expected,
            } => write!(f, "line {line}, column {column}: expected {expected}"),
            Self::NoObject => f.write_str("expected sections between '{' and '}'"),
        }
    }
}

impl std::error::Error for Error {}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a file says; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFile {
    /// The agent's name.
    pub agent_id: Option<String>,
    /// The gateway's URL, of any scheme and path.
    pub server_url: Option<String>,
    /// What the agent proves itself with; for us, a join code.
    pub token: Option<Secret>,
    /// Host name or address of the camera.
    pub camera_host: Option<String>,
    /// Its RTSP port.
    pub rtsp_port: Option<u16>,
    /// Whether its address is the agent's to find.
    pub auto_detect_ip: Option<bool>,
    /// The camera's user, for its viewers.
    pub username: Option<String>,
    /// The camera's password, for its viewers.
    pub password: Option<Secret>,
    /// The camera's model.
    pub model: Option<String>,
    /// Paths of its streams, the main one first.
    pub stream_paths: Vec<String>,
    /// low, medium, high.
    pub quality: Option<String>,
    /// DEBUG, INFO, WARNING, ERROR.
    pub log_level: Option<String>,
    /// Seconds between signs of life.
    pub heartbeat_interval: Option<u16>,
    /// Whether there shall be a tunnel.
    pub tunnel_enabled: Option<bool>,
    /// The port on the gateway.
    pub tunnel_port: Option<u16>,
    /// A file with the agent's certificate and its key.
    pub certificate: Option<String>,
    /// What becomes of the keys that are not simply obeyed, in the file's order.
    pub notes: Vec<Note>,
}

/// What becomes of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `section.key`.
    pub key: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a key that is not simply obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is known and changes nothing, for this reason.
    Ignored(&'static str),
    /// It would make the connection less safe, and is not obeyed, for this reason.
    Refused(&'static str),
    /// No dialect has it.
    Unknown,
    /// Another key of the same meaning came first.
    Repeated,
    /// Its value is not what it should be.
    Wrong(&'static str),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match self.fate {
            Fate::Ignored(why) => write!(f, "{key} has no effect: {why}"),
            Fate::Refused(why) => write!(f, "{key} is not obeyed: {why}"),
            Fate::Unknown => write!(f, "{key} is not known and has no effect"),
            Fate::Repeated => write!(f, "{key} has no effect: another key said the same before"),
            Fate::Wrong(expected) => write!(f, "{key} has no effect: expected {expected}"),
        }
    }
}

impl AgentFile {
    /// Reads a file's text.
    ///
    /// # Errors
    /// When it is no JSON object. A key with a value that makes no sense is a note.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Value::Map(sections) = json::parse(text)? else {
            return Err(Error::NoObject);
        };
        let mut file = Self::default();
        for (section, value) in sections {
            let section = printable(&section);
            if let Some((_, why)) = WHOLE_SECTIONS.iter().find(|(name, _)| *name == section) {
                file.whole_section(&section, value, why);
                continue;
            }
            match value {
                Value::Map(entries) if KEYS.iter().any(|(name, ..)| *name == section) => {
                    for (key, value) in entries {
                        file.key(&section, &printable(&key), value);
                    }
                }
                // Remarks in a language that has none.
                _ if section.starts_with('_') => {}
                _ => file.note(section, Fate::Unknown),
            }
        }
        Ok(file)
    }

    /// The path of the stream that `quality` asks for: the second one for low, else the first.
    #[must_use]
    pub fn stream_path(&self) -> Option<&str> {
        let is_low = self.quality.as_deref() == Some("low");
        let second = self.stream_paths.get(1).filter(|_| is_low);
        second.or(self.stream_paths.first()).map(String::as_str)
    }

    fn whole_section(&mut self, section: &str, value: Value, why: &'static str) {
        match value {
            Value::Map(entries) if !entries.is_empty() => {
                for (key, _) in entries {
                    self.note(format!("{section}.{}", printable(&key)), Fate::Ignored(why));
                }
            }
            _ => self.note(section.to_owned(), Fate::Ignored(why)),
        }
    }

    fn key(&mut self, section: &str, key: &str, value: Value) {
        let name = format!("{section}.{key}");
        let known = KEYS
            .iter()
            .find(|(known, keys, _)| *known == section && keys.contains(&key));
        let Some((.., field)) = known else {
            if !key.starts_with('_') {
                self.note(name, Fate::Unknown);
            }
            return;
        };
        // In the original's files, null is "not set".
        if value == Value::Null {
            return;
        }
        if let Err(fate) = self.set(*field, value) {
            self.note(name, fate);
        }
    }

    fn set(&mut self, field: Field, value: Value) -> Result<(), Fate> {
        match field {
            Field::AgentId => once(&mut self.agent_id, text(value)?),
            Field::ServerUrl => once(&mut self.server_url, text(value)?),
            Field::Token => once(&mut self.token, Secret(text(value)?)),
            Field::CameraHost => once(&mut self.camera_host, text(value)?),
            Field::RtspPort => once(&mut self.rtsp_port, port(&value)?),
            Field::AutoDetect => once(&mut self.auto_detect_ip, truth(&value)?),
            Field::Username => once(&mut self.username, text(value)?),
            Field::Password => once(&mut self.password, Secret(text(value)?)),
            Field::Model => once(&mut self.model, text(value)?),
            Field::StreamPaths => {
                if !self.stream_paths.is_empty() {
                    return Err(Fate::Repeated);
                }
                self.stream_paths = paths(value)?;
                Ok(())
            }
            Field::Quality => {
                let word = text(value)?.to_ascii_lowercase();
                if !matches!(word.as_str(), "low" | "medium" | "high") {
                    return Err(Fate::Wrong("low, medium or high"));
                }
                once(&mut self.quality, word)
            }
            Field::LogLevel => once(&mut self.log_level, text(value)?),
            Field::Heartbeat => once(&mut self.heartbeat_interval, seconds(&value)?),
            Field::TunnelEnabled => once(&mut self.tunnel_enabled, truth(&value)?),
            Field::Certificate => once(&mut self.certificate, text(value)?),
            Field::TunnelPort => once(&mut self.tunnel_port, port(&value)?),
            Field::Mode => match text(value)?.as_str() {
                "tunnel" => Ok(()),
                _ => Err(Fate::Ignored("the tunnel is the only way")),
            },
            Field::Encryption => match truth(&value)? {
                true => Ok(()),
                false => Err(Fate::Refused("the tunnel is always encrypted")),
            },
            Field::Verify => match truth(&value)? {
                true => Ok(()),
                false => Err(Fate::Refused(
                    "the gateway's key is always checked, against the one in the join code",
                )),
            },
            Field::Ignored(why) => Err(Fate::Ignored(why)),
        }
    }

    fn note(&mut self, key: String, fate: Fate) {
        self.notes.push(Note { key, fate });
    }
}

fn once<T: PartialEq>(place: &mut Option<T>, value: T) -> Result<(), Fate> {
    match place {
        None => {
            *place = Some(value);
            Ok(())
        }
        Some(first) if *first == value => Ok(()),
        Some(_) => Err(Fate::Repeated),
    }
}

fn text(value: Value) -> Result<String, Fate> {
    match value {
        Value::Text(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(Fate::Wrong("a text")),
    }
}

fn truth(value: &Value) -> Result<bool, Fate> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        _ => Err(Fate::Wrong("true or false")),
    }
}

fn port(value: &Value) -> Result<u16, Fate> {
    whole(value)
        .filter(|&port| port > 0)
        .ok_or(Fate::Wrong("a port"))
}

fn seconds(value: &Value) -> Result<u16, Fate> {
    whole(value)
        .filter(|&seconds| seconds > 0)
        .ok_or(Fate::Wrong("seconds"))
}

/// A whole number, which some files put in quotes.
fn whole(value: &Value) -> Option<u16> {
    match value {
        Value::Number(number) => {
            let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(number);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "checked just now"
            )]
            is_whole.then_some(*number as u16)
        }
        Value::Text(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn paths(value: Value) -> Result<Vec<String>, Fate> {
    let Value::List(items) = value else {
        return Err(Fate::Wrong("a list of paths"));
    };
    if items.len() > MAX_PATHS {
        return Err(Fate::Wrong("a list of at most 16 paths"));
    }
    let path = |item| {
        let path = text(item)?;
        if path.starts_with('/') {
            Ok(path)
        } else {
            Err(Fate::Wrong("paths that begin with '/'"))
        }
    };
    items.into_iter().map(path).collect()
}

/// A key as a message may show it.
fn printable(key: &str) -> String {
    key.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests;
