//! Connections that go through to a camera as they are.
//!
//! Which connections do is decided by the first request that names something: a camera of ours, and it is ours; anything
//! else, and it goes through, byte for byte, for a login hashes the very address that the viewer wrote.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hub::Hub;
use proto_rtsp::{Input, MAX_HEAD, Method, Parser, Response, Status, Uri};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How long a viewer may take for the request that decides.
const PATIENCE: Duration = Duration::from_secs(10);

/// Questions to the server itself that are answered before a connection has to say what it wants.
const MAX_QUESTIONS: usize = 4;

/// Carries a viewer's connection to the camera and back until it ends; some of its bytes have been read already.
pub type Carry =
    Arc<dyn Fn(TcpStream, SocketAddr, Vec<u8>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Where connections go whose first request names no camera of ours.
#[derive(Clone)]
pub struct Passthrough {
    /// The way to the camera.
    pub carry: Carry,
    /// Whether viewers on other machines may take it as well.
    pub is_for_anyone: bool,
}

impl Passthrough {
    /// Whether this viewer may take the way at all.
    pub(super) fn is_for(&self, peer: SocketAddr) -> bool {
        self.is_for_anyone || peer.ip().to_canonical().is_loopback()
    }
}

/// Whose a connection is, with the bytes that told.
pub(super) enum Sorted {
    Ours(Vec<u8>),
    Through(Vec<u8>),
    /// It ended before it said so.
    Gone,
}

/// Reads until it is known whose the connection is.
pub(super) async fn sort(hub: &Hub, socket: &TcpStream) -> Sorted {
    let deadline = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    let mut questions = 0;
    loop {
        match judge(hub, &bytes) {
            Judged::Answer(..) if questions >= MAX_QUESTIONS => return Sorted::Ours(bytes),
            Judged::Ours => return Sorted::Ours(bytes),
            Judged::Through => return Sorted::Through(bytes),
            Judged::Answer(answer, rest) => {
                // It is short, and the first that is ever sent here: it fits.
                if socket.try_write(&answer).ok() != Some(answer.len()) {
                    return Sorted::Gone;
                }
                bytes = rest;
                questions += 1;
                continue;
            }
            Judged::More => {}
        }
        match timeout_at(deadline, socket.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Sorted::Gone,
            // The server knows what to do with those who are slow.
            Err(_) => return Sorted::Ours(bytes),
        }
        let mut buffer = [0; 4_096];
        match socket.try_read(&mut buffer) {
            Ok(0) => return Sorted::Gone,
            Ok(read) => bytes.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Sorted::Gone,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Judged {
    More,
    Ours,
    Through,
    /// A question to the server itself, which decides nothing: its answer, and the bytes behind the question.
    Answer(Vec<u8>, Vec<u8>),
}

fn judge(hub: &Hub, bytes: &[u8]) -> Judged {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_HEAD {
            Judged::More
        } else {
            Judged::Ours
        };
    };
    let line = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).unwrap_or_default();
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [method, uri, version] = words.as_slice() else {
        return Judged::Ours;
    };
    if version.starts_with("HTTP/1.") {
        return tunnelled(bytes);
    }
    if !version.starts_with("RTSP/1.") {
        return Judged::Ours;
    }
    if *uri == "*" && *method == Method::Options.as_str() {
        return options(bytes);
    }
    let is_ours = Uri::parse(uri).is_some_and(|uri| hub.stream(&uri.path).is_some());
    if is_ours {
        Judged::Ours
    } else {
        Judged::Through
    }
}

/// RTSP inside HTTP names its session in a header of its own. A page in a browser cannot send that without asking first,
/// so that no page reaches the camera this way.
fn tunnelled(bytes: &[u8]) -> Judged {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let head = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    match end {
        None if bytes.len() < MAX_HEAD => Judged::More,
        Some(end)
            if head
                .get(..end)
                .is_some_and(|head| head.contains("\nx-sessioncookie:")) =>
        {
            Judged::Through
        }
        Some(_) | None => Judged::Ours,
    }
}

/// `OPTIONS *` asks what the server can, before anybody knows which server.
fn options(bytes: &[u8]) -> Judged {
    let mut parser = Parser::default();
    parser.feed(bytes);
    match parser.poll() {
        Ok(Some(Input::Request(request))) => {
            let response = Response::to(&request, Status::OK)
                .header("Public", "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN");
            let rest = bytes.len() - parser.buffered().min(bytes.len());
            let rest = bytes.get(rest..).unwrap_or_default().to_vec();
            Judged::Answer(response.encode().to_vec(), rest)
        }
        Ok(None) if bytes.len() < MAX_HEAD => Judged::More,
        Ok(_) | Err(_) => Judged::Ours,
    }
}

#[cfg(test)]
mod tests {
    use hub::StreamName;

    use super::*;

    fn judged(bytes: &str) -> Judged {
        let hub = Hub::new();
        hub.add(StreamName::new("porch").unwrap());
        judge(&hub, bytes.as_bytes())
    }

    #[test]
    fn the_first_request_decides_by_what_it_names() {
        for ours in [
            "OPTIONS rtsp://127.0.0.1:8554/porch RTSP/1.0\r\n",
            "DESCRIBE rtsp://127.0.0.1:8554/porch/?start=live RTSP/1.0\r\n",
            "DESCRIBE /porch RTSP/1.0\r\n",
            "hello\r\n",
            "\r\n",
            "GET / HTTP/2\r\n",
            "POST /cam/realmonitor HTTP/1.1\r\nHost: 127.0.0.1:8554\r\nOrigin: http://evil.example\r\n\r\n",
        ] {
            assert_eq!(judged(ours), Judged::Ours, "{ours}");
        }
        for through in [
            "OPTIONS rtsp://127.0.0.1:8554/cam/realmonitor?channel=1&subtype=0 RTSP/1.0\r\n",
            "DESCRIBE rtsp://127.0.0.1:8554/Porch RTSP/1.0\r\n",
            "DESCRIBE rtsp://127.0.0.1:8554/ RTSP/1.0\n",
            "GET /cam/realmonitor HTTP/1.1\r\nX-SessionCookie: abc\r\n\r\n",
        ] {
            assert_eq!(judged(through), Judged::Through, "{through}");
        }
        assert_eq!(judged("OPTIONS rtsp://127.0.0.1:8554/por"), Judged::More);
        assert_eq!(judged("GET /cam HTTP/1.1\r\nHost: a\r\n"), Judged::More);
        assert_eq!(judged(&"x".repeat(MAX_HEAD)), Judged::Ours);
    }

    #[test]
    fn a_question_to_the_server_is_answered_and_decides_nothing() {
        assert_eq!(judged("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n"), Judged::More);
        let next = "DESCRIBE rtsp://h/x RTSP/1.0\r\n";
        let Judged::Answer(answer, rest) =
            judged(&format!("OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n{next}"))
        else {
            panic!("it is answered")
        };
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("RTSP/1.0 200 OK\r\n"), "{answer}");
        assert!(
            answer.to_ascii_lowercase().contains("cseq: 7\r\n"),
            "{answer}"
        );
        assert_eq!(rest, next.as_bytes());
    }
}
