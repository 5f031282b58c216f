//! Peers that are not agents, or not the ones they say they are.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto_tunnel::{Hello, JoinCode, Message, Refusal, Secret, VERSION};
use support::{SOON, World, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tunnel::Identity;

const PEER: &str = "192.0.2.7:4000";

/// Knocks with a hello and gives the answer.
async fn knock(
    world: &World,
    name: &str,
    token: u8,
    secret: Option<Secret>,
    peer: &str,
) -> Message {
    let (mut near, _session) = door(world, peer);
    let hello = Hello {
        version: VERSION,
        name: name.parse().unwrap(),
        token: Secret::new([token; 32]),
        join_secret: secret,
        program: "test".into(),
        host_name: "test".into(),
        local_addresses: vec![],
        // Every knock is another program's.
        instance: u64::from(token),
        attempt: 0,
        resume: None,
    };
    link::write_message(&mut near, &Message::Hello(hello))
        .await
        .unwrap();
    timeout(SOON, link::read_message(&mut near))
        .await
        .unwrap()
        .unwrap()
}

/// One end of a fresh transport whose other end the gateway has accepted.
fn door(
    world: &World,
    peer: &str,
) -> (
    DuplexStream,
    tokio::task::JoinHandle<Result<(), tunnel::Error>>,
) {
    let (near, far) = duplex(1 << 16);
    let (gateway, peer) = (world.gateway.clone(), peer.parse::<SocketAddr>().unwrap());
    (
        near,
        tokio::spawn(async move { gateway.accept(far, peer).await }),
    )
}

fn refusal(message: &Message) -> Option<Refusal> {
    match message {
        Message::Refused(refused) => Some(refused.reason),
        _ => None,
    }
}

#[tokio::test]
async fn wrong_missing_used_and_foreign_secrets_change_nothing() {
    let world = World::new().await;
    let (shed, barn) = (world.code("shed"), world.code("barn"));
    let before = world.store.agents().unwrap();
    for (n, (name, secret)) in [
        ("shed", None),
        ("shed", Some(Secret::new([0; 32]))),
        ("shed", Some(barn.secret.clone())),
        ("nobody", Some(shed.secret.clone())),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = knock(&world, name, 1, secret, &format!("192.0.2.{n}:1")).await;
        assert_eq!(
            refusal(&answer),
            Some(Refusal::Unauthorized),
            "{name} {answer:?}"
        );
    }
    assert_eq!(world.store.agents().unwrap(), before);
    let welcome = knock(&world, "shed", 1, Some(shed.secret.clone()), PEER).await;
    assert!(matches!(welcome, Message::Welcome(_)));
    let used = knock(&world, "shed", 2, Some(shed.secret), PEER).await;
    assert_eq!(refusal(&used), Some(Refusal::Unauthorized));
}

#[tokio::test]
async fn an_agent_with_a_used_code_ends_with_a_clear_error_and_the_first_one_stays() {
    let world = World::new().await;
    let code = world.code("shed");
    let _first = world.agent(code.clone(), &[]);
    world.connected("shed").await;
    let mut thief = world.agent(code, &[]);
    let error = timeout(SOON, &mut thief.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        error.to_string().contains("wrong, used or expired"),
        "{error}"
    );
    assert!(world.gateway.is_connected("shed"));
    assert_eq!(world.gateway.agents()[0].reconnects, 0);
}

#[tokio::test]
async fn a_gateway_with_another_key_never_hears_the_secret() {
    let world = World::new().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Identity::load_or_create(elsewhere.path()).unwrap();
    assert_ne!(other.pin(), world.identity.pin());
    let code = world.code("shed");
    let wrong = JoinCode {
        pin: other.pin(),
        ..code
    };
    let agent = world.agent(wrong, &[]);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!agent.task.is_finished(), "it goes on trying");
    assert!(!world.gateway.is_connected("shed"));
    assert!(!world.gateway.agents()[0].joined);
}

#[tokio::test]
async fn repeated_failures_of_one_address_are_slowed_and_others_are_not() {
    let world = World::new().await;
    let code = world.code("shed");
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(refusal(&knock(&world, "shed", 1, None, PEER).await).unwrap());
    }
    assert_eq!(answers[..5], [Refusal::Unauthorized; 5]);
    assert_eq!(answers[5..], [Refusal::RateLimited; 2]);
    let elsewhere = knock(&world, "shed", 1, Some(code.secret), "198.51.100.1:1").await;
    assert!(matches!(elsewhere, Message::Welcome(_)));
}

