//! A gateway on loopback with nothing behind it but a hub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{
    Addresses, AgentView, Agents, AppState, CameraInfo, ForwardInfo, Limits, Parts, Readiness,
};
use axum::extract::ws::WebSocket;
use futures_util::future::BoxFuture;
use hub::{Hub, StreamName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

pub struct Gateway {
    pub address: SocketAddr,
    pub hub: Arc<Hub>,
    pub state: AppState,
    pub readiness: Readiness,
    pub shutdown: CancellationToken,
    pub served: tokio::task::JoinHandle<()>,
    pub certificate: rustls::pki_types::CertificateDer<'static>,
}

pub struct OneAgent;

impl Agents for OneAgent {
    fn list(&self) -> Vec<AgentView> {
        vec![AgentView {
            name: "shed".into(),
            connected: true,
            since: None,
            address: Some("192.0.2.7:4711".into()),
            version: Some("0.1.0".into()),
            rtt_ms: Some(12.5),
            received_bytes: 2_000,
            sent_bytes: 1_000,
            reconnects: 1,
            last_seen: None,
        }]
    }

    fn accept(&self, mut socket: WebSocket, peer: SocketAddr) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let _ = socket.send(format!("hello {}", peer.ip()).into()).await;
        })
    }
}

impl Gateway {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
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
            forwards: vec![ForwardInfo {
                listen: "127.0.0.1:8654".parse().unwrap(),
                agent: "shed".into(),
                target: "127.0.0.1:554".into(),
            }],
            addresses: Addresses {
                http: address,
                rtsp: "127.0.0.1:8554".parse().unwrap(),
                public_name: Some("cam.example".into()),
            },
            readiness: readiness.clone(),
            agents: Some(Arc::new(OneAgent)),
            metrics: Arc::new(|| "eyelet_up 1\n".into()),
        });
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

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub async fn connect_tls(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
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
    pub async fn get_with(&self, path: &str, headers: &str) -> String {
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

    pub async fn get(&self, path: &str) -> String {
        self.get_with(path, "").await
    }

    pub async fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The whole answer to these bytes.
    pub async fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // The gateway may close before it has read everything.
        let _ = stream.write_all(bytes.as_ref()).await;
        read_all(&mut stream).await
    }
}

/// Everything up to the end of the connection, which must come within five seconds.
pub async fn read_all(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("the gateway closes");
    String::from_utf8_lossy(&answer).into_owned()
}

pub fn status(answer: &str) -> u16 {
    answer
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}
