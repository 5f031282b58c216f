//! `--config config.json`: the files of the camera agent that came before.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use agent::{AgentConfig, AllowList, CameraNotes, Certificate, State};
use agent_file::{AgentFile, Fate, MAX_FILE};
use dialer::Target;
use proto_tunnel::JoinCode;
use tokio::sync::watch;
use tracing::{Level, info, warn};

/// RTSP's own port.
const RTSP: u16 = 554;

/// Signs of life that keep the shortest-lived NAT entries (30 s) open, and do not fill a metered link.
const HEARTBEATS: std::ops::RangeInclusive<u16> = 5..=25;

/// What a file asks for.
pub(crate) struct Plan {
    pub(crate) name: Option<String>,
    pub(crate) level: Option<Level>,
    join: Option<JoinCode>,
    gateway: Option<String>,
    allow: AllowList,
    notes: CameraNotes,
    heartbeat: Option<u16>,
    certificate: Option<Certificate>,
    /// What the person should know, and whether it is a matter of safety.
    talk: Vec<String>,
}

/// Reads a file, or says why it is of no use.
pub(crate) fn read(path: &Path) -> Result<Plan, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_string(&mut text))
        .map_err(|error| fail(&error))?;
    let file = AgentFile::parse(&text).map_err(|error| fail(&error))?;
    let mut plan = plan(file).map_err(|error| fail(&error))?;
    if is_open_to_others(path) {
        plan.talk.push(format!(
            "{} can be read by every user of this machine, and holds secrets: chmod 600",
            path.display()
        ));
    }
    Ok(plan)
}

fn plan(file: AgentFile) -> Result<Plan, String> {
    if file.tunnel_enabled == Some(false) {
        return Err("tunnel.enabled is false, and the tunnel is all that this agent does".into());
    }
    let mut talk: Vec<String> = file
        .notes
        .iter()
        .map(|note| match note.fate {
            Fate::Refused(_) => format!("SAFETY: {note}"),
            Fate::Ignored(_) | Fate::Unknown | Fate::Repeated | Fate::Wrong(_) => note.to_string(),
        })
        .collect();
    let join = match &file.token {
        Some(token) => match token.reveal().parse::<JoinCode>() {
            Ok(code) => Some(code),
            Err(error) => {
                talk.push(format!(
                    "the token is no join code ({error}): without one, this agent only starts if it has joined before. Make one with \"eyelet agent add NAME\" on the gateway and put it in the token's place"
                ));
                None
            }
        },
        None => None,
    };
    let gateway = match &file.server_url {
        Some(url) => match address(url) {
            Some(address) => Some(address),
            None => return Err(format!("the server's URL {url:?} names no host")),
        },
        None => None,
    };
    if file.username.is_some() || file.password.is_some() {
        talk.push("the camera's user and password have no effect here: viewers log in to the camera themselves, and the gateway's camera has them in its own configuration".into());
    }
    if let Some(port) = file.tunnel_port {
        talk.push(format!(
            "tunnel.tunnel_port has no effect: the gateway decides its own ports (there: rtsp.passthrough, or a forward on 127.0.0.1:{port})"
        ));
    }
    let certificate = file.certificate.as_ref().map(|path| Certificate {
        certificate: path.into(),
        key: path.into(),
    });
    // These files were written without one in mind: they often name what is not there.
    let certificate = certificate.filter(|certificate| match certificate.check() {
        Ok(()) => true,
        Err(error) => {
            talk.push(format!(
                "ssl_cert_file has no effect: {error}. Only a gateway that asks for certificates needs it"
            ));
            false
        }
    });
    let heartbeat = file.heartbeat_interval.map(|asked| {
        let kept = asked.clamp(*HEARTBEATS.start(), *HEARTBEATS.end());
        if kept != asked {
            talk.push(format!(
                "heartbeat_interval {asked} is outside {} to {} seconds: {kept} is taken",
                HEARTBEATS.start(),
                HEARTBEATS.end()
            ));
        }
        kept
    });
    Ok(Plan {
        level: file.log_level.as_deref().and_then(level),
        join,
        gateway,
        allow: allow(&file),
        notes: CameraNotes {
            model: file.model.clone().unwrap_or_default(),
            path: file.stream_path().unwrap_or_default().to_owned(),
            quality: file.quality.clone().unwrap_or_default(),
            is_detected: file.auto_detect_ip,
        },
        heartbeat,
        certificate,
        name: file.agent_id,
        talk,
    })
}

impl Plan {
    /// Says what the person should know of the file.
    pub(crate) fn tell(&self) {
        for line in &self.talk {
            warn!("[CONFIG] {line}");
        }
    }

    /// Turns the defaults into what the file asks for.
    pub(crate) fn apply(self, config: &mut AgentConfig) {
        if let Some(camera) = self.allow.iter().next() {
            info!("[STREAM] the camera is at {camera}");
        }
        config.join = self.join;
        config.gateway = self.gateway;
        config.allow = self.allow;
        config.notes = self.notes;
        config.certificate = self.certificate;
        if let Some(seconds) = self.heartbeat {
            config.heartbeat.idle = Duration::from_secs(seconds.into());
        }
    }
}

