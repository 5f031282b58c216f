//! One agent program and very many reconnects: what it holds then.
//!
//! The agent is the program that cameras get, as it is delivered, with its own pauses between redials. Those would take
//! hours. But a change of the network ends a pause, as it does for an agent whose address is new; so this runs in a
//! network namespace of its own where an address comes and goes all the time.
use super::cut::cut;
use super::site::Site;
use crate::bench::process::Process;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// After so many an agent is taken to have settled: tables and buffers have had their turn.
const SETTLED: u64 = 100;
/// What it may hold more at the end than after those.
const MAX_GROWTH: u64 = 256 << 10;
/// What it may hold more at the end than before the first one.
const MAX_SETTLING: u64 = 1 << 20;
/// Files that may be open at one look by chance: a socket that is being closed, a name that is being looked up.
const MAX_MORE_FILES: u64 = 3;

/// Longest wait for one reconnect.
const LIMIT: Duration = Duration::from_secs(45);
/// Between two changes of the network.
const WEATHER: Duration = Duration::from_millis(25);
/// An agent waits so long after a change for more of them; before that there is nothing to see.
const QUIET: Duration = Duration::from_millis(150);
/// Between the last reconnect and the look at the memory.
const CALM: Duration = Duration::from_secs(2);

/// What happens again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The connection is cut, and the session goes on over the next.
    Cut,
    /// The gateway ends the session, and the agent begins another.
    End,
}

/// Names of agents, what happens to them, and what carries their sessions. QUIC has no second connection for a session.
const KINDS: [(&str, Event, &str); 3] = [
    ("resumed", Event::Cut, "websocket"),
    ("anew", Event::End, "websocket"),
    ("anew-quic", Event::End, "quic"),
];

/// Runs it in a network of its own: what each kind of agent held when.
pub(super) fn measure(own: &Path, gateway: &Path, agent: &Path, count: u64) -> Result<Found> {
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--map-root-user"])
        .arg(own)
        .args(["bench", "agents-reconnects"])
        .args([gateway, agent])
        .arg(count.to_string())
        .stdout(Stdio::piped());
    let answer = Process::start("unshare", &mut command)?
        .answer()
        .context("reconnects need a network namespace, which root may have, and users where the system lets them")?;
    Found::from_json(answer)
}

/// The process inside.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [gateway, agent, count] = args else {
        bail!("agents-reconnects GATEWAY AGENT COUNT");
    };
    let count: u64 = count.parse().context("COUNT")?;
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    ensure!(up.context("ip")?.success(), "the namespace has no loopback");
    let found = watch(Path::new(gateway), Path::new(agent), count)?;
    // Whoever reads this ends this process: all of its children are gone by now.
    println!("{}", Value::Array(found));
    Ok(())
}

fn watch(gateway: &Path, agent: &Path, count: u64) -> Result<Vec<Value>> {
    let site = Site::new(gateway)?;
    let _serving = site.serve()?;
    let agents = KINDS
        .iter()
        .map(|(name, _, transport)| site.start_agent(agent, name, transport))
        .collect::<Result<Vec<Process>>>()?;
    let (is_over, mut weather) = (AtomicBool::new(false), Weather::begin()?);
    scope(|scope| {
        let rows: Vec<_> = KINDS
            .iter()
            .zip(&agents)
            .map(|(&(name, event, transport), agent)| {
                let site = &site;
                scope.spawn(move || row(site, agent, name, event, transport, count))
            })
            .collect();
        let is_over = &is_over;
        scope.spawn(move || weather.change_until(is_over));
        let rows = rows.into_iter().map(|row| match row.join() {
            Ok(row) => row,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let rows = rows.collect::<Result<Vec<Value>>>();
        is_over.store(true, Ordering::Relaxed);
        rows
    })
}

/// An address that comes and goes.
struct Weather {
    _ip: Process,
    orders: ChildStdin,
}

impl Weather {
    fn begin() -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped());
        let mut ip = Process::start("ip", &mut command)?;
        let orders = ip.take_input().context("no pipe to a child")?;
        Ok(Self { _ip: ip, orders })
    }

    fn change_until(&mut self, is_over: &AtomicBool) {
        for verb in ["add", "delete"].iter().cycle() {
            let told = writeln!(self.orders, "address {verb} 10.77.77.77/32 dev lo");
            if told.is_err() || is_over.load(Ordering::Relaxed) {
                return;
            }
            sleep(WEATHER);
        }
    }
}

