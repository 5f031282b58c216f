//! A real third-party camera: GStreamer's RTSP server in a process of its own.
use std::time::Duration;

use crate::media::Media;
use crate::process::Running;
use crate::tools;
use crate::world::Host;

/// Path and query as a well-known maker has them.
pub const PATH: &str = "/cam/realmonitor?channel=1&subtype=0";

/// What kind of camera to start.
#[derive(Clone, Debug)]
pub struct Model {
    pub video: Media,
    pub audio: Option<Media>,
    /// `digest` or `basic`; none asks nobody.
    pub login: Option<&'static str>,
    pub user: &'static str,
    pub password: &'static str,
    pub path: &'static str,
    /// Where it listens, also after it was switched off and on; port 0 takes any.
    pub listen: String,
}

impl Model {
    /// H.264 and AAC behind a Digest login, on a free port of loopback.
    pub fn h264() -> Self {
        Self {
            video: Media::H264,
            audio: Some(Media::Aac),
            login: Some("digest"),
            user: "admin",
            password: "secret",
            path: PATH,
            listen: format!("127.0.0.1:{}", tools::free_port()),
        }
    }

    /// The same with H.265.
    pub fn h265() -> Self {
        Self {
            video: Media::H265,
            ..Self::h264()
        }
    }

    /// The same at another address.
    pub fn at(mut self, listen: &str) -> Self {
        listen.clone_into(&mut self.listen);
        self
    }
}

/// A camera that runs.
pub struct Camera {
    process: Running,
    model: Model,
    host: Host,
    port: u16,
}

impl Camera {
    /// Switches it on and waits until it listens.
    pub fn start(host: &Host, model: Model) -> Self {
        let (process, port) = switch_on(host, &model);
        Self {
            process,
            model,
            host: host.clone(),
            port,
        }
    }

    /// The port on which it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL as seen from `address`, with its login.
    pub fn url_at(&self, address: &str) -> String {
        let login = match self.model.login {
            Some(_) => format!("{}:{}@", self.model.user, self.model.password),
            None => String::new(),
        };
        format!("rtsp://{login}{address}{}", self.model.path)
    }

    /// Its URL on its own machine.
    pub fn url(&self) -> String {
        self.url_at(&format!("127.0.0.1:{}", self.port))
    }

    /// Connections it has at this moment.
    pub fn connected(&self) -> u64 {
        self.count("connected")
    }

    /// Connections it ever had since it was switched on.
    pub fn total(&self) -> u64 {
        self.count("total")
    }

    fn count(&self, key: &str) -> u64 {
        self.process
            .said()
            .iter()
            .rev()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|line| line[key].as_u64())
            .unwrap_or(0)
    }

    /// Pulls its plug.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Plugs it in again, at the same address.
    pub fn restart(&mut self) {
        self.process.kill();
        let address = self.model.listen.rsplit_once(':').unwrap().0;
        let model = self.model.clone().at(&format!("{address}:{}", self.port));
        (self.process, self.port) = switch_on(&self.host, &model);
    }
}

fn switch_on(host: &Host, model: &Model) -> (Running, u16) {
    let mut command = host.command(tools::PYTHON3);
    command.arg(tools::script("camera.py"));
    command.args(["--listen", &model.listen, "--path", model.path]);
    command.arg("--video").arg(model.video.file());
    command.args(["--codec", model.video.name()]);
    command.args(["--fps", &model.video.fps().to_string()]);
    if let Some(audio) = model.audio {
        command.arg("--audio").arg(audio.file());
        command.args(["--audio-codec", audio.name()]);
    }
    if let Some(login) = model.login {
        command.args([
            "--login",
            login,
            "--user",
            model.user,
            "--password",
            model.password,
        ]);
    }
    let mut process = Running::start("camera", &mut command);
    let port = process.wait_for_line("that it listens", Duration::from_secs(20), |line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        line["listening"].as_u64()
    });
    (process, u16::try_from(port).unwrap())
}
