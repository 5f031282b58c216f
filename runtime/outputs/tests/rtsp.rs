//! The RTSP server from its viewers' side: raw TCP clients against a stream published by the test.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on shall say where"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Hub, Publisher, Stream, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks, length_prefixed};
use outputs::rtsp::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Access units of a GOP; at 25 a second it lasts 2 s.
const GOP: i64 = 50;

struct World {
    address: std::net::SocketAddr,
    stream: Arc<Stream>,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

async fn world(users: &[(&str, &str)]) -> World {
    let hub = Arc::new(Hub::new());
    let stream = hub.add(StreamName::new("porch").unwrap());
    let users = users
        .iter()
        .map(|(name, password)| (name.to_string(), password.to_string()))
        .collect();
    let server = Server::bind(hub, "127.0.0.1:0".parse().unwrap(), users)
        .await
        .unwrap();
    let address = server.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(server.serve(shutdown.clone()));
    World {
        address,
        stream,
        shutdown,
    }
}

fn h264() -> Tracks {
    let (sps, pps) = (
        b"\x67\x42\xc0\x1e\xd9\x00\xa0\x47\xfe\x88",
        b"\x68\xce\x38\x80",
    );
    Tracks::new(vec![Track::h264(
        sps.as_slice().into(),
        pps.as_slice().into(),
        640,
        360,
    )])
}

fn publish(publisher: &mut Publisher, n: i64, size: usize, received: Instant) {
    let is_keyframe = n % GOP == 0;
    let mut unit = vec![if is_keyframe { 0x65 } else { 0x41 }; size];
    unit.truncate(size.max(2));
    let payload: Bytes = length_prefixed([unit.as_slice()]);
    let time = MediaTime(3_600 * n);
    publisher
        .publish(AccessUnit {
            track: 0,
            time,
            wall: None,
            received,
            is_keyframe,
            payload,
        })
        .unwrap();
}

/// A client that knows just enough RTSP.
struct Client {
    socket: TcpStream,
    cseq: u32,
}

/// An RTP packet, or a reply.
enum Message {
    Reply(String),
    Rtp {
        marker: bool,
        timestamp: u32,
        nal_type: u8,
    },
    Rtcp,
}

impl Client {
    async fn connect(world: &World) -> Self {
        Self {
            socket: TcpStream::connect(world.address).await.unwrap(),
            cseq: 0,
        }
    }

    async fn request(&mut self, method: &str, path: &str, extra: &str) -> String {
        self.cseq += 1;
        let text = format!(
            "{method} rtsp://127.0.0.1/{path} RTSP/1.0\r\nCSeq: {}\r\n{extra}\r\n",
            self.cseq
        );
        self.socket.write_all(text.as_bytes()).await.unwrap();
        loop {
            if let Message::Reply(reply) = self.message().await {
                return reply;
            }
        }
    }

    async fn play(world: &World, query: &str) -> (Self, String) {
        let mut client = Self::connect(world).await;
        let described = client
            .request(
                "DESCRIBE",
                &format!("porch{query}"),
                "Accept: application/sdp\r\n",
            )
            .await;
        assert!(described.starts_with("RTSP/1.0 200"), "{described}");
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
        let set_up = client.request("SETUP", "porch/trackID=0", transport).await;
        assert!(set_up.starts_with("RTSP/1.0 200"), "{set_up}");
        let session = set_up
            .lines()
            .find_map(|line| line.strip_prefix("Session: "))
            .unwrap();
        let session = session.split(';').next().unwrap().to_owned();
        let played = client
            .request("PLAY", "porch", &format!("Session: {session}\r\n"))
            .await;
        assert!(played.starts_with("RTSP/1.0 200"), "{played}");
        (client, played)
    }

    async fn message(&mut self) -> Message {
        let first = self.socket.read_u8().await.unwrap();
        if first == b'$' {
            let channel = self.socket.read_u8().await.unwrap();
            let length = self.socket.read_u16().await.unwrap();
            let mut packet = vec![0; usize::from(length)];
            self.socket.read_exact(&mut packet).await.unwrap();
            if channel % 2 == 1 {
                return Message::Rtcp;
            }
            let timestamp = u32::from_be_bytes(packet[4..8].try_into().unwrap());
            let nal_type = match packet[12] & 31 {
                28 => packet[13] & 31,
                other => other,
            };
            return Message::Rtp {
                marker: packet[1] & 0x80 != 0,
                timestamp,
                nal_type,
            };
        }
        let mut text = vec![first];
        while !text.ends_with(b"\r\n\r\n") {
            text.push(self.socket.read_u8().await.unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        self.socket.read_exact(&mut body).await.unwrap();
        Message::Reply(text)
    }

    /// Timestamp and type of the next access unit's last packet.
    async fn access_unit(&mut self) -> (u32, u8) {
        loop {
            if let Message::Rtp {
                marker: true,
                timestamp,
                nal_type,
            } = self.message().await
            {
                return (timestamp, nal_type);
            }
        }
    }
}

async fn within<T>(seconds: u64, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), work)
        .await
        .expect("it took too long")
}

#[tokio::test]
async fn a_late_viewer_gets_the_whole_gop_at_once_drawn_together_to_the_live_edge() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    for n in 0..GOP + 40 {
        publish(&mut publisher, n, 3_000, Instant::now());
    }
    let (mut client, played) = Client::play(&world, "").await;
    let mut units = Vec::new();
    for _ in 0..40 {
        units.push(within(5, client.access_unit()).await);
    }
    assert_eq!(units[0].1, 5, "it begins with an IDR picture");
    let told = played.split("rtptime=").nth(1).unwrap();
    let told: u32 = told
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(told, units[0].0, "RTP-Info tells the first timestamp");
    assert!(units.windows(2).all(|pair| pair[1].0 > pair[0].0));
    let span = units[39].0.wrapping_sub(units[0].0);
    assert!(
        span < 9_000,
        "40 pictures are drawn together to {span} ticks"
    );
    publish(&mut publisher, GOP + 40, 3_000, Instant::now());
    let live = within(5, client.access_unit()).await;
    assert_eq!(
        live.0.wrapping_sub(units[39].0),
        3_600,
        "from there on time runs as the camera's"
    );
}

