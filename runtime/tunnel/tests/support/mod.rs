//! A gateway behind a real door (TCP, TLS, WebSocket), agents that dial it, and a camera that echoes.
#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "helpers of tests, each test uses some"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, AgentConfig, AllowList, Transport};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use dialer::Target;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use proto_tunnel::{HeartbeatConfig, Hello, JoinCode, Message, Secret, VERSION};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tunnel::{Gateway, GatewayConfig, Identity};

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Signs of life in a test's time.
pub(crate) const QUICK: HeartbeatConfig = HeartbeatConfig {
    idle: Duration::from_millis(300),
    busy: Duration::from_millis(200),
    missed: 2,
};

/// How long a session waits for a connection, in a test's time.
pub(crate) const WINDOW: Duration = Duration::from_secs(4);

pub(crate) struct World {
    pub(crate) data: tempfile::TempDir,
    pub(crate) store: store::Store,
    pub(crate) identity: Identity,
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    door: JoinHandle<()>,
}

pub(crate) fn quick_config() -> GatewayConfig {
    GatewayConfig {
        auth_timeout: Duration::from_millis(700),
        heartbeat: QUICK,
        resume_window: WINDOW,
        agent_wait: Duration::from_secs(5),
        open_timeout: Duration::from_secs(5),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = store::Store::open(data.path()).unwrap();
        let identity = Identity::load_or_create(data.path()).unwrap();
        let gateway = Gateway::new(store.clone(), quick_config());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = tokio::spawn(open_door(listener, identity.clone(), gateway.clone()));
        Self {
            data,
            store,
            identity,
            gateway,
            address,
            door,
        }
    }

    /// Stops the door and all sessions, as a killed process would, and comes back at the same port.
    pub(crate) async fn restart(&mut self, pause: Duration) {
        self.door.abort();
        let _ = (&mut self.door).await;
        tokio::time::sleep(pause).await;
        self.gateway = Gateway::new(self.store.clone(), quick_config());
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        let listener = socket.listen(64).unwrap();
        self.door = tokio::spawn(open_door(
            listener,
            self.identity.clone(),
            self.gateway.clone(),
        ));
    }

    pub(crate) fn code(&self, name: &str) -> JoinCode {
        Gateway::add_agent(
            &self.store,
            &self.identity,
            name,
            vec![self.address.to_string()],
        )
        .unwrap()
    }

    /// Starts an agent that may dial `targets`.
    pub(crate) fn agent(&self, code: JoinCode, targets: &[SocketAddr]) -> Running {
        let state = tempfile::tempdir().unwrap();
        Running::start(Some(code), targets, state)
    }

    /// Starts an agent with this list.
    pub(crate) fn agent_with(&self, code: JoinCode, allow: AllowList) -> Running {
        let state = tempfile::tempdir().unwrap();
        Running::start_with(Some(code), allow, state)
    }

    pub(crate) async fn connected(&self, name: &str) {
        let gateway = self.gateway.clone();
        wait_for(|| gateway.is_connected(name)).await;
    }

    pub(crate) async fn dial(
        &self,
        name: &str,
        target: SocketAddr,
    ) -> std::io::Result<dialer::BoxIo> {
        self.gateway
            .dialer(name)
            .connect(&Target::new(target.ip().to_string(), target.port()))
            .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.door.abort();
    }
}

