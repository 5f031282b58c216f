//! The tunnels that are measured: Eyelet's two programs, rathole's two halves, and none at all.
use crate::bench::Programs;
use crate::bench::process::{Process, free_port};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Secret of the throw-away certificate's file.
const PASSWORD: &str = "bench";

/// Of Eyelet's agent.
const NAME: &str = "bench";

/// One way from a port to another.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Direct,
    Eyelet {
        gateway: PathBuf,
        agent: PathBuf,
        transport: String,
    },
    Rathole(PathBuf),
}

/// A tunnel at work.
pub(super) struct Running {
    /// Its two ends, or nothing.
    processes: Vec<Process>,
    /// The port that leads to the target.
    pub(super) entry: u16,
    _folder: Option<tempfile::TempDir>,
}

impl Running {
    pub(super) fn processes(&self) -> Vec<&Process> {
        self.processes.iter().collect()
    }
}

impl Subject {
    pub(super) fn direct() -> Self {
        Self {
            name: "none",
            kind: Kind::Direct,
        }
    }

    pub(super) fn eyelet(
        programs: &Programs,
        agent: Option<&Path>,
        transport: &str,
    ) -> Option<Self> {
        let gateway = programs.eyelet.clone()?;
        let agent = agent.map_or_else(|| programs.built.join("eyelet-agent"), Path::to_owned);
        Some(Self {
            name: "eyelet",
            kind: Kind::Eyelet {
                gateway,
                agent,
                transport: transport.to_owned(),
            },
        })
    }

    /// `rathole=PROGRAM`.
    pub(super) fn peer(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some(("rathole", program)) => Ok(Self {
                name: "rathole",
                kind: Kind::Rathole(std::path::absolute(program)?),
            }),
            _ => bail!("--peer {text:?}: expected rathole=PROGRAM"),
        }
    }

    pub(super) fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::Direct)
    }

    /// Starts both ends with `target` behind them and waits until something comes through.
    pub(super) fn start(&self, target: u16) -> Result<Running> {
        if self.is_direct() {
            return Ok(Running {
                processes: Vec::new(),
                entry: target,
                _folder: None,
            });
        }
        let folder = tempfile::tempdir()?;
        let (entry, between) = (free_port()?, free_port()?);
        let site = Site {
            folder: folder.path(),
            entry,
            between,
            target,
        };
        let processes = match &self.kind {
            Kind::Direct => Vec::new(),
            Kind::Eyelet {
                gateway,
                agent,
                transport,
            } => site.eyelet(gateway, agent, transport)?,
            Kind::Rathole(program) => site.rathole(program)?,
        };
        Ok(Running {
            processes,
            entry,
            _folder: Some(folder),
        })
    }
}

/// Where a tunnel is put up.
struct Site<'a> {
    folder: &'a Path,
    entry: u16,
    /// Where its ends meet.
    between: u16,
    target: u16,
}

impl Site<'_> {
    fn eyelet(&self, gateway: &Path, agent: &Path, transport: &str) -> Result<Vec<Process>> {
        let Self {
            folder,
            entry,
            between,
            target,
        } = self;
        let config = self.write(
            "eyelet.yaml",
            &format!(
                "data: \"{}/data\"\nhttp: {{ listen: \"127.0.0.1:{between}\" }}\n\
                 rtsp: {{ listen: \"127.0.0.1:{}\" }}\nforwards:\n\
                 \x20 - {{ listen: \"127.0.0.1:{entry}\", agent: {NAME}, target: \"127.0.0.1:{target}\" }}\n",
                folder.display(),
                free_port()?,
            ),
        )?;
        let added = Command::new(gateway)
            .args(["agent", "add", NAME, "-c", &config])
            .output()?;
        let code = String::from_utf8_lossy(&added.stdout).trim().to_owned();
        if code.is_empty() {
            bail!(
                "eyelet agent add: {}",
                String::from_utf8_lossy(&added.stderr)
            );
        }
        let mut serve = self.command(gateway);
        let mut gateway = Process::start("eyelet", serve.args(["-q", "serve", "-c", &config]))?;
        gateway.wait_for(*entry)?;
        let (state, target) = (folder.join("agent"), format!("127.0.0.1:{target}"));
        let mut dial = self.command(agent);
        dial.args(["-q", "--transport", transport, "--join", &code]);
        dial.args(["--allow", &target, "--state"]);
        let agent = Process::start("eyelet-agent", dial.arg(state))?;
        Ok(vec![gateway, agent])
    }

    /// With TLS, which an agent of Eyelet's cannot do without. The key is P-256, as Eyelet's is.
    fn rathole(&self, program: &Path) -> Result<Vec<Process>> {
        let Self {
            entry,
            between,
            target,
            ..
        } = self;
        self.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost \
             -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem",
        )?;
        self.openssl(&format!(
            "pkcs12 -export -inkey key.pem -in certificate.pem -out identity.p12 -passout pass:{PASSWORD}"
        ))?;
        let server = self.write(
            "server.toml",
            &format!(
                "[server]\nbind_addr = \"127.0.0.1:{between}\"\ndefault_token = \"bench\"\n\
                 [server.transport]\ntype = \"tls\"\n[server.transport.tls]\n\
                 pkcs12 = \"identity.p12\"\npkcs12_password = \"{PASSWORD}\"\n\
                 [server.services.bench]\nbind_addr = \"127.0.0.1:{entry}\"\n"
            ),
        )?;
        let client = self.write(
            "client.toml",
            &format!(
                "[client]\nremote_addr = \"127.0.0.1:{between}\"\ndefault_token = \"bench\"\n\
                 [client.transport]\ntype = \"tls\"\n[client.transport.tls]\n\
                 trusted_root = \"certificate.pem\"\nhostname = \"localhost\"\n\
                 [client.services.bench]\nlocal_addr = \"127.0.0.1:{target}\"\n"
            ),
        )?;
        let mut server = Process::start("rathole", self.command(program).arg(server))?;
        server.wait_for(*between)?;
        let mut client = Process::start("rathole", self.command(program).arg(client))?;
        // It takes the visitors' port once its client is there.
        client.wait_for(*entry)?;
        Ok(vec![server, client])
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("EYELET_BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        command
    }

    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn openssl(&self, args: &str) -> Result<()> {
        let output = Command::new("openssl")
            .args(args.split_whitespace())
            .current_dir(self.folder)
            .output()
            .context("openssl, which makes rathole's certificate")?;
        if !output.status.success() {
            bail!(
                "openssl {args}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}

/// Waits until `probe` succeeds: a visitor may be accepted before the far end is there.
pub(super) fn wait_until(what: &str, mut probe: impl FnMut() -> Result<()>) -> Result<()> {
    let limit = Instant::now() + Duration::from_secs(20);
    while let Err(error) = probe() {
        if Instant::now() > limit {
            return Err(error).with_context(|| format!("nothing comes through {what}"));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
