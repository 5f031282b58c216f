//! A gateway, and agents at it.
use crate::bench::process::{Process, free_port};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A gateway whose ten thousand agents all come at once still answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at what the gateway says.
const LOOK: Duration = Duration::from_millis(10);

/// A gateway's folder and configuration.
pub(super) struct Site {
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    pub(super) http: u16,
    folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new(program: &Path) -> Result<Self> {
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

    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("EYELET_BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        command
    }

    pub(super) fn serve(&self) -> Result<Process> {
        let mut command = self.command(&self.program);
        command.args(["-q", "serve", "-c"]).arg(&self.config);
        let mut process = Process::start("eyelet", &mut command)?;
        process.wait_for(self.http)?;
        Ok(process)
    }

    /// The real agent, invited as `name`.
    pub(super) fn start_agent(
        &self,
        program: &Path,
        name: &str,
        transport: &str,
    ) -> Result<Process> {
        let added = Command::new(&self.program)
            .args(["agent", "add", name, "-c"])
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
        command.args(["-q", "--transport", transport, "--join", &code, "--state"]);
        command.arg(self.folder.path().join(name));
        Process::start("eyelet-agent", &mut command)
    }

    /// Asks the gateway's API.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Value> {
        let address = (Ipv4Addr::LOCALHOST, self.http);
        let asked = || -> Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            // Of HTTP/1.0, so that the answer comes in one piece and ends with the connection.
            write!(
                stream,
                "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
                self.http
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = asked().with_context(|| format!("{method} {path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(
            status.split(' ').nth(1) == Some("200"),
            "{method} {path}: {status}: {body}"
        );
        serde_json::from_str(body).with_context(|| format!("{method} {path}"))
    }

    /// What the gateway says of its agents.
    pub(super) fn agents(&self) -> Result<Vec<Value>> {
        match self.ask("GET", "/api/v1/agents")?["agents"].take() {
            Value::Array(agents) => Ok(agents),
            other => bail!("no list of agents: {other}"),
        }
    }

    pub(super) fn agent(&self, name: &str) -> Result<Value> {
        let mut agents = self.agents()?.into_iter();
        agents
            .find(|agent| agent["name"] == name)
            .with_context(|| format!("there is no agent {name}"))
    }

    /// Waits until the gateway says of an agent what `is_so` wants.
    pub(super) fn wait_until(
        &self,
        name: &str,
        limit: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let status = self.agent(name)?;
            if is_so(&status) {
                return Ok(());
            }
            ensure!(
                start.elapsed() < limit,
                "not within {} s: {status}",
                limit.as_secs()
            );
            sleep(LOOK);
        }
    }
}
