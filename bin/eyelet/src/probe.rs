//! `eyelet probe`.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use config::Source;
use dialer::{Dialer, Direct};
use drivers::{Report, Transport};
use hub::StreamName;
use media::Track;
use tunnel::LocalDialer;

use crate::cli::Probe;
use crate::hints::hint;
use crate::{files, wiring};

/// How long the first picture may take.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) async fn run(command: &Probe) -> anyhow::Result<()> {
    let source: Source = command.url.parse().context("this is no source")?;
    let mut camera = wiring::camera(StreamName::new("probe")?, &source)?;
    if command.udp {
        camera.transport = Transport::Udp;
    }
    if source.scheme == config::Scheme::A9 {
        bail!(
            "an A9 camera comes by itself, to the gateway that runs: `eyelet a9 doctor` tells how far it came"
        );
    }
    let driver = drivers::driver(source.scheme.as_str())
        .with_context(|| format!("no driver for {}://", source.scheme.as_str()))?;
    let length = Duration::from_secs(command.seconds);
    writeln!(
        std::io::stderr(),
        "probing {source} for {} s …",
        command.seconds
    )?;
    let dialer: Arc<dyn Dialer> = match &command.via {
        Some(agent) => Arc::new(LocalDialer::new(
            &files::load_state(&command.files)?.data,
            agent,
        )),
        None => Arc::new(Direct),
    };
    let found = drivers::probe(&*driver, &camera, dialer, length, PATIENCE).await;
    let mut out = std::io::stdout().lock();
    match found {
        Ok(report) if command.json => {
            writeln!(
                out,
                "{}",
                serde_json::to_string_pretty(&to_json(&source, &report))?
            )?;
        }
        Ok(report) => write!(out, "{}", to_text(&source, &report))?,
        Err(error) if command.json => {
            let failure = serde_json::json!({
                "source": source.to_string(),
                "ok": false,
                "reason": error.reason().name(),
                "error": error.to_string(),
                "hint": hint(source.scheme, &error),
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&failure)?)?;
            bail!("{error}");
        }
        Err(error) => bail!("{error}\n  try: {}", hint(source.scheme, &error)),
    }
    Ok(())
}

fn to_json(source: &Source, report: &Report) -> serde_json::Value {
    let tracks: Vec<_> = report
        .tracks
        .iter()
        .map(|track| {
            serde_json::json!({
                "kind": if track.channels == 0 { "video" } else { "audio" },
                "codec": track.codec.name(),
                "width": track.size.map(|(width, _)| width),
                "height": track.size.map(|(_, height)| height),
                "clock_rate": track.clock_rate,
                "channels": track.channels,
            })
        })
        .collect();
    serde_json::json!({
        "source": source.to_string(),
        "ok": true,
        "tracks": tracks,
        "fps": report.fps.map(|fps| (fps * 100.0).round() / 100.0),
        "bitrate": report.bitrate.round(),
        "keyframe_interval_seconds": report.keyframe_interval.map(|interval| interval.as_secs_f64()),
        "time_to_first_picture_seconds": report.time_to_first_picture.map(|time| time.as_secs_f64()),
        "watched_seconds": report.watched.as_secs_f64(),
    })
}

fn to_text(source: &Source, report: &Report) -> String {
    let mut text = format!("{source}\n");
    for track in report.tracks.iter() {
        text += &format!("  {}\n", describe(track));
    }
    let unknown = || "unknown".to_owned();
    let seconds = |time: Option<Duration>| {
        time.map_or_else(unknown, |time| format!("{:.2} s", time.as_secs_f64()))
    };
    text += &format!(
        "  pictures       {} a second\n",
        report.fps.map_or_else(unknown, |fps| format!("{fps:.2}"))
    );
    text += &format!("  bitrate        {:.2} Mbit/s\n", report.bitrate / 1e6);
    text += &format!("  keyframe every {}\n", seconds(report.keyframe_interval));
    text += &format!(
        "  first picture  after {}\n",
        seconds(report.time_to_first_picture)
    );
    text
}

fn describe(track: &Track) -> String {
    match track.size {
        Some((width, height)) => format!("{} {width}x{height}", track.codec),
        None if track.channels == 0 => track.codec.to_string(),
        None => format!(
            "{} {} Hz, {} channel(s)",
            track.codec, track.clock_rate, track.channels
        ),
    }
}
