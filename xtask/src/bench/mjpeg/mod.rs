//! `cargo xtask bench mjpeg`: one JPEG camera, many HTTP viewers. docs/performance.md explains it.
mod framing;
mod pictures;
pub(crate) mod readers;
mod report;
pub(crate) mod source;

use super::Programs;
use super::args::Args;
use super::process::Process;
use super::rows::Effort;
use super::subject::{Protocol, Subject};
use super::throughput::{Load, floats, strings};
use anyhow::{Context, Result, bail};
use pictures::{FPS, SIZE};
use report::{FirstPicture, Report};
use std::path::{Path, PathBuf};
use std::time::Duration;

const USAGE: &str = "\
usage: cargo xtask bench mjpeg [OPTIONS]

Processor time for each delivered gigabit and memory of one JPEG camera (640x480, 25 fps, 24 kB a
picture) with many viewers of motion JPEG over HTTP, beside the floor: a bare loop that writes the
same ready-made parts to as many sockets. Then the time to the first whole picture of a new viewer
of a running stream.

  --quick             one short run of each instead of three
  --check             exit 1 if a promise is missed (docs/performance.md lists them)
  --json              the results as one JSON object
  --readers LIST      numbers of viewers (1,50,200,500)
  --bytes N           bytes of a picture (24000)
  --seconds N         measured window of a run (10)
  --repeat N          runs of each, in turns; the median counts (3)
  --retries N         times that a run is taken again because others kept the processor busy (3)
  --only PART         fanout or first
  --eyelet PROGRAM    measure this program instead of building one
  --peer NAME=PROGRAM[,ARGUMENT…][,URL]   measure another relay too (repeatable)
  --no-eyelet         floor and peers alone
";

/// Viewers that come one after the other, and the time between two of them: no multiple of the
/// time between two pictures, so that they come at every moment of it.
const NEWCOMERS: usize = 50;
const NEWCOMER_RAMP_MS: usize = 67;

#[derive(Debug)]
struct Options {
    readers: Vec<usize>,
    bytes: usize,
    effort: Effort,
    has_fanout: bool,
    has_first: bool,
    is_check: bool,
    is_json: bool,
    eyelet: Option<PathBuf>,
    has_eyelet: bool,
    peers: Vec<Subject>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            readers: vec![1, 50, 200, 500],
            bytes: SIZE,
            effort: Effort::default(),
            has_fanout: true,
            has_first: true,
            is_check: false,
            is_json: false,
            eyelet: None,
            has_eyelet: true,
            peers: Vec::new(),
        };
        let mut args = Args::new(args);
        while let Some(name) = args.next() {
            match name.as_str() {
                "--quick" => options.effort = Effort::quick(),
                "--check" => options.is_check = true,
                "--json" => options.is_json = true,
                "--readers" => options.readers = args.list(&name)?,
                "--bytes" => options.bytes = args.value(&name)?,
                "--seconds" => options.effort.window = Duration::from_secs(args.value(&name)?),
                "--repeat" => options.effort.repeat = args.value(&name)?,
                "--retries" => options.effort.retries = args.value(&name)?,
                "--only" => match args.text(&name)?.as_str() {
                    "fanout" => options.has_first = false,
                    "first" => options.has_fanout = false,
                    other => bail!("--only {other:?}: expected fanout or first"),
                },
                "--eyelet" => options.eyelet = Some(std::path::absolute(args.text(&name)?)?),
                "--no-eyelet" => options.has_eyelet = false,
                "--peer" => options.peers.push(Subject::peer(&args.text(&name)?)?),
                "help" | "--help" | "-h" => return Ok(None),
                _ => return Err(args.unknown(&name)),
            }
        }
        if options.readers.contains(&0) || options.effort.repeat == 0 {
            bail!("zero is no number of viewers or repetitions");
        }
        Ok(Some(options))
    }
}

pub(crate) fn run(args: &[String]) -> Result<()> {
    let Some(options) = Options::parse(args)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let programs = Programs::build(options.eyelet.clone(), options.has_eyelet)?;
    let report = measure(&options, &programs)?;
    if options.is_json {
        println!("{:#}", report.to_json());
    } else {
        print!("{}", report.table());
    }
    let missed = report.missed();
    if options.is_check && !missed.is_empty() {
        bail!("missed: {}", missed.join("; "));
    }
    Ok(())
}

fn measure(options: &Options, programs: &Programs) -> Result<Report> {
    let mut subjects: Vec<Subject> = Vec::new();
    subjects.extend(programs.eyelet.as_deref().map(Subject::eyelet));
    subjects.extend(options.peers.iter().cloned());
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
            rows.measure(&programs.own, &subjects, load, readers, &options.effort)?;
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
