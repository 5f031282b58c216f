//! A gateway on loopback with nothing behind it but a hub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use api::{
    Addresses, Agents, AppState, CameraInfo, Limits, Parts, Readiness, Settings, SettingsError,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hub::{Hub, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tunnel::{
    AgentStatus, CameraReport, CommandError, ForwardError, ForwardStatus, LogLine, Report,
    Returned, Target,
};

pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    pub(crate) hub: Arc<Hub>,
    pub(crate) state: AppState,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: tokio::task::JoinHandle<()>,
    pub(crate) certificate: rustls::pki_types::CertificateDer<'static>,
}

pub(crate) struct OneAgent;

impl Agents for OneAgent {
    fn list(&self) -> Vec<AgentStatus> {
        vec![AgentStatus {
            name: "shed".into(),
            joined: true,
            connected: true,
            reconnecting: false,
            connected_since: Some(1_700_000_000),
            last_seen: Some(1_700_000_060),
            remote: Some("192.0.2.7:4711".parse().unwrap()),
            transport: Some(tunnel::TransportKind::Quic),
            version: Some("0.1.0".into()),
            host_name: None,
            local_addresses: Vec::new(),
            rtt_ms: Some(12.5),
            bytes_received: 2_000,
            bytes_sent: 1_000,
            streams: 1,
            streams_opened: 1,
            streams_failed: 0,
            reconnects: 1,
            said_goodbye: false,
            last_heartbeat: Some(1_700_000_059),
            report: Some(report()),
            sessions: 2,
            sessions_lost: 0,
            bytes_replayed: 512,
            limit: Some(500_000),
            limited: Duration::from_millis(1_500),
        }]
    }

    fn forwards(&self) -> Vec<ForwardStatus> {
        vec![ForwardStatus {
            listen: "127.0.0.1:8654".parse().unwrap(),
            agent: "shed".into(),
            target: "127.0.0.1:554".into(),
            connections: 1,
            accepted: 2,
            failed: 0,
            bytes_received: 10,
            bytes_sent: 5,
            last_error: None,
        }]
    }

    fn turn_away(
        &self,
        transport: Box<dyn link::Transport>,
        _peer: SocketAddr,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(transport) })
    }

    fn accept(
        &self,
        mut transport: Box<dyn link::Transport>,
        peer: SocketAddr,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let hello = format!("hello {}", peer.ip());
            let _ = transport.write_all(hello.as_bytes()).await;
            let _ = transport.shutdown().await;
        })
    }

    fn restart(&self, _: String) -> BoxFuture<'static, Result<Returned, CommandError>> {
        Box::pin(async {
            Ok(Returned {
                took: Duration::from_millis(1_234),
                is_new_process: Some(true),
            })
        })
    }

    fn reconnect(&self, agent: String) -> BoxFuture<'static, Result<Returned, CommandError>> {
        Box::pin(async { Err(CommandError::Away(agent)) })
    }

    fn log(&self, _: String) -> BoxFuture<'static, Result<Vec<LogLine>, CommandError>> {
        let line = LogLine {
            at: std::time::UNIX_EPOCH,
            text: "info: connected to the gateway".into(),
        };
        Box::pin(async { Ok(vec![line]) })
    }

    fn report(&self, _: String) -> BoxFuture<'static, Result<Report, CommandError>> {
        Box::pin(async { Ok(report()) })
    }

    fn add_forward(
        &self,
        _: String,
        _: Target,
        listen: Option<SocketAddr>,
    ) -> BoxFuture<'static, Result<SocketAddr, ForwardError>> {
        Box::pin(async move {
            match listen {
                Some(listen) if !listen.ip().is_loopback() => {
                    Err(ForwardError::NotLoopback(listen))
                }
                Some(listen) => Err(ForwardError::Taken(listen)),
                None => Ok("127.0.0.1:8654".parse().unwrap()),
            }
        })
    }

    fn remove_forward(&self, listen: SocketAddr) -> Result<(), ForwardError> {
        if listen.port() == 18_554 {
            return Ok(());
        }
        Err(ForwardError::Unknown(listen))
    }

    fn is_saved(&self, _: SocketAddr) -> bool {
        false
    }
}

