//! Eyelet's own programs, started as a user starts them.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Running;
use crate::world::{self, Host};
use crate::{http, process, tools};

/// Runs `eyelet` to its end.
pub fn eyelet(host: &Host, args: &[&str]) -> Output {
    let mut command = host.command(tools::program("eyelet"));
    process::run("eyelet", command.args(args), Duration::from_secs(45))
}

/// A gateway: `eyelet serve` with a folder and ports of its own.
pub struct Gateway {
    /// Its process.
    pub process: Running,
    host: Host,
    folder: TempDir,
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it answers RTSP.
    pub rtsp: SocketAddr,
}

impl Gateway {
    /// Starts it on this machine; `body` is what its configuration says beyond ports and folder.
    pub fn start(body: &str) -> Self {
        Self::start_on(&Host::here(), "", body)
    }

    /// Starts it with users who must log in for RTSP.
    pub fn start_with_users(users: &str, body: &str) -> Self {
        Self::start_on(&Host::here(), &format!(", users: {{ {users} }}"), body)
    }

    /// Starts it with more keys in its `rtsp` section.
    pub fn start_with_rtsp(keys: &str, body: &str) -> Self {
        Self::start_on(&Host::here(), &format!(", {keys}"), body)
    }

    /// Starts it with more keys in its `http` section.
    pub fn start_with_http(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (http, rtsp) = (tools::free_port(), tools::free_port());
        let config = format!(
            "data: {}\nhttp: {{ listen: \"127.0.0.1:{http}\", {keys} }}\nrtsp: {{ listen: \"127.0.0.1:{rtsp}\" }}\n",
            folder.path().join("data").display()
        );
        Self::start_with_config(&Host::here(), folder, &config, http, rtsp)
    }

    /// Starts it on the gateway of a house, listening to the world.
    pub fn start_in(house: &world::House, body: &str) -> Self {
        Self::start_on(&house.gateway, "", body)
    }

