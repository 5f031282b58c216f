//! The programs that are measured: the floor, Eyelet, and peers that are at hand.
use super::Programs;
use super::options::Common;
use super::process::{Process, free_port};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What goes in at the camera's side and out at the readers'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// RTSP over TCP.
    Rtsp,
    /// Motion JPEG over HTTP.
    Mjpeg,
}

/// One program under test.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The benchmark's own source, asked for directly.
    Floor,
    Eyelet(PathBuf),
    Go2rtc(PathBuf),
    MediaMtx(PathBuf),
    /// Arguments and the readers' URL, in which `{camera}`, `{port}` and `{folder}` are replaced.
    Other(PathBuf, Vec<String>, String),
}

/// A subject at work.
pub(super) struct Running {
    /// None for the floor: there the camera itself is measured.
    pub(super) process: Option<Process>,
    pub(super) url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Subject {
    pub(super) fn floor() -> Self {
        Self {
            name: "floor".to_owned(),
            kind: Kind::Floor,
        }
    }

    fn eyelet(program: &Path) -> Self {
        Self {
            name: "eyelet".to_owned(),
            kind: Kind::Eyelet(program.to_owned()),
        }
    }

    /// Eyelet and its peers, as far as they are to be measured.
    pub(super) fn all(common: &Common, programs: &Programs) -> Result<Vec<Self>> {
        let peers = common.peers.iter().map(|text| Self::peer(text));
        let eyelet = programs.eyelet.as_deref().map(Self::eyelet);
        eyelet.map(Ok).into_iter().chain(peers).collect()
    }

    /// `NAME=PROGRAM[,ARGUMENT]…[,URL]`.
    fn peer(text: &str) -> Result<Self> {
        let Some((name, rest)) = text.split_once('=') else {
            bail!("--peer {text:?}: expected NAME=PROGRAM");
        };
        let mut parts = rest.split(',');
        let program = PathBuf::from(parts.next().unwrap_or_default());
        let (urls, args): (Vec<&str>, Vec<&str>) =
            parts.partition(|part| part.contains("://127.0.0.1:{port}/"));
        let kind = match (name, args.is_empty()) {
            ("go2rtc", true) => Kind::Go2rtc(program),
            ("mediamtx", true) => Kind::MediaMtx(program),
            (_, true) => bail!(
                "--peer {text:?}: go2rtc and mediamtx are set up by themselves; \
                 another program needs arguments, see docs/performance.md"
            ),
            (_, false) => {
                let url = urls.first().unwrap_or(&"{scheme}://127.0.0.1:{port}/cam");
                let args = args.into_iter().map(str::to_owned).collect();
                Kind::Other(program, args, (*url).to_owned())
            }
        };
        let name = name.to_owned();
        Ok(Self { name, kind })
    }

    pub(super) fn is_floor(&self) -> bool {
        matches!(self.kind, Kind::Floor)
    }

    pub(super) fn is_eyelet(&self) -> bool {
        matches!(self.kind, Kind::Eyelet(_))
    }

    /// Starts it on the stream of the camera at `camera` and waits until it listens.
    pub(super) fn start(&self, protocol: Protocol, camera: u16) -> Result<Running> {
        let scheme = match protocol {
            Protocol::Rtsp => "rtsp",
            Protocol::Mjpeg => "http",
        };
        let mut source = format!("{scheme}://127.0.0.1:{camera}/cam");
        if self.is_floor() {
            return Ok(Running {
                process: None,
                url: source,
                _folder: None,
            });
        }
        let folder = tempfile::tempdir()?;
        let (mut port, spare) = (free_port()?, free_port()?);
        let write = |name: &str, text: String| -> Result<String> {
            let path = folder.path().join(name);
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok(path.to_string_lossy().into_owned())
        };
        let mut url = match (protocol, &self.kind) {
            (Protocol::Rtsp, _) => format!("rtsp://127.0.0.1:{port}/cam"),
            (Protocol::Mjpeg, Kind::Go2rtc(_)) => {
                format!("http://127.0.0.1:{spare}/api/stream.mjpeg?src=cam")
            }
            (Protocol::Mjpeg, _) => format!("http://127.0.0.1:{spare}/api/v1/cameras/cam/stream"),
        };
        let (program, args) = match &self.kind {
            Kind::Floor => bail!("the floor is no program of its own"),
            Kind::Eyelet(program) => {
                if protocol == Protocol::Mjpeg {
                    source.insert_str(0, "mjpeg+");
                }
                let text = format!(
                    "data: \"{}/data\"\nhttp: {{ listen: \"127.0.0.1:{spare}\" }}\n\
                     rtsp: {{ listen: \"127.0.0.1:{port}\" }}\ncameras:\n  cam: {source}\n",
                    folder.path().display()
                );
                let config = write("eyelet.yaml", text)?;
                (program, vec!["serve".to_owned(), "-c".to_owned(), config])
            }
            Kind::Go2rtc(program) => {
                let text = format!(
                    "api: {{ listen: \"127.0.0.1:{spare}\" }}\nrtsp: {{ listen: \"127.0.0.1:{port}\" }}\n\
                     webrtc: {{ listen: \"\", ice_servers: [] }}\nsrtp: {{ listen: \"\" }}\n\
                     log: {{ level: error }}\nstreams:\n  cam: {source}\n"
                );
                let config = write("go2rtc.yaml", text)?;
                (program, vec!["-config".to_owned(), config])
            }
            Kind::MediaMtx(_) if protocol == Protocol::Mjpeg => {
                bail!("mediamtx gives no motion JPEG")
            }
            Kind::MediaMtx(program) => {
                let text = format!(
                    "logLevel: error\nrtspAddress: 127.0.0.1:{port}\nrtspTransports: [tcp]\n\
                     rtmp: no\nhls: no\nwebrtc: no\nsrt: no\n\
                     paths:\n  cam:\n    source: {source}\n    rtspTransport: tcp\n"
                );
                (program, vec![write("mediamtx.yml", text)?])
            }
            Kind::Other(program, args, template) => {
                let fill = |text: &str| {
                    text.replace("{camera}", &source)
                        .replace("{port}", &port.to_string())
                        .replace("{scheme}", scheme)
                        .replace("{folder}", &folder.path().to_string_lossy())
                };
                url = fill(template);
                (program, args.iter().map(|arg| fill(arg)).collect())
            }
        };
        let mut command = Command::new(program);
        command.args(args).current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("EYELET_BENCH_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let mut process = Process::start(&self.name, &mut command)?;
        if protocol == Protocol::Mjpeg && !matches!(self.kind, Kind::Other(..)) {
            port = spare;
        }
        process.wait_for(port)?;
        Ok(Running {
            process: Some(process),
            url,
            _folder: Some(folder),
        })
    }
}
