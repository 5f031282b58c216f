//! The command line.
use crate::bench::args::Args;
use crate::bench::rows::Effort;
use crate::bench::subject::Subject;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::time::Duration;

pub(super) const USAGE: &str = "\
usage: cargo xtask bench fanout [OPTIONS]

Processor time for each delivered gigabit and memory of one H.264 stream (25 fps, RTSP over TCP) with
many readers, beside the floor: a bare loop that writes the same ready-made bytes to as many sockets.
Then the time to the first decodable picture, and the latency ten seconds later.

  --quick             one short run of each instead of three
  --check             exit 1 if a promise is missed (docs/performance.md lists them)
  --json              the results as one JSON object
  --readers LIST      numbers of readers (1,50,200,500)
  --mbit LIST         bitrates (2,4)
  --seconds N         measured window of a run (10)
  --repeat N          runs of each, in turns; the median counts (3)
  --retries N         times that a run is taken again because others kept the processor busy (3)
  --only PART         fanout, first or latency
  --eyelet PROGRAM    measure this program instead of building one
  --peer NAME=PROGRAM[,ARGUMENT…]   measure another relay too (repeatable)
  --no-eyelet         floor and peers alone
";

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fanout,
    First,
    Latency,
}

#[derive(Debug)]
pub(super) struct Options {
    pub(super) readers: Vec<usize>,
    pub(super) bitrates: Vec<usize>,
    pub(super) effort: Effort,
    pub(super) only: Option<Part>,
    pub(super) is_check: bool,
    pub(super) is_json: bool,
    pub(super) eyelet: Option<PathBuf>,
    pub(super) has_eyelet: bool,
    pub(super) peers: Vec<Subject>,
}

impl Options {
    /// What was asked for; `None` if it was only help.
    pub(super) fn parse(args: &[String]) -> Result<Option<Self>> {
        let mut options = Self {
            readers: vec![1, 50, 200, 500],
            bitrates: vec![2_000_000, 4_000_000],
            effort: Effort::default(),
            only: None,
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
                "--mbit" => {
                    let mbit: Vec<usize> = args.list(&name)?;
                    options.bitrates = mbit.into_iter().map(|mbit| mbit * 1_000_000).collect();
                }
                "--seconds" => options.effort.window = Duration::from_secs(args.value(&name)?),
                "--repeat" => options.effort.repeat = args.value(&name)?,
                "--retries" => options.effort.retries = args.value(&name)?,
                "--only" => {
                    options.only = Some(match args.text(&name)?.as_str() {
                        "fanout" => Part::Fanout,
                        "first" => Part::First,
                        "latency" => Part::Latency,
                        other => bail!("--only {other:?}: expected fanout, first or latency"),
                    });
                }
                "--eyelet" => {
                    options.eyelet = Some(std::path::absolute(args.text(&name)?)?);
                }
                "--no-eyelet" => options.has_eyelet = false,
                "--peer" => options.peers.push(Subject::peer(&args.text(&name)?)?),
                "help" | "--help" | "-h" => return Ok(None),
                _ => return Err(args.unknown(&name)),
            }
        }
        if options.readers.contains(&0)
            || options.bitrates.contains(&0)
            || options.effort.repeat == 0
        {
            bail!("zero is no number of readers, bitrate or repetition");
        }
        Ok(Some(options))
    }

    pub(super) fn has(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}
