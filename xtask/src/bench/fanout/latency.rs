//! How far behind live a viewer is ten seconds after its start, if its player follows the timestamps.
//!
//! ffmpeg with `-re` shows no picture before its time, counted from the first one: like a player
//! that never catches up, it keeps for ever what its start made it late. It starts with the cached
//! GOP (as any viewer does) or with the next keyframe (`?start=live`); both should end as near to live.
use super::clip;
use super::media::FPS;
use super::process::Process;
use super::subject::Subject;
use super::throughput::median;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Viewers of each kind, spread over one GOP.
const VIEWERS: u32 = 4;

/// A viewer's age when its latency is looked at, and for how long.
const AGE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(3);

/// Milliseconds behind the camera.
pub(super) struct Latency {
    /// Viewers that began with the cached GOP.
    pub(super) cached: Vec<f64>,
    /// Viewers that waited for a keyframe.
    pub(super) live: Vec<f64>,
    /// Viewers that began with the cached GOP and follow no timestamps.
    pub(super) unpaced: Vec<f64>,
}

impl Latency {
    pub(super) fn to_json(&self) -> Value {
        json!({ "cached_gop_ms": self.cached, "live_ms": self.live, "unpaced_ms": self.unpaced })
    }

    /// What the cached GOP costs at most: its worst viewer against the usual one that waited.
    pub(super) fn penalty(&self) -> f64 {
        self.cached.iter().copied().fold(f64::NAN, f64::max) - median(self.live.iter().copied())
    }
}

pub(super) fn measure(own: &Path, subject: &Subject, clip: &Path) -> Result<Latency> {
    let source = ["fanout-source", "--clip", &clip.display().to_string()].map(str::to_owned);
    let mut camera = Process::own(own, &source)?;
    let said = camera.answer()?;
    let port = said["listening"].as_u64().context("no port")?;
    let start = said["start"].as_f64().context("no start")?;
    let running = subject.start(u16::try_from(port)?)?;
    let live = if subject.is_eyelet() {
        format!("{}?start=live", running.url)
    } else {
        running.url.clone()
    };
    let args = ["fanout-readers", "--url", &running.url].map(str::to_owned);
    let mut first = Process::own(own, &args)?;
    first.answer()?;
    let mut watching = [const { Vec::new() }; 3];
    for viewer in 0..VIEWERS {
        let kinds = [(&running.url, true), (&live, true), (&running.url, false)];
        for (viewers, (url, is_paced)) in watching.iter_mut().zip(kinds) {
            let url = url.clone();
            viewers.push(thread::spawn(move || watch(&url, is_paced, start)));
        }
        if viewer + 1 < VIEWERS {
            thread::sleep(Duration::from_secs(4) / VIEWERS + Duration::from_millis(20));
        }
    }
    let mut latencies = watching.into_iter().map(|viewers| -> Result<Vec<f64>> {
        let join = |viewer: thread::JoinHandle<Result<f64>>| {
            viewer
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a viewer failed")))
        };
        viewers.into_iter().map(join).collect()
    });
    let mut next = || latencies.next().unwrap_or_else(|| Ok(Vec::new()));
    Ok(Latency {
        cached: next()?,
        live: next()?,
        unpaced: next()?,
    })
}

/// One viewer's latency at its age of ten seconds, in milliseconds.
fn watch(url: &str, is_paced: bool, start: f64) -> Result<f64> {
    let (crop, size) = clip::squares();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "fatal", "-threads", "1"]);
    if is_paced {
        command.arg("-re");
    }
    command.args(["-rtsp_transport", "tcp", "-i", url, "-an", "-vf", &crop]);
    command.args([
        "-pix_fmt",
        "gray",
        "-vsync",
        "passthrough",
        "-f",
        "rawvideo",
        "-flush_packets",
        "1",
        "pipe:1",
    ]);
    let begin = Instant::now();
    let mut player = Process::start("ffmpeg", command.stdout(Stdio::piped()))?;
    let mut output = player.take_output().context("no pipe from ffmpeg")?;
    let (mut picture, mut late) = (vec![0; size], Vec::new());
    while begin.elapsed() < AGE + LOOK {
        output
            .read_exact(&mut picture)
            .with_context(|| format!("ffmpeg -i {url}"))?;
        if begin.elapsed() < AGE {
            continue;
        }
        let Some(number) = clip::number(&picture) else {
            continue;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - start;
        let round = clip::PICTURES as f64 / f64::from(FPS);
        let sent = number as f64 / f64::from(FPS);
        late.push((now - sent).rem_euclid(round) * 1e3);
    }
    Ok(median(late))
}
