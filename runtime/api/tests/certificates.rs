//! A gateway that asks agents for a certificate, at its real door.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::{Agent, AgentConfig, AllowList, Certificate, State, Transport};
use api::{Addresses, AppState, Fleet, Limits, Parts, Readiness, Tls};
use dialer::Target;
use proto_tunnel::{Hello, JoinCode, Message, Refusal, Secret, VERSION};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{Authorities, Gateway, GatewayConfig, Identity, QuicDoor, SavedForwards};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_agent_with_the_right_certificate_carries_bytes_by_either_transport() {
    for transport in [Transport::WebSocket, Transport::Quic, Transport::Auto] {
        let ca = Authority::new();
        let site = Site::open(&ca).await;
        let camera = echo_camera().await;
        let agent = site.agent(Some(&ca.sign(Leaf::Good)), transport, Some(camera));
        site.connected().await;
        let target = Target::new("127.0.0.1", camera.port());
        let mut stream = site.gateway.dialer("shed").connect(&target).await.unwrap();
        stream.write_all(b"one word").await.unwrap();
        stream.flush().await.unwrap();
        let mut back = [0; 8];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"one word", "{transport:?}");
        drop(agent);
    }
}

#[tokio::test]
async fn a_session_that_goes_on_leaves_the_places_of_its_earlier_connections() {
    let ca = Authority::new();
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let site = Site::open_with(&ca, limits).await;
    // The agent comes through a relay that breaks every connection after a while.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, gateway) = (relay.local_addr().unwrap(), site.address);
    let relaying = tokio::spawn(async move {
        loop {
            let (mut near, _) = relay.accept().await.unwrap();
            let mut far = TcpStream::connect(gateway).await.unwrap();
            let both = tokio::io::copy_bidirectional(&mut near, &mut far);
            let _ = tokio::time::timeout(Duration::from_millis(700), both).await;
        }
    });
    let files = ca.sign(Leaf::Good);
    let agent = site.agent_by(Some(&files), Transport::WebSocket, None, Some(at));
    let gone_on = async {
        while site.gateway.agents().is_empty() || site.gateway.agents()[0].reconnects < 4 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, gone_on)
        .await
        .expect("the session goes on over one connection after another");
    assert_eq!(site.gateway.agents()[0].sessions, 1);
    // One place is the agent's, and the other one is free.
    let mut browser = TcpStream::connect(site.address).await.unwrap();
    browser
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    browser.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    relaying.abort();
    drop(agent);
}

#[tokio::test]
async fn foreign_expired_and_misused_certificates_open_no_door_and_use_no_code_up() {
    let (ca, other) = (Authority::new(), Authority::new());
    let cases = [
        ("of another authority", other.sign(Leaf::Good)),
        ("expired", ca.sign(Leaf::Expired)),
        ("of a server", ca.sign(Leaf::ForServers)),
        ("self-signed", Files::alone()),
    ];
    for (what, files) in &cases {
        for transport in [Transport::WebSocket, Transport::Quic] {
            let site = Site::open(&ca).await;
            let mut agent = site.agent(Some(files), transport, None);
            agent.is_turned_away().await;
            assert!(!site.has_joined(), "{what} by {transport:?}");
            drop(agent);
            // The code is as good as before.
            let _again = site.agent(Some(&ca.sign(Leaf::Good)), transport, None);
            site.connected().await;
        }
    }
}

#[tokio::test]
async fn an_agent_without_a_certificate_ends_with_a_clear_error_and_its_code_stays_good() {
    let ca = Authority::new();
    let site = Site::open(&ca).await;
    let mut agent = site.agent(None, Transport::WebSocket, None);
    let ended = tokio::time::timeout(SOON, &mut agent.task).await;
    let error = ended.unwrap().unwrap().unwrap_err().to_string();
    assert!(error.contains("--certificate FILE --key FILE"), "{error}");
    let mut by_quic = site.agent(None, Transport::Quic, None);
    by_quic.is_turned_away().await;
    drop(by_quic);
    assert!(!site.has_joined());
    let _right = site.agent(Some(&ca.sign(Leaf::Good)), Transport::Auto, None);
    site.connected().await;
}

