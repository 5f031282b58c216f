//! Garbage, floods and dawdlers at every door.
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eyelet_tests::eyelet::Gateway;
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::world::Host;
use eyelet_tests::{http, tls};

/// A dawdler is shown the door within this time.
const PATIENCE: Duration = Duration::from_secs(40);

/// A flood must not stay in memory.
const MAX_GROWTH: u64 = 16 << 20;

const UPGRADE: &str = "GET /agent HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Both ways to talk to a door.
trait Line: Read + Write + Send {}
impl<T: Read + Write + Send> Line for T {}

fn plain(address: SocketAddr) -> Box<dyn Line> {
    let stream = Host::here().connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    Box::new(stream)
}

fn encrypted(address: SocketAddr) -> Box<dyn Line> {
    let stream = tls::connect(&Host::here(), address).unwrap();
    stream.sock.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .sock
        .set_write_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    Box::new(stream)
}

/// A WebSocket to the agents' door; none if it is refused at once.
fn websocket(address: SocketAddr) -> Option<Box<dyn Line>> {
    let mut line = encrypted(address);
    line.write_all(UPGRADE.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        line.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    head.starts_with(b"HTTP/1.1 101").then_some(line)
}

/// What the agents' door answers at first to an upgrade with one more header.
fn answer_to(address: SocketAddr, header: &str) -> String {
    let mut line = encrypted(address);
    let request = UPGRADE.replacen("\r\n", &format!("\r\n{header}"), 1);
    line.write_all(request.as_bytes()).unwrap();
    let mut status = Vec::new();
    while !status.ends_with(b"\r\n") {
        let mut byte = [0];
        line.read_exact(&mut byte).unwrap();
        status.push(byte[0]);
    }
    String::from_utf8(status).unwrap()
}

#[test]
fn no_page_gets_through_the_agents_door_not_even_our_own() {
    let gateway = Gateway::start("");
    let own = format!("Origin: https://{}\r\n", gateway.http);
    for origin in [&own, "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
        let answer = answer_to(gateway.http, origin);
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
    }
    let answer = answer_to(gateway.http, "");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
}

/// Bytes that look random and are the same each time.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24).to_le_bytes()[0]
        })
        .collect()
}

/// Reads until the other side hangs up: all it said. Fails if it does not within [`PATIENCE`].
fn until_hangup(line: &mut dyn Line) -> String {
    let start = Instant::now();
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    loop {
        assert!(
            start.elapsed() < PATIENCE,
            "still connected; it said {:?}",
            String::from_utf8_lossy(&said)
        );
        match line.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Every door still opens for those who knock politely, and nothing was kept.
fn assert_unharmed(gateway: &mut Gateway, before: u64) {
    assert!(gateway.process.is_running());
    assert_eq!(
        http::request(&Host::here(), gateway.http, "/healthz")
            .unwrap()
            .status,
        200
    );
    let mut viewer = Viewer::connect(&Host::here(), gateway.rtsp, &gateway.url("nobody")).unwrap();
    assert_eq!(viewer.request("OPTIONS", &[]).unwrap().status, 200);
    assert_eq!(
        gateway.api("/api/v1/agents")["agents"],
        serde_json::json!([])
    );
    let growth = gateway.process.memory().saturating_sub(before);
    assert!(growth < MAX_GROWTH, "memory grew by {growth} bytes");
    let said = gateway.process.text();
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn garbage_is_refused_at_every_door() {
    let mut gateway = Gateway::start("");
    let before = gateway.process.memory();
    for seed in 1..=8 {
        let bytes = noise(2048, seed * 0x9e37_79b9);
        for address in [gateway.rtsp, gateway.http] {
            let mut line = plain(address);
            let _ = line.write_all(&bytes);
            let _ = line.write_all(b"\r\n\r\n");
            until_hangup(&mut *line);
        }
        // Inside TLS, and as TLS that breaks after the first record's head.
        let mut line = encrypted(gateway.http);
        let _ = line.write_all(&bytes);
        let _ = line.write_all(b"\r\n\r\n");
        until_hangup(&mut *line);
        let mut line = plain(gateway.http);
        let _ = line.write_all(&[&[0x16, 3, 1, 2, 0], &bytes[..512]].concat());
        until_hangup(&mut *line);
        if let Some(mut line) = websocket(gateway.http) {
            let _ = line.write_all(&bytes);
            until_hangup(&mut *line);
        }
    }
    assert_unharmed(&mut gateway, before);
}

#[test]
fn floods_without_an_end_are_cut() {
    let mut gateway = Gateway::start("");
    let before = gateway.process.memory();
    let flood = |mut line: Box<dyn Line>, head: &[u8]| {
        let _ = line.write_all(head);
        let block = [b'a'; 64 * 1024];
        let accepted = (0..1024)
            .take_while(|_| line.write_all(&block).is_ok())
            .count();
        assert!(accepted < 1024, "64 MiB of one header were taken");
    };
    flood(plain(gateway.rtsp), b"OPTIONS rtsp://x/ RTSP/1.0\r\nX: ");
    flood(
        plain(gateway.rtsp),
        b"ANNOUNCE rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 4000000000\r\n\r\n",
    );
    flood(plain(gateway.http), b"GET / HTTP/1.1\r\nX: ");
    flood(encrypted(gateway.http), b"GET / HTTP/1.1\r\nX: ");
    if let Some(line) = websocket(gateway.http) {
        // One masked binary message of a gibibyte.
        flood(line, &[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4]);
    }
    assert_unharmed(&mut gateway, before);
}

#[test]
fn dawdlers_are_shown_the_door() {
    let mut gateway = Gateway::start("");
    let before = gateway.process.memory();
    let (rtsp, web) = (gateway.rtsp, gateway.http);
    let mut lines: Vec<(&str, Box<dyn Line>, &[u8])> = vec![
        (
            "RTSP",
            plain(rtsp),
            b"OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        ("silent RTSP", plain(rtsp), b""),
        (
            "HTTP",
            plain(web),
            b"GET / HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
        ("silent HTTP", plain(web), b""),
        (
            "TLS",
            plain(web),
            &[
                0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
                14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
            ],
        ),
        (
            "HTTP in TLS",
            encrypted(web),
            b"GET / HTTP/1.1\r\nHost: x\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
    ];
    if let Some(line) = websocket(web) {
        lines.push(("agent that says nothing", line, b""));
    }
    std::thread::scope(|scope| {
        for (name, mut line, bytes) in lines {
            scope.spawn(move || {
                let start = Instant::now();
                // One byte a second: always something, never a request.
                for byte in bytes {
                    if line.write_all(&[*byte]).is_err() {
                        eprintln!("{name}: cut after {:.0} s", start.elapsed().as_secs_f32());
                        return;
                    }
                    std::thread::sleep(Duration::from_secs(1));
                    assert!(start.elapsed() < PATIENCE, "{name} may dawdle for ever");
                }
                until_hangup(&mut *line);
                eprintln!("{name}: cut after {:.0} s", start.elapsed().as_secs_f32());
            });
        }
    });
    assert_unharmed(&mut gateway, before);
}

#[test]
fn the_agents_door_is_closed_to_plain_http() {
    let gateway = Gateway::start("");
    let mut line = plain(gateway.http);
    line.write_all(UPGRADE.as_bytes()).unwrap();
    let mut head = [0; 12];
    line.read_exact(&mut head).unwrap();
    assert!(
        !head.starts_with(b"HTTP/1.1 101"),
        "an agent's secret would travel in the clear"
    );
}