    /// The same, and agents are told its name instead of its address.
    pub fn start_in_as(house: &world::House, name: &str, body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "data: {}\nhttp: {{ listen: \"0.0.0.0:8080\", public: \"{name}:8080\" }}\nrtsp: {{ listen: \"127.0.0.1:8554\" }}\n{body}",
            folder.path().join("data").display()
        );
        Self::start_with_config(&house.gateway, folder, &config, 8080, 8554)
    }

    /// The same with users who must log in for RTSP, which listens to the world as well.
    pub fn start_in_with_users(house: &world::House, users: &str, body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "data: {}\nhttp: {{ listen: \"0.0.0.0:8080\", public: \"{}:8080\" }}\nrtsp: {{ listen: \"0.0.0.0:8554\", users: {{ {users} }} }}\n{body}",
            folder.path().join("data").display(),
            world::GATEWAY
        );
        Self::start_with_config(&house.gateway, folder, &config, 8080, 8554)
    }

    fn start_on(host: &Host, rtsp_extra: &str, body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (http, rtsp, listen) = if host.is_own_network() {
            let public = format!("0.0.0.0:8080\", public: \"{}:8080", world::GATEWAY);
            (8080, 8554, public)
        } else {
            let port = tools::free_port();
            (port, tools::free_port(), format!("127.0.0.1:{port}"))
        };
        let config = format!(
            "data: {}\nhttp: {{ listen: \"{listen}\" }}\nrtsp: {{ listen: \"127.0.0.1:{rtsp}\"{rtsp_extra} }}\n{body}",
            folder.path().join("data").display()
        );
        Self::start_with_config(host, folder, &config, http, rtsp)
    }

    fn start_with_config(host: &Host, folder: TempDir, config: &str, http: u16, rtsp: u16) -> Self {
        std::fs::write(folder.path().join("eyelet.yaml"), config).unwrap();
        let process = serve(host, folder.path());
        let gateway = Self {
            process,
            host: host.clone(),
            folder,
            http: SocketAddr::from(([127, 0, 0, 1], http)),
            rtsp: SocketAddr::from(([127, 0, 0, 1], rtsp)),
        };
        gateway.wait_until_ready();
        gateway
    }

    /// Kills it and starts it again with the same folder.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = serve(&self.host, self.folder.path());
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        tools::wait_for("the gateway to be ready", Duration::from_secs(20), || {
            let answer = http::request(&self.host, self.http, "/readyz").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Writes a line among what it says, so that a reader of both sees what came first.
    pub fn mark(&self, what: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seconds = now.as_secs() % 60;
        let line = format!("── {seconds:02}.{:03}: {what}", now.subsec_millis());
        self.process.note(line);
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("eyelet.yaml")
    }

    /// The URL of a restream.
    pub fn url(&self, camera: &str) -> String {
        format!("rtsp://{}/{camera}", self.rtsp)
    }

    /// Asks its API.
    pub fn api(&self, path: &str) -> Value {
        let answer = http::request(&self.host, self.http, path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Asks its API for a change.
    pub fn change(&self, method: &str, path: &str, body: impl AsRef<[u8]>) -> http::Answer {
        let within = Duration::from_secs(45);
        http::send(&self.host, self.http, (method, path), body, within).unwrap()
    }

    /// Has a camera say a file of sound.
    pub fn talk(&self, camera: &str, file: impl AsRef<[u8]>) -> http::Answer {
        let (within, path) = (
            Duration::from_secs(45),
            format!("/api/v1/cameras/{camera}/talk"),
        );
        let head = ("POST", path.as_str(), "audio/wav");
        http::send_as(&self.host, self.http, head, file, within).unwrap()
    }

    /// What its API says of a camera.
    pub fn camera(&self, name: &str) -> Value {
        self.api(&format!("/api/v1/cameras/{name}"))
    }

    /// What its API says of an agent, if it knows it.
    pub fn agent(&self, name: &str) -> Option<Value> {
        let list = self.api("/api/v1/agents");
        let list = list["agents"].as_array().unwrap().clone();
        list.into_iter().find(|agent| agent["name"] == name)
    }

    /// Waits until an agent's tunnel stands.
    pub fn wait_for_agent(&self, name: &str) {
        tools::wait_for("the agent to be connected", Duration::from_secs(20), || {
            (self.agent(name)?["connected"] == true).then_some(())
        });
    }

    /// Runs a subcommand of `eyelet` with this gateway's configuration.
    pub fn run(&self, args: &[&str]) -> Output {
        let config = self.config();
        let mut all = args.to_vec();
        all.extend(["-c", config.to_str().unwrap()]);
        eyelet(&self.host, &all)
    }

    /// Invites an agent: its join code.
    pub fn add_agent(&self, name: &str) -> String {
        let output = self.run(&["agent", "add", name]);
        let (code, talk) = (process::text(&output.stdout), process::text(&output.stderr));
        assert!(output.status.success(), "eyelet agent add: {talk}");
        assert_eq!(code.lines().count(), 1, "a join code is one line:\n{code}");
        code.trim().to_owned()
    }
}

fn serve(host: &Host, folder: &Path) -> Running {
    let mut command = host.command(tools::program("eyelet"));
    command
        .args(["serve", "-c"])
        .arg(folder.join("eyelet.yaml"));
    command.current_dir(folder);
    Running::start("eyelet serve", &mut command)
}

/// An agent: `eyelet-agent` with a folder of its own.
pub struct Agent {
    /// Its process.
    pub process: Running,
    host: Host,
    state: TempDir,
    /// Its options.
    options: Vec<String>,
}

impl Agent {
    /// Starts it with a join code; it may dial what `allow` names, or what it may by default.
    pub fn join(host: &Host, code: &str, allow: &[&str]) -> Self {
        Self::join_by(host, code, allow, "auto")
    }

    /// The same, with a transport of one's choice.
    pub fn join_by(host: &Host, code: &str, allow: &[&str], transport: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut options = vec!["--transport".to_owned(), transport.to_owned()];
        for &target in allow {
            options.extend(["--allow".to_owned(), target.to_owned()]);
        }
        let process = start_agent(host, Some(code), state.path(), &options);
        Self {
            process,
            host: host.clone(),
            state,
            options,
        }
    }

    /// The same, with options of one's choice.
    pub fn join_with(host: &Host, code: &str, options: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        Self {
            process: start_agent(host, Some(code), state.path(), &options),
            host: host.clone(),
            state,
            options,
        }
    }

    /// Starts it with an older agent's file, which is made from `text`; `CODE` in it becomes the join code.
    pub fn with_file(host: &Host, code: &str, text: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("config.json");
        std::fs::write(&file, text.replace("CODE", code)).unwrap();
        let mut command = host.command(tools::program("eyelet-agent"));
        command.arg("--config").arg(&file);
        command.arg("--state").arg(state.path().join("state"));
        Self {
            process: Running::start("eyelet-agent", &mut command),
            host: host.clone(),
            state,
            options: Vec::new(),
        }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with what it kept.
    pub fn restart(&mut self, code: &str) {
        self.process.kill();
        self.process = start_agent(&self.host, Some(code), self.state.path(), &self.options);
    }
}

fn start_agent(host: &Host, code: Option<&str>, state: &Path, options: &[String]) -> Running {
    let mut command = host.command(tools::program("eyelet-agent"));
    if let Some(code) = code {
        command.args(["--join", code]);
    }
    command.arg("--state").arg(state);
    command.args(options);
    Running::start("eyelet-agent", &mut command)
}