fn report() -> Report {
    Report {
        instance: 1,
        uptime_ms: 61_000,
        sessions: 2,
        opened: 3,
        failed: 0,
        memory: 2 << 20,
        camera: Some(CameraReport {
            host: "127.0.0.1".into(),
            port: 554,
            address: "192.168.1.10".parse().ok(),
            is_dhcp: Some(true),
            is_detected: true,
            is_reached: Some(true),
        }),
        model: "IPC-HFW2449S-S-IL".into(),
        path: "/cam/realmonitor?channel=1&subtype=0".into(),
        quality: String::new(),
    }
}

/// The device code of the camera that is `porch`.
pub(crate) const A9_UID: &str = "0800c00128F8";

/// An A9 cloud that knows a camera and has no ports.
fn a9() -> naxclow::Cloud {
    let any: SocketAddr = "127.0.0.1:6123".parse().unwrap();
    let addresses = naxclow::Addresses {
        http: any,
        tcp: any,
        udp: any,
        mqtt: None,
        dns: None,
    };
    let configured = [(A9_UID.to_owned(), "porch".to_owned())];
    let settings = naxclow::Settings {
        http: addresses.http,
        tcp: addresses.tcp,
        udp: addresses.udp,
        mqtt: None,
        dns: None,
        host: None,
        strict_token: false,
        any_source: false,
    };
    naxclow::Cloud::new(settings, addresses, None, &configured).unwrap()
}

/// Settings of a camera that knows one, and a second that nobody may touch.
#[derive(Debug)]
pub(crate) struct Known {
    allowed: Vec<String>,
    quality: AtomicI32,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            allowed: vec!["quality".into(), "zoom".into()],
            quality: AtomicI32::new(12),
        }
    }
}

impl Settings for Known {
    fn allowed(&self) -> &[String] {
        &self.allowed
    }

    fn status(&self) -> BoxFuture<'_, Result<Bytes, SettingsError>> {
        let quality = self.quality.load(Ordering::Relaxed);
        Box::pin(async move { Ok(format!("{{\"quality\":{quality}}}").into()) })
    }

    fn set<'a>(&'a self, name: &'a str, value: i32) -> BoxFuture<'a, Result<(), SettingsError>> {
        Box::pin(async move {
            if name != "quality" {
                return Err(SettingsError::Refused("it answered 500".into()));
            }
            self.quality.store(value, Ordering::Relaxed);
            Ok(())
        })
    }
}

