//! `cargo xtask bench agents`: one gateway with many idle agents, and one agent. docs/performance.md explains it.
use super::Programs;
use super::args::Args;
use super::options::{self, Bench, Common};
use super::process::{Cost, Process, free_port};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Memory of the gateway for each agent that has nothing to do.
const MAX_PER_AGENT: f64 = 40_000.0;
/// Until all are back after the gateway was started anew.
const MAX_STORM: f64 = 30.0;
/// Memory of an agent that has nothing to do.
const MAX_AGENT: u64 = 4 << 20;

/// Long enough for heartbeats to have given unused buffers back.
const SETTLE: Duration = Duration::from_secs(25);
/// All of them joining for the first time, which writes a file for each.
const JOIN_TIMEOUT: Duration = Duration::from_secs(300);
const STORM_TIMEOUT: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Options {
    count: usize,
    agent: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            count: 10_000,
            agent: None,
        }
    }
}

impl Bench for Options {
    const USAGE: &'static str = "\
usage: cargo xtask bench agents [OPTIONS]

Simulated agents that have nothing to do, all at one gateway: its memory and processor time for each,
and the seconds until all are back after it was killed and started anew. Then the memory and size of one agent.

  --count N           how many (10000)
  --agent PROGRAM     measure this agent instead of building one by the profile for cameras
";

    type Report = Found;

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--count" => self.count = args.value(name)?,
            "--agent" => self.agent = Some(std::path::absolute(args.text(name)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        match self.count {
            0 => bail!("zero is no number of agents"),
            _ => Ok(()),
        }
    }

    fn measure(&self, _: &Common, programs: &Programs) -> Result<Found> {
        let gateway = programs.eyelet.as_deref().context("no eyelet to measure")?;
        let agent = match &self.agent {
            Some(agent) => agent.clone(),
            None => programs.small_agent()?,
        };
        let site = Site::new(gateway)?;
        let mut found = Found {
            count: self.count,
            agent_size: std::fs::metadata(&agent)?.len(),
            ..Found::default()
        };
        let serving = site.serve()?;
        sleep(Duration::from_secs(1));
        let empty = serving.cost()?;
        let mut crowd = Crowd::start(&site, self.count)?;
        found.join = crowd.wait(self.count, JOIN_TIMEOUT)?;
        eprintln!("── all connected after {:.1} s", found.join);
        sleep(SETTLE);
        let (before, start) = (serving.cost()?, Instant::now());
        found.per_agent = before.resident.saturating_sub(empty.resident) as f64 / self.count as f64;
        sleep(Duration::from_secs(10));
        let spent = serving.cost()?.since(&before).all;
        found.idle_share = spent / start.elapsed().as_secs_f64();
        eprintln!(
            "── {:.1} kB for each, {:.1} % of a processor",
            found.per_agent / 1e3,
            found.idle_share * 100.0
        );

        // All sessions are gone with it: each agent logs in anew.
        drop(serving);
        crowd.forget();
        let start = Instant::now();
        let serving = site.serve()?;
        crowd.wait_below(self.count)?;
        crowd.wait(self.count, STORM_TIMEOUT)?;
        found.storm = start.elapsed().as_secs_f64();
        eprintln!("── all back after {:.1} s", found.storm);
        sleep(SETTLE);
        crowd.forget();
        found.still_there = crowd.latest;
        let after = serving.cost()?.resident;
        found.per_agent_after = after.saturating_sub(empty.resident) as f64 / self.count as f64;
        drop((crowd, serving));
        // A gateway of its own: the other one has as many agents as it may have.
        let site = Site::new(gateway)?;
        let _serving = site.serve()?;
        (found.agent_resident, found.agent_peak) = site.one_agent(&agent)?;
        Ok(found)
    }
}

/// A gateway's folder and configuration.
struct Site {
    program: PathBuf,
    config: PathBuf,
    http: u16,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (http, rtsp) = (free_port()?, free_port()?);
        let config = folder.path().join("eyelet.yaml");
        let text = format!(
            "data: \"{}/data\"\nhttp: {{ listen: \"127.0.0.1:{http}\" }}\nrtsp: {{ listen: \"127.0.0.1:{rtsp}\" }}\n",
            folder.path().display()
        );
        std::fs::write(&config, text)?;
        Ok(Self {
            program: program.to_owned(),
            config,
            http,
            folder,
        })
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("EYELET_BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        command
    }

    fn serve(&self) -> Result<Process> {
        let mut command = self.command(&self.program);
        command.args(["-q", "serve", "-c"]).arg(&self.config);
        let mut process = Process::start("eyelet", &mut command)?;
        process.wait_for(self.http)?;
        Ok(process)
    }