#[tokio::test]
async fn a_renewed_file_of_authorities_counts_for_who_dials_next_and_cuts_nobody() {
    let (old, new) = (Authority::new(), Authority::new());
    let site = Site::open(&old).await;
    let mut first = site.agent(Some(&old.sign(Leaf::Good)), Transport::WebSocket, None);
    site.connected().await;
    assert!(!site.authorities.reload().unwrap(), "nothing is new");
    fs::write(site.ca_file(), "no certificate").unwrap();
    let error = site.authorities.reload().unwrap_err().to_string();
    assert!(error.contains("BEGIN CERTIFICATE"), "{error}");
    fs::write(site.ca_file(), &new.pem).unwrap();
    assert!(site.authorities.reload().unwrap());
    let sessions = site.gateway.agents()[0].sessions;
    assert!(site.gateway.is_connected("shed"), "it was cut");
    assert_eq!(*first.state.borrow_and_update(), State::Connected);
    drop(first);
    let mut former = site.agent(Some(&old.sign(Leaf::Good)), Transport::WebSocket, None);
    former.is_turned_away().await;
    // What it shows is read anew for each connection.
    let renewed = new.sign(Leaf::Good);
    fs::copy(
        renewed.certificate(),
        former.files.as_ref().unwrap().certificate(),
    )
    .unwrap();
    fs::copy(renewed.key(), former.files.as_ref().unwrap().key()).unwrap();
    site.connected_after(sessions).await;
}

