//! What the benchmarks that compare programs have in common: a part of the command line, and how a report is given.
use super::Programs;
use super::args::Args;
use super::rows::Effort;
use anyhow::{Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Printed after what is a benchmark's own.
const USAGE: &str = "\
  --quick             one short run of each instead of three
  --check             exit 1 if a promise is missed (docs/performance.md lists them)
  --json              the results as one JSON object
  --seconds N         measured window of a run
  --repeat N          runs of each, in turns; the median counts (3)
  --retries N         times that a run is taken again because others kept the processor busy (3)
  --eyelet PROGRAM    measure this program instead of building one
  --no-eyelet         the others alone
";

/// Options that all of them understand.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) effort: Effort,
    pub(super) eyelet: Option<PathBuf>,
    pub(super) has_eyelet: bool,
    /// `NAME=PROGRAM…`, as given.
    pub(super) peers: Vec<String>,
    is_check: bool,
    is_json: bool,
}

/// One benchmark: its options are its fields.
pub(super) trait Bench: Default {
    /// What it does and its own options, with `--peer`.
    const USAGE: &'static str;

    /// What it found.
    type Report: Report;

    /// What is built beside Eyelet when Eyelet is.
    const PACKAGES: &'static [&'static str] = &[];

    /// How much is measured unless the command line says otherwise.
    fn effort() -> Effort {
        Effort::default()
    }

    /// Takes an option of its own: whether it is one.
    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool>;

    /// Whether the options make sense together.
    fn check(&self) -> Result<()>;

    fn measure(&self, common: &Common, programs: &Programs) -> Result<Self::Report>;
}

/// What a benchmark found.
pub(super) trait Report {
    /// For people, in Markdown. Writing to a string cannot fail.
    fn write(&self, out: &mut String) -> std::fmt::Result;

    /// The promises that Eyelet did not keep.
    fn missed(&self) -> Vec<String>;

    fn to_json(&self) -> Value;
}

impl Common {
    fn new(effort: Effort) -> Self {
        Self {
            effort,
            eyelet: None,
            has_eyelet: true,
            peers: Vec::new(),
            is_check: false,
            is_json: false,
        }
    }

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--quick" => self.effort = Effort::quick(),
            "--check" => self.is_check = true,
            "--json" => self.is_json = true,
            "--seconds" => self.effort.window = Duration::from_secs(args.value(name)?),
            "--repeat" => self.effort.repeat = args.value(name)?,
            "--retries" => self.effort.retries = args.value(name)?,
            "--eyelet" => self.eyelet = Some(std::path::absolute(args.text(name)?)?),
            "--no-eyelet" => self.has_eyelet = false,
            "--peer" => self.peers.push(args.text(name)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Reads the command line, measures, reports.
pub(super) fn run<B: Bench>(args: &[String]) -> Result<()> {
    let (mut bench, mut common) = (B::default(), Common::new(B::effort()));
    let mut args = Args::new(args);
    while let Some(name) = args.next() {
        if matches!(name.as_str(), "help" | "--help" | "-h") {
            print!("{}{USAGE}", B::USAGE);
            return Ok(());
        }
        if !bench.take(&name, &mut args)? && !common.take(&name, &mut args)? {
            return Err(args.unknown(&name));
        }
    }
    if common.effort.repeat == 0 {
        bail!("zero is no number of repetitions");
    }
    bench.check()?;
    let programs = Programs::build(&common, B::PACKAGES)?;
    let report = bench.measure(&common, &programs)?;
    let missed = report.missed();
    if common.is_json {
        println!("{:#}", report.to_json());
    } else {
        let mut text = String::new();
        report.write(&mut text)?;
        print!("{text}");
        for note in &missed {
            println!("\n{note}");
        }
    }
    if common.is_check && !missed.is_empty() {
        bail!("missed: {}", missed.join("; "));
    }
    Ok(())
}
