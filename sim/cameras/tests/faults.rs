//! A faulty camera is as faulty as it was told to be.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proto_rtsp::{Input, Method, Parser, Request};
use sim_cameras::RtspCamera;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, timeout};

const URI: &str = "rtsp://camera/stream1";

#[tokio::test(start_paused = true)]
async fn a_healthy_camera_sends_a_second_of_pictures_within_two_and_knows_its_player() {
    let camera = RtspCamera::porch();
    let mut player = play(&camera).await;
    let received = player.receive(Duration::from_secs(2)).await;
    assert_eq!(received.error, None);
    // The first keyframe is at most a second away, and each keyframe needs two packets or more.
    assert!(received.markers >= 24, "{received:?}");
    assert_eq!((camera.connections(), camera.players()), (1, 1));
    drop(player);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(camera.players(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_cuts_closes_the_connection_in_time() {
    let mut player = play(&RtspCamera::porch().with_fault("cut@2".parse().unwrap())).await;
    let started = Instant::now();
    let received = player.receive(Duration::from_secs(10)).await;
    assert!(received.is_closed);
    assert_eq!(started.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_hangs_keeps_the_connection_and_goes_on_when_it_is_well_again() {
    let camera = RtspCamera::porch().with_fault("hang".parse().unwrap());
    let mut player = play(&camera).await;
    let received = player.receive(Duration::from_secs(10)).await;
    assert_eq!((received.markers, received.is_closed), (0, false));
    camera.set_fault(None);
    let received = player.receive(Duration::from_secs(2)).await;
    assert!(received.markers >= 24, "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_talks_junk_is_not_understood() {
    let mut player = play(&RtspCamera::porch().with_fault("junk@1".parse().unwrap())).await;
    let received = player.receive(Duration::from_secs(10)).await;
    assert!(received.error.is_some(), "{received:?}");
}

#[tokio::test(start_paused = true)]
async fn all_connections_can_be_cut_at_once() {
    let camera = RtspCamera::jpeg();
    let (mut one, mut two) = (play(&camera).await, play(&camera).await);
    camera.cut();
    assert!(one.receive(Duration::from_secs(1)).await.is_closed);
    assert!(two.receive(Duration::from_secs(1)).await.is_closed);
}

struct Player {
    io: DuplexStream,
    parser: Parser,
}

#[derive(Debug, Default)]
struct Received {
    /// RTP packets with the marker bit on the first channel: pictures.
    markers: usize,
    is_closed: bool,
    error: Option<String>,
}

async fn play(camera: &RtspCamera) -> Player {
    let (near, far) = tokio::io::duplex(64 << 10);
    let camera = camera.clone();
    tokio::spawn(async move { camera.serve_connection(far).await });
    let mut player = Player {
        io: near,
        parser: Parser::default(),
    };
    let setup = Request::new(Method::Setup, format!("{URI}/trackID=0"), 1);
    player.ask(setup.header("Transport", "RTP/AVP/TCP")).await;
    player.ask(Request::new(Method::Play, URI, 2)).await;
    player
}

impl Player {
    async fn ask(&mut self, request: Request) {
        self.io.write_all(&request.encode()).await.unwrap();
        loop {
            if let Some(input) = self.parser.poll().unwrap() {
                assert!(
                    matches!(&input, Input::Response(r) if r.status.0 == 200),
                    "{input:?}"
                );
                return;
            }
            self.read().await;
        }
    }

    async fn read(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let len = self.io.read(&mut buffer).await.unwrap_or(0);
        self.parser.feed(&buffer[..len]);
        len
    }

    /// What comes in so long, or until the end.
    async fn receive(&mut self, time: Duration) -> Received {
        let mut received = Received::default();
        let deadline = Instant::now() + time;
        loop {
            match self.parser.poll() {
                Ok(Some(Input::Interleaved {
                    channel: 0,
                    payload,
                })) => {
                    received.markers += usize::from(payload[1] & 0x80 != 0);
                }
                Ok(Some(_)) => {}
                Ok(None) => match timeout(deadline - Instant::now(), self.read()).await {
                    Ok(0) => {
                        received.is_closed = true;
                        return received;
                    }
                    Ok(_) => {}
                    Err(_) => return received,
                },
                Err(error) => {
                    received.error = Some(error.to_string());
                    return received;
                }
            }
        }
    }
}
