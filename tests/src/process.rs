//! Child processes that never outlive their test and whose words are kept.
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::tools;

/// A program that runs beside the test. Killed when dropped; its words are shown if the test fails.
pub struct Running {
    name: String,
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts `command`; what it says on stdout and stderr is kept, line by line.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let said = Arc::new(Mutex::new(Vec::new()));
        keep_lines(child.stdout.take().unwrap(), &said);
        keep_lines(child.stderr.take().unwrap(), &said);
        Self {
            name: name.to_owned(),
            child,
            said,
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it said until now.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// All it said until now, as one text.
    pub fn text(&self) -> String {
        self.said().join("\n")
    }

    /// Adds a line of the test's own.
    pub fn note(&self, line: String) {
        self.said.lock().unwrap().push(line);
    }

    /// Waits for a line that `pick` finds something in.
    pub fn wait_for_line<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let mut seen = 0;
        let what = format!("{} to say {what}", self.name);
        tools::wait_for(&what, within, || {
            let said = self.said();
            let found = said[seen..].iter().find_map(|line| pick(line));
            seen = said.len();
            if found.is_none() {
                let status = self.child.try_wait().unwrap();
                assert!(
                    status.is_none(),
                    "{} ended ({}) before saying what was awaited:\n{}",
                    self.name,
                    status.unwrap(),
                    said.join("\n")
                );
            }
            found
        })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its own end.
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        tools::wait_for(&what, within, || self.child.try_wait().unwrap())
    }

    /// Asks it politely to end, as a service manager would.
    pub fn ask_to_end(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }

    /// Kills it at once: a power cut.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Memory it holds, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kilobytes = line.split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    /// Addresses of the TCP sockets on which it listens.
    pub fn listening(&self) -> Vec<String> {
        sockets(self.pid(), |state| state == "0A")
    }

    /// How many established TCP connections it has to port `port` of anyone.
    pub fn connections_to(&self, port: u16) -> usize {
        let ending = format!(":{port:04X}");
        let all = sockets(self.pid(), |state| state == "01");
        all.iter().filter(|peer| peer.ends_with(&ending)).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let said = self.said();
            let from = said.len().saturating_sub(120);
            eprintln!("── {} said last:\n{}", self.name, said[from..].join("\n"));
        }
    }
}

fn keep_lines(stream: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            said.lock().unwrap().push(text);
            line.clear();
        }
    });
}

/// Addresses (in hex, as the kernel prints them) of a process's TCP sockets in a state: the local one of
/// listeners, the remote one of connections.
fn sockets(pid: u32, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut own = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let Ok(link) = std::fs::read_link(entry.unwrap().path()) else {
            continue;
        };
        let link = link.to_string_lossy().into_owned();
        if let Some(inode) = link.strip_prefix("socket:[") {
            own.push(inode.trim_end_matches(']').to_owned());
        }
    }
    let mut found = Vec::new();
    for table in ["tcp", "tcp6"] {
        let rows = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for row in rows.lines().skip(1) {
            let fields: Vec<&str> = row.split_whitespace().collect();
            if own.iter().any(|inode| inode == fields[9]) && wanted(fields[3]) {
                let is_listener = fields[3] == "0A";
                found.push(fields[if is_listener { 1 } else { 2 }].to_owned());
            }
        }
    }
    found
}

/// Runs `command` to its end; kills it and fails when `within` is over.
pub fn run(name: &str, command: &mut Command, within: Duration) -> Output {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
    let stdout = read_all(child.stdout.take().unwrap());
    let stderr = read_all(child.stderr.take().unwrap());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if start.elapsed() > within {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let Some(status) = status else {
        panic!(
            "{name} took longer than {} s; stderr:\n{}",
            within.as_secs(),
            String::from_utf8_lossy(&stderr)
        );
    };
    Output {
        status,
        stdout,
        stderr,
    }
}

fn read_all(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

/// What a program wrote, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
