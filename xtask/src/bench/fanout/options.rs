//! The command line.
use super::report::Report;
use crate::bench::Programs;
use crate::bench::args::Args;
use crate::bench::options::{Bench, Common};
use anyhow::{Result, bail};

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Fanout,
    First,
    Latency,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(super) readers: Vec<usize>,
    pub(super) bitrates: Vec<usize>,
    only: Option<Part>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: vec![1, 50, 200, 500],
            bitrates: vec![2_000_000, 4_000_000],
            only: None,
        }
    }
}

impl Options {
    pub(super) fn has(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

impl Bench for Options {
    const USAGE: &'static str = "\
usage: cargo xtask bench fanout [OPTIONS]

Processor time for each delivered gigabit and memory of one H.264 stream (25 fps, RTSP over TCP) with
many readers, beside the floor: a bare loop that writes the same ready-made bytes to as many sockets.
Then the time to the first decodable picture, and the latency ten seconds later.

  --readers LIST      numbers of readers (1,50,200,500)
  --mbit LIST         bitrates (2,4)
  --only PART         fanout, first or latency
  --peer NAME=PROGRAM[,ARGUMENT…]   measure another relay too (repeatable)
";

    type Report = Report;

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--readers" => self.readers = args.list(name)?,
            "--mbit" => {
                let mbit: Vec<usize> = args.list(name)?;
                self.bitrates = mbit.into_iter().map(|mbit| mbit * 1_000_000).collect();
            }
            "--only" => {
                self.only = Some(match args.text(name)?.as_str() {
                    "fanout" => Part::Fanout,
                    "first" => Part::First,
                    "latency" => Part::Latency,
                    other => bail!("--only {other:?}: expected fanout, first or latency"),
                });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        if self.readers.contains(&0) || self.bitrates.contains(&0) {
            bail!("zero is no number of readers or bitrate");
        }
        Ok(())
    }

    fn measure(&self, common: &Common, programs: &Programs) -> Result<Report> {
        super::measure(self, common, programs)
    }
}
