//! Streams over QUIC on loopback, through a relay that loses, swallows and forgets.
#![cfg(feature = "quic")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "quic/relay.rs"]
mod relay;

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use link::quic::{QuicDialer, QuicListener};
use link::{LineState, Mux, MuxConfig, Stream, TransportKind};
use proto_tunnel::{HeartbeatConfig, ResumeConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use relay::Relay;

const SOON: Duration = Duration::from_secs(20);
const SEED: [u8; 32] = [7; 32];

/// Signs of life in a test's time.
fn quick(patience: Duration) -> ResumeConfig {
    ResumeConfig {
        patience,
        heartbeat: HeartbeatConfig {
            idle: Duration::from_millis(300),
            busy: Duration::from_millis(200),
            missed: 2,
        },
        ..ResumeConfig::default()
    }
}

/// A certificate, and who trusts it.
struct Trust {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Trust {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["eyelet".to_owned()]).unwrap();
        Self {
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        }
    }

    fn server(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .unwrap()
    }

    fn client(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    fn listen(&self, at: SocketAddr, resume: ResumeConfig) -> QuicListener {
        let socket = UdpSocket::bind(at).unwrap();
        QuicListener::new(socket, self.server(), SEED, resume).unwrap()
    }
}

fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A session through a relay: the agent's end, the gateway's, what lies between.
async fn pair(patience: Duration) -> (Mux, Mux, Relay) {
    let (trust, resume) = (Trust::new(), quick(patience));
    let listener = trust.listen(any_port(), resume);
    let relay = Relay::start(listener.local_addr().unwrap()).await;
    let accepted = tokio::spawn(async move {
        let arrival = listener.next().await.unwrap();
        let connection = arrival.accept().await.unwrap();
        let greeting = connection.accept_greeting().await.unwrap();
        (connection, greeting, listener)
    });
    let near = QuicDialer::default()
        .dial(relay.address, trust.client(), resume)
        .await
        .unwrap();
    let mut greeting = near.open_greeting().await.unwrap();
    greeting.write_all(b"hello").await.unwrap();
    let (far, _greeting, listener) = accepted.await.unwrap();
    // The port stays open as long as the test runs.
    Box::leak(Box::new(listener));
    (
        Mux::quic(near, MuxConfig::agent()),
        Mux::quic(far, MuxConfig::gateway()),
        relay,
    )
}

/// Opens a stream at `from` and finds its other end at `to`.
async fn stream(from: &Mux, to: &Mux) -> (Stream, Stream) {
    let mut near = from.open().await.unwrap();
    near.write_all(b"!").await.unwrap();
    let mut far = timeout(SOON, to.accept()).await.unwrap().unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'!');
    (near, far)
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 251 + seed) % 256).unwrap())
        .collect()
}

