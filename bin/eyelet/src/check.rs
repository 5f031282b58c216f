//! `eyelet check`.

use std::io::Write;

use tunnel::Authorities;

use crate::cli::Check;
use crate::files;

pub(crate) fn run(command: &Check) -> anyhow::Result<()> {
    let config = files::load(&command.files)?;
    if let Some(path) = &config.http.agent_ca {
        Authorities::load(path)?;
    }
    let mut talk = std::io::stderr().lock();
    for warning in config.warnings() {
        writeln!(talk, "warning: {warning}")?;
    }
    let mut out = std::io::stdout().lock();
    if command.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&config)?)?;
    } else {
        writeln!(
            out,
            "ok: {}, {}; HTTP on {}, RTSP on {}",
            count(config.cameras.len(), "camera"),
            count(config.forwards.len(), "forward"),
            config.http.listen,
            config.rtsp.listen
        )?;
    }
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