/// All that happens to one agent.
fn row(
    site: &Site,
    agent: &Process,
    name: &str,
    event: Event,
    transport: &str,
    count: u64,
) -> Result<Value> {
    site.wait_until(name, LIMIT, |status| status["connected"] == true)?;
    sleep(CALM);
    let (mut looks, start) = (vec![look(agent.id())?.to_json(0, 0.0)], Instant::now());
    for n in 1..=count {
        match event {
            Event::Cut => {
                let cut = cut(agent.id(), site.http)?;
                ensure!(
                    cut == 1,
                    "{name}: {cut} connections to cut before reconnect {n}"
                );
                sleep(QUIET);
                site.wait_until(name, LIMIT, |status| {
                    status["reconnects"] == n && status["connected"] == true
                })
            }
            Event::End => {
                let path = format!("/api/v1/agents/{name}/reconnect");
                site.ask("POST", &path).map(drop)
            }
        }
        .with_context(|| format!("{name}: reconnect {n}"))?;
        if is_look(n, count) {
            let took = start.elapsed().as_secs_f64();
            sleep(CALM);
            let look = look(agent.id())?;
            eprintln!(
                "── {name} by {transport}: {:.2} MiB after {n} reconnects in {took:.0} s",
                look.resident as f64 / f64::from(1 << 20)
            );
            looks.push(look.to_json(n, took));
        }
    }
    let status = site.agent(name)?;
    ensure!(status["transport"] == transport, "{status}");
    let (sessions, lost) = (&status["sessions"], &status["sessions_lost"]);
    let expected = match event {
        Event::Cut => 1,
        Event::End => count + 1,
    };
    ensure!(
        *sessions == expected && *lost == 0,
        "{name}: {sessions} sessions, {lost} of them lost, after {count} reconnects; {expected} were due: {status}"
    );
    Ok(json!({ "kind": name, "transport": transport, "sessions": sessions, "looks": looks }))
}

/// At powers of ten from where it has settled, and at the end.
fn is_look(n: u64, count: u64) -> bool {
    n == count || (n >= SETTLED && 10_u64.pow(n.ilog10()) == n)
}

struct Look {
    /// Bytes.
    resident: u64,
    /// Of it what is the process's own and no page of a file.
    anonymous: u64,
    files: usize,
}

fn look(id: u32) -> Result<Look> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let bytes = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|rest| rest.split_whitespace().next());
        Ok(kibibytes.context("/proc/PID/status")?.parse::<u64>()? * 1024)
    };
    Ok(Look {
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
        files: std::fs::read_dir(format!("/proc/{id}/fd"))?.count(),
    })
}

impl Look {
    fn to_json(&self, reconnects: u64, seconds: f64) -> Value {
        json!({
            "reconnects": reconnects,
            "seconds": seconds,
            "rss_bytes": self.resident,
            "anonymous_bytes": self.anonymous,
            "files": self.files,
        })
    }
}

/// What was found, for each kind of agent.
#[derive(Debug, Default)]
pub(super) struct Found {
    rows: Vec<Value>,
}

impl Found {
    fn from_json(answer: Value) -> Result<Self> {
        match answer {
            Value::Array(rows) => Ok(Self { rows }),
            other => bail!("no rows: {other}"),
        }
    }

    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        use std::fmt::Write;

        writeln!(
            out,
            "\n| agent | reconnects | after | resident | of it its own | open files |\n| --- | --- | --- | --- | --- | --- |"
        )?;
        for row in &self.rows {
            for look in row["looks"].as_array().into_iter().flatten() {
                let mebibytes =
                    |name: &str| look[name].as_f64().unwrap_or_default() / f64::from(1 << 20);
                writeln!(
                    out,
                    "| {}, {} | {} | {:.0} s | {:.2} MiB | {:.2} MiB | {} |",
                    row["kind"].as_str().unwrap_or_default(),
                    row["transport"].as_str().unwrap_or_default(),
                    look["reconnects"],
                    look["seconds"].as_f64().unwrap_or_default(),
                    mebibytes("rss_bytes"),
                    mebibytes("anonymous_bytes"),
                    look["files"],
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        for row in &self.rows {
            let Some([fresh, settled, .., last]) = row["looks"].as_array().map(Vec::as_slice)
            else {
                continue;
            };
            let grown = |earlier: &Value, name: &str| {
                let value = |look: &Value| look[name].as_u64().unwrap_or_default();
                value(last).saturating_sub(value(earlier))
            };
            let name = &row["kind"];
            for (earlier, most) in [(fresh, MAX_SETTLING), (settled, MAX_GROWTH)] {
                let bytes = grown(earlier, "rss_bytes");
                if bytes > most {
                    missed.push(format!(
                        "agent {name} grew by {} KiB from reconnect {} to {}, at most {} KiB",
                        bytes >> 10,
                        earlier["reconnects"],
                        last["reconnects"],
                        most >> 10
                    ));
                }
            }
            let files = grown(settled, "files");
            if files > MAX_MORE_FILES {
                missed.push(format!("agent {name} has {files} more files open"));
            }
        }
        missed
    }

    pub(super) fn to_json(&self) -> Value {
        Value::Array(self.rows.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_at_powers_of_ten_and_at_the_end() {
        let looks: Vec<u64> = (1..=2_500).filter(|&n| is_look(n, 2_500)).collect();
        assert_eq!(looks, [100, 1_000, 2_500]);
        assert!(is_look(10_000, 20_000) && !is_look(20, 20_000));
    }

    #[test]
    fn growth_is_missed_and_shrinking_is_not() {
        let missed = |kibibytes: [u64; 3]| {
            let look = |kibibytes| json!({ "rss_bytes": kibibytes << 10, "files": 10 });
            let row = json!({ "kind": "anew", "looks": kibibytes.map(look) });
            Found { rows: vec![row] }.missed()
        };
        assert_eq!(missed([3_800, 4_096, 4_096]), Vec::<String>::new());
        assert_eq!(missed([3_800, 4_096, 3_072]), Vec::<String>::new());
        assert_eq!(missed([3_800, 4_096, 4_500]).len(), 1);
        assert_eq!(missed([3_800, 6_900, 6_900]).len(), 1);
    }
}
