//! Gateway and agent over real loopback TCP, TLS and WebSocket.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::State;
use dialer::Target;
use support::{Running, SOON, World, camera, echo_camera, exchange, pattern, wait_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel::Forward;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_mebibytes_come_back_byte_for_byte_over_several_streams_at_once() {
    let world = World::new().await;
    let target = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[target]);
    let mut work = Vec::new();
    for seed in 0..4 {
        let stream = world.dial("shed", target).await.unwrap();
        let data = Arc::new(pattern(8 << 20, seed));
        work.push(tokio::spawn(async move {
            assert!(exchange(stream, Arc::clone(&data)).await == *data)
        }));
    }
    for task in work {
        timeout(Duration::from_secs(60), task)
            .await
            .unwrap()
            .unwrap();
    }
    let status = &world.gateway.agents()[0];
    assert!(status.connected && status.joined);
    assert!(
        status.bytes_received > 32 << 20 && status.bytes_sent > 32 << 20,
        "{status:?}"
    );
    assert_eq!((status.streams_opened, status.streams_failed), (4, 0));
    assert!(status.rtt_ms.is_some() && status.version.is_some() && status.remote.is_some());
    assert_eq!(
        status.local_addresses,
        ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    let gateway = world.gateway.clone();
    wait_for(move || gateway.agents()[0].streams == 0).await;
}

#[tokio::test]
async fn a_forward_carries_a_half_close_to_the_camera_while_data_flows_back() {
    let world = World::new().await;
    let target = camera(|mut socket| async move {
        let mut request = Vec::new();
        socket.read_to_end(&mut request).await.unwrap();
        for _ in 0..200 {
            socket.write_all(&request).await.unwrap();
        }
    })
    .await;
    let _agent = world.agent(world.code("shed"), &[target]);
    let forward = Forward {
        listen: "127.0.0.1:0".parse().unwrap(),
        agent: "shed".into(),
        target: Target::new("127.0.0.1", target.port()),
    };
    let bound = world.gateway.bind_forward(forward).await.unwrap();
    let door = bound.local_addr();
    let stop = CancellationToken::new();
    let running = tokio::spawn(bound.run(stop.clone()));
    let mut viewer = TcpStream::connect(door).await.unwrap();
    let request = pattern(10_000, 7);
    viewer.write_all(&request).await.unwrap();
    viewer.shutdown().await.unwrap();
    let mut back = Vec::new();
    timeout(SOON, viewer.read_to_end(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert!(back == request.repeat(200));
    let gateway = world.gateway.clone();
    wait_for(move || gateway.forwards()[0].connections == 0).await;
    let status = &world.gateway.forwards()[0];
    assert_eq!((status.accepted, status.failed), (1, 0));
    assert_eq!(
        (status.bytes_sent, status.bytes_received),
        (10_000, 2_000_000)
    );
    stop.cancel();
    timeout(SOON, running).await.unwrap().unwrap();
    assert!(world.gateway.forwards().is_empty());
    assert!(TcpStream::connect(door).await.is_err());
}

#[tokio::test]
async fn a_viewer_that_vanishes_ends_the_camera_connection_even_mid_stream() {
    let world = World::new().await;
    let (ended, mut heard) = tokio::sync::mpsc::channel(4);
    let target = camera(move |mut socket| {
        let ended = ended.clone();
        async move {
            while socket.write_all(&[7; 1400]).await.is_ok() {}
            let _ = ended.send(()).await;
        }
    })
    .await;
    let _agent = world.agent(world.code("shed"), &[target]);
    for half_close_first in [false, true] {
        let mut stream = world.dial("shed", target).await.unwrap();
        stream.read_exact(&mut [0; 50_000]).await.unwrap();
        if half_close_first {
            stream.shutdown().await.unwrap();
            stream.read_exact(&mut [0; 50_000]).await.unwrap();
        }
        drop(stream);
        timeout(SOON, heard.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_stuck_viewer_delays_neither_another_stream_nor_the_heartbeat() {
    let world = World::new().await;
    let flood =
        camera(|mut socket| async move { while socket.write_all(&[7; 4000]).await.is_ok() {} })
            .await;
    let target = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[target, flood]);
    let _stuck = world.dial("shed", flood).await.unwrap();
    tokio::time::sleep(4 * support::QUICK.idle).await;
    let data = Arc::new(pattern(1 << 20, 1));
    let stream = world.dial("shed", target).await.unwrap();
    assert!(
        timeout(SOON, exchange(stream, Arc::clone(&data)))
            .await
            .unwrap()
            == *data
    );
    assert_eq!(world.gateway.agents()[0].reconnects, 0);
}

#[tokio::test]
async fn a_target_that_is_not_allowed_or_not_there_is_told_clearly() {
    let world = World::new().await;
    let target = echo_camera().await;
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let _agent = world.agent(world.code("shed"), &[closed]);
    let error = world.dial("shed", target).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("--allow"), "{error}");
    let error = world.dial("shed", closed).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(
        error.to_string().contains("agent shed cannot reach"),
        "{error}"
    );
    assert_eq!(world.gateway.agents()[0].streams_failed, 2);
}

#[tokio::test]
async fn an_absent_agent_is_waited_for_and_then_named() {
    let world = World::new().await;
    let target = echo_camera().await;
    let error = world.dial("nobody", target).await.err().unwrap();
    assert!(
        error.to_string().contains("there is no agent named nobody"),
        "{error}"
    );
    let code = world.code("shed");
    let dialer = world.gateway.dialer("shed");
    assert_eq!(dialer.describe(), "via agent shed");
    let dialing = tokio::spawn(async move {
        dialer
            .connect(&Target::new("127.0.0.1", target.port()))
            .await
            .is_ok()
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let agent = world.agent(code, &[target]);
    assert!(timeout(SOON, dialing).await.unwrap().unwrap());
    agent.stop().await;
    let gateway = world.gateway.clone();
    wait_for(move || !gateway.is_connected("shed")).await;
    let error = world.dial("shed", target).await.err().unwrap();
    assert!(
        error
            .to_string()
            .contains("agent shed is not connected (last seen"),
        "{error}"
    );
}

#[tokio::test]
async fn a_second_start_needs_no_code_and_the_same_code_is_harmless() {
    let world = World::new().await;
    let target = echo_camera().await;
    let code = world.code("shed");
    let state = world.agent(code.clone(), &[target]);
    world.connected("shed").await;
    let state = state.stop().await;
    let gateway = world.gateway.clone();
    wait_for(|| !gateway.is_connected("shed")).await;
    for join in [None, Some(code)] {
        let again = Running::start(join, &[target], state_copy(&state));
        world.connected("shed").await;
        again.stop().await;
        let gateway = gateway.clone();
        wait_for(move || !gateway.is_connected("shed")).await;
    }
    assert_eq!(gateway.agents()[0].reconnects, 2);
}

#[tokio::test]
async fn the_newest_session_wins_and_the_older_ones_end_does_not_touch_it() {
    let world = World::new().await;
    let target = echo_camera().await;
    let first = world.agent(world.code("shed"), &[target]);
    world.connected("shed").await;
    let second = Running::start(None, &[target], state_copy(first.state.as_ref().unwrap()));
    let mut first_state = first.watch.clone();
    timeout(SOON, first_state.wait_for(|state| *state == State::Waiting))
        .await
        .unwrap()
        .unwrap();
    let mut second_state = second.watch.clone();
    timeout(
        SOON,
        second_state.wait_for(|state| *state == State::Connected),
    )
    .await
    .unwrap()
    .unwrap();
    first.kill();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let data = Arc::new(pattern(100_000, 2));
    let stream = world.dial("shed", target).await.unwrap();
    assert!(exchange(stream, Arc::clone(&data)).await == *data);
    let status = &world.gateway.agents()[0];
    assert!(status.connected);
    assert_eq!(status.reconnects, 1);
}

#[tokio::test]
async fn after_a_gateway_restart_the_agent_is_back_within_five_seconds() {
    let mut world = World::new().await;
    let target = echo_camera().await;
    let _agent = world.agent(world.code("shed"), &[target]);
    world.connected("shed").await;
    let mut cut = world.dial("shed", target).await.unwrap();
    world.restart(Duration::from_millis(500)).await;
    let start = Instant::now();
    let stream = world.dial("shed", target).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    let data = Arc::new(pattern(100_000, 3));
    assert!(exchange(stream, Arc::clone(&data)).await == *data);
    assert!(
        timeout(SOON, cut.read_u8()).await.unwrap().is_err(),
        "a cut stream must not look complete"
    );
}

#[tokio::test]
async fn a_removed_agent_is_cut_within_a_heartbeat_and_stays_out() {
    let world = World::new().await;
    let target = echo_camera().await;
    let agent = world.agent(world.code("shed"), &[target]);
    world.connected("shed").await;
    let mut stream = world.dial("shed", target).await.unwrap();
    // Another process, such as the command line, does the removal.
    store::Store::open(world.data.path())
        .unwrap()
        .remove_agent("shed")
        .unwrap();
    assert!(
        timeout(5 * support::QUICK.idle, stream.read_u8())
            .await
            .unwrap()
            .is_err()
    );
    let gateway = world.gateway.clone();
    wait_for(move || !gateway.is_connected("shed")).await;
    let mut state = agent.watch.clone();
    timeout(SOON, state.wait_for(|state| *state == State::Waiting))
        .await
        .unwrap()
        .unwrap();
    assert!(world.gateway.agents().is_empty());
    assert!(!agent.task.is_finished());
}

#[tokio::test]
async fn a_frozen_agent_is_offline_after_two_missed_heartbeats_and_forgotten_after_the_window() {
    let world = World::new().await;
    let code = world.code("shed");
    // An agent that says hello rightly, opens the control stream, and then never does anything again.
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let gateway = world.gateway.clone();
    let session =
        tokio::spawn(async move { gateway.accept(far, "192.0.2.1:9".parse().unwrap()).await });
    link::write_message(&mut near, &support::hello(&code))
        .await
        .unwrap();
    let welcome = link::read_message(&mut near).await.unwrap();
    assert!(matches!(welcome, proto_tunnel::Message::Welcome(_)));
    // The pipe's frame of 19 bytes at position 0; in it stream 1 is opened, and three bytes are said on it: the message
    // that makes it the control stream.
    let pipe = [1, 0, 19, 0, 0, 0, 0, 0, 0];
    let (open, data) = ([5, 0, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 1, 0, 0, 3]);
    let frames = pipe.into_iter().chain(open).chain(data);
    let frame: Vec<u8> = frames.chain([0, 1, 5]).collect();
    near.write_all(&frame).await.unwrap();
    world.connected("shed").await;
    let gateway = world.gateway.clone();
    wait_for(move || !gateway.is_connected("shed")).await;
    assert!(world.gateway.agents()[0].reconnecting);
    // Nobody comes back for it, and so it ends.
    let ended = timeout(SOON, session).await.unwrap().unwrap();
    assert!(ended.is_err());
    let status = &world.gateway.agents()[0];
    assert!(!status.reconnecting && !status.connected);
    assert_eq!(status.sessions_lost, 1);
}

#[tokio::test]
async fn an_agent_that_resets_a_stream_keeps_its_session() {
    let world = World::new().await;
    let code = world.code("shed");
    let (mut near, far) = tokio::io::duplex(1 << 16);
    let gateway = world.gateway.clone();
    let _session =
        tokio::spawn(async move { gateway.accept(far, "192.0.2.1:9".parse().unwrap()).await });
    link::write_message(&mut near, &support::hello(&code))
        .await
        .unwrap();
    link::read_message(&mut near).await.unwrap();
    let (line, handle) = link::Line::new(proto_tunnel::ResumeConfig::default());
    handle.attach(near, 0).unwrap();
    let mux = link::Mux::client((line, handle), link::MuxConfig::agent());
    let mut control = mux.open().await.unwrap();
    link::write_message(&mut control, &proto_tunnel::Message::Opened)
        .await
        .unwrap();
    world.connected("shed").await;
    let _resets = tokio::spawn(async move { while mux.accept().await.is_ok() {} });
    let start = Instant::now();
    let error = world
        .dial("shed", "127.0.0.1:554".parse().unwrap())
        .await
        .err()
        .unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert!(world.gateway.is_connected("shed"));
}

#[tokio::test]
async fn a_stopping_gateway_says_goodbye() {
    let world = World::new().await;
    let agent = world.agent(world.code("shed"), &[]);
    world.connected("shed").await;
    timeout(SOON, world.gateway.shutdown()).await.unwrap();
    assert!(!world.gateway.is_connected("shed") || *agent.watch.borrow() != State::Waiting);
    world.connected("shed").await;
}

fn state_copy(state: &tempfile::TempDir) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(state.path().join("identity"), copy.path().join("identity")).unwrap();
    copy
}
