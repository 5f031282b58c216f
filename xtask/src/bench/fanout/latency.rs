//! How far behind live a viewer is ten seconds after its start, if its player follows the timestamps.
//!
//! ffmpeg with `-re` shows no picture before its time, counted from the first one: like a player
//! that never catches up, it keeps for ever what its start made it late. It starts with the cached
//! GOP (as any viewer does) or with the next keyframe (`?start=live`); both should end as near to live.
//!
//! By default ffmpeg examines a stream for up to seconds before it starts its clock, and stays late by
//! that; told not to (`-analyzeduration 0`), it shows what the relay alone makes late. Both are taken.
use super::clip;
use super::media::FPS;
use crate::bench::process::Process;
use crate::bench::subject::{Protocol, Subject};
use crate::bench::throughput::median;
use anyhow::{Context, Result, bail};
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

/// Viewers that start and play alike.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    /// Begins with the next keyframe instead of the cached GOP.
    waits_for_keyframe: bool,
    /// Shows no picture before its time.
    is_paced: bool,
    /// Examines the stream before it starts its clock.
    examines: bool,
}

const CACHED: Kind = Kind {
    name: "paced, from the cached GOP",
    waits_for_keyframe: false,
    is_paced: true,
    examines: false,
};
const WAITED: Kind = Kind {
    name: "paced, from a keyframe",
    waits_for_keyframe: true,
    ..CACHED
};
const KINDS: [Kind; 5] = [
    CACHED,
    WAITED,
    Kind {
        name: "paced, from the cached GOP, examined first",
        examines: true,
        ..CACHED
    },
    Kind {
        name: "paced, from a keyframe, examined first",
        examines: true,
        ..WAITED
    },
    Kind {
        name: "unpaced, from the cached GOP",
        is_paced: false,
        ..CACHED
    },
];

/// For each kind how far its viewers are behind the camera, in milliseconds.
pub(super) struct Latency(pub(super) Vec<(&'static str, Vec<f64>)>);

impl Latency {
    pub(super) fn to_json(&self) -> Value {
        self.0
            .iter()
            .map(|(name, late)| (*name, json!(late)))
            .collect()
    }

    /// What the cached GOP costs at most: its worst viewer against the usual one that waited.
    pub(super) fn penalty(&self) -> f64 {
        let of = |kind: Kind| {
            let found = self.0.iter().find(|(name, _)| *name == kind.name);
            found.map_or(&[][..], |(_, late)| late)
        };
        let worst = of(CACHED).iter().copied().fold(f64::NAN, f64::max);
        worst - median(of(WAITED).iter().copied())
    }
}

pub(super) fn measure(own: &Path, subject: &Subject, clip: &Path) -> Result<Latency> {
    let source = ["fanout-source", "--clip", &clip.display().to_string()].map(str::to_owned);
    let mut camera = Process::own(own, &source)?;
    let said = camera.answer()?;
    let port = said["listening"].as_u64().context("no port")?;
    let start = said["start"].as_f64().context("no start")?;
    let running = subject.start(Protocol::Rtsp, u16::try_from(port)?)?;
    let live = if subject.is_eyelet() {
        format!("{}?start=live", running.url)
    } else {
        running.url.clone()
    };
    let args = ["fanout-readers", "--url", &running.url].map(str::to_owned);
    let mut first = Process::own(own, &args)?;
    first.answer()?;
    let mut watching = KINDS.map(|_| Vec::new());
    for viewer in 0..VIEWERS {
        for (viewers, kind) in watching.iter_mut().zip(KINDS) {
            let url = if kind.waits_for_keyframe {
                live.clone()
            } else {
                running.url.clone()
            };
            viewers.push(thread::spawn(move || watch(&url, kind, start)));
        }
        if viewer + 1 < VIEWERS {
            thread::sleep(Duration::from_secs(4) / VIEWERS + Duration::from_millis(20));
        }
    }
    let mut latencies = Vec::new();
    for (viewers, kind) in watching.into_iter().zip(KINDS) {
        let join = |viewer: thread::JoinHandle<Result<f64>>| {
            viewer.join().unwrap_or_else(|_| bail!("a viewer failed"))
        };
        latencies.push((
            kind.name,
            viewers.into_iter().map(join).collect::<Result<_>>()?,
        ));
    }
    Ok(Latency(latencies))
}

/// One viewer's latency at its age of ten seconds, in milliseconds.
fn watch(url: &str, kind: Kind, start: f64) -> Result<f64> {
    let (crop, size) = clip::squares();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "fatal", "-threads", "1"]);
    if kind.is_paced {
        command.arg("-re");
    }
    if !kind.examines {
        command.args(["-probesize", "32", "-analyzeduration", "0"]);
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
