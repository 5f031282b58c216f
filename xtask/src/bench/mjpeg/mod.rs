//! `cargo xtask bench mjpeg`: one JPEG camera, many HTTP viewers. docs/performance.md explains it.
mod framing;
mod pictures;
pub(crate) mod readers;
mod report;
pub(crate) mod source;

use super::Programs;
use super::args::Args;
use super::options::{Bench, Common};
use super::process::Process;
use super::subject::{Protocol, Subject};
use super::throughput::{Load, floats, strings};
use anyhow::{Context, Result, bail};
use pictures::{FPS, SIZE};
use report::{FirstPicture, Report};
use std::path::Path;
use std::time::Duration;

/// Viewers that come one after the other, and the time between two of them: no multiple of the
/// time between two pictures, so that they come at every moment of it.
const NEWCOMERS: usize = 50;
const NEWCOMER_RAMP_MS: usize = 67;

#[derive(Debug)]
pub(crate) struct Options {
    readers: Vec<usize>,
    bytes: usize,
    has_fanout: bool,
    has_first: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: vec![1, 50, 200, 500],
            bytes: SIZE,
            has_fanout: true,
            has_first: true,
        }
    }
}

impl Bench for Options {
    const USAGE: &'static str = "\
usage: cargo xtask bench mjpeg [OPTIONS]

Processor time for each delivered gigabit and memory of one JPEG camera (640x480, 25 fps, 24 kB a
picture) with many viewers of motion JPEG over HTTP, beside the floor: a bare loop that writes the
same ready-made parts to as many sockets. Then the time to the first whole picture of a new viewer
of a running stream.

  --readers LIST      numbers of viewers (1,50,200,500)
  --bytes N           bytes of a picture (24000)
  --only PART         fanout or first
  --peer NAME=PROGRAM[,ARGUMENT…][,URL]   measure another relay too (repeatable)
";

    type Report = Report;

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--readers" => self.readers = args.list(name)?,
            "--bytes" => self.bytes = args.value(name)?,
            "--only" => match args.text(name)?.as_str() {
                "fanout" => self.has_first = false,
                "first" => self.has_fanout = false,
                other => bail!("--only {other:?}: expected fanout or first"),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        if self.readers.contains(&0) {
            bail!("zero is no number of viewers");
        }
        Ok(())
    }

    fn measure(&self, common: &Common, programs: &Programs) -> Result<Report> {
        measure(self, common, programs)
    }
}

fn measure(options: &Options, common: &Common, programs: &Programs) -> Result<Report> {
    let subjects = Subject::all(common, programs)?;
    let source = ["mjpeg-source", "--bytes", &options.bytes.to_string()].map(str::to_owned);
    let load = Load {
        protocol: Protocol::Mjpeg,
        source: source.to_vec(),
        readers: "mjpeg-readers",
        fps: FPS,
    };
    let mut report = Report::default();
    if options.has_fanout {
        let bitrate = options.bytes * 8 * FPS as usize;
        for &readers in &options.readers {
            let load = (&load, bitrate);
            let rows = &mut report.rows;
            rows.measure(&programs.own, &subjects, load, readers, &common.effort)?;
        }
    }
    if options.has_first {
        for subject in &subjects {
            eprintln!("── first picture, {}", subject.name);
            let first = first_picture(&programs.own, subject, &load)?;
            report.first.push((subject.name.clone(), first));
        }
    }
    Ok(report)
}

/// How long new viewers of a stream that is being watched wait for their first whole picture.
fn first_picture(own: &Path, subject: &Subject, load: &Load) -> Result<FirstPicture> {
    let mut camera = Process::own(own, &load.source)?;
    let port = camera.answer()?["listening"].as_u64().context("no port")?;
    let running = subject.start(load.protocol, u16::try_from(port)?)?;
    let readers = |count: usize| {
        let (count, ramp) = (count.to_string(), NEWCOMER_RAMP_MS.to_string());
        let args = [
            load.readers,
            "--url",
            &running.url,
            "--count",
            &count,
            "--ramp-ms",
            &ramp,
        ];
        Process::own(own, &args.map(str::to_owned))
    };
    let mut first = readers(1)?;
    first.answer()?;
    std::thread::sleep(Duration::from_secs(1));
    let mut others = readers(NEWCOMERS)?;
    others.answer()?;
    others.tell("end")?;
    let report = others.answer()?;
    Ok(FirstPicture {
        milliseconds: floats(&report["first_keyframe_ms"]),
        failed: report["failed"].as_u64().unwrap_or(0),
        errors: strings(&report["errors"]),
    })
}
