//! `cargo xtask bench agents`: one gateway with many idle agents, and one agent. docs/performance.md explains it.
mod crowd;
mod cut;
pub(crate) mod reconnects;
mod site;

use super::Programs;
use super::args::Args;
use super::options::{self, Bench, Common};
use super::process::Cost;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use site::Site;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::thread::sleep;

/// Memory of an agent that has nothing to do.
const MAX_AGENT: u64 = 4 << 20;

/// The parts, each of which can be left out.
const PARTS: [&str; 3] = ["crowd", "one", "reconnects"];

#[derive(Debug)]
pub(crate) struct Options {
    count: usize,
    reconnects: u64,
    agent: Option<PathBuf>,
    only: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            count: 10_000,
            reconnects: 300,
            agent: None,
            only: Vec::new(),
        }
    }
}

impl Options {
    fn has(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

impl Bench for Options {
    const USAGE: &'static str = "\
usage: cargo xtask bench agents [OPTIONS]

Simulated agents that have nothing to do, all at one gateway: its memory and processor time for each;
the seconds until all their sessions go on after all connections were cut at once; and the seconds
until all are back after the gateway was killed and started anew. Then the memory and size of one agent,
and its memory after many reconnects.

  --count N           how many (10000)
  --reconnects N      how many for each kind of reconnect (300); ten thousand take an hour
  --only PART,...     only these parts: crowd, one, reconnects
  --agent PROGRAM     measure this agent instead of building one by the profile for cameras
";

    type Report = Found;

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--count" => self.count = args.value(name)?,
            "--reconnects" => self.reconnects = args.value(name)?,
            "--only" => {
                let parts = args.text(name)?;
                self.only.extend(parts.split(',').map(str::to_owned));
            }
            "--agent" => self.agent = Some(std::path::absolute(args.text(name)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        if let Some(unknown) = self
            .only
            .iter()
            .find(|only| !PARTS.contains(&only.as_str()))
        {
            bail!("no part {unknown:?}; there are {}", PARTS.join(", "));
        }
        if self.count == 0 || self.reconnects == 0 {
            bail!("zero is no number of agents or reconnects");
        }
        Ok(())
    }

    fn measure(&self, _: &Common, programs: &Programs) -> Result<Found> {
        let gateway = programs.eyelet.as_deref().context("no eyelet to measure")?;
        let needs_agent = self.has("one") || self.has("reconnects");
        let agent = match &self.agent {
            Some(agent) => agent.clone(),
            None if needs_agent => programs.small_agent()?,
            None => PathBuf::new(),
        };
        let crowd = match self.has("crowd") {
            true => Some(crowd::measure(&Site::new(gateway)?, self.count)?),
            false => None,
        };
        let one = match self.has("one") {
            true => Some(One::measure(gateway, &agent)?),
            false => None,
        };
        let reconnects = match self.has("reconnects") {
            true => {
                let (own, count) = (&programs.own, self.reconnects);
                Some(reconnects::measure(own, gateway, &agent, count)?)
            }
            false => None,
        };
        Ok(Found {
            crowd,
            one,
            reconnects,
        })
    }
}

/// What was found, of the parts that were asked for.
#[derive(Debug)]
pub(crate) struct Found {
    crowd: Option<crowd::Found>,
    one: Option<One>,
    reconnects: Option<reconnects::Found>,
}

/// One agent that has been idle for a while. Bytes.
#[derive(Debug)]
struct One {
    resident: u64,
    peak: u64,
    size: u64,
}

impl One {
    fn measure(gateway: &Path, agent: &Path) -> Result<Self> {
        let site = Site::new(gateway)?;
        let _serving = site.serve()?;
        let running = site.start_agent(agent, "bench", "auto")?;
        sleep(crowd::SETTLE);
        let Cost { resident, peak, .. } = running.cost()?;
        let size = std::fs::metadata(agent)?.len();
        Ok(Self {
            resident,
            peak,
            size,
        })
    }
}

impl options::Report for Found {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        if let Some(crowd) = &self.crowd {
            crowd.write(out)?;
        }
        if let Some(one) = &self.one {
            writeln!(
                out,
                "\none agent, idle: {:.2} MiB resident (at most {:.2} MiB so far), program {:.2} MB",
                one.resident as f64 / f64::from(1 << 20),
                one.peak as f64 / f64::from(1 << 20),
                one.size as f64 / 1e6,
            )?;
        }
        match &self.reconnects {
            Some(reconnects) => reconnects.write(out),
            None => Ok(()),
        }
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if let Some(crowd) = &self.crowd {
            missed.extend(crowd.missed());
        }
        if let Some(one) = &self.one
            && one.resident >= MAX_AGENT
        {
            missed.push(format!(
                "an agent takes {:.2} MiB, below {} MiB",
                one.resident as f64 / f64::from(1 << 20),
                MAX_AGENT >> 20
            ));
        }
        if let Some(reconnects) = &self.reconnects {
            missed.extend(reconnects.missed());
        }
        missed
    }

    fn to_json(&self) -> Value {
        let mut all = json!({ "missed": self.missed() });
        if let Some(crowd) = &self.crowd
            && let Value::Object(all) = &mut all
        {
            all.append(&mut crowd.to_json());
        }
        if let Some(one) = &self.one {
            all["agent_rss_bytes"] = json!(one.resident);
            all["agent_peak_rss_bytes"] = json!(one.peak);
            all["agent_size_bytes"] = json!(one.size);
        }
        if let Some(reconnects) = &self.reconnects {
            all["reconnects"] = reconnects.to_json();
        }
        all
    }
}