/// Says what the tunnel does, in the words of the older agent's log.
pub(crate) async fn tell_states(mut states: watch::Receiver<State>) {
    loop {
        match *states.borrow_and_update() {
            State::Connecting => info!("[TUNNEL] connecting to the gateway"),
            State::Connected => {
                info!("[TUNNEL] established");
                info!("[AGENT] ready");
            }
            State::Waiting => info!("[TUNNEL] down, waiting before the next attempt"),
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// The camera first: in this machine, where the file has it, or both.
fn allow(file: &AgentFile) -> AllowList {
    let port = file.rtsp_port.unwrap_or(RTSP);
    let named = file.camera_host.as_deref().unwrap_or("127.0.0.1");
    let is_here = matches!(named, "127.0.0.1" | "localhost" | "::1");
    let mut hosts = Vec::new();
    if !is_here {
        hosts.push(named);
    }
    if is_here || file.auto_detect_ip == Some(true) {
        hosts.extend(["127.0.0.1", "localhost", "::1"]);
    }
    AllowList::new(
        hosts
            .into_iter()
            .map(|host| Target::new(host, port))
            .collect(),
    )
}

/// `host:port` of an URL.
fn address(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("wss", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(before, port)| !before.ends_with(':') && port.parse::<u16>().is_ok());
    if has_port && (!host.starts_with('[') || host.contains("]:")) {
        return Some(host.to_owned());
    }
    // Plain or not in the file: for us it is always TLS, on the port where the other would be.
    let port = if matches!(scheme, "ws" | "http") {
        80
    } else {
        443
    };
    Some(format!("{host}:{port}"))
}

fn level(word: &str) -> Option<Level> {
    Some(match word.to_ascii_uppercase().as_str() {
        "DEBUG" => Level::DEBUG,
        "INFO" => Level::INFO,
        "WARN" | "WARNING" => Level::WARN,
        "ERROR" | "CRITICAL" => Level::ERROR,
        _ => return None,
    })
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Plan, String> {
        plan(AgentFile::parse(text).map_err(|error| error.to_string())?)
    }

    fn targets(text: &str) -> Vec<String> {
        let plan = planned(text).map_err(|error| panic!("{error}"));
        plan.map(|plan| plan.allow.iter().map(ToString::to_string).collect())
            .unwrap_or_default()
    }

    #[test]
    fn the_cameras_address_and_port_decide_what_may_be_dialled() {
        assert_eq!(
            targets(r#"{"camera": {"ip": "192.168.1.108", "rtsp_port": 8554}}"#),
            ["192.168.1.108:8554"]
        );
        let here = ["127.0.0.1:554", "localhost:554", "[::1]:554"];
        assert_eq!(targets("{}"), here);
        assert_eq!(
            targets(r#"{"camera": {"ip": "127.0.0.1", "auto_detect_ip": true}}"#),
            here
        );
        assert_eq!(
            targets(r#"{"camera": {"ip": "192.168.1.108", "auto_detect_ip": true}}"#).len(),
            4
        );
    }

    #[test]
    fn urls_of_every_dialect_become_an_address() {
        for (url, expected) in [
            ("wss://hub.example:8080/agent", "hub.example:8080"),
            ("ws://hub.example/tunnel", "hub.example:80"),
            ("wss://hub.example", "hub.example:443"),
            ("hub.example:9000", "hub.example:9000"),
            ("https://u:p@hub.example/x?y", "hub.example:443"),
            ("wss://[fd00::1]:8080/agent/1", "[fd00::1]:8080"),
            ("wss://[fd00::1]/agent", "[fd00::1]:443"),
        ] {
            assert_eq!(address(url).as_deref(), Some(expected), "{url}");
        }
        assert_eq!(address("wss:///agent"), None);
        assert!(planned(r#"{"tunnel": {"server_url": "wss://"}}"#).is_err());
    }

    #[test]
    fn a_token_that_is_no_join_code_and_an_unsafe_wish_are_told() {
        let plan = planned(
            r#"{"tunnel": {"server_token": "abc", "heartbeat_interval": 30, "tunnel_port": 8554},
                "security": {"ssl_verify": false}, "agent": {"log_level": "WARNING"}}"#,
        );
        let Ok(plan) = plan else {
            panic!("the file is of use")
        };
        let talk = plan.talk.join("\n");
        for said in [
            "SAFETY: security.ssl_verify",
            "no join code",
            "25 is taken",
            "127.0.0.1:8554",
        ] {
            assert!(talk.contains(said), "{said}: {talk}");
        }
        assert!(!talk.contains("abc"), "a token is never printed");
        assert_eq!((plan.level, plan.heartbeat), (Some(Level::WARN), Some(25)));
        assert!(planned(r#"{"tunnel": {"enabled": false}}"#).is_err());
    }
}