/// A maker of pictures whose decoder cannot be started.
fn pixels() -> Arc<pixels::Pixels> {
    let nobody = pixels::Program::new("/nonexistent/decoder", []);
    Arc::new(pixels::Pixels::new(pixels::Settings::new(nobody)))
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Arc::new(Hub::new());
        let camera = |name: &str, source: &str, via: Option<&str>| {
            hub.add(StreamName::new(name).unwrap());
            CameraInfo {
                name: name.into(),
                kind: "rtsp".into(),
                via: via.map(Into::into),
                source: source.into(),
                autoplay: true,
                settings: (name == "porch")
                    .then(|| Arc::new(Known::default()) as Arc<dyn Settings>),
            }
        };
        let cameras = vec![
            camera("porch", "rtsp://admin:hunter2@192.0.2.1/stream1", None),
            camera(
                "shed",
                "rtsp://admin:hun@ter2@127.0.0.1:554/cam?channel=1",
                Some("shed"),
            ),
        ];
        let readiness = Readiness::new();
        let state = AppState::new(Parts {
            hub: Arc::clone(&hub),
            cameras,
            addresses: Addresses {
                http: address,
                rtsp: "127.0.0.1:8554".parse().unwrap(),
                passthrough: None,
                public_name: Some("cam.example".into()),
            },
            readiness: readiness.clone(),
            agents: Some(Arc::new(OneAgent)),
            mse: Arc::new(outputs::mse::Mse::new(Arc::clone(&hub))),
            mjpeg: Arc::new(outputs::mjpeg::Mjpeg::new(Arc::clone(&hub), pixels())),
        });
        state.set_a9(a9());
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.clone()],
                rustls::pki_types::PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into()),
            )
            .unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(api::serve_with(
            listener,
            state.clone(),
            Arc::new(tls),
            shutdown.clone(),
            limits,
        ));
        Self {
            address,
            hub,
            state,
            readiness,
            shutdown,
            served,
            certificate,
        }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn connect_tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        connector.connect(name, self.connect().await).await.unwrap()
    }

    /// The whole answer to `GET path` with more header lines.
    pub(crate) async fn get_with(&self, path: &str, headers: &str) -> String {
        let host = if headers.to_ascii_lowercase().contains("host:") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        self.say(&format!(
            "GET {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n"
        ))
        .await
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.get_with(path, "").await
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The whole answer to a change asked for by a program of this machine, with more header lines.
    pub(crate) async fn change(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> String {
        let host = if headers.to_ascii_lowercase().contains("host:") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        self.say(&format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// The whole answer to these bytes.
    pub(crate) async fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The gateway may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_all(&mut stream).await
    }
}

/// Everything up to the end of the connection, which must come within five seconds.
pub(crate) async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("the gateway closes");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(crate) fn status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// Puts two H.264 pictures of 64 by 64 pixels into a stream.
pub(crate) fn publish_h264(hub: &Hub, name: &str) {
    let file: &[u8] = include_bytes!("../testdata/two_pictures.h264");
    // ffmpeg's testsrc2 through x264, baseline; units behind start codes of three or four bytes.
    let starts: Vec<usize> = (0..file.len() - 3)
        .filter(|at| file[*at..].starts_with(&[0, 0, 1]))
        .map(|at| at + 3)
        .collect();
    let units: Vec<&[u8]> = starts
        .iter()
        .enumerate()
        .map(|(index, start)| {
            let end = starts.get(index + 1).map_or(file.len(), |next| next - 3);
            let unit = &file[*start..end];
            unit.strip_suffix(&[0]).unwrap_or(unit)
        })
        .collect();
    let of_type = |kind: u8| {
        units
            .iter()
            .filter(move |unit| unit[0] & 31 == kind)
            .copied()
    };
    let parameters = |kind| of_type(kind).next().unwrap().to_vec().into();
    let mut publisher = hub.stream(name).unwrap().publisher();
    publisher
        .announce(Tracks::new(vec![Track::h264(
            parameters(7),
            parameters(8),
            64,
            64,
        )]))
        .unwrap();
    for (number, unit) in of_type(5).chain(of_type(1)).enumerate() {
        let payload = media::length_prefixed([unit]);
        publisher
            .publish(access_unit(number as i64 * 18_000, number == 0, payload))
            .unwrap();
    }
}

/// Puts one JPEG picture into a stream.
pub(crate) fn publish_jpeg(hub: &Hub, name: &str) {
    let file: &[u8] = include_bytes!("../testdata/picture.jpg");
    let mut publisher = hub.stream(name).unwrap().publisher();
    publisher
        .announce(Tracks::new(vec![Track::jpeg(None)]))
        .unwrap();
    publisher
        .publish(access_unit(0, true, file.into()))
        .unwrap();
}

fn access_unit(time: i64, is_keyframe: bool, payload: Bytes) -> AccessUnit {
    let received = std::time::Instant::now();
    AccessUnit {
        track: 0,
        time: MediaTime(time),
        wall: None,
        received,
        is_keyframe,
        payload,
    }
}