#[tokio::test]
async fn silence_and_single_bytes_are_cut_in_time() {
    let world = World::new().await;
    let start = Instant::now();
    let (_silent, session) = door(&world, PEER);
    let (mut slow, loris) = door(&world, PEER);
    let dripping = tokio::spawn(async move {
        for byte in [0, 200, 1, 0, 1, 0, 4, b's', b'h', b'e', b'd']
            .into_iter()
            .cycle()
        {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for cut in [session, loris] {
        assert!(timeout(SOON, cut).await.unwrap().unwrap().is_err());
    }
    assert!(start.elapsed() < Duration::from_secs(3));
    timeout(SOON, dripping).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_welcomed_agent_that_opens_no_control_stream_is_cut_in_time() {
    let world = World::new().await;
    let code = world.code("shed");
    let answer = {
        let (mut near, session) = door(&world, PEER);
        let hello = Hello {
            version: VERSION,
            name: code.name.clone(),
            token: Secret::new([1; 32]),
            join_secret: Some(code.secret),
            program: String::new(),
            host_name: String::new(),
            local_addresses: vec![],
            instance: 0,
            attempt: 0,
            resume: None,
        };
        link::write_message(&mut near, &Message::Hello(hello))
            .await
            .unwrap();
        link::read_message(&mut near).await.unwrap();
        timeout(SOON, session).await.unwrap().unwrap()
    };
    assert!(answer.is_err());
    assert!(!world.gateway.is_connected("shed"));
}

#[tokio::test]
async fn junk_and_oversized_messages_get_a_clear_refusal() {
    let world = World::new().await;
    let cases: [&[u8]; 5] = [
        &[0xFF, 0xFF, 1, 2, 3],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0, 0],
        &[0, 1, 99],
        &[0, 9, 7, 0, 0, 0, 0, 0, 0, 0, 1],
    ];
    for case in cases {
        let (mut near, session) = door(&world, PEER);
        near.write_all(case).await.unwrap();
        let answer = timeout(SOON, link::read_message(&mut near))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(refusal(&answer), Some(Refusal::Malformed), "{case:?}");
        assert!(timeout(SOON, session).await.unwrap().unwrap().is_err());
    }
}

#[tokio::test]
async fn junk_at_the_tls_door_and_in_the_websocket_ends_in_time() {
    let world = World::new().await;
    let mut raw = TcpStream::connect(world.address).await.unwrap();
    raw.write_all(&pattern(4096, 1)).await.unwrap();
    let mut rest = Vec::new();
    let _ = timeout(SOON, raw.read_to_end(&mut rest)).await.unwrap();

    // The right key, the right WebSocket, and then text, or a message beyond the limit.
    for message in [
        tokio_tungstenite::tungstenite::Message::text("hello"),
        tokio_tungstenite::tungstenite::Message::binary(vec![0; 200_000]),
    ] {
        use futures_util::{SinkExt, StreamExt};
        let tcp = TcpStream::connect(world.address).await.unwrap();
        let tls = trusting_connector(&world)
            .connect("eyelet".try_into().unwrap(), tcp)
            .await
            .unwrap();
        let url = format!("wss://{}/agent", world.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, tls).await.unwrap();
        let _ = socket.send(message).await;
        let ended = timeout(SOON, async {
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await;
        assert!(ended.is_ok());
    }
    assert!(world.gateway.agents().is_empty());
}

/// An ordinary TLS client that was told of the gateway's certificate.
fn trusting_connector(world: &World) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    use rustls::{ClientConfig, RootCertStore};
    let pem = std::fs::read(world.data.path().join("gateway-cert.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    tokio_rustls::TlsConnector::from(std::sync::Arc::new(config))
}

#[tokio::test]
async fn a_crowd_at_the_door_is_bounded_and_the_next_address_still_gets_in() {
    let world = World::new().await;
    let code = world.code("shed");
    let mut crowd: Vec<_> = (0..40).map(|_| door(&world, PEER)).collect();
    // The last one speaks at once and is not heard: it has no place yet.
    let (mut last, _session) = crowd.pop().unwrap();
    last.write_all(b"no message at all, but long enough to be judged")
        .await
        .unwrap();
    let early = timeout(Duration::from_millis(100), last.read_u8()).await;
    assert!(early.is_err(), "{early:?}");
    let welcome = knock(&world, "shed", 1, Some(code.secret), "198.51.100.1:1").await;
    assert!(matches!(welcome, Message::Welcome(_)));
    // Its turn comes when others have gone.
    crowd.truncate(20);
    let answer = timeout(SOON, link::read_message(&mut last)).await.unwrap();
    assert_eq!(refusal(&answer.unwrap()), Some(Refusal::Malformed));
}
