//! `cargo xtask bench tunnel`: connections through an agent, beside other tunnels. docs/performance.md explains it.
pub(crate) mod ends;
mod report;
mod subject;

use super::Programs;
use super::args::Args;
use super::options::{Bench, Common};
use super::process::{Cost, Process, machine_busy};
use super::rows::Effort;
use super::subject::Protocol;
use super::throughput::{self, Load};
use anyhow::{Result, bail};
use report::{Bulk, Found, Report};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subject::{Running, Subject, wait_until};

/// Of the camera that a hundred readers watch.
const BITRATE: usize = 2_000_000;
const FPS: u32 = 25;

/// Requests and connections, one after the other.
const ECHOES: usize = 2000;
const OPENS: usize = 300;

#[derive(Debug)]
pub(crate) struct Options {
    readers: usize,
    agent: Option<PathBuf>,
    transport: String,
    only: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 100,
            agent: None,
            transport: "websocket".to_owned(),
            only: Vec::new(),
        }
    }
}

/// The parts, each of which can be left out.
const PARTS: [&str; 6] = ["down", "up", "down8", "latency", "open", "rtsp"];

impl Options {
    fn has(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

impl Bench for Options {
    const USAGE: &'static str = "\
usage: cargo xtask bench tunnel [OPTIONS]

One port behind a tunnel: how much goes through and what both ends' processors spend on it, what a
hundred RTSP readers cost, how long a small request takes alone and beside a saturated stream, how
long a new connection takes. All on loopback, the tunnels in turns.

  --readers N         RTSP readers of one camera of 2 Mbit/s (100)
  --only PART,…       down, up, down8, latency, open, rtsp
  --agent PROGRAM     measure this agent instead of building one
  --transport WAY     what carries the tunnel: websocket (the default) or quic
  --peer rathole=PROGRAM   measure rathole over TLS too
";
    const PACKAGES: &'static [&'static str] = &["eyelet-agent"];

    type Report = Report;

    fn effort() -> Effort {
        Effort {
            window: Duration::from_secs(4),
            ..Effort::default()
        }
    }

    fn take(&mut self, name: &str, args: &mut Args<'_>) -> Result<bool> {
        match name {
            "--readers" => self.readers = args.value(name)?,
            "--agent" => self.agent = Some(std::path::absolute(args.text(name)?)?),
            "--transport" => self.transport = args.text(name)?.to_owned(),
            "--only" => self.only = args.text(name)?.split(',').map(str::to_owned).collect(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self) -> Result<()> {
        match self
            .only
            .iter()
            .find(|only| !PARTS.contains(&only.as_str()))
        {
            Some(only) => bail!("--only {only:?}: expected {}", PARTS.join(", ")),
            None => Ok(()),
        }
    }

    fn measure(&self, common: &Common, programs: &Programs) -> Result<Report> {
        let mut subjects = vec![Subject::direct()];
        subjects.extend(Subject::eyelet(
            programs,
            self.agent.as_deref(),
            &self.transport,
        ));
        for peer in &common.peers {
            subjects.push(Subject::peer(peer)?);
        }
        let mut report = Report::new(subjects.iter().map(|subject| subject.name), self.readers);
        for round in 1..=common.effort.repeat {
            for (at, subject) in subjects.iter().enumerate() {
                eprintln!("── {}, run {round}", subject.name);
                let found = self.once(&programs.own, subject, &common.effort)?;
                report.add(at, found);
            }
        }
        Ok(report)
    }
}

impl Options {
    /// All parts of one tunnel, once.
    fn once(&self, own: &Path, subject: &Subject, effort: &Effort) -> Result<Found> {
        let mut found = Found::default();
        let mut ends = Ends::start(own)?;
        let running = subject.start(ends.target)?;
        wait_until(subject.name, || ends.ask("probe", &running, 0.0).map(drop))?;
        let seconds = effort.window.as_secs_f64();
        for part in ["down", "up", "down8"] {
            if self.has(part) {
                let bulk = ends.bulk(part, &running, effort)?;
                eprintln!(
                    "   {part}: {:.2} Gbit/s, {:.2} CPU s/GB, others {:.0} %",
                    bulk.gbit_per_second,
                    bulk.seconds_per_gigabyte,
                    bulk.others_share * 100.0
                );
                found.bulk.push((part, bulk));
            }
        }
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        if self.has("latency") {
            let alone = ends.ask("echo", &running, ECHOES as f64)?;
            found.set("echo_p50", number(&alone["p50"]));
            found.set("echo_p99", number(&alone["p99"]));
            let beside = ends.ask("beside", &running, seconds)?;
            found.set("beside_p50", number(&beside["p50"]));
            found.set("beside_p99", number(&beside["p99"]));
            found.set("added_p99", number(&beside["p99"]) - number(&alone["p50"]));
            found.set("beside_gbit", number(&beside["bytes"]) * 8e-9 / seconds);
        }
        if self.has("open") {
            let open = ends.ask("open", &running, OPENS as f64)?;
            found.set("accepted_p50", number(&open["accepted"]["p50"]));
            found.set("accepted_p99", number(&open["accepted"]["p99"]));
            found.set("answered_p50", number(&open["answered"]["p50"]));
            found.set("answered_p99", number(&open["answered"]["p99"]));
            let kept = ends.ask("half-close", &running, 0.0)?;
            found.half_close = kept["kept"].as_bool();
        }
        if !subject.is_direct() {
            let cost = Cost::sum(&running.processes())?;
            found.set("resident", cost.resident as f64);
        }
        drop(running);
        if self.has("rtsp") && !subject.is_direct() {
            found.rtsp = Some(self.rtsp(own, subject, effort)?);
        }
        Ok(found)
    }

    /// Many readers of a camera behind the tunnel.
    fn rtsp(&self, own: &Path, subject: &Subject, effort: &Effort) -> Result<throughput::Run> {
        let load = Load {
            protocol: Protocol::Rtsp,
            source: ["fanout-source", "--bitrate", &BITRATE.to_string()]
                .map(str::to_owned)
                .to_vec(),
            readers: "fanout-readers",
            fps: FPS,
        };
        let (camera, port) = load.camera(own)?;
        let running = subject.start(port)?;
        let url = format!("rtsp://127.0.0.1:{}/cam", running.entry);
        let run = throughput::observe(
            own,
            &running.processes(),
            Some(&camera),
            &url,
            &load,
            self.readers,
            effort.window,
        )?;
        eprintln!(
            "   {} RTSP readers: {:.3} CPU s/Gbit, lost {}, others {:.0} %",
            self.readers,
            run.seconds_per_gigabit(),
            run.lost,
            run.others_share * 100.0
        );
        Ok(run)
    }
}

/// The process of both ends.
struct Ends {
    process: Process,
    target: u16,
}

impl Ends {
    fn start(own: &Path) -> Result<Self> {
        let mut process = Process::own(own, &["tunnel-ends".to_owned()])?;
        let port = process.answer()?["listening"].as_u64().unwrap_or(0);
        Ok(Self {
            process,
            target: u16::try_from(port)?,
        })
    }

    fn ask(&mut self, what: &str, running: &Running, number: f64) -> Result<Value> {
        let entry = running.entry;
        self.process.tell(&format!("{what} {entry} {number}"))?;
        let answer = self.process.answer()?;
        match answer["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(answer),
        }
    }

    /// As much as goes through, and again if the machine was busy with something else.
    fn bulk(&mut self, part: &'static str, running: &Running, effort: &Effort) -> Result<Bulk> {
        let mut best = self.bulk_once(part, running, effort.window)?;
        for _ in 0..effort.retries {
            if !best.is_disturbed() {
                break;
            }
            let next = self.bulk_once(part, running, effort.window)?;
            if next.others_share < best.others_share {
                best = next;
            }
        }
        Ok(best)
    }

    fn bulk_once(&mut self, part: &str, running: &Running, window: Duration) -> Result<Bulk> {
        let processes = running.processes();
        let look = |ends: &Self| -> Result<(Cost, f64, f64)> {
            let tunnel = Cost::sum(&processes)?;
            Ok((tunnel, ends.process.cost()?.ticks(), machine_busy()?))
        };
        let before = look(self)?;
        let found = self.ask(part, running, window.as_secs_f64())?;
        let after = look(self)?;
        let bytes = found["bytes"].as_f64().unwrap_or(0.0);
        let seconds = found["seconds"].as_f64().unwrap_or(f64::NAN);
        let spent = after.0.since(&before.0).all;
        let others = after.2 - before.2 - spent - (after.1 - before.1);
        Ok(Bulk {
            gbit_per_second: bytes * 8e-9 / seconds,
            seconds_per_gigabyte: spent / (bytes * 1e-9),
            others_share: (others / seconds).max(0.0),
        })
    }
}
