//! Very many idle agents at one gateway.
use super::cut::cut;
use super::site::Site;
use crate::bench::process::Process;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fmt::Write;
use std::io::BufRead;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Memory of the gateway for each agent that has nothing to do.
const MAX_PER_AGENT: f64 = 40_000.0;
/// The same after all connections were cut at once. What was freed among all that is kept leaves holes, which the next
/// connections use; it goes up to this over several cuts.
const MAX_AFTER_CUT: f64 = 55_000.0;
/// Until all are back, be it that their connections were cut or that the gateway was started anew.
const MAX_STORM: f64 = 30.0;

/// Long enough for heartbeats to have given unused buffers back.
pub(super) const SETTLE: Duration = Duration::from_secs(25);
/// All of them joining for the first time, which writes a file for each.
const JOIN_TIMEOUT: Duration = Duration::from_secs(300);
const STORM_TIMEOUT: Duration = Duration::from_secs(120);
/// The crowd tells more often than that how many are connected, if that changes.
const TOLD: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    count: usize,
    join: f64,
    /// Bytes of the gateway: idle, after the cut, after its restart.
    per_agent: f64,
    per_agent_after_cut: f64,
    per_agent_after: f64,
    idle_share: f64,
    /// Until all sessions went on after all connections were cut, and how many went on.
    resume: f64,
    resumed: usize,
    storm: f64,
    still_there: usize,
}

pub(super) fn measure(site: &Site, count: usize) -> Result<Found> {
    let mut found = Found {
        count,
        ..Found::default()
    };
    let serving = site.serve()?;
    sleep(Duration::from_secs(1));
    let empty = serving.cost()?.resident;
    let per_agent = |serving: &Process| -> Result<f64> {
        Ok(serving.cost()?.resident.saturating_sub(empty) as f64 / count as f64)
    };
    let mut crowd = Crowd::start(site, count)?;
    found.join = crowd.wait(count, JOIN_TIMEOUT)?;
    eprintln!("── all connected after {:.1} s", found.join);
    sleep(SETTLE);
    found.per_agent = per_agent(&serving)?;
    let (before, start) = (serving.cost()?, Instant::now());
    sleep(Duration::from_secs(10));
    let spent = serving.cost()?.since(&before).all;
    found.idle_share = spent / start.elapsed().as_secs_f64();
    eprintln!(
        "── {:.1} kB for each, {:.1} % of a processor",
        found.per_agent / 1e3,
        found.idle_share * 100.0
    );

    (found.resume, found.resumed) = crowd.cut(site, count)?;
    eprintln!("── {} went on after {:.1} s", found.resumed, found.resume);
    sleep(SETTLE);
    found.per_agent_after_cut = per_agent(&serving)?;

    // All sessions are gone with it: each agent logs in anew.
    drop(serving);
    crowd.forget();
    let start = Instant::now();
    let serving = site.serve()?;
    crowd.wait_below(count)?;
    crowd.wait(count, STORM_TIMEOUT)?;
    found.storm = start.elapsed().as_secs_f64();
    eprintln!("── all back after {:.1} s", found.storm);
    sleep(SETTLE);
    crowd.forget();
    found.still_there = crowd.latest;
    found.per_agent_after = per_agent(&serving)?;
    Ok(found)
}

/// What tells whether a session went on, of one agent: sessions, those that were lost, and connections after the first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Past {
    sessions: u64,
    lost: u64,
    reconnects: u64,
}

fn pasts(site: &Site) -> Result<HashMap<String, Past>> {
    let past = |agent: &Value| {
        let number = |name: &str| agent[name].as_u64();
        let past = Past {
            sessions: number("sessions")?,
            lost: number("sessions_lost")?,
            reconnects: number("reconnects")?,
        };
        Some((agent["name"].as_str()?.to_owned(), past))
    };
    let agents = site.agents()?;
    let pasts = agents.iter().map(past).collect::<Option<_>>();
    pasts.context("an agent without counts")
}

/// The simulated agents: a process, and how many of them are connected as it tells.
struct Crowd {
    process: Process,
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
            process,
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

    /// Cuts the connections of all of them at once, while the gateway goes on: the seconds until all are connected again,
    /// and how many of the sessions went on.
    fn cut(&mut self, site: &Site, count: usize) -> Result<(f64, usize)> {
        let before = pasts(site)?;
        self.forget();
        let start = Instant::now();
        let connections = cut(self.process.id(), site.http)?;
        ensure!(
            connections == count,
            "{connections} connections of {count} agents to cut"
        );
        eprintln!(
            "── {connections} connections cut within {:.1} s",
            start.elapsed().as_secs_f64()
        );
        loop {
            // They may have been away and back between two looks.
            sleep(TOLD);
            self.forget();
            let left = STORM_TIMEOUT.saturating_sub(start.elapsed());
            self.wait(count, left)?;
            let took = start.elapsed().as_secs_f64();
            let after = pasts(site)?;
            let went_on = |(name, was): (&String, &Past)| {
                let reconnects = was.reconnects + 1;
                after.get(name) == Some(&Past { reconnects, ..*was })
            };
            let is_settled = after.iter().all(|(name, past)| {
                let was = before.get(name);
                was.is_some_and(|was| past.reconnects > was.reconnects)
            });
            if is_settled {
                return Ok((took, before.iter().filter(|&past| went_on(past)).count()));
            }
        }
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

impl Found {
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| agents | all joined after | gateway's memory for each | after the cut | after the restart | gateway's CPU, idle | all connections cut: all go on after | sessions that went on | all back after a restart | connected then |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
             | {} | {:.1} s | {:.1} kB | {:.1} kB | {:.1} kB | {:.1} % of a core | {:.1} s | {} | {:.1} s | {} |",
            self.count,
            self.join,
            self.per_agent / 1e3,
            self.per_agent_after_cut / 1e3,
            self.per_agent_after / 1e3,
            self.idle_share * 100.0,
            self.resume,
            self.resumed,
            self.storm,
            self.still_there,
        )
    }

    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for (bytes, most, when) in [
            (self.per_agent, MAX_PER_AGENT, "when they are idle"),
            (self.per_agent_after_cut, MAX_AFTER_CUT, "after the cut"),
            (self.per_agent_after, MAX_PER_AGENT, "after the restart"),
        ] {
            if bytes >= most {
                missed.push(format!(
                    "{:.1} kB for each agent {when}, below {:.0} kB",
                    bytes / 1e3,
                    most / 1e3
                ));
            }
        }
        for (seconds, what) in [(self.resume, "cut"), (self.storm, "restart")] {
            if seconds >= MAX_STORM {
                missed.push(format!(
                    "all back {seconds:.1} s after the {what}, below {MAX_STORM} s"
                ));
            }
        }
        if self.resumed < self.count {
            missed.push(format!("{} sessions lost", self.count - self.resumed));
        }
        if self.still_there < self.count {
            missed.push(format!("{} logins lost", self.count - self.still_there));
        }
        missed
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let fields = json!({
            "count": self.count,
            "join_s": self.join,
            "bytes_per_agent": self.per_agent,
            "bytes_per_agent_after_cut": self.per_agent_after_cut,
            "bytes_per_agent_after_storm": self.per_agent_after,
            "idle_cpu_pct": self.idle_share * 100.0,
            "resume_s": self.resume,
            "resumed": self.resumed,
            "storm_s": self.storm,
            "connected": self.still_there,
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}
