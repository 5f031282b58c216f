use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use proto_rtsp::{Authenticator, Method, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::testing::{Session, camera, listen, picture};
use crate::{Camera, DriverError, Reason};

const BOUNDARY: &str = "123456789000000000000987654321";

fn source(scheme: &str, port: u16) -> Camera {
    camera(&format!("{scheme}://127.0.0.1:{port}/stream?q=1"))
}

/// The head of the next request; `None` if the client left.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// CameraWebServer: boundary, part head and picture each in chunks of their own.
async fn camera_web_server(mut stream: TcpStream) {
    request(&mut stream).await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\nAccess-Control-Allow-Origin: *\r\nX-Framerate: 60\r\n\r\n"
    );
    send(&mut stream, head.as_bytes()).await;
    for n in 0..20 {
        let picture = picture(n, 3_000);
        let len = picture.len();
        send(
            &mut stream,
            &chunk(format!("\r\n--{BOUNDARY}\r\n").as_bytes()),
        )
        .await;
        let head = format!(
            "Content-Type: image/jpeg\r\nContent-Length: {len}\r\nX-Timestamp: {n}.000000\r\n\r\n"
        );
        send(&mut stream, &chunk(head.as_bytes())).await;
        let (one, two) = picture.split_at(1_001);
        send(&mut stream, &chunk(one)).await;
        send(&mut stream, &chunk(two)).await;
    }
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_chunked_stream_gives_every_picture() {
    let port = listen(camera_web_server).await;
    let session = Session::start(source("mjpeg+http", port));
    let pictures = session.pictures(20).await;
    let sent: Vec<Vec<u8>> = (0..20).map(|n| picture(n, 3_000)).collect();
    assert_eq!(pictures, sent);
    session.stop().await;
}

#[tokio::test]
async fn http_finds_a_stream_where_it_looked_for_stills() {
    let port = listen(camera_web_server).await;
    let session = Session::start(source("http", port));
    assert_eq!(session.pictures(20).await.len(), 20);
    session.stop().await;
}

#[tokio::test]
async fn an_http_1_0_stream_without_lengths_is_read_to_its_end() {
    let port = listen(|mut stream| async move {
        let request = request(&mut stream).await.unwrap();
        assert!(request.starts_with("GET /stream?q=1 HTTP/1.1\r\n"), "{request}");
        let mut all = format!("HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"{BOUNDARY}\"\r\nConnection: close\r\n\r\n--{BOUNDARY}\r\n").into_bytes();
        for n in 0..5 {
            all.extend_from_slice(b"Content-Type: image/jpeg\r\n\r\n");
            all.extend_from_slice(&picture(n, 500));
            all.extend_from_slice(format!("\r\n--{BOUNDARY}\r\n").as_bytes());
        }
        send(&mut stream, &all).await;
    })
    .await;
    let session = Session::start(source("mjpeg+http", port));
    assert_eq!(session.pictures(5).await.len(), 5);
    let failure = session.failure().await;
    assert!(
        failure.to_string().contains("after 5 pictures"),
        "{failure}"
    );
    assert_eq!(failure.reason(), Reason::Closed);
}

/// A camera that sends a still per request and keeps or closes the connection.
async fn still_camera(keeps: bool, connections: Arc<AtomicU32>) -> u16 {
    let number = Arc::new(AtomicU32::new(0));
    listen(move |mut stream| {
        connections.fetch_add(1, Ordering::Relaxed);
        let number = Arc::clone(&number);
        async move {
            while request(&mut stream).await.is_some() {
                let picture = picture(number.fetch_add(1, Ordering::Relaxed), 500);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Disposition: inline; filename=capture.jpg\r\nContent-Length: {}\r\n\r\n", picture.len());
                send(&mut stream, head.as_bytes()).await;
                send(&mut stream, &picture).await;
                if !keeps {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn stills_are_polled_over_one_connection_where_the_camera_keeps_it() {
    for (keeps, expected) in [(true, 1), (false, 4)] {
        let connections = Arc::new(AtomicU32::new(0));
        let port = still_camera(keeps, Arc::clone(&connections)).await;
        let started = Instant::now();
        let session = Session::start(source("http", port));
        let pictures = session.pictures(4).await;
        let sent: Vec<Vec<u8>> = (0..4).map(|n| picture(n, 500)).collect();
        assert_eq!(pictures, sent);
        assert!(
            started.elapsed().as_millis() >= 590,
            "five a second, no more"
        );
        assert_eq!(connections.load(Ordering::Relaxed), expected);
        session.stop().await;
    }
}

/// A camera that wants a login; `offers` are places in the list of challenges.
async fn guarded_camera(offers: &'static [usize]) -> u16 {
    let users = vec![("admin".to_owned(), "se cret".to_owned())];
    let authenticator = Arc::new(Authenticator::new("cam", users, [7; 32], Instant::now()));
    listen(move |mut stream| {
        let authenticator = Arc::clone(&authenticator);
        async move {
            let Some(request) = request(&mut stream).await else {
                return;
            };
            let given = request
                .lines()
                .find_map(|line| line.strip_prefix("authorization: "));
            let method = Method::Other("GET".to_owned());
            let now = Instant::now();
            if authenticator.verify(&method, "/stream?q=1", given, now) == Verdict::User("admin") {
                let picture = picture(1, 10);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                    picture.len()
                );
                send(&mut stream, head.as_bytes()).await;
                send(&mut stream, &picture).await;
            } else {
                let challenges = authenticator.challenges(false, now);
                let offered: String = offers
                    .iter()
                    .map(|&at| format!("WWW-Authenticate: {}\r\n", challenges[at]))
                    .collect();
                let answer =
                    format!("HTTP/1.1 401 Unauthorized\r\n{offered}Content-Length: 2\r\n\r\nno");
                send(&mut stream, answer.as_bytes()).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn digest_and_basic_logins_are_answered() {
    for offers in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let port = guarded_camera(offers).await;
        let mut camera = source("http", port);
        camera.user = Some("admin".to_owned());
        camera.password = Some("se cret".to_owned());
        let session = Session::start(camera);
        assert_eq!(session.pictures(1).await.len(), 1, "{offers:?}");
        session.stop().await;
    }
}

#[tokio::test]
async fn a_wrong_login_and_a_missing_one_are_refused_once() {
    let port = guarded_camera(&[0, 1, 2]).await;
    let failure = Session::start(source("http", port)).failure().await;
    assert_eq!(failure.reason(), Reason::Login);
    assert!(failure.to_string().contains("names no user"), "{failure}");
    let mut camera = source("http", port);
    camera.user = Some("admin".to_owned());
    camera.password = Some("wr0ng".to_owned());
    let failure = Session::start(camera).failure().await;
    assert_eq!(failure.reason(), Reason::Login);
    assert!(!failure.to_string().contains("wr0ng"), "{failure}");
}

/// What comes of a camera that gives this one answer.
async fn failure_of(answer: &'static str) -> DriverError {
    let port = listen(move |mut stream| async move {
        request(&mut stream).await;
        send(&mut stream, answer.as_bytes()).await;
    })
    .await;
    Session::start(source("mjpeg+http", port)).failure().await
}

#[tokio::test]
async fn answers_without_pictures_are_explained() {
    for (answer, reason, part) in [
        (
            "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/other\r\n\r\n",
            Reason::Unsupported,
            "http://10.0.0.1/other",
        ),
        (
            "HTTP/1.1 404 Not Found\r\n\r\n",
            Reason::NotFound,
            "/stream?q=1",
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Reason::Login, "403"),
        (
            "HTTP/1.1 503 Busy\r\n\r\n",
            Reason::Closed,
            "one viewer at a time",
        ),
        ("HTTP/1.1 500 Oops\r\n\r\n", Reason::Protocol, "500"),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>",
            Reason::Unsupported,
            ":81/stream",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n",
            Reason::Unsupported,
            "video/mp4",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\nhello",
            Reason::Protocol,
            "no whole JPEG",
        ),
        (
            "RTSP/1.0 400 Bad Request\r\n\r\n",
            Reason::Protocol,
            "is this an HTTP port?",
        ),
        ("", Reason::Closed, ""),
    ] {
        let failure = failure_of(answer).await;
        assert_eq!(failure.reason(), reason, "{answer}: {failure}");
        assert!(failure.to_string().contains(part), "{failure}");
    }
}
