//! Viewers on plain sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::Mjpeg;

const PATIENCE: Duration = Duration::from_secs(3);
const STALL: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);

struct World {
    mjpeg: Arc<Mjpeg>,
    stream: Arc<Stream>,
    publisher: Publisher,
    number: u32,
}

impl World {
    fn new() -> Self {
        let hub = Arc::new(Hub::new());
        let stream = hub.add(StreamName::new("esp").unwrap());
        let mut publisher = stream.publisher();
        publisher
            .announce(Tracks::new(vec![Track::jpeg(None)]))
            .unwrap();
        Self {
            mjpeg: Arc::new(Mjpeg::new(hub, super::tests::pixels())),
            stream,
            publisher,
            number: 0,
        }
    }

    /// A picture of `size` bytes that tells its number at both ends.
    fn publish(&mut self, size: usize) {
        let number = self.number.to_be_bytes();
        let mut picture = vec![0x55; size];
        picture[..6].copy_from_slice(&[0xff, 0xd8, number[0], number[1], number[2], number[3]]);
        let end = size - 6;
        picture[end..].copy_from_slice(&[number[0], number[1], number[2], number[3], 0xff, 0xd9]);
        self.publisher
            .publish(AccessUnit {
                track: 0,
                time: MediaTime(i64::from(self.number) * 9_000),
                wall: None,
                received: Instant::now(),
                is_keyframe: true,
                payload: picture.into(),
            })
            .unwrap();
        self.number += 1;
    }

    /// A viewer whose kernel holds at most about `buffer` bytes for it, and its session's task.
    async fn viewer(
        &self,
        buffer: Option<u32>,
        stall: Duration,
    ) -> (BufReader<TcpStream>, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer).unwrap();
        }
        let (viewer, accepted) = tokio::join!(socket.connect(address), listener.accept());
        let near = accepted.unwrap().0;
        if let Some(buffer) = buffer {
            socket2::SockRef::from(&near)
                .set_send_buffer_size(buffer as usize)
                .unwrap();
        }
        let session = self.mjpeg.session("esp", PATIENCE).await.unwrap();
        let task = tokio::spawn(async move {
            session
                .serve_on(Arc::new(near), b"HTTP/1.1 200 OK\r\n\r\n", stall)
                .await;
        });
        let mut viewer = BufReader::new(viewer.unwrap());
        assert_eq!(line(&mut viewer).await, "HTTP/1.1 200 OK");
        assert_eq!(line(&mut viewer).await, "");
        assert_eq!(line(&mut viewer).await, "--eyelet");
        (viewer, task)
    }
}

async fn line(viewer: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    let read = viewer.read_line(&mut line);
    tokio::time::timeout(LONG, read).await.unwrap().unwrap();
    line.trim_end().to_owned()
}

/// The number of the next picture, which must be whole and well framed.
async fn part(viewer: &mut BufReader<TcpStream>) -> u32 {
    assert_eq!(line(viewer).await, "Content-Type: image/jpeg");
    let length = line(viewer).await;
    let length: usize = length
        .strip_prefix("Content-Length: ")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(line(viewer).await, "");
    let mut picture = vec![0; length];
    let read = viewer.read_exact(&mut picture);
    tokio::time::timeout(LONG, read).await.unwrap().unwrap();
    assert_eq!(line(viewer).await, "");
    assert_eq!(
        line(viewer).await,
        "--eyelet",
        "the boundary follows at once"
    );
    assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
    assert_eq!(picture[2..6], picture[length - 6..length - 2], "torn");
    u32::from_be_bytes([picture[2], picture[3], picture[4], picture[5]])
}

#[tokio::test]
async fn a_new_viewer_gets_the_newest_picture_at_once_and_then_every_one() {
    let mut world = World::new();
    world.publish(1_000);
    world.publish(1_000);
    let (mut viewer, _task) = world.viewer(None, STALL).await;
    assert_eq!(part(&mut viewer).await, 1);
    let (mut second, _task) = world.viewer(None, STALL).await;
    assert_eq!(part(&mut second).await, 1);
    for number in 2..50 {
        world.publish(20_000);
        assert_eq!(part(&mut viewer).await, number);
        assert_eq!(part(&mut second).await, number);
    }
    assert_eq!(world.stream.leases(), 1, "one upstream for all viewers");
    assert_eq!(world.mjpeg.viewers("esp"), 2);
}

#[tokio::test]
async fn a_slow_viewer_skips_whole_pictures_and_delays_nobody() {
    let mut world = World::new();
    world.publish(60_000);
    let (mut slow, _task) = world.viewer(Some(16 << 10), STALL).await;
    let (mut quick, _task) = world.viewer(None, STALL).await;
    assert_eq!(part(&mut quick).await, 0);
    for number in 1..60 {
        world.publish(60_000);
        assert_eq!(part(&mut quick).await, number);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut seen = vec![part(&mut slow).await];
    while seen.last() != Some(&59) {
        seen.push(part(&mut slow).await);
    }
    assert!(seen.is_sorted() && seen.len() < 40, "{seen:?}");
    let skipped = 60 - seen.len() as u64;
    let dropped = world.stream.statistics().outputs[super::NAME].dropped;
    assert_eq!(dropped, skipped, "what is skipped is counted");
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_cut() {
    let mut world = World::new();
    world.publish(1_000);
    let stall = Duration::from_millis(300);
    let (_viewer, task) = world.viewer(Some(8 << 10), stall).await;
    for _ in 0..20 {
        world.publish(200_000);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    assert_eq!(world.mjpeg.viewers("esp"), 0);
}

#[tokio::test]
async fn a_viewer_that_leaves_is_noticed_without_a_picture() {
    let mut world = World::new();
    world.publish(1_000);
    let (mut viewer, task) = world.viewer(None, STALL).await;
    assert_eq!(part(&mut viewer).await, 0);
    viewer.get_mut().shutdown().await.unwrap();
    drop(viewer);
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    assert_eq!(world.mjpeg.viewers("esp"), 0);
    tokio::task::yield_now().await;
    assert_eq!(world.stream.leases(), 0, "nobody wants the camera any more");
}

#[tokio::test]
async fn a_viewer_of_a_camera_that_is_configured_no_more_is_let_go() {
    let mut world = World::new();
    world.publish(1_000);
    let (mut viewer, task) = world.viewer(None, STALL).await;
    assert_eq!(part(&mut viewer).await, 0);
    world.mjpeg.hub.remove("esp");
    tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    let mut rest = Vec::new();
    viewer.read_to_end(&mut rest).await.unwrap();
    assert_eq!(Bytes::from(rest), "");
}
