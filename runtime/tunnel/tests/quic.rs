//! Agents that come by QUIC, and what they do where it does not get through.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agent::Transport;
use link::quic::QuicDialer;
use proto_tunnel::{JoinCode, ResumeConfig};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use support::{Running, SOON, World, allowed, echo_camera, exchange, pattern, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tunnel::{QuicDoor, TransportKind};

/// Opens the gateway's door for QUIC at `listen`.
fn open_quic(world: &World, listen: SocketAddr) -> JoinHandle<()> {
    let door = QuicDoor::bind(&world.gateway, &world.identity, listen, world.address).unwrap();
    tokio::spawn(door.serve(CancellationToken::new()))
}

fn agent(transport: Transport, code: JoinCode, targets: &[SocketAddr]) -> Running {
    let state = tempfile::tempdir().unwrap();
    Running::start_by(transport, Some(code), allowed(targets), state)
}

fn transport(world: &World) -> Option<TransportKind> {
    let agents = world.gateway.agents();
    agents[0].transport.filter(|_| agents[0].connected)
}

async fn comes_by(world: &World, kind: TransportKind) {
    wait_for(|| transport(world) == Some(kind)).await;
}

async fn carries(world: &World, camera: SocketAddr) {
    let stream = world.dial("shed", camera).await.unwrap();
    let data = Arc::new(pattern(500_000, 3));
    let back = tokio::time::timeout(SOON, exchange(stream, Arc::clone(&data)));
    assert!(back.await.unwrap() == *data);
}

#[tokio::test]
async fn an_agent_that_may_choose_comes_by_quic() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let camera = echo_camera().await;
    let _agent = agent(Transport::Auto, world.code("shed"), &[camera]);
    comes_by(&world, TransportKind::Quic).await;
    carries(&world, camera).await;
    let other = "127.0.0.1:1".parse().unwrap();
    let refused = world.dial("shed", other).await.err().unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    let agents = world.gateway.agents();
    assert!(agents[0].rtt_ms.is_some() && agents[0].bytes_received > 500_000);
}

#[tokio::test]
async fn without_quic_a_websocket_is_used_within_two_seconds() {
    let world = World::new().await;
    let camera = echo_camera().await;
    let begin = tokio::time::Instant::now();
    let _agent = agent(Transport::Auto, world.code("shed"), &[camera]);
    comes_by(&world, TransportKind::WebSocket).await;
    eprintln!("after {:?}", begin.elapsed());
    carries(&world, camera).await;
}

#[tokio::test]
async fn a_session_moves_to_quic_only_when_it_carries_nothing() {
    let world = World::new().await;
    // At another port than the agent knows: the gateway has to tell.
    let _door = open_quic(&world, "127.0.0.1:0".parse().unwrap());
    let camera = echo_camera().await;
    let _agent = agent(Transport::Auto, world.code("shed"), &[camera]);
    comes_by(&world, TransportKind::WebSocket).await;
    let mut stream = world.dial("shed", camera).await.unwrap();
    // Many times the pause after which it looks again.
    for _ in 0..30 {
        stream.write_all(b"!").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(transport(&world), Some(TransportKind::WebSocket));
    drop(stream);
    comes_by(&world, TransportKind::Quic).await;
    carries(&world, camera).await;
}

#[tokio::test]
async fn a_used_join_code_is_refused_by_quic_too() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let code = world.code("shed");
    let _first = agent(Transport::Quic, code.clone(), &[]);
    comes_by(&world, TransportKind::Quic).await;
    let mut second = agent(Transport::Quic, code, &[]);
    let ended = tokio::time::timeout(SOON, &mut second.task).await;
    let error = ended.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(transport(&world), Some(TransportKind::Quic));
}

#[tokio::test]
async fn the_newest_session_wins_whatever_carries_it() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let camera = echo_camera().await;
    let first = agent(Transport::Quic, world.code("shed"), &[camera]);
    comes_by(&world, TransportKind::Quic).await;
    let state = first.stop().await;
    let _second = Running::start_by(Transport::WebSocket, None, allowed(&[camera]), state);
    comes_by(&world, TransportKind::WebSocket).await;
    carries(&world, camera).await;
    assert_eq!(world.gateway.agents()[0].sessions, 2);
}

#[tokio::test]
async fn removing_an_agent_cuts_its_session_over_quic() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let _agent = agent(Transport::Quic, world.code("shed"), &[]);
    comes_by(&world, TransportKind::Quic).await;
    world.store.remove_agent("shed").unwrap();
    wait_for(|| !world.gateway.is_connected("shed")).await;
}

#[tokio::test]
async fn a_crowd_of_silent_callers_keeps_no_agent_out_for_long() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let mut roots = rustls::RootCertStore::empty();
    let path = world.data.path().join("gateway-cert.pem");
    roots
        .add(CertificateDer::from_pem_file(path).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let (tls, at) = (tls.clone(), world.address);
        crowd.spawn(async move {
            let dialed = QuicDialer::default()
                .dial(at, tls, ResumeConfig::default())
                .await;
            let connection = dialed.ok()?;
            let mut greeting = connection.open_greeting().await.ok()?;
            // Half a hello, and then nothing.
            greeting.write_all(&[0, 200, 1]).await.ok()?;
            let mut rest = Vec::new();
            greeting.read_to_end(&mut rest).await.err()
        });
    }
    let _agent = agent(Transport::Quic, world.code("shed"), &[]);
    comes_by(&world, TransportKind::Quic).await;
    // Every one of them was sent away, sooner or later.
    let all = async { while crowd.join_next().await.is_some() {} };
    tokio::time::timeout(SOON, all).await.unwrap();
    assert!(world.gateway.is_connected("shed"));
}

#[tokio::test]
async fn junk_at_the_port_for_quic_does_no_harm() {
    let world = World::new().await;
    let _door = open_quic(&world, world.address);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for size in [1, 20, 100, 1200, 1400] {
        for seed in 0..50 {
            let _ = socket.send_to(&pattern(size, seed), world.address).await;
        }
    }
    let _agent = agent(Transport::Quic, world.code("shed"), &[]);
    comes_by(&world, TransportKind::Quic).await;
}
