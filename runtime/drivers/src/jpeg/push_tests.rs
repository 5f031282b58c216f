use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hub::{Hub, State, Stream};
use proto_jpeg::encode_datagram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

use crate::testing::{Session, camera, picture};
use crate::{Camera, DriverError, Reason};

/// A port that nobody uses at this moment, TCP and UDP.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Connects to the port on loopback from another of its addresses.
async fn call_from(ip: &str, port: u16) -> TcpStream {
    for _ in 0..200 {
        let socket = TcpSocket::new_v4().unwrap();
        let ip: IpAddr = ip.parse().unwrap();
        socket.bind(SocketAddr::new(ip, 0)).unwrap();
        match socket.connect(([127, 0, 0, 1], port).into()).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    panic!("nobody listens on {port}");
}

async fn call(port: u16) -> TcpStream {
    call_from("127.0.0.1", port).await
}

async fn reason(stream: &Stream, part: &str) -> String {
    let wait = async {
        let mut status = stream.watch_status();
        let found = status.wait_for(|status| {
            status.state == State::Waiting
                && status.error.as_ref().is_some_and(|e| e.contains(part))
        });
        found.await.unwrap().error.clone().unwrap()
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("{part:?} was not said, but {:?}", stream.status().error))
}

fn push(port: u16) -> Camera {
    camera(&format!("jpeg+push://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_camera_that_keeps_its_connection_gives_every_picture() {
    let port = free_port();
    let session = Session::start(push(port));
    assert!(
        reason(&session.stream, "no camera has connected")
            .await
            .contains("listening on")
    );
    let mut stream = call(port).await;
    let all: Vec<u8> = (0..50).flat_map(|n| picture(n, 3_000)).collect();
    for piece in all.chunks(1_999) {
        stream.write_all(piece).await.unwrap();
    }
    let sent: Vec<Vec<u8>> = (0..50).map(|n| picture(n, 3_000)).collect();
    assert_eq!(session.pictures(50).await, sent);
    assert_eq!(session.stream.status().state, State::Live);
    session.stop().await;
}

#[tokio::test]
async fn a_camera_that_connects_for_each_picture_gives_every_one() {
    let port = free_port();
    let session = Session::start(push(port));
    for n in 0..10 {
        let mut stream = call(port).await;
        stream.write_all(&picture(n, 500)).await.unwrap();
        stream.shutdown().await.unwrap();
        // The camera waits until the other side has closed, as the sketch does by its next loop.
        let _ = stream.read(&mut [0]).await;
    }
    let sent: Vec<Vec<u8>> = (0..10).map(|n| picture(n, 500)).collect();
    assert_eq!(session.pictures(10).await, sent);
    session.stop().await;
}

#[tokio::test]
async fn a_cut_picture_is_left_out_and_counted() {
    let port = free_port();
    let session = Session::start(push(port));
    for n in 0..3 {
        let mut stream = call(port).await;
        let whole = picture(n, 500);
        stream.write_all(&whole).await.unwrap();
        stream.write_all(&whole[..300]).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read(&mut [0]).await;
    }
    let sent: Vec<Vec<u8>> = (0..3).map(|n| picture(n, 500)).collect();
    assert_eq!(session.pictures(3).await, sent);
    assert_eq!(session.stream.statistics().damaged, 3);
    session.stop().await;
}

#[tokio::test]
async fn a_second_camera_on_the_port_is_not_mixed_in() {
    let port = free_port();
    let session = Session::start(push(port));
    let mut first = call(port).await;
    first.write_all(&picture(1, 500)).await.unwrap();
    assert_eq!(session.pictures(1).await, [picture(1, 500)]);
    let mut second = call_from("127.0.0.2", port).await;
    let _ = second.write_all(&picture(2, 500)).await;
    // It is sent away.
    let _ = second.read(&mut [0]).await;
    first.write_all(&picture(3, 500)).await.unwrap();
    assert_eq!(
        session.pictures(2).await,
        [picture(1, 500), picture(3, 500)]
    );
    session.stop().await;
}

#[tokio::test]
async fn a_camera_that_restarted_takes_over_from_its_dead_connection() {
    let port = free_port();
    let session = Session::start(push(port));
    let mut dead = call(port).await;
    dead.write_all(&picture(1, 500)).await.unwrap();
    dead.write_all(&picture(2, 500)[..200]).await.unwrap();
    assert_eq!(session.pictures(1).await.len(), 1);
    let mut fresh = call(port).await;
    fresh.write_all(&picture(3, 500)).await.unwrap();
    assert_eq!(session.pictures(2).await[1], picture(3, 500));
    session.stop().await;
}

#[tokio::test]
async fn two_cameras_share_a_port_if_their_addresses_are_named() {
    let port = free_port();
    let one = Session::start(camera(&format!(
        "jpeg+push://127.0.0.1:{port}?from=127.0.0.2"
    )));
    let two = Session::start(camera(&format!(
        "jpeg+push://127.0.0.1:{port}?from=127.0.0.3"
    )));
    reason(&one.stream, "from 127.0.0.2").await;
    reason(&two.stream, "from 127.0.0.3").await;
    for (ip, n) in [("127.0.0.3", 3), ("127.0.0.2", 2), ("127.0.0.4", 4)] {
        let mut stream = call_from(ip, port).await;
        let _ = stream.write_all(&picture(n, 500)).await;
    }
    assert_eq!(one.pictures(1).await, [picture(2, 500)]);
    assert_eq!(two.pictures(1).await, [picture(3, 500)]);
    one.stop().await;
    // The other goes on.
    let mut stream = call_from("127.0.0.3", port).await;
    stream.write_all(&picture(5, 500)).await.unwrap();
    assert_eq!(two.pictures(2).await[1], picture(5, 500));
    two.stop().await;
    assert!(
        TcpStream::connect(("127.0.0.1", port)).await.is_err(),
        "the last closes the port"
    );
}

#[tokio::test]
async fn a_second_stream_for_the_same_camera_is_refused_in_words() {
    let port = free_port();
    let one = Session::start(push(port));
    reason(&one.stream, "listening").await;
    let failure = Session::start(push(port)).failure().await.to_string();
    assert!(failure.contains("another camera is awaited"), "{failure}");
    one.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let failure = Session::start(push(port)).failure().await.to_string();
    assert!(failure.contains(&format!("127.0.0.1:{port}")), "{failure}");
}

#[tokio::test]
async fn an_absent_camera_is_said_to_be_absent_and_is_live_again_when_it_comes() {
    let port = free_port();
    let mut camera = push(port);
    camera.timeout = Duration::from_millis(300);
    let session = Session::start(camera);
    let mut stream = call(port).await;
    stream.write_all(&picture(1, 10)).await.unwrap();
    assert_eq!(session.pictures(1).await.len(), 1);
    reason(&session.stream, "127.0.0.1 has sent no picture").await;
    stream.write_all(&picture(2, 10)).await.unwrap();
    assert_eq!(session.pictures(2).await.len(), 2);
    assert_eq!(session.stream.status().state, State::Live);
    assert_eq!(session.stream.status().error, None);
    session.stop().await;
}

#[tokio::test]
async fn a_stranger_that_sends_no_pictures_is_named() {
    let port = free_port();
    let session = Session::start(push(port));
    let mut stream = call(port).await;
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    drop(stream);
    let said = reason(&session.stream, "without a whole JPEG picture").await;
    assert!(said.contains("GET / HTTP/1.1"), "{said}");
    session.stop().await;
}

#[tokio::test]
async fn pictures_that_come_sooner_than_the_interval_are_left_out() {
    let port = free_port();
    let mut camera = push(port);
    camera.interval = Some(Duration::from_secs(3600));
    let session = Session::start(camera);
    let mut stream = call(port).await;
    for n in 0..20 {
        stream.write_all(&picture(n, 100)).await.unwrap();
    }
    assert_eq!(session.pictures(1).await, [picture(0, 100)]);
    stream.shutdown().await.unwrap();
    let _ = stream.read(&mut [0]).await;
    assert_eq!(session.stream.statistics().access_units, 1);
    session.stop().await;
}

/// A camera that sends datagrams to the port.
struct Sender(UdpSocket);

impl Sender {
    async fn new(ip: &str, port: u16) -> Self {
        let socket = UdpSocket::bind((ip, 0)).await.unwrap();
        socket.connect(("127.0.0.1", port)).await.unwrap();
        Self(socket)
    }

    async fn picture(&self, number: u32, picture: &[u8]) {
        let pieces: Vec<&[u8]> = picture.chunks(1400).collect();
        let count = pieces.len() as u16;
        for (index, piece) in pieces.into_iter().enumerate() {
            let size = picture.len() as u32;
            let datagram = encode_datagram(number, index as u16, count, size, piece);
            let _ = self.0.send(&datagram).await;
        }
    }
}

/// Sends pictures until `count` of them have arrived: nothing says when the port is open.
async fn udp_pictures(session: &Session, sender: &Sender, count: usize) -> Vec<bytes::Bytes> {
    for number in 0..500 {
        if session.stream.statistics().access_units >= count as u64 {
            break;
        }
        sender.picture(number, &picture(number, 5_000)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    session.pictures(count).await
}

#[tokio::test]
async fn datagrams_are_joined_to_pictures() {
    let port = free_port();
    let session = Session::start(camera(&format!("jpeg+udp://127.0.0.1:{port}")));
    reason(&session.stream, "listening on UDP").await;
    let sender = Sender::new("127.0.0.1", port).await;
    let pictures = udp_pictures(&session, &sender, 5).await;
    let first: u32 = std::str::from_utf8(&pictures[0][31..39])
        .unwrap()
        .parse()
        .unwrap();
    let sent: Vec<Vec<u8>> = (first..).take(5).map(|n| picture(n, 5_000)).collect();
    assert_eq!(pictures, sent);
    session.stop().await;
}

#[tokio::test]
async fn a_lost_fragment_loses_its_picture_and_is_counted_by_the_clock() {
    let port = free_port();
    let session = Session::start(camera(&format!("jpeg+udp://127.0.0.1:{port}")));
    reason(&session.stream, "listening on UDP").await;
    let sender = Sender::new("127.0.0.1", port).await;
    sender.picture(1, &picture(1, 5_000)).await;
    assert_eq!(session.pictures(1).await.len(), 1);
    let half = encode_datagram(2, 0, 2, 2_000, &[7; 1_400]);
    sender.0.send(&half).await.unwrap();
    for _ in 0..100 {
        if session.stream.statistics().damaged == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        session.stream.statistics().damaged,
        1,
        "no other picture came to notice it"
    );
    session.stop().await;
}

#[tokio::test]
async fn without_the_password_nothing_is_taken() {
    let port = free_port();
    let mut camera = camera(&format!("jpeg+udp://127.0.0.1:{port}"));
    camera.password = Some("s3cret42".to_owned());
    let session = Session::start(camera);
    reason(&session.stream, "listening on UDP").await;
    let stranger = Sender::new("127.0.0.2", port).await;
    stranger.0.send(b"HSESP32CAM").await.unwrap();
    stranger.picture(1, &picture(1, 2_000)).await;
    let said = reason(&session.stream, "the right password").await;
    assert!(
        said.contains("127.0.0.2") && !said.contains("s3cret42"),
        "{said}"
    );
    let sender = Sender::new("127.0.0.1", port).await;
    sender.0.send(b"HSs3cret42").await.unwrap();
    sender.picture(9, &picture(9, 2_000)).await;
    assert_eq!(session.pictures(1).await, [picture(9, 2_000)]);
    session.stop().await;
}

#[tokio::test]
async fn a_second_sender_of_datagrams_is_not_mixed_in() {
    let port = free_port();
    let session = Session::start(camera(&format!("jpeg+udp://127.0.0.1:{port}")));
    reason(&session.stream, "listening on UDP").await;
    let (one, two) = (
        Sender::new("127.0.0.1", port).await,
        Sender::new("127.0.0.2", port).await,
    );
    for n in 0..10 {
        one.picture(n, &picture(n, 2_000)).await;
        session.pictures(n as usize + 1).await;
        two.picture(n, &picture(1_000 + n, 2_000)).await;
    }
    let sent: Vec<Vec<u8>> = (0..10).map(|n| picture(n, 2_000)).collect();
    assert_eq!(session.pictures(10).await, sent);
    session.stop().await;
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused_in_words() {
    for (url, part) in [
        (
            "jpeg+push://camera.local:4444",
            "no address of this machine",
        ),
        (
            "jpeg+push://127.0.0.1:4444?from=porch",
            "from=porch is no address",
        ),
        (
            "jpeg+udp://127.0.0.1:4444?form=127.0.0.1",
            "there is from=ADDRESS",
        ),
    ] {
        let failure: DriverError = Session::start(camera(url)).failure().await;
        assert_eq!(failure.reason(), Reason::Unsupported);
        assert!(failure.to_string().contains(part), "{failure}");
    }
}

#[tokio::test]
async fn a_camera_that_comes_by_itself_is_heard_without_a_viewer() {
    let port = free_port();
    let stream = Hub::new().add(hub::StreamName::new("esp").unwrap());
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(crate::supervise(
        crate::driver("jpeg+push").unwrap().into(),
        push(port),
        Arc::new(dialer::Direct),
        Arc::clone(&stream),
        shutdown.clone(),
    ));
    let mut caller = call(port).await;
    caller.write_all(&picture(1, 100)).await.unwrap();
    let mut status = stream.watch_status();
    let live = status.wait_for(|status| status.state == State::Live);
    tokio::time::timeout(Duration::from_secs(10), live)
        .await
        .unwrap()
        .unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), task)
        .await
        .unwrap()
        .unwrap();
}