#[tokio::test]
async fn a_recorder_may_wait_for_the_next_keyframe_instead() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    for n in 0..30 {
        publish(&mut publisher, n, 500, Instant::now());
    }
    let (mut client, _) = Client::play(&world, "?start=live").await;
    for n in 30..GOP + 2 {
        publish(&mut publisher, n, 500, Instant::now());
    }
    let first = within(5, client.access_unit()).await;
    let second = within(5, client.access_unit()).await;
    assert_eq!(first.1, 5);
    assert_eq!(second.0.wrapping_sub(first.0), 3_600);
}

#[tokio::test]
async fn a_stalled_viewer_delays_nobody_and_goes_on_with_a_keyframe() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    publish(&mut publisher, 0, 60_000, Instant::now());
    let (mut stalled, _) = Client::play(&world, "").await;
    let (mut other, _) = Client::play(&world, "").await;
    // 60 kB pictures at 100 a second fill the stalled viewer's sockets within the first second.
    let reader = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 400 {
            other.access_unit().await;
            seen += 1;
        }
    });
    for n in 1..=450 {
        publish(&mut publisher, n, 60_000, Instant::now());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    within(5, reader).await.unwrap();
    let statistics = world.stream.statistics();
    assert_eq!(
        statistics.outputs["rtsp"].viewers, 1,
        "the reader left, the stalled one is still there"
    );
    // What the kernel held comes first; behind the gap in time stands a keyframe.
    let mut last = within(5, stalled.access_unit()).await.0;
    let mut resumed = None;
    for n in 451..=500 {
        publish(&mut publisher, n, 2_000, Instant::now());
    }
    while resumed.is_none() {
        let (timestamp, nal_type) = within(10, stalled.access_unit()).await;
        if timestamp.wrapping_sub(last) > 3_600 {
            resumed = Some(nal_type);
        }
        last = timestamp;
    }
    assert_eq!(
        resumed,
        Some(5),
        "the first picture after the gap is an IDR"
    );
    assert!(
        world.stream.statistics().outputs["rtsp"].dropped > 0,
        "its loss is counted"
    );
}

#[tokio::test]
async fn many_viewers_are_one_reader_of_the_stream_and_leave_nothing_behind() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    publish(&mut publisher, 0, 500, Instant::now());
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::play(&world, "").await.0);
    }
    assert_eq!(world.stream.leases(), 1);
    assert_eq!(world.stream.statistics().outputs["rtsp"].viewers, 20);
    drop(clients);
    within(5, async {
        while world.stream.leases() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(world.stream.statistics().outputs["rtsp"].viewers, 0);
}

#[tokio::test]
async fn other_tracks_end_the_session_so_that_it_is_described_anew() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    publish(&mut publisher, 0, 500, Instant::now());
    let (mut client, _) = Client::play(&world, "").await;
    publisher
        .announce(Tracks::new(vec![Track::jpeg(None)]))
        .unwrap();
    let mut rest = Vec::new();
    within(5, client.socket.read_to_end(&mut rest))
        .await
        .unwrap();
}

#[tokio::test]
async fn describing_again_does_not_stop_the_pictures() {
    let world = world(&[]).await;
    let mut publisher = world.stream.publisher();
    publisher.announce(h264()).unwrap();
    publish(&mut publisher, 0, 500, Instant::now());
    let (mut client, _) = Client::play(&world, "").await;
    within(5, client.access_unit()).await;
    for (path, status) in [("porch", "200"), ("attic", "455")] {
        let reply = within(5, client.request("DESCRIBE", path, "")).await;
        assert_eq!(reply.split(' ').nth(1), Some(status), "{reply}");
    }
    publish(&mut publisher, 1, 500, Instant::now());
    within(5, client.access_unit()).await;
}

#[tokio::test]
async fn an_unknown_camera_is_not_found_and_garbage_is_refused() {
    let world = world(&[]).await;
    let mut client = Client::connect(&world).await;
    let reply = within(5, client.request("DESCRIBE", "garage", "")).await;
    assert!(reply.starts_with("RTSP/1.0 404"), "{reply}");
    let mut junk = Client::connect(&world).await;
    junk.socket.write_all(&[0xff; 40_000]).await.unwrap();
    let mut answer = Vec::new();
    // A reset is a refusal, too.
    let _ = within(5, junk.socket.read_to_end(&mut answer)).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"RTSP/1.0 4") || answer.starts_with(b"RTSP/1.0 5")
    );
}

#[tokio::test]
async fn without_the_password_nothing_is_described() {
    let world = world(&[("viewer", "open sesame")]).await;
    let mut client = Client::connect(&world).await;
    let reply = within(5, client.request("DESCRIBE", "porch", "")).await;
    assert!(reply.starts_with("RTSP/1.0 401"), "{reply}");
    for challenge in ["algorithm=SHA-256", "algorithm=MD5", "Basic realm"] {
        assert!(reply.contains(challenge), "{reply}");
    }
    assert_eq!(world.stream.leases(), 0, "a stranger starts no camera");
}