/// Sends `data` from `near` in pieces over at least `length`, and checks what `far` reads.
async fn transfer(mut near: Stream, mut far: Stream, data: Vec<u8>, length: Duration) {
    let sent = data.clone();
    let sender = tokio::spawn(async move {
        let pieces = sent.chunks(16 << 10);
        let pause = length / u32::try_from(pieces.len()).unwrap();
        for piece in pieces {
            near.write_all(piece).await.unwrap();
            sleep(pause).await;
        }
        near.shutdown().await.unwrap();
        near
    });
    let mut heard = Vec::new();
    timeout(SOON, far.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert!(heard == data, "{} of {} bytes", heard.len(), data.len());
    sender.await.unwrap();
}

#[tokio::test]
async fn streams_carry_their_own_bytes_both_ways_at_once_and_end_each_way_alone() {
    let (agent, gateway, _relay) = pair(Duration::from_secs(30)).await;
    assert_eq!(agent.transport(), TransportKind::Quic);
    let mut work = Vec::new();
    for n in 0..8 {
        let (mut near, mut far) = stream(&gateway, &agent).await;
        let data = pattern(300_000 + n * 77_777, n);
        work.push(tokio::spawn(async move {
            let echo = tokio::spawn(async move {
                let mut heard = Vec::new();
                // The far end answers only after it has heard the end: that end must not close the way back.
                far.read_to_end(&mut heard).await.unwrap();
                far.write_all(&heard).await.unwrap();
                far.shutdown().await.unwrap();
            });
            near.write_all(&data).await.unwrap();
            near.shutdown().await.unwrap();
            let mut back = Vec::new();
            near.read_to_end(&mut back).await.unwrap();
            assert!(back == data);
            echo.await.unwrap();
        }));
    }
    for task in work {
        timeout(SOON, task).await.unwrap().unwrap();
    }
    assert_eq!(gateway.open_streams(), 0);
    assert!(agent.flow().received.value() > 8 * 300_000);
}

#[tokio::test]
async fn a_dropped_stream_is_reset_and_never_looks_complete() {
    let (agent, gateway, _relay) = pair(Duration::from_secs(30)).await;
    let (near, mut far) = stream(&gateway, &agent).await;
    drop(near);
    let read = timeout(SOON, far.read_u8()).await.unwrap();
    assert_eq!(
        read.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionReset
    );
    let (mut near, mut far) = stream(&gateway, &agent).await;
    near.write_all(b"half a picture").await.unwrap();
    drop(near);
    let mut heard = Vec::new();
    let read = timeout(SOON, far.read_to_end(&mut heard)).await.unwrap();
    assert!(read.is_err(), "{} bytes and an end", heard.len());
    let (near, _far) = stream(&gateway, &agent).await;
    agent.close().await;
    let mut near = near;
    assert!(timeout(SOON, near.read_u8()).await.unwrap().is_err());
    assert!(timeout(SOON, gateway.closed()).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_reader_that_stops_holds_up_no_other_stream() {
    let (agent, gateway, _relay) = pair(Duration::from_secs(30)).await;
    let mut stuck = Vec::new();
    for _ in 0..3 {
        let (near, mut far) = stream(&gateway, &agent).await;
        let writer = tokio::spawn(async move { while far.write_all(&[9; 4096]).await.is_ok() {} });
        stuck.push((near, writer));
    }
    sleep(Duration::from_millis(300)).await;
    let (near, far) = stream(&gateway, &agent).await;
    transfer(far, near, pattern(3 << 20, 1), Duration::ZERO).await;
    assert!(agent.is_attached() && gateway.is_attached());
    for (_, writer) in stuck {
        writer.abort();
    }
}

#[tokio::test]
async fn streams_outlive_an_outage_byte_for_byte() {
    let (agent, gateway, relay) = pair(Duration::from_secs(30)).await;
    let (near, far) = stream(&gateway, &agent).await;
    let moving = tokio::spawn(transfer(
        far,
        near,
        pattern(4 << 20, 5),
        Duration::from_secs(2),
    ));
    sleep(Duration::from_millis(500)).await;
    relay.swallow(true);
    let mut state = gateway.state();
    let lost = state.wait_for(|state| *state == LineState::Detached);
    timeout(SOON, lost).await.unwrap().unwrap();
    // Long enough for QUIC's own time-outs to have grown beyond what follows.
    sleep(Duration::from_secs(5)).await;
    assert!(!agent.is_attached());
    relay.swallow(false);
    let back = Instant::now();
    let attached = state.wait_for(|state| *state == LineState::Attached(2));
    timeout(SOON, attached).await.unwrap().unwrap();
    eprintln!("back after {:?}", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(3));
    moving.await.unwrap();
    assert_eq!(gateway.stats().connections, 2);
}

#[tokio::test]
async fn a_way_that_is_swallowed_is_left_for_a_new_one() {
    let (agent, gateway, relay) = pair(Duration::from_secs(30)).await;
    let (near, far) = stream(&gateway, &agent).await;
    let before = gateway.peer();
    let moving = tokio::spawn(transfer(
        far,
        near,
        pattern(4 << 20, 6),
        Duration::from_secs(2),
    ));
    sleep(Duration::from_millis(500)).await;
    // All that comes from the address that the agent has now goes nowhere any more, for ever.
    relay.swallow_known();
    moving.await.unwrap();
    assert_ne!(gateway.peer(), before);
}

#[tokio::test]
async fn a_new_address_in_the_middle_of_a_transfer_is_not_noticed() {
    let (agent, gateway, relay) = pair(Duration::from_secs(30)).await;
    let (near, far) = stream(&gateway, &agent).await;
    let moving = tokio::spawn(transfer(
        far,
        near,
        pattern(4 << 20, 7),
        Duration::from_secs(1),
    ));
    for _ in 0..3 {
        sleep(Duration::from_millis(200)).await;
        relay.move_house();
        agent.doubt();
    }
    moving.await.unwrap();
    assert_eq!(gateway.stats().connections, 1, "nobody was thought lost");
}

#[tokio::test]
async fn beyond_the_resume_window_every_stream_fails_and_none_looks_complete() {
    let (agent, gateway, relay) = pair(Duration::from_secs(1)).await;
    let (mut near, mut far) = stream(&gateway, &agent).await;
    relay.swallow(true);
    let ends = async { tokio::join!(near.read_u8(), far.read_u8()) };
    let (near_end, far_end) = timeout(SOON, ends).await.unwrap();
    assert!(near_end.is_err() && far_end.is_err());
    assert!(agent.closed().await.is_err() && gateway.closed().await.is_err());
}

/// Messages of eight streams in turn, each in a packet of its own; one packet is lost on the way.
#[tokio::test]
async fn what_one_stream_lost_holds_up_no_other() {
    const STREAMS: usize = 8;
    const ROUNDS: usize = 30;
    const MESSAGE: usize = 1000;
    let (agent, gateway, relay) = pair(Duration::from_secs(30)).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let (mut senders, mut readers) = (Vec::new(), Vec::new());
    for n in 0..STREAMS {
        let (mut near, far) = stream(&gateway, &agent).await;
        senders.push(far);
        let order = Arc::clone(&order);
        readers.push(tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut message = [0; MESSAGE];
                near.read_exact(&mut message).await.unwrap();
                assert_eq!(usize::from(message[0]), round, "stream {n} is in order");
                order.lock().unwrap().push(round * STREAMS + n);
            }
        }));
    }
    relay.delay(Duration::from_millis(40));
    for round in 0..ROUNDS {
        if round == ROUNDS / 2 {
            relay.lose_one(MESSAGE..MESSAGE + 100);
        }
        for sender in &mut senders {
            sender
                .write_all(&[u8::try_from(round).unwrap(); MESSAGE])
                .await
                .unwrap();
            sleep(Duration::from_millis(3)).await;
        }
    }
    for reader in readers {
        timeout(SOON, reader).await.unwrap().unwrap();
    }
    assert_eq!(relay.lost(), 1);
    let order = order.lock().unwrap();
    let overtaken = |at: usize| {
        let later = order[..at].iter().filter(|other| **other > order[at]);
        later
            .filter(|other| **other % STREAMS != order[at] % STREAMS)
            .count()
    };
    let most = (0..order.len()).map(overtaken).max().unwrap();
    assert!(most >= 2, "{most} messages came before the lost one");
}

