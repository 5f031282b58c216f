//! `eyelet agent export`: the cameras as other systems take them in.
//!
//! Each camera goes out as the restream that this gateway serves, so that the other system needs neither the camera's
//! login nor its address, and the camera sees one connection whoever watches.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::bail;
use config::Config;
use serde_json::{Value, json};

use crate::cli::{Export, ExportFormat};
use crate::files;

/// The columns that Flussonic Watcher's camera import knows.
const COLUMNS: [&str; 14] = [
    "title",
    "name",
    "stream_url",
    "substream_url",
    "thumbnails",
    "onvif_url",
    "onvif_profile",
    "ptz",
    "dvr_depth",
    "dvr_path",
    "enabled",
    "access",
    "static",
    "comment",
];

pub(crate) fn run(command: &Export) -> anyhow::Result<()> {
    let config = files::load(&command.files)?;
    let streams = streams(&config, command)?;
    let mut talk = std::io::stderr().lock();
    if streams.is_empty() {
        writeln!(
            talk,
            "no cameras to export: a camera with `via: AGENT` under `cameras` is one"
        )?;
    }
    if streams.iter().any(|stream| stream.has_password) {
        writeln!(
            talk,
            "the URLs hold the password of an RTSP user: keep what is printed to yourself"
        )?;
    }
    let text = match command.format {
        ExportFormat::Flussonic => flussonic(&streams)?,
        ExportFormat::Csv => csv(&streams),
        ExportFormat::Frigate => frigate(&streams),
        ExportFormat::Go2rtc => go2rtc(&streams),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

struct Stream {
    name: String,
    agent: Option<String>,
    url: String,
    has_password: bool,
}

fn streams(config: &Config, command: &Export) -> anyhow::Result<Vec<Stream>> {
    for agent in &command.agent {
        let is_known = config
            .cameras
            .iter()
            .any(|camera| camera.via.as_ref().is_some_and(|via| via.as_str() == agent));
        if !is_known {
            bail!("no camera in the configuration has `via: {agent}`");
        }
    }
    let login = login(config, command.user.as_deref())?;
    let port = config.rtsp.listen.port();
    let host = match &command.host {
        Some(host) => host.clone(),
        None if config.rtsp.listen.ip().is_unspecified() => "127.0.0.1".to_owned(),
        None => config.rtsp.listen.ip().to_string(),
    };
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host
    };
    let cameras = config.cameras.iter().filter(|camera| {
        let via = camera.via.as_ref().map(ToString::to_string);
        if command.agent.is_empty() {
            command.all || via.is_some()
        } else {
            via.is_some_and(|via| command.agent.contains(&via))
        }
    });
    Ok(cameras
        .map(|camera| Stream {
            name: camera.name.to_string(),
            agent: camera.via.as_ref().map(ToString::to_string),
            url: format!("rtsp://{login}{host}:{port}/{}", camera.name),
            has_password: !login.is_empty(),
        })
        .collect())
}

/// `user:password@`, or nothing if nobody is asked.
fn login(config: &Config, user: Option<&str>) -> anyhow::Result<String> {
    let users = &config.rtsp.users;
    let found = match user {
        Some(user) => match users.get_key_value(user) {
            Some(found) => Some(found),
            None => bail!("rtsp.users has no user {user:?}"),
        },
        None => users.iter().next(),
    };
    Ok(found.map_or(String::new(), |(user, password)| {
        format!("{}:{}@", escaped(user), escaped(password.reveal()))
    }))
}

/// Percent-encodes all but the characters that every URL reader leaves alone (RFC 3986 section 2.3).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Stream objects of Flussonic Media Server's API, each the body of `PUT /streamer/api/v3/streams/NAME`.
fn flussonic(streams: &[Stream]) -> anyhow::Result<String> {
    let streams: Vec<Value> = streams
        .iter()
        .map(|stream| {
            json!({
                "name": stream.name,
                "title": stream.name,
                "comment": comment(stream),
                "static": false,
                "inputs": [{ "url": stream.url }],
            })
        })
        .collect();
    Ok(format!(
        "{}\n",
        serde_json::to_string_pretty(&json!({ "streams": streams }))?
    ))
}

/// One line per camera for Flussonic Watcher's import, with a line of column names.
fn csv(streams: &[Stream]) -> String {
    let mut out = format!("{}\n", COLUMNS.join(","));
    for stream in streams {
        let cells = COLUMNS.map(|column| match column {
            "title" | "name" => stream.name.clone(),
            "stream_url" => stream.url.clone(),
            "thumbnails" | "enabled" => "1".to_owned(),
            "static" | "ptz" => "0".to_owned(),
            "comment" => comment(stream),
            _ => String::new(),
        });
        out.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        out.push('\n');
    }
    out
}

/// A CSV cell (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

fn frigate(streams: &[Stream]) -> String {
    let mut out = String::from("cameras:\n");
    if streams.is_empty() {
        return "cameras: {}\n".to_owned();
    }
    for stream in streams {
        let _ = write!(
            out,
            "  {}:\n    enabled: true\n    ffmpeg:\n      inputs:\n        - path: {}\n          input_args: preset-rtsp-restream\n          roles: [detect, record]\n",
            yaml(&frigate_name(&stream.name)),
            yaml(&stream.url)
        );
    }
    out
}

/// Frigate takes letters, digits, `_` and `-` in a camera's name.
fn frigate_name(name: &str) -> String {
    name.replace('.', "_")
}

fn go2rtc(streams: &[Stream]) -> String {
    if streams.is_empty() {
        return "streams: {}\n".to_owned();
    }
    let mut out = String::from("streams:\n");
    for stream in streams {
        let _ = writeln!(out, "  {}: {}", yaml(&stream.name), yaml(&stream.url));
    }
    out
}

/// A YAML text between quotes, which is a JSON text.
fn yaml(text: &str) -> String {
    Value::from(text).to_string()
}

fn comment(stream: &Stream) -> String {
    match &stream.agent {
        Some(agent) => format!("through agent {agent}"),
        None => String::new(),
    }
}
