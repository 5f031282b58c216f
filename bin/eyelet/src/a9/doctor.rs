//! `eyelet a9 doctor`: how far each camera came, and what is missing.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::Files;
use crate::files;

/// How long the gateway may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer: a thousand cameras.
const MAX_ANSWER: u64 = 8 << 20;

pub(crate) async fn run(uid: Option<&str>, json: bool, files: &Files) -> anyhow::Result<()> {
    let config = files::load(files)?;
    if config.a9.is_none() {
        bail!(
            "the configuration has no key a9, so nothing listens for A9 cameras: add `a9: {{}}` and start `eyelet serve` again"
        );
    }
    let answer = tokio::time::timeout(PATIENCE, ask(config.http.listen)).await;
    let answer = answer.context("the gateway did not answer within 5 s")?;
    let mut report = answer.with_context(|| {
        format!(
            "no gateway answers at {}: is `eyelet serve` running with this configuration?",
            config.http.listen
        )
    })?;
    let Some(cameras) = report["cameras"].as_array_mut() else {
        bail!("the gateway that runs has no A9 cloud: start it again with this configuration");
    };
    if let Some(uid) = uid {
        cameras.retain(|camera| {
            [&camera["uid"], &camera["name"]].iter().any(|known| {
                known
                    .as_str()
                    .is_some_and(|known| known.eq_ignore_ascii_case(uid))
            })
        });
        if cameras.is_empty() {
            bail!(
                "no camera {uid} has come: `eyelet a9 doctor` without a name shows all that have"
            );
        }
    }
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", text(&report))?;
    }
    Ok(())
}

/// The report of the gateway that listens there.
async fn ask(listen: SocketAddr) -> anyhow::Result<Value> {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let address = SocketAddr::new(ip, listen.port());
    let mut stream = TcpStream::connect(address).await?;
    let request =
        format!("GET /api/v1/a9 HTTP/1.0\r\nHost: {address}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("it answers {status:?}");
    }
    let body: Value = serde_json::from_str(body)?;
    Ok(body["a9"].clone())
}

fn text(report: &Value) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let at = |name: &str| report[name].as_str().unwrap_or("off").to_owned();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "The cloud listens: HTTP {}, TCP {}, UDP {}, MQTT {}, DNS {}",
        at("http"),
        at("tcp"),
        at("udp"),
        at("mqtt"),
        at("dns")
    );
    for asker in report["askers"].as_array().into_iter().flatten() {
        let _ = writeln!(
            out,
            "\n{} asked for {} at {} and never came: can it reach port 80 of this machine?",
            asker["address"].as_str().unwrap_or("?"),
            asker["name"].as_str().unwrap_or("?"),
            asker["at"].as_str().unwrap_or("?"),
        );
    }
    let cameras = report["cameras"].as_array();
    if cameras.is_none_or(Vec::is_empty) {
        out.push_str(
            "\nNo camera has come yet. Lead *.naxclow.com and *.naxclow.com.cn to this machine in the DNS of the camera's network, \
             and port 80 of this machine to the HTTP address above. Is the camera in your Wi-Fi? (eyelet a9 set-wifi)\n",
        );
    }
    for camera in cameras.into_iter().flatten() {
        let field = |name: &str| camera[name].as_str().unwrap_or("–").to_owned();
        let _ = writeln!(
            out,
            "\n{} ({}), {}, at {}",
            field("uid"),
            camera["name"].as_str().unwrap_or("not accepted yet"),
            field("state"),
            field("address")
        );
        let lacking = camera["missing"]["step"].as_str();
        for step in camera["steps"].as_array().into_iter().flatten() {
            let name = step["step"].as_str().unwrap_or("?");
            let (mark, when) = match (step["at"].as_str(), step["served"].as_bool()) {
                (at, _) if lacking == Some(name) => ("✗", at.unwrap_or("never")),
                (Some(at), _) => ("✓", at),
                (None, Some(false)) => ("·", "not served here"),
                // Pictures, and the way to them, come when somebody looks.
                (None, _) if camera["connected"] == true && matches!(name, "probe" | "media") => {
                    ("·", "when somebody looks")
                }
                (None, _) => ("·", "not yet"),
            };
            let _ = writeln!(out, "  {mark} {name:<11} {when}");
        }
        match camera["missing"]["hint"].as_str() {
            Some(hint) => {
                let _ = writeln!(out, "  → {hint}");
            }
            None => out.push_str("  Nothing is missing.\n"),
        }
    }
    out
}
