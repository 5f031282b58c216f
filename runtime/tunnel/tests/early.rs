//! What a viewer says before its camera is there, when the session ends under it.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use link::{Line, Mux, MuxConfig, Stream};
use proto_tunnel::{JoinCode, Message, ResumeConfig};
use support::{SOON, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tunnel::Forward;

const QUESTION: &[u8] = b"OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n";
const ORDER: &[u8] = b"POST /reboot HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

/// An agent that does what the test wants.
struct Puppet {
    mux: Arc<Mux>,
}

impl Puppet {
    /// Comes in; a later one takes an earlier one's place.
    async fn enter(world: &World, code: &JoinCode, attempt: u32) -> Self {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        let gateway = world.gateway.clone();
        tokio::spawn(async move {
            let _ = gateway.accept(far, "192.0.2.1:9".parse().unwrap()).await;
        });
        let Message::Hello(mut hello) = support::hello(code) else {
            unreachable!()
        };
        hello.attempt = attempt;
        link::write_message(&mut near, &Message::Hello(hello))
            .await
            .unwrap();
        let welcome = link::read_message(&mut near).await.unwrap();
        assert!(matches!(welcome, Message::Welcome(_)), "{welcome:?}");
        let (line, handle) = Line::new(ResumeConfig::default());
        handle.attach(near, 0).unwrap();
        let mux = Arc::new(Mux::client((line, handle), MuxConfig::agent()));
        let mut control = mux.open().await.unwrap();
        link::write_message(&mut control, &Message::Opened)
            .await
            .unwrap();
        let left = Arc::clone(&mux);
        tokio::spawn(async move {
            link::converse(control, std::future::pending()).await;
            left.close().await;
        });
        Self { mux }
    }

    /// The next request for a camera. What the gateway wants to know of the agent itself stays without an answer.
    async fn asked(&self) -> Stream {
        loop {
            let mut stream = self.mux.accept().await.unwrap();
            match link::read_message(&mut stream).await.unwrap() {
                Message::Open(_) => return stream,
                Message::Command(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Takes the request for a camera, and hears what the viewer says.
    async fn hear(&self, expected: &[u8]) -> Stream {
        let mut stream = timeout(SOON, self.asked()).await.unwrap();
        let mut heard = vec![0; expected.len()];
        timeout(SOON, stream.read_exact(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard, expected);
        stream
    }
}

/// A viewer that has said `first`, which the agent's camera has heard when the session ended; and the next session.
async fn cut_under_a_viewer(world: &World, first: &[u8]) -> (TcpStream, Puppet) {
    let code = world.code("shed");
    let before = Puppet::enter(world, &code, 0).await;
    world.connected("shed").await;
    let forward = Forward {
        listen: "127.0.0.1:0".parse().unwrap(),
        agent: "shed".to_owned(),
        target: "127.0.0.1:554".parse().unwrap(),
    };
    let forward = world.gateway.bind_forward(forward).await.unwrap();
    let listen = world.gateway.forwards()[0].listen;
    tokio::spawn(forward.run(CancellationToken::new()));
    let mut viewer = TcpStream::connect(listen).await.unwrap();
    viewer.write_all(first).await.unwrap();
    let _asked = before.hear(first).await;
    let after = Puppet::enter(world, &code, 1).await;
    (viewer, after)
}

#[tokio::test]
async fn a_question_is_asked_again_when_the_session_ends_under_it() {
    let world = World::new().await;
    let (mut viewer, after) = cut_under_a_viewer(&world, QUESTION).await;
    let mut camera = after.hear(QUESTION).await;
    link::write_message(&mut camera, &Message::Opened)
        .await
        .unwrap();
    camera.write_all(b"RTSP/1.0 200 OK\r\n").await.unwrap();
    camera.flush().await.unwrap();
    let mut answer = [0; 17];
    let read = timeout(SOON, viewer.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(&answer, b"RTSP/1.0 200 OK\r\n");
}

#[tokio::test]
async fn an_order_is_not_given_twice_when_the_session_ends_under_it() {
    let world = World::new().await;
    let (mut viewer, after) = cut_under_a_viewer(&world, ORDER).await;
    let ended = timeout(SOON, viewer.read_u8()).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    let asked = timeout(Duration::from_millis(500), after.asked()).await;
    assert!(asked.is_err(), "the camera is asked for once more");
    let told = world.gateway.forwards()[0].last_error.clone();
    assert!(told.unwrap().contains("not said twice"));
}
