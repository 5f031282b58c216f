//! Streams over one transport, in memory.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use link::{Flow, Line, LineHandle, Mux, MuxConfig, PipeEnd, PipeOptions, Stream, Transport, pipe};
use proto_tunnel::ResumeConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn pair() -> (Mux, Mux) {
    let (a, b) = duplex(4096);
    (
        Mux::client(line(a), MuxConfig::agent()),
        Mux::server(line(b), MuxConfig::gateway()),
    )
}

fn line(transport: impl Transport) -> (Line, LineHandle) {
    let (line, handle) = Line::new(ResumeConfig::default());
    handle.attach(transport, 0).unwrap();
    (line, handle)
}

/// Opens a stream at `from` and finds its other end at `to`.
async fn stream(from: &Mux, to: &Mux) -> (Stream, Stream) {
    let mut near = from.open().await.unwrap();
    near.write_all(b"!").await.unwrap();
    near.flush().await.unwrap();
    let mut far = timeout(SOON, to.accept()).await.unwrap().unwrap();
    assert_eq!(far.read_u8().await.unwrap(), b'!');
    (near, far)
}

fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 251 + seed) % 256).unwrap())
        .collect()
}

#[tokio::test]
async fn eight_streams_carry_their_own_bytes_both_ways_at_once() {
    let (client, server) = pair();
    let mut work = Vec::new();
    for n in 0..8 {
        let (near, far) = if n % 2 == 0 {
            stream(&client, &server).await
        } else {
            stream(&server, &client).await
        };
        let data = pattern(600_000 + n * 77_777, n);
        work.push(tokio::spawn(async move {
            let (mut far_read, mut far_write) = tokio::io::split(far);
            let echo = tokio::spawn(async move {
                tokio::io::copy(&mut far_read, &mut far_write)
                    .await
                    .unwrap();
                far_write.shutdown().await.unwrap();
            });
            let (mut read, mut write) = tokio::io::split(near);
            let sent = data.clone();
            let sender = tokio::spawn(async move {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut back = Vec::new();
            read.read_to_end(&mut back).await.unwrap();
            assert!(back == data);
            sender.await.unwrap();
            echo.await.unwrap();
        }));
    }
    for task in work {
        timeout(4 * SOON, task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_end_in_one_direction_leaves_the_other_open() {
    let (client, server) = pair();
    let (mut near, mut far) = stream(&client, &server).await;
    near.write_all(b"request").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"request");
    assert!(near.write_all(b"more").await.is_err());
    let answer = pattern(900_000, 1);
    let sent = answer.clone();
    tokio::spawn(async move {
        far.write_all(&sent).await.unwrap();
        far.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    timeout(SOON, near.read_to_end(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert!(back == answer);
}

#[tokio::test]
async fn a_dropped_stream_is_a_reset_and_no_end() {
    let (client, server) = pair();
    let (mut near, far) = stream(&client, &server).await;
    drop(far);
    let error = timeout(SOON, near.read_u8()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_after_a_half_close_frees_a_writer_that_waits_for_a_window() {
    let (client, server) = pair();
    let (mut near, mut far) = stream(&client, &server).await;
    near.shutdown().await.unwrap();
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
    let camera = tokio::spawn(async move {
        loop {
            if let Err(error) = far.write_all(&[7; 9000]).await {
                return error;
            }
        }
    });
    near.read_exact(&mut [0; 20_000]).await.unwrap();
    drop(near);
    let error = timeout(SOON, camera).await.unwrap().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_hold_up_another() {
    let (client, server) = pair();
    let (mut stuck, _unread) = stream(&client, &server).await;
    tokio::spawn(async move { while stuck.write_all(&[0; 4096]).await.is_ok() {} });
    let (mut near, mut far) = stream(&client, &server).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let sent = pattern(1 << 20, 3);
    let expected = sent.clone();
    tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        near.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    timeout(SOON, far.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert!(heard == expected);
}

#[tokio::test]
async fn bytes_written_but_not_flushed_leave_while_the_writer_reads() {
    let (client, server) = pair();
    let (mut near, mut far) = stream(&client, &server).await;
    let sent = pattern(700_000, 5);
    let expected = sent.clone();
    let peer = tokio::spawn(async move {
        let mut heard = vec![0; 700_000];
        far.read_exact(&mut heard).await.unwrap();
        far.write_all(b"k").await.unwrap();
        heard
    });
    near.write_all(&sent).await.unwrap();
    assert_eq!(timeout(SOON, near.read_u8()).await.unwrap().unwrap(), b'k');
    assert!(peer.await.unwrap() == expected);
}

#[tokio::test]
async fn opening_stops_at_the_cap_and_goes_on_when_a_stream_is_gone() {
    let (a, b) = duplex(4096);
    let config = MuxConfig {
        max_streams: 2,
        window_growth: 0,
    };
    let (client, _server) = (Mux::client(line(a), config), Mux::server(line(b), config));
    let first = client.open().await.unwrap();
    let _second = client.open().await.unwrap();
    assert!(matches!(
        client.open().await,
        Err(link::Error::TooManyStreams(2))
    ));
    drop(first);
    client.open().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_ignores_the_cap_gets_resets_and_the_session_lives() {
    let (a, b) = duplex(4096);
    let client = Mux::client(
        line(a),
        MuxConfig {
            max_streams: 6,
            window_growth: 0,
        },
    );
    let server = Mux::server(
        line(b),
        MuxConfig {
            max_streams: 2,
            window_growth: 0,
        },
    );
    let mut opened = Vec::new();
    for _ in 0..6 {
        let mut stream = client.open().await.unwrap();
        stream.write_all(b"x").await.unwrap();
        opened.push(stream);
    }
    let mut first = timeout(SOON, server.accept()).await.unwrap().unwrap();
    first.write_all(b"y").await.unwrap();
    assert_eq!(
        timeout(SOON, opened[0].read_u8()).await.unwrap().unwrap(),
        b'y'
    );
    assert!(timeout(SOON, opened[5].read_u8()).await.unwrap().is_err());
}

#[tokio::test]
async fn closing_is_noticed_by_the_peer_and_by_every_stream() {
    let (client, server) = pair();
    let (_near, mut far) = stream(&client, &server).await;
    client.close().await;
    timeout(SOON, server.closed()).await.unwrap().unwrap();
    assert!(far.read_u8().await.is_err());
    assert!(server.open().await.is_err());
    assert!(client.accept().await.is_err());
}

#[tokio::test]
async fn two_ends_that_close_at_once_do_not_wait_for_each_other() {
    let (client, server) = pair();
    let (mut near, _far) = stream(&client, &server).await;
    near.write_all(b"nobody reads this").await.unwrap();
    let start = std::time::Instant::now();
    tokio::join!(client.close(), server.close());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn streams_become_known_in_any_order() {
    let (client, server) = pair();
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(client.open().await.unwrap());
    }
    // One of them is never used.
    drop(opened.remove(1));
    for (n, stream) in (0_u8..4).zip(&mut opened).rev() {
        stream.write_all(&[n; 3]).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < opened.len() {
        let mut far = timeout(SOON, server.accept()).await.unwrap().unwrap();
        let mut said = Vec::new();
        if far.read_to_end(&mut said).await.is_ok() {
            heard.push(said);
        }
    }
    heard.sort();
    let expected: Vec<_> = (0_u8..4).map(|n| vec![n; 3]).collect();
    assert_eq!(heard, expected);
}

#[tokio::test]
async fn junk_instead_of_a_multiplexer_ends_the_session_at_once() {
    let (a, mut b) = duplex(4096);
    let mux = Mux::server(line(a), MuxConfig::gateway());
    b.write_all(&pattern(4000, 9)).await.unwrap();
    assert!(timeout(SOON, mux.closed()).await.unwrap().is_err());
    assert!(mux.accept().await.is_err());
}

#[tokio::test]
async fn a_pipe_carries_half_closes_and_counts() {
    let (client, server) = pair();
    let (mut near, mut far) = stream(&client, &server).await;
    let (mut viewer, mut socket) = duplex(1000);
    let gateway = tokio::spawn(async move {
        let flow = Flow::default();
        let end = pipe(&mut socket, &mut near, PipeOptions::default(), &flow).await;
        (end, flow.sent.value(), flow.received.value())
    });
    viewer.write_all(b"DESCRIBE").await.unwrap();
    viewer.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"DESCRIBE");
    far.write_all(b"200 OK").await.unwrap();
    far.shutdown().await.unwrap();
    let mut back = Vec::new();
    viewer.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"200 OK");
    let (end, sent, received) = gateway.await.unwrap();
    assert!(matches!(end, PipeEnd::Complete));
    assert_eq!((sent, received), (8, 6));
}

#[tokio::test(start_paused = true)]
async fn a_silent_pipe_is_given_up_sooner_once_one_side_has_ended() {
    let options = PipeOptions {
        idle: Duration::from_secs(600),
        half_closed: Duration::from_secs(60),
    };
    let (_viewer, mut a) = duplex(100);
    let (_camera, mut b) = duplex(100);
    let start = tokio::time::Instant::now();
    assert!(matches!(
        pipe(&mut a, &mut b, options, &Flow::default()).await,
        PipeEnd::Idle
    ));
    assert_eq!(start.elapsed().as_secs(), 600);

    let (mut viewer, mut a) = duplex(100);
    viewer.shutdown().await.unwrap();
    let start = tokio::time::Instant::now();
    assert!(matches!(
        pipe(&mut a, &mut b, options, &Flow::default()).await,
        PipeEnd::Idle
    ));
    assert!(start.elapsed().as_secs() <= 120);
}