#[tokio::test]
async fn a_browser_is_asked_for_no_certificate_and_gets_its_page() {
    let ca = Authority::new();
    let site = Site::open(&ca).await;
    let asked = Arc::new(Asked::default());
    for names in [&[][..], &[b"h2".to_vec(), b"http/1.1".to_vec()]] {
        let mut tls = site.knock(names, Some(Arc::clone(&asked) as _)).await;
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        tls.write_all(request).await.unwrap();
        let mut answer = String::new();
        let _ = tls.read_to_string(&mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(!asked.0.load(Ordering::Relaxed), "it was asked for one");
}

#[tokio::test]
async fn nobody_gets_a_session_by_the_browsers_way_in() {
    let ca = Authority::new();
    let site = Site::open(&ca).await;
    let code = site.code();
    // A valid code, but no word of being an agent in the TLS hello: the certificate is never asked for.
    let tls = site.knock(&[], None).await;
    let mut socket = link::upgrade(tls, "localhost", "/agent", [1; 16])
        .await
        .unwrap();
    let hello = Hello {
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
    };
    link::write_message(&mut socket, &Message::Hello(hello))
        .await
        .unwrap();
    let answer = link::read_message(&mut socket).await.unwrap();
    let Message::Refused(refused) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(refused.reason, Refusal::Unauthorized);
    assert!(refused.text.contains("--certificate"), "{}", refused.text);
    assert!(!site.has_joined());
}

#[tokio::test]
async fn an_agents_way_in_without_a_certificate_ends_with_the_alert_that_says_so() {
    let ca = Authority::new();
    let site = Site::open(&ca).await;
    let names = [proto_tunnel::WEBSOCKET_ALPN.to_vec()];
    for _ in 0..20 {
        let mut tls = site.knock(&names, None).await;
        // Under way when the gateway hangs up: it must not overtake the alert.
        let _ = tls.write_all(&[b'x'; 4_000]).await;
        let error = tls.read_u8().await.unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    }
}

#[test]
fn files_that_are_no_certificate_or_no_key_are_told_at_the_start() {
    let (ca, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let (one, two) = (ca.sign(Leaf::Good), ca.sign(Leaf::Good));
    let nothing = dir.path().join("nothing");
    let junk = dir.path().join("junk");
    fs::write(&junk, "junk").unwrap();
    for (certificate, key, said) in [
        (nothing.clone(), one.key(), "No such file"),
        (one.certificate(), nothing.clone(), "No such file"),
        (junk, one.key(), "BEGIN CERTIFICATE"),
        (one.certificate(), one.certificate(), "--key names"),
        (
            one.certificate(),
            two.key(),
            "not the key of the certificate",
        ),
    ] {
        let mut config = AgentConfig::new(dir.path().join("state"));
        let address = vec!["127.0.0.1:1".to_owned()];
        let name = "shed".parse().unwrap();
        config.join = Some(JoinCode::new(address, [1; 32], name, Secret::new([2; 32])).unwrap());
        config.certificate = Some(Certificate { certificate, key });
        let error = Agent::new(config).unwrap_err().chain();
        assert!(error.contains(said), "{said}: {error}");
    }
}

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What is signed.
#[derive(Clone, Copy, PartialEq)]
enum Leaf {
    Good,
    Expired,
    ForServers,
}

/// A certificate and its key, as files.
struct Files(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    fn sign(&self, leaf: Leaf) -> Files {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["shed.example".to_owned()]).unwrap();
        if leaf == Leaf::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        params.extended_key_usages = vec![match leaf {
            Leaf::ForServers => ExtendedKeyUsagePurpose::ServerAuth,
            Leaf::Good | Leaf::Expired => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        Files::write(&signed.pem(), &key)
    }
}

impl Files {
    fn alone() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shed.example".to_owned()]).unwrap();
        Self::write(&params.self_signed(&key).unwrap().pem(), &key)
    }

    fn write(certificate: &str, key: &KeyPair) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        fs::write(files.certificate(), certificate).unwrap();
        fs::write(files.key(), key.serialize_pem()).unwrap();
        files
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("agent.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("agent-key.pem")
    }
}

/// A gateway that asks for certificates.
struct Site {
    data: tempfile::TempDir,
    store: store::Store,
    identity: Identity,
    gateway: Gateway,
    authorities: Authorities,
    address: SocketAddr,
    shutdown: CancellationToken,
    /// Of the agent that joins next.
    code: Mutex<JoinCode>,
}

impl Site {
    async fn open(ca: &Authority) -> Self {
        Self::open_with(ca, Limits::default()).await
    }

    async fn open_with(ca: &Authority, limits: Limits) -> Self {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("ca.pem"), &ca.pem).unwrap();
        let store = store::Store::open(data.path()).unwrap();
        let authorities = Authorities::load(&data.path().join("ca.pem")).unwrap();
        let mut identity = Identity::load_or_create(data.path()).unwrap();
        identity.demand_certificates(&authorities).unwrap();
        let gateway = Gateway::new(store.clone(), GatewayConfig::default());
        let shutdown = CancellationToken::new();
        let (listener, quic) = Self::ports(&gateway, &identity).await;
        let address = listener.local_addr().unwrap();
        let forwards = SavedForwards::start(&gateway, &TaskTracker::new(), &shutdown).unwrap();
        let hub = Arc::new(hub::Hub::new());
        let nobody = pixels::Program::new("/nonexistent/decoder", []);
        let pixels = Arc::new(pixels::Pixels::new(pixels::Settings::new(nobody)));
        let state = AppState::new(Parts {
            hub: Arc::clone(&hub),
            cameras: Vec::new(),
            addresses: Addresses {
                http: address,
                rtsp: address,
                passthrough: None,
                public_name: None,
            },
            readiness: Readiness::new(),
            agents: Some(Arc::new(Fleet {
                gateway: gateway.clone(),
                forwards,
            })),
            mse: Arc::new(outputs::mse::Mse::new(Arc::clone(&hub))),
            mjpeg: Arc::new(outputs::mjpeg::Mjpeg::new(hub, pixels)),
        });
        let code = Gateway::add_agent(&store, &identity, "shed", vec![address.to_string()]);
        let tls = Tls {
            everyone: identity.server_config(),
            agents: identity.agents_tls(),
        };
        tokio::spawn(api::serve_with(
            listener,
            state,
            tls,
            shutdown.clone(),
            limits,
        ));
        tokio::spawn(quic.serve(shutdown.clone()));
        Self {
            data,
            store,
            identity,
            gateway,
            authorities,
            address,
            shutdown,
            code: Mutex::new(code.unwrap()),
        }
    }

    /// The same port for both: agents ask there first.
    async fn ports(gateway: &Gateway, identity: &Identity) -> (TcpListener, QuicDoor) {
        loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            if let Ok(quic) = QuicDoor::bind(gateway, identity, address, address) {
                return (listener, quic);
            }
        }
    }

    fn ca_file(&self) -> PathBuf {
        self.data.path().join("ca.pem")
    }

    /// A code that nobody has used yet.
    fn code(&self) -> JoinCode {
        let mut code = self.code.lock().unwrap();
        if self.has_joined() {
            self.store.remove_agent("shed").unwrap();
            let addresses = vec![self.address.to_string()];
            *code = Gateway::add_agent(&self.store, &self.identity, "shed", addresses).unwrap();
        }
        code.clone()
    }

    /// Starts an agent with a code.
    fn agent(
        &self,
        files: Option<&Files>,
        transport: Transport,
        camera: Option<SocketAddr>,
    ) -> Running {
        self.agent_by(files, transport, camera, None)
    }

    /// The same, by way of an address that is not the gateway's own.
    fn agent_by(
        &self,
        files: Option<&Files>,
        transport: Transport,
        camera: Option<SocketAddr>,
        by: Option<SocketAddr>,
    ) -> Running {
        let files = files.map(|files| {
            let copy = Files(tempfile::tempdir().unwrap());
            fs::copy(files.certificate(), copy.certificate()).unwrap();
            fs::copy(files.key(), copy.key()).unwrap();
            copy
        });
        let state_dir = tempfile::tempdir().unwrap();
        let mut config = AgentConfig::new(state_dir.path());
        config.join = Some(self.code());
        config.transport = transport;
        config.gateway = by.map(|at| at.to_string());
        config.pace = 0.1;
        config.watches_network = false;
        let targets = camera.map(|at| Target::new("127.0.0.1", at.port()));
        config.allow = AllowList::new(targets.into_iter().collect());
        config.certificate = files.as_ref().map(|files| Certificate {
            certificate: files.certificate(),
            key: files.key(),
        });
        let agent = Agent::new(config).unwrap();
        Running {
            state: agent.state(),
            task: tokio::spawn(agent.run(std::future::pending())),
            files,
            _state_dir: state_dir,
        }
    }

    async fn connected(&self) {
        self.connected_after(0).await;
    }

    /// Waits for a session beyond the first `sessions`.
    async fn connected_after(&self, sessions: u64) {
        let connected = async {
            while !self.gateway.is_connected("shed")
                || self.gateway.agents()[0].sessions <= sessions
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let connected = tokio::time::timeout(SOON, connected).await;
        connected.expect("the agent does not come");
    }

    fn has_joined(&self) -> bool {
        self.gateway.agents()[0].joined
    }

    /// TLS to the gateway's port with these names in the hello.
    async fn knock(
        &self,
        names: &[Vec<u8>],
        asked: Option<Arc<dyn ResolvesClientCert>>,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        let path = self.data.path().join("gateway-cert.pem");
        roots
            .add(CertificateDer::from_pem_file(path).unwrap())
            .unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match asked {
            Some(asked) => config.with_client_cert_resolver(asked),
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = names.to_vec();
        let tcp = TcpStream::connect(self.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect("localhost".try_into().unwrap(), tcp)
            .await
            .unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct Running {
    state: watch::Receiver<State>,
    task: JoinHandle<Result<(), agent::Error>>,
    files: Option<Files>,
    _state_dir: tempfile::TempDir,
}

impl Running {
    /// Waits until it has tried in vain.
    async fn is_turned_away(&mut self) {
        let waiting = self.state.wait_for(|state| *state == State::Waiting);
        let waiting = tokio::time::timeout(SOON, waiting).await;
        waiting.expect("it was let in").unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Notes whether it was asked for a certificate.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

async fn echo_camera() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}