    /// The agent's memory once it has been idle for a while, and the most so far.
    fn one_agent(&self, program: &Path) -> Result<(u64, u64)> {
        let added = Command::new(&self.program)
            .args(["agent", "add", "bench", "-c"])
            .arg(&self.config)
            .output()?;
        let code = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        if code.is_empty() {
            bail!(
                "eyelet agent add: {}",
                String::from_utf8_lossy(&added.stderr)
            );
        }
        let mut command = self.command(program);
        command.args(["-q", "--join", &code, "--state"]);
        command.arg(self.folder.path().join("agent"));
        let agent = Process::start("eyelet-agent", &mut command)?;
        sleep(SETTLE);
        let Cost { resident, peak, .. } = agent.cost()?;
        Ok((resident, peak))
    }
}

/// The simulated agents: a process, and how many of them are connected as it tells.
struct Crowd {
    _process: Process,
    told: Receiver<usize>,
    latest: usize,
}

impl Crowd {
    fn start(site: &Site, count: usize) -> Result<Self> {
        let mut command = site.command(&site.program);
        command.args([
            "-q",
            "simulate",
            "agents",
            "--count",
            &count.to_string(),
            "-c",
        ]);
        command.arg(&site.config).stdout(Stdio::piped());
        let mut process = Process::start("eyelet simulate agents", &mut command)?;
        let output = process.take_output().context("no pipe to a child")?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            // `   12.0 s: 345 of 10000 connected`
            for line in output.lines().map_while(Result::ok) {
                let number = line
                    .split("s: ")
                    .nth(1)
                    .and_then(|rest| rest.split(' ').next());
                if let Some(Ok(number)) = number.map(str::parse)
                    && tell.send(number).is_err()
                {
                    return;
                }
            }
        });
        Ok(Self {
            _process: process,
            told,
            latest: 0,
        })
    }

    fn forget(&mut self) {
        for number in self.told.try_iter() {
            self.latest = number;
        }
    }

    /// Waits until some are away.
    fn wait_below(&mut self, count: usize) -> Result<()> {
        let limit = Instant::now() + STORM_TIMEOUT;
        while self.latest >= count {
            self.hear(limit)?;
        }
        Ok(())
    }

    /// Waits until all are connected: the seconds.
    fn wait(&mut self, count: usize, timeout: Duration) -> Result<f64> {
        let start = Instant::now();
        while self.latest < count {
            self.hear(start + timeout)?;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    fn hear(&mut self, limit: Instant) -> Result<()> {
        let left = limit.saturating_duration_since(Instant::now());
        let Ok(number) = self.told.recv_timeout(left) else {
            bail!("only {} agents are connected", self.latest);
        };
        eprintln!("   {number} connected");
        self.latest = number;
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Found {
    count: usize,
    join: f64,
    /// Bytes of the gateway.
    per_agent: f64,
    per_agent_after: f64,
    idle_share: f64,
    storm: f64,
    still_there: usize,
    agent_resident: u64,
    agent_peak: u64,
    agent_size: u64,
}

impl options::Report for Found {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| agents | all joined after | gateway's memory for each | after the storm | gateway's CPU, idle | all back after a restart | connected then |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n\
             | {} | {:.1} s | {:.1} kB | {:.1} kB | {:.1} % of a core | {:.1} s | {} |",
            self.count,
            self.join,
            self.per_agent / 1e3,
            self.per_agent_after / 1e3,
            self.idle_share * 100.0,
            self.storm,
            self.still_there,
        )?;
        writeln!(
            out,
            "\none agent, idle: {:.2} MiB resident (at most {:.2} MiB so far), program {:.2} MB",
            self.agent_resident as f64 / f64::from(1 << 20),
            self.agent_peak as f64 / f64::from(1 << 20),
            self.agent_size as f64 / 1e6,
        )
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.per_agent >= MAX_PER_AGENT {
            missed.push(format!(
                "{:.1} kB for each agent, below {:.0} kB",
                self.per_agent / 1e3,
                MAX_PER_AGENT / 1e3
            ));
        }
        if self.storm >= MAX_STORM {
            missed.push(format!(
                "all back after {:.1} s, below {MAX_STORM} s",
                self.storm
            ));
        }
        if self.still_there < self.count {
            missed.push(format!("{} logins lost", self.count - self.still_there));
        }
        if self.agent_resident >= MAX_AGENT {
            missed.push(format!(
                "an agent takes {:.2} MiB, below {} MiB",
                self.agent_resident as f64 / f64::from(1 << 20),
                MAX_AGENT >> 20
            ));
        }
        missed
    }

    fn to_json(&self) -> Value {
        json!({
            "count": self.count,
            "join_s": self.join,
            "bytes_per_agent": self.per_agent,
            "bytes_per_agent_after_storm": self.per_agent_after,
            "idle_cpu_pct": self.idle_share * 100.0,
            "storm_s": self.storm,
            "connected": self.still_there,
            "agent_rss_bytes": self.agent_resident,
            "agent_peak_rss_bytes": self.agent_peak,
            "agent_size_bytes": self.agent_size,
            "missed": self.missed(),
        })
    }
}
