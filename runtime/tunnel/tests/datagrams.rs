//! Datagrams through an agent.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;

use agent::{AllowList, Allowed};
use dialer::Dialer;
use support::{SOON, World, pattern};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tunnel::{LocalDialer, LocalDoor};

/// A camera that sends back what it hears, from another port than where it was said hello.
async fn echo() -> SocketAddr {
    let hello = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let session = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = hello.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut buf, mut more) = ([0; 2_000], [0; 2_000]);
        loop {
            let (len, from) = tokio::select! {
                got = hello.recv_from(&mut buf) => got.unwrap(),
                got = session.recv_from(&mut more) => {
                    let (len, from) = got.unwrap();
                    buf = more;
                    (len, from)
                }
            };
            session.send_to(&buf[..len], from).await.unwrap();
        }
    });
    address
}

async fn exchange(dialer: &dyn Dialer, camera: SocketAddr) {
    let mut socket = dialer.datagrams(camera, None).await.unwrap();
    assert_ne!(socket.port(), 0);
    socket.send(b"hello", camera).await.unwrap();
    let mut buf = [0; 2_000];
    let (len, session) = timeout(SOON, socket.receive(&mut buf))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buf[..len], b"hello");
    assert_ne!(session, camera);
    for n in 0..100 {
        let datagram = pattern(n * 15, n);
        socket.send(&datagram, session).await.unwrap();
        let (len, from) = timeout(SOON, socket.receive(&mut buf))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((&buf[..len], from), (&datagram[..], session));
    }
    socket.close().await.unwrap();
}

#[tokio::test]
async fn datagrams_pass_an_agent_whole_and_in_bounds_of_its_list() {
    let world = World::new().await;
    let (camera, stranger) = (echo().await, echo().await);
    let allowed = format!("udp:{camera}").parse::<Allowed>().unwrap();
    let _agent = world.agent_with(world.code("shed"), AllowList::of([allowed]));
    let dialer = world.gateway.dialer("shed");
    exchange(&*dialer, camera).await;

    let Err(error) = dialer.datagrams(stranger, None).await else {
        panic!("the list does not name it");
    };
    let said = error.to_string();
    assert!(said.contains(&format!("--allow udp:{stranger}")), "{said}");
    let broadcast = "255.255.255.255:2015".parse().unwrap();
    let Err(error) = dialer.datagrams(broadcast, None).await else {
        panic!("the list does not name it");
    };
    assert!(error.to_string().contains("--allow udp:broadcast"));

    // Past the agent's first look, the list still holds.
    let mut socket = dialer.datagrams(camera, None).await.unwrap();
    socket.send(b"scan", stranger).await.unwrap();
    socket.send(b"hello", camera).await.unwrap();
    let mut buf = [0; 64];
    let (len, from) = timeout(SOON, socket.receive(&mut buf))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&buf[..len], b"hello");
    assert_ne!(from, stranger);
    let status = &world.gateway.agents()[0];
    assert_eq!((status.streams_opened, status.streams_failed), (2, 2));
}

#[tokio::test]
async fn commands_of_this_machine_send_datagrams_through_the_gateways_agents() {
    let world = World::new().await;
    let camera = echo().await;
    let allowed = format!("udp:{camera}").parse::<Allowed>().unwrap();
    let _agent = world.agent_with(world.code("shed"), AllowList::of([allowed]));
    world.connected("shed").await;
    let door = LocalDoor::bind(world.data.path()).await.unwrap();
    let end = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(door.serve(world.gateway.clone(), end.clone()));
    let dialer = LocalDialer::new(world.data.path(), "shed");
    exchange(&dialer, camera).await;
    let Err(error) = dialer
        .datagrams("10.9.9.9:2015".parse().unwrap(), None)
        .await
    else {
        panic!("the list does not name it");
    };
    assert!(
        error.to_string().contains("--allow udp:10.9.9.9"),
        "{error}"
    );
    end.cancel();
    timeout(SOON, serving).await.unwrap().unwrap();
}
