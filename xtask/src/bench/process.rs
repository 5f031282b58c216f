//! Child processes and what they cost.
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Length of a tick in /proc: USER_HZ is 100 on every Linux that Rust knows.
const TICK: f64 = 0.01;

/// A child of the benchmark; it is killed when dropped.
pub(super) struct Process {
    child: Child,
    name: String,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts one of the benchmark's own processes and talks to it.
    pub(super) fn own(program: &Path, args: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("bench").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(&args.join(" "), &mut command)
    }

    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .spawn()
            .with_context(|| format!("{name}: {:?} does not start", command.get_program()))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self {
            child,
            name: name.to_owned(),
            input,
            output: output.map(BufReader::new),
        })
    }

    /// Its process number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output.
    pub(super) fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut line)?;
        }
        if line.is_empty() {
            bail!("{}: ended without an answer", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{}: {line:?}", self.name))
    }

    pub(super) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("no pipe to a child")?;
        writeln!(input, "{line}").with_context(|| self.name.clone())
    }

    pub(super) fn take_input(&mut self) -> Option<ChildStdin> {
        self.input.take()
    }

    pub(super) fn take_output(&mut self) -> Option<BufReader<ChildStdout>> {
        self.output.take()
    }

    pub(super) fn cost(&self) -> Result<Cost> {
        Cost::of(self.child.id()).with_context(|| format!("{}: no longer runs", self.name))
    }

    /// Waits until something listens at `port`.
    pub(super) fn wait_for(&mut self, port: u16) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{}: ended at its start ({status})", self.name);
            }
            if Instant::now() > limit {
                bail!("{}: does not listen at port {port}", self.name);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

/// Ends this process when its parent closes the pipe, be it by dying.
pub(super) fn end_with_stdin() {
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// A process up to some moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Cost {
    /// Processor nanoseconds of each thread that runs now.
    threads: BTreeMap<u32, u64>,
    /// Processor seconds in the program, and in the kernel on its behalf, as ticks tell: what ran when
    /// the clock ticked pays for all of the tick.
    user: f64,
    system: f64,
    /// Resident bytes, at this moment and at most so far.
    pub(super) resident: u64,
    pub(super) peak: u64,
}

/// Processor seconds between two moments.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// As the scheduler counts it, to the nanosecond; by ticks on a kernel that does not tell.
    pub(super) all: f64,
    /// Of it in the program itself: the same share as of the ticks.
    pub(super) user: f64,
}

impl Cost {
    fn of(id: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in brackets, may hold anything; the fields after it are numbers.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks = |at: usize| -> Result<f64> {
            Ok(fields.get(at).context("/proc/PID/stat")?.parse::<f64>()? * TICK)
        };
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let bytes = |name: &str| -> u64 {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| {
                    rest.trim_matches([':', '\t', ' ', 'k', 'B'])
                        .parse::<u64>()
                        .ok()
                })
                .map_or(0, |kibibytes| kibibytes * 1024)
        };
        Ok(Self {
            threads: threads(id)?,
            user: ticks(11)?,
            system: ticks(12)?,
            resident: bytes("VmRSS"),
            peak: bytes("VmHWM"),
        })
    }

    /// Several processes together.
    pub(super) fn sum(processes: &[&Process]) -> Result<Self> {
        let mut sum = Self::default();
        for process in processes {
            let mut one = process.cost()?;
            sum.user += one.user;
            sum.system += one.system;
            sum.resident += one.resident;
            sum.peak += one.peak;
            sum.threads.append(&mut one.threads);
        }
        Ok(sum)
    }

    /// Processor seconds so far by ticks, with those of threads that have ended.
    pub(super) fn ticks(&self) -> f64 {
        self.user + self.system
    }

    /// What was spent since `earlier`. A thread that ended in between is not in it.
    pub(super) fn since(&self, earlier: &Self) -> Spent {
        let user = self.user - earlier.user;
        let ticks = user + self.system - earlier.system;
        let nanoseconds: u64 = self
            .threads
            .iter()
            .map(|(id, now)| now.saturating_sub(earlier.threads.get(id).copied().unwrap_or(0)))
            .sum();
        let all = match nanoseconds {
            0 => ticks,
            some => some as f64 / 1e9,
        };
        let share = if ticks > 0.0 { user / ticks } else { 0.0 };
        Spent {
            all,
            user: all * share,
        }
    }
}

/// Processor nanoseconds of the threads of a process; none where the kernel does not count them.
fn threads(id: u32) -> Result<BTreeMap<u32, u64>> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{id}/task"))? {
        let path = task?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let spent = std::fs::read_to_string(path.join("schedstat"));
        let spent = spent.ok().and_then(|line| {
            let (first, _) = line.split_once(' ')?;
            first.parse().ok()
        });
        if let (Some(Ok(id)), Some(spent)) = (name.map(str::parse), spent) {
            threads.insert(id, spent);
        }
    }
    Ok(threads)
}

/// Seconds that all processors together were busy since the machine started.
pub(super) fn machine_busy() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0.0);
    Ok((at(0) + at(1) + at(2) + at(5) + at(6) + at(7)) * TICK)
}