#[tokio::test]
async fn a_lossy_way_costs_no_byte_and_no_session() {
    let (agent, gateway, relay) = pair(Duration::from_secs(30)).await;
    relay.lose_each(100);
    let mut moving = Vec::new();
    for n in 0..4 {
        let (near, far) = stream(&gateway, &agent).await;
        moving.push(tokio::spawn(transfer(
            far,
            near,
            pattern(1 << 20, n),
            Duration::from_millis(500),
        )));
    }
    for transfer in moving {
        transfer.await.unwrap();
    }
    assert!(relay.lost() > 20);
    assert_eq!(gateway.stats().connections, 1);
}

#[tokio::test]
async fn a_caller_that_is_asked_to_prove_its_address_gets_in() {
    let (trust, resume) = (Trust::new(), quick(Duration::from_secs(30)));
    let listener = trust.listen(any_port(), resume);
    let at = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let first = listener.next().await.unwrap();
        assert!(!first.is_validated());
        first.retry();
        let second = listener.next().await.unwrap();
        assert!(second.is_validated());
        let connection = second.accept().await.unwrap();
        connection.accept_greeting().await.unwrap()
    });
    let near = QuicDialer::default()
        .dial(at, trust.client(), resume)
        .await
        .unwrap();
    let mut greeting = near.open_greeting().await.unwrap();
    greeting.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    asked.await.unwrap().read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn calls_at_one_time_share_a_socket_and_the_next_has_a_new_one() {
    let (trust, resume) = (Trust::new(), quick(Duration::from_secs(30)));
    let listener = trust.listen(any_port(), resume);
    let at = listener.local_addr().unwrap();
    let (say, mut hear) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(arrival) = listener.next().await {
            let connection = arrival.accept().await.unwrap();
            say.send(connection.peer().port()).unwrap();
            // It ends when the caller wants that.
            tokio::spawn(async move { connection.accept_greeting().await.map(drop) });
        }
    });
    let dialer = QuicDialer::default();
    let first = dialer.dial(at, trust.client(), resume).await.unwrap();
    let second = dialer.dial(at, trust.client(), resume).await.unwrap();
    let port = hear.recv().await.unwrap();
    assert_eq!(hear.recv().await.unwrap(), port);
    for connection in [first, second] {
        Mux::quic(connection, MuxConfig::agent()).close().await;
    }
    // What was said goodbye to is kept for some round trips, in case the goodbye is lost.
    timeout(SOON, async {
        loop {
            let next = dialer.dial(at, trust.client(), resume).await.unwrap();
            let next_port = hear.recv().await.unwrap();
            Mux::quic(next, MuxConfig::agent()).close().await;
            if next_port != port {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("a new socket");
}

#[tokio::test]
async fn a_gateway_of_another_key_is_not_talked_to() {
    let (trust, other, resume) = (Trust::new(), Trust::new(), quick(Duration::from_secs(30)));
    let listener = trust.listen(any_port(), resume);
    let at = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move { listener.next().await.unwrap().accept().await });
    let dialed = QuicDialer::default().dial(at, other.client(), resume).await;
    assert!(dialed.is_err());
    assert!(timeout(SOON, heard).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_gateway_that_has_started_anew_says_that_it_knows_nothing() {
    let (trust, resume) = (Arc::new(Trust::new()), quick(Duration::from_secs(30)));
    let (say, hear) = std::sync::mpsc::channel();
    let theirs = Arc::clone(&trust);
    // A runtime of its own, which ends without a word.
    let first = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    first.spawn(async move {
        let listener = theirs.listen(any_port(), resume);
        say.send(listener.local_addr().unwrap()).unwrap();
        let connection = listener.next().await.unwrap().accept().await.unwrap();
        let _greeting = connection.accept_greeting().await.unwrap();
        let _mux = Mux::quic(connection, MuxConfig::gateway());
        std::future::pending::<()>().await;
    });
    let at = tokio::task::spawn_blocking(move || hear.recv().unwrap())
        .await
        .unwrap();
    let relay = Relay::start(at).await;
    let near = QuicDialer::default()
        .dial(relay.address, trust.client(), resume)
        .await
        .unwrap();
    let mut greeting = near.open_greeting().await.unwrap();
    greeting.write_all(b"hello").await.unwrap();
    let agent = Mux::quic(near, MuxConfig::agent());
    sleep(Duration::from_millis(500)).await;
    // As if it was killed: nothing that it may say at its end is heard.
    relay.swallow(true);
    tokio::task::spawn_blocking(move || first.shutdown_timeout(Duration::from_secs(5)))
        .await
        .unwrap();
    let second = trust.listen(at, resume);
    relay.swallow(false);
    let knows = tokio::spawn(async move { second.next().await });
    let ended = timeout(Duration::from_secs(10), agent.closed()).await;
    let ended = ended.expect("the agent is told, long before its patience ends");
    assert!(ended.unwrap_err().to_string().contains("reset"));
    knows.abort();
}
