//! `eyelet import`: files of other systems become lines for `eyelet.yaml`.

use std::fmt::Write as _;
use std::io::Write as _;

use agent_file::{AgentFile, MAX_FILE};
use anyhow::{Context, bail};
use config::AgentName;

use crate::a9;
use crate::cli::Import;
use crate::settings_json;

/// The path of most cameras' first stream, if the file names none.
const ANY_PATH: &str = "/";

pub(crate) fn run(command: &Import) -> anyhow::Result<()> {
    let path = &command.file;
    let size = std::fs::metadata(path)
        .with_context(|| format!("{} cannot be read", path.display()))?
        .len();
    if size > MAX_FILE as u64 {
        bail!("{} is longer than {MAX_FILE} bytes", path.display());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    if let Some((yaml, notes)) = a9::imported(&text) {
        return a9_server(&yaml, &notes);
    }
    if let Some(lines) = settings_json::lines(&text) {
        let yaml = lines.with_context(|| format!("{} cannot be used", path.display()))?;
        config::Config::parse(&yaml, "the imported lines")
            .context("the file's values make no configuration")?;
        std::io::stdout().write_all(yaml.as_bytes())?;
        return Ok(());
    }
    let file = AgentFile::parse(&text).with_context(|| {
        format!(
            "{} is no config.json of the camera agent or of an A9 server, and no settings.json of camera_proxy, the kinds of file that are imported yet",
            path.display()
        )
    })?;
    let mut talk = std::io::stderr().lock();
    for note in &file.notes {
        writeln!(talk, "{note}")?;
    }
    let yaml = lines(&file);
    // What is printed has to be what the configuration takes.
    config::Config::parse(&yaml, "the imported lines")
        .context("the file's values make no configuration")?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    let agent = agent_name(&file);
    writeln!(
        talk,
        "\nPut these lines into eyelet.yaml, then invite the agent:\n  eyelet agent add {agent}\nAt the site, put the join code in the token's place of the file and start:\n  eyelet-agent --config {}",
        path.display()
    )?;
    Ok(())
}

/// The file of an A9 server.
fn a9_server(yaml: &str, notes: &[String]) -> anyhow::Result<()> {
    let mut talk = std::io::stderr().lock();
    for note in notes {
        writeln!(talk, "{note}")?;
    }
    config::Config::parse(yaml, "the imported lines")
        .context("the file's values make no configuration")?;
    std::io::stdout().write_all(yaml.as_bytes())?;
    writeln!(
        talk,
        "\nPut these lines into eyelet.yaml. Cameras appear on the dashboard by themselves, to be accepted there."
    )?;
    Ok(())
}

fn lines(file: &AgentFile) -> String {
    let agent = agent_name(file);
    let host = file.camera_host.as_deref().unwrap_or("127.0.0.1");
    let port = file.rtsp_port.unwrap_or(554);
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut out = String::from("cameras:\n");
    let no_paths = [ANY_PATH.to_owned()];
    let paths = if file.stream_paths.is_empty() {
        &no_paths
    } else {
        file.stream_paths.as_slice()
    };
    for (index, path) in paths.iter().enumerate() {
        let name = match index {
            0 => agent.clone(),
            1 => format!("{agent}-sub"),
            more => format!("{agent}-{}", more + 1),
        };
        let source = quoted(&format!("rtsp://{host}:{port}{path}"));
        // Writing to a string cannot fail.
        let _ = write!(out, "  {name}:\n    source: {source}\n    via: {agent}\n");
        if let Some(user) = &file.username {
            let _ = writeln!(out, "    user: {}", quoted(user));
        }
        if let Some(password) = &file.password {
            let _ = writeln!(out, "    password: {}", quoted(password.reveal()));
        }
    }
    if let Some(tunnel_port) = file.tunnel_port {
        let rtsp = config::Config::default().rtsp.listen.port();
        if tunnel_port == rtsp {
            let _ = write!(out, "rtsp:\n  passthrough: {agent}\n");
        } else {
            let _ = write!(
                out,
                "forwards:\n  - {{ listen: \"127.0.0.1:{tunnel_port}\", agent: {agent}, target: {} }}\n",
                quoted(&format!("{host}:{port}"))
            );
        }
    }
    out
}

/// The file's name for the agent, as far as it is one of ours.
fn agent_name(file: &AgentFile) -> String {
    let wanted: String = file
        .agent_id
        .as_deref()
        .unwrap_or("camera")
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    match wanted.parse::<AgentName>() {
        Ok(name) => name.to_string(),
        Err(_) => "camera".to_owned(),
    }
}

/// A YAML text between quotes. The configuration would replace `${…}`.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}