pub(crate) struct Running {
    pub(crate) state: Option<tempfile::TempDir>,
    pub(crate) watch: tokio::sync::watch::Receiver<agent::State>,
    pub(crate) task: JoinHandle<Result<(), agent::Error>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Running {
    pub(crate) fn start(
        code: Option<JoinCode>,
        targets: &[SocketAddr],
        state: tempfile::TempDir,
    ) -> Self {
        Self::start_with(code, allowed(targets), state)
    }

    pub(crate) fn start_with(
        code: Option<JoinCode>,
        allow: AllowList,
        state: tempfile::TempDir,
    ) -> Self {
        Self::start_by(Transport::WebSocket, code, allow, state)
    }

    pub(crate) fn start_by(
        transport: Transport,
        code: Option<JoinCode>,
        allow: AllowList,
        state: tempfile::TempDir,
    ) -> Self {
        let mut config = AgentConfig::new(state.path());
        config.join = code;
        config.allow = allow;
        config.heartbeat = QUICK;
        config.resume_window = WINDOW;
        config.pace = if transport == Transport::Auto {
            0.02
        } else {
            0.2
        };
        config.transport = transport;
        let agent = Agent::new(config).unwrap();
        let watch = agent.state();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(agent.run(async move {
            let _ = stopped.await;
        }));
        Self {
            state: Some(state),
            watch,
            task,
            stop: Some(stop),
        }
    }

    /// Asks it to stop and gives its state folder back.
    pub(crate) async fn stop(mut self) -> tempfile::TempDir {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(SOON, &mut self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.state.take().unwrap()
    }

    pub(crate) fn kill(&self) {
        self.task.abort();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn allowed(targets: &[SocketAddr]) -> AllowList {
    let targets = targets.iter();
    AllowList::new(
        targets
            .map(|at| Target::new(at.ip().to_string(), at.port()))
            .collect(),
    )
}

async fn open_door(listener: TcpListener, identity: Identity, gateway: Gateway) {
    // Connections belong to the door: when it is aborted, they are cut.
    let mut connections = tokio::task::JoinSet::new();
    let tls = TlsAcceptor::from(identity.server_config());
    loop {
        let (tcp, peer) = listener.accept().await.unwrap();
        let (tls, gateway) = (tls.clone(), gateway.clone());
        connections.spawn(async move {
            let (sessions, mut running) = tokio::sync::mpsc::channel::<JoinHandle<()>>(1);
            let router = Router::new().route(
                "/agent",
                get(move |mut request: Request| async move {
                    let (answer, granted) = link::grant(&mut request).unwrap();
                    let session = tokio::spawn(async move {
                        let socket = granted.websocket::<TlsStream<TcpStream>>().await;
                        let _ = gateway.accept(socket.unwrap(), peer).await;
                    });
                    let _ = sessions.send(session).await;
                    answer.map(|()| Body::empty())
                }),
            );
            let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_secs(2), tls.accept(tcp)).await
            else {
                return;
            };
            let http = hyper::server::conn::http1::Builder::new();
            let service = TowerToHyperService::new(router);
            let _ = http
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            if let Some(session) = running.recv().await {
                let _session = AbortOnDrop(session.abort_handle());
                let _ = session.await;
            }
        });
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The hello of an agent that joins with this code.
pub(crate) fn hello(code: &JoinCode) -> Message {
    Message::Hello(Hello {
        version: VERSION,
        name: code.name.clone(),
        token: Secret::new([5; 32]),
        join_secret: Some(code.secret.clone()),
        program: "test".into(),
        host_name: String::new(),
        local_addresses: vec![],
        instance: 0,
        attempt: 0,
        resume: None,
    })
}

/// A camera that sends back what it hears, end for end.
pub(crate) async fn echo_camera() -> SocketAddr {
    camera(|mut socket| async move {
        let (mut read, mut write) = socket.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
        let _ = write.shutdown().await;
    })
    .await
}

/// A camera that does `serve` with each connection.
pub(crate) async fn camera<F, R>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(socket));
        }
    });
    address
}

pub(crate) async fn wait_for(mut ready: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(SOON, async {
        while !ready() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("it happens in time");
}

pub(crate) fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| {
            u8::try_from((i.wrapping_mul(2_654_435_761) >> 7) % 251).unwrap()
                ^ u8::try_from(seed).unwrap()
        })
        .collect()
}

/// Sends `data`, ends its direction, and reads until the other ends.
pub(crate) async fn exchange<S>(stream: S, data: Arc<Vec<u8>>) -> Vec<u8>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + 'static,
{
    let (mut read, mut write) = tokio::io::split(stream);
    let sender = tokio::spawn(async move {
        write.write_all(&data).await.unwrap();
        write.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    read.read_to_end(&mut back).await.unwrap();
    sender.await.unwrap();
    back
}
