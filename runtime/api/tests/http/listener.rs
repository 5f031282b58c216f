//! One port for HTTP and TLS, and what hostile peers get there.

use std::time::{Duration, Instant};

use crate::world::{Gateway, read_all, status};
use api::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn hurried() -> Limits {
    Limits {
        head_timeout: Duration::from_millis(300),
        stall_timeout: Duration::from_millis(500),
        ..Limits::default()
    }
}

#[tokio::test]
async fn plain_and_tls_are_served_on_one_port() {
    let gateway = Gateway::start().await;
    let plain = gateway.get("/healthz").await;
    assert!(
        plain.starts_with("HTTP/1.1 200") && plain.contains("alive"),
        "{plain}"
    );
    let mut tls = gateway.connect_tls().await;
    tls.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let encrypted = read_all(&mut tls).await;
    assert!(
        encrypted.starts_with("HTTP/1.1 200") && encrypted.contains("alive"),
        "{encrypted}"
    );
}

#[tokio::test]
async fn a_silent_peer_is_closed_in_time() {
    let gateway = Gateway::start_with(hurried()).await;
    let started = Instant::now();
    let mut silent = gateway.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn a_head_sent_drop_by_drop_is_closed_in_time() {
    let gateway = Gateway::start_with(hurried()).await;
    let (mut read, mut write) = gateway.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: "
            .iter()
            .chain(std::iter::repeat(&b'a'))
        {
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let started = Instant::now();
    let answer = read_all(&mut read).await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(3));
    dripping.abort();
}

#[tokio::test]
async fn an_unfinished_tls_handshake_is_closed_in_time() {
    let gateway = Gateway::start_with(hurried()).await;
    let mut peer = gateway.connect().await;
    peer.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
    read_all(&mut peer).await;
}

#[tokio::test]
async fn a_kept_connection_without_requests_is_closed_in_time() {
    let gateway = Gateway::start_with(hurried()).await;
    let mut peer = gateway.connect().await;
    peer.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(status(&read_all(&mut peer).await), 200);
}

#[tokio::test]
async fn garbage_gets_a_clear_refusal() {
    let gateway = Gateway::start().await;
    let binary = gateway.say([0x00, 0xff, 0x13, 0x37]).await;
    assert!(
        binary.starts_with("HTTP/1.1 400") && binary.contains("HTTP and HTTPS only"),
        "{binary}"
    );
    for garbage in [
        "hello?\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{1} HTTP/1.1\r\n\r\n",
    ] {
        let answer = gateway.say(garbage).await;
        assert!(
            answer.is_empty() || (400..=505).contains(&status(&answer)),
            "{garbage:?}: {answer}"
        );
    }
    let broken_tls = gateway.say([0x16, 3, 1, 0, 5, 9, 9, 9, 9, 9]).await;
    assert!(!broken_tls.contains("200"), "{broken_tls}");
    assert_eq!(status(&gateway.get("/healthz").await), 200);
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let gateway = Gateway::start().await;
    let long = "a".repeat(api::MAX_HEAD + 1);
    let answer = gateway
        .say(format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n"
        ))
        .await;
    assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    let many = "X-A: b\r\n".repeat(api::MAX_HEADERS + 1);
    let answer = gateway
        .say(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"))
        .await;
    assert_eq!(status(&answer), 431, "{answer}");
}

#[tokio::test]
async fn an_oversized_body_is_refused_unread() {
    let gateway = Gateway::start().await;
    for length in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let answer = gateway
            .say(format!("GET /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\n{length}\r\nConnection: close\r\n\r\n"))
            .await;
        assert_eq!(status(&answer), 413, "{answer}");
    }
}

#[tokio::test]
async fn the_newcomer_beyond_the_limit_is_told_so() {
    let gateway = Gateway::start_with(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let mut first = gateway.connect().await;
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    first.read_exact(&mut [0; 16]).await.unwrap();
    let mut second = gateway.connect().await;
    let answer = read_all(&mut second).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("Try again"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_shutdown_lets_go_of_idle_connections_at_once() {
    let gateway = Gateway::start().await;
    let mut idle = gateway.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    idle.read_exact(&mut [0; 16]).await.unwrap();
    let started = Instant::now();
    gateway.shutdown.cancel();
    gateway.served.await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}
