//! Time from a reader's connect to its first picture that can be decoded.
use super::clip;
use super::framing::Framing;
use super::media::to_annexb;
use crate::bench::process::Process;
use crate::bench::subject::{Protocol, Subject};
use crate::bench::throughput::{floats, median, strings};
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rtp::Depacketizer;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Readers that come one after the other, spread over one GOP of 4 s.
const READERS: usize = 24;
const RAMP_MS: usize = 4_000 / READERS + 3;

/// How long the readers waited for the last byte of their first keyframe.
pub(super) struct FirstPicture {
    pub(super) milliseconds: Vec<f64>,
    pub(super) failed: u64,
    pub(super) errors: Vec<String>,
    /// First pictures that ffmpeg made of exactly these bytes; none without ffmpeg.
    pub(super) decoded: Option<usize>,
}

impl FirstPicture {
    pub(super) fn median(&self) -> f64 {
        median(self.milliseconds.iter().copied())
    }

    pub(super) fn max(&self) -> f64 {
        self.milliseconds.iter().copied().fold(f64::NAN, f64::max)
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "readers": READERS,
            "median_ms": self.median(),
            "max_ms": self.max(),
            "failed": self.failed,
            "errors": self.errors,
            "decoded": self.decoded,
        })
    }
}

pub(super) fn measure(own: &Path, subject: &Subject, clip: Option<&Path>) -> Result<FirstPicture> {
    let folder = tempfile::tempdir()?;
    let mut source = vec!["fanout-source".to_owned()];
    match clip {
        Some(clip) => source.extend(["--clip".to_owned(), clip.display().to_string()]),
        None => source.extend(["--gop".to_owned(), clip::GOP.to_string()]),
    }
    let mut camera = Process::own(own, &source)?;
    let port = camera.answer()?["listening"].as_u64().context("no port")?;
    let running = subject.start(Protocol::Rtsp, u16::try_from(port)?)?;
    let readers = |count: usize, capture: Option<&Path>| {
        let mut args: Vec<String> =
            vec!["fanout-readers".into(), "--url".into(), running.url.clone()];
        args.extend([
            "--count".into(),
            count.to_string(),
            "--ramp-ms".into(),
            RAMP_MS.to_string(),
        ]);
        if let Some(folder) = capture {
            args.extend(["--capture".into(), folder.display().to_string()]);
        }
        Process::own(own, &args)
    };
    // Somebody is watching already: what is measured is the start of one more viewer.
    let mut first = readers(1, None)?;
    first.answer()?;
    std::thread::sleep(Duration::from_secs(1));
    let mut others = readers(READERS, Some(folder.path()))?;
    others.answer()?;
    others.tell("end")?;
    let report = others.answer()?;
    let decoded = match clip {
        Some(_) => Some(decode(folder.path())?),
        None => None,
    };
    Ok(FirstPicture {
        milliseconds: floats(&report["first_keyframe_ms"]),
        failed: report["failed"].as_u64().unwrap_or(0),
        errors: strings(&report["errors"]),
        decoded,
    })
}

/// How many of the captured beginnings ffmpeg turns into a picture that shows its number.
fn decode(folder: &Path) -> Result<usize> {
    let mut decoded = 0;
    for number in 0..READERS {
        let read = |kind: &str| std::fs::read(folder.join(format!("{number:04}.{kind}")));
        let (Ok(description), Ok(bytes)) = (read("sdp"), read("rtp")) else {
            continue;
        };
        let stream = keyframe(&String::from_utf8_lossy(&description), &bytes)?;
        let path = folder.join("picture.h264");
        std::fs::write(&path, stream)?;
        let (crop, size) = clip::squares();
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-loglevel", "error", "-f", "h264", "-i"])
            .arg(&path);
        command.args([
            "-frames:v",
            "1",
            "-vf",
            &crop,
            "-pix_fmt",
            "gray",
            "-f",
            "rawvideo",
            "pipe:1",
        ]);
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .context("ffmpeg")?;
        let is_keyframe =
            clip::number(&output.stdout).is_some_and(|number| number % clip::GOP == 0);
        decoded += usize::from(output.stdout.len() == size && is_keyframe);
    }
    Ok(decoded)
}

/// The first keyframe in a reader's bytes as an Annex B stream, its parameter sets from the description.
fn keyframe(description: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let sets: Vec<Vec<u8>> = description
        .split_once("sprop-parameter-sets=")
        .map(|(_, rest)| {
            rest.split([';', '\r', '\n', ' '])
                .next()
                .unwrap_or_default()
        })
        .context("no parameter sets in the description")?
        .split(',')
        .map(|set| BASE64_STANDARD.decode(set).context("parameter sets"))
        .collect::<Result<_>>()?;
    let [sps, pps] = &sets[..] else {
        bail!("{} parameter sets in the description", sets.len());
    };
    let track = media::Track::h264(sps.clone().into(), pps.clone().into(), 0, 0);
    let mut depacketizer = Depacketizer::new(&track);
    for packet in Framing::packets(bytes) {
        depacketizer.push(packet)?;
        while let Some((_, payload)) = depacketizer.poll() {
            let stream = to_annexb(sps, pps, &payload);
            if stream
                .windows(4)
                .any(|window| matches!(window, [0, 0, 1, nal] if nal & 31 == 5))
            {
                return Ok(stream);
            }
        }
    }
    bail!("no keyframe in the captured bytes")
}
