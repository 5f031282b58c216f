use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{Limits, Mode, Server};
use crate::mjpeg::Mjpeg;

const LONG: Duration = Duration::from_secs(20);

struct World {
    stream: Arc<Stream>,
    publisher: Publisher,
    address: SocketAddr,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl World {
    async fn start(mode: Mode) -> Self {
        let hub = Arc::new(Hub::new());
        let stream = hub.add(StreamName::new("esp").unwrap());
        let publisher = stream.publisher();
        let mjpeg = Arc::new(Mjpeg::new(hub, crate::mjpeg::tests::pixels()));
        let any = "127.0.0.1:0".parse().unwrap();
        let mut server = Server::bind(mjpeg, Arc::clone(&stream), any, mode)
            .await
            .unwrap();
        server.limits = Limits {
            sniff: Duration::from_millis(50),
            patience: Duration::from_millis(500),
            ..Limits::default()
        };
        let address = server.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(server.serve(shutdown.clone()));
        Self {
            stream,
            publisher,
            address,
            shutdown,
            served,
        }
    }

    fn publish(&mut self, number: u8) {
        self.publisher
            .announce(Tracks::new(vec![Track::jpeg(None)]))
            .unwrap();
        self.publisher
            .publish(AccessUnit {
                track: 0,
                time: MediaTime(i64::from(number) * 9_000),
                wall: None,
                received: Instant::now(),
                is_keyframe: true,
                payload: picture(number).into(),
            })
            .unwrap();
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Waits until so many viewers are served.
    async fn viewers(&self, wanted: u64) {
        let seen = || {
            let outputs = self.stream.statistics().outputs;
            outputs.get(super::NAME).map_or(0, |raw| raw.viewers)
        };
        let arrive = async {
            while seen() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LONG, arrive).await.unwrap();
    }

    async fn ask(&self, request: &str) -> String {
        let mut viewer = self.connect().await;
        viewer.write_all(request.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&all(&mut viewer).await).into_owned()
    }
}

fn picture(number: u8) -> Vec<u8> {
    let mut picture = vec![number; 5_000];
    picture[..2].copy_from_slice(&[0xff, 0xd8]);
    picture[4_998..].copy_from_slice(&[0xff, 0xd9]);
    picture
}

async fn all(viewer: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = viewer.read_to_end(&mut bytes);
    tokio::time::timeout(LONG, read).await.unwrap().unwrap();
    bytes
}

async fn exactly(viewer: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let read = viewer.read_exact(&mut bytes);
    tokio::time::timeout(LONG, read).await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn silent_viewers_get_the_newest_picture_at_once_and_then_the_same_bytes() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(1);
    let (mut one, mut other) = (world.connect().await, world.connect().await);
    assert_eq!(exactly(&mut one, 5_000).await, picture(1));
    assert_eq!(exactly(&mut other, 5_000).await, picture(1));
    for number in 2..6 {
        world.publish(number);
    }
    let expected: Vec<u8> = (2..6).flat_map(picture).collect();
    assert_eq!(exactly(&mut one, 20_000).await, expected);
    assert_eq!(exactly(&mut other, 20_000).await, expected);
}

#[tokio::test]
async fn a_single_viewer_gets_one_picture_and_then_the_end() {
    let mut world = World::start(Mode::Single).await;
    world.publish(1);
    world.publish(2);
    assert_eq!(all(&mut world.connect().await).await, picture(2));
    // Even one that talks before it listens.
    let mut chatty = world.connect().await;
    chatty.write_all(b"hello\n").await.unwrap();
    assert_eq!(all(&mut chatty).await, picture(2));
}

#[tokio::test]
async fn a_single_viewer_without_a_camera_does_not_hang_for_ever() {
    let mut world = World::start(Mode::Single).await;
    assert_eq!(all(&mut world.connect().await).await, b"");
    // Nor if the camera was there once and is silent since.
    world
        .publisher
        .announce(Tracks::new(vec![Track::jpeg(None)]))
        .unwrap();
    assert_eq!(all(&mut world.connect().await).await, b"");
}

#[tokio::test]
async fn a_viewer_waits_for_a_camera_that_comes_later() {
    let mut world = World::start(Mode::Continuous).await;
    let mut viewer = world.connect().await;
    world.stream.wanted().await;
    world.publish(7);
    assert_eq!(exactly(&mut viewer, 5_000).await, picture(7));
}

#[tokio::test]
async fn a_viewer_that_closed_its_half_still_gets_pictures() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(1);
    let mut viewer = world.connect().await;
    viewer.shutdown().await.unwrap();
    assert_eq!(exactly(&mut viewer, 5_000).await, picture(1));
    world.viewers(1).await;
    world.publish(2);
    assert_eq!(exactly(&mut viewer, 5_000).await, picture(2));
    drop(viewer);
    // The first picture after it left is answered with a reset.
    for number in 3..6 {
        world.publish(number);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.viewers(0).await;
}

#[tokio::test]
async fn a_reset_viewer_is_noticed_without_a_picture() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(1);
    let mut viewer = world.connect().await;
    exactly(&mut viewer, 5_000).await;
    world.viewers(1).await;
    socket2::SockRef::from(&viewer)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(viewer);
    world.viewers(0).await;
    assert_eq!(world.stream.leases(), 0);
}

#[tokio::test]
async fn one_port_serves_http_too() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(0x41);
    let still = world
        .ask("GET /capture HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;
    assert!(
        still.starts_with(
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\nAge: 0\r\n"
        ),
        "{still}"
    );
    assert!(still.contains("Cache-Control: no-store") && still.contains("AAAA"));
    let head = world.ask("HEAD /snapshot.jpg HTTP/1.0\r\n\r\n").await;
    assert!(
        head.contains("Content-Length: 5000") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let status = world.ask("GET /status HTTP/1.1\r\n\r\n").await;
    assert!(
        status.contains("\"pictures\":1") && status.contains("\"state\":\"live\""),
        "{status}"
    );
    let nowhere = world.ask("GET /nowhere HTTP/1.1\r\n\r\n").await;
    assert!(nowhere.starts_with("HTTP/1.1 404") && nowhere.contains("/snapshot.jpg"));
    let foreign = world
        .ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .await;
    assert!(foreign.starts_with("HTTP/1.1 421"), "{foreign}");

    let mut viewer = world.connect().await;
    // In pieces, as a person with telnet sends it.
    for piece in ["GE", "T / HTTP/1.1\r\nHo", "st: localhost:80\r\n\r\n"] {
        viewer.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.viewers(1).await;
    world.shutdown.cancel();
    let motion = String::from_utf8_lossy(&all(&mut viewer).await).into_owned();
    assert!(
        motion.contains("multipart/x-mixed-replace; boundary=eyelet\r\n"),
        "{motion}"
    );
    assert!(
        motion.contains(
            "\r\n\r\n--eyelet\r\nContent-Type: image/jpeg\r\nContent-Length: 5000\r\n\r\n"
        ),
        "{motion}"
    );
}

#[tokio::test]
async fn a_stop_lets_all_viewers_go_and_frees_the_port() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(1);
    let mut viewer = world.connect().await;
    exactly(&mut viewer, 5_000).await;
    world.shutdown.cancel();
    tokio::time::timeout(LONG, world.served)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(all(&mut viewer).await, b"");
    tokio::net::TcpListener::bind(world.address).await.unwrap();
}

#[tokio::test]
async fn the_report_tells_of_pictures_viewers_and_age() {
    let mut world = World::start(Mode::Continuous).await;
    world.publish(1);
    let mut viewer = world.connect().await;
    exactly(&mut viewer, 5_000).await;
    world.viewers(1).await;
    world.stream.count_reconnect("stalled");
    let started = Instant::now() - Duration::from_secs(60);
    let report = super::Report::of(&world.stream, started);
    assert_eq!(
        (report.pictures, report.bytes, report.viewers),
        (1, 5_000, 1)
    );
    assert_eq!(report.mean_bytes(), 5_000);
    assert!((report.mean_fps() - 1.0 / 60.0).abs() < 1e-3);
    let text = report.to_string();
    assert!(
        text.contains("live, up 1.0 min: 1 pictures") && text.contains("1 viewers"),
        "{text}"
    );
    assert!(text.contains("1 reconnects; newest picture 0"), "{text}");
    let empty = Hub::new().add(StreamName::new("none").unwrap());
    let none = super::Report::of(&empty, Instant::now());
    assert_eq!((none.fps, none.mean_bytes(), none.age), (0.0, 0, None));
}
