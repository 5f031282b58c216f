//! The few words of HTTP that the raw listener knows: enough for browsers, players and scripts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;

use super::{NAME, Report, Server};
use crate::Error;
use crate::mjpeg::{CONTENT_TYPE, End, Framing, Manner, OPENING};

/// Largest request head; a browser sends one or two thousand bytes.
const MAX_HEAD: usize = 8 << 10;

/// How long a request's head may take, and a short answer to be taken.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a viewer waits for a camera that was never seen.
const PATIENCE: Duration = Duration::from_secs(10);

/// What every answer carries. Nobody but the one who asks shall keep a picture.
const COMMON: &str =
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n";

/// Answers the request that waits in `socket`.
pub(super) async fn answer(server: &Server, socket: Arc<TcpStream>) -> End {
    let head = match tokio::time::timeout(HEAD_TIMEOUT, read_head(&socket)).await {
        Ok(Ok(head)) => head,
        Ok(Err(_)) | Err(_) => return End::Gone,
    };
    let Some(request) = Request::parse(&head) else {
        return short(&socket, "400 Bad Request", "", "this is no HTTP request\n").await;
    };
    if server.is_loopback && !request.is_for_this_machine() {
        // A page of another site may have given its name our address.
        let text = "this port takes requests for localhost only\n";
        return short(&socket, "421 Misdirected Request", "", text).await;
    }
    match request.path {
        "/" | "/stream" | "/stream.mjpeg" => motion(server, socket, request.is_head).await,
        "/snapshot.jpg" | "/capture" | "/frame.jpg" | "/frame.jpeg" => {
            still(server, &socket, request.is_head).await
        }
        "/status" => {
            let report = Report::of(&server.stream, server.started).to_json();
            let extra = "Content-Type: application/json\r\n";
            short(&socket, "200 OK", extra, &format!("{report}\n")).await
        }
        _ => {
            let text = "there is / (motion JPEG), /snapshot.jpg and /status; whoever says nothing gets raw JPEG\n";
            short(&socket, "404 Not Found", "", text).await
        }
    }
}

async fn motion(server: &Server, socket: Arc<TcpStream>, is_head: bool) -> End {
    let name = server.stream.name().as_str();
    let session = match server.mjpeg.session_of(NAME, name, PATIENCE).await {
        Ok(session) => session,
        Err(error) => return refuse(&socket, &error).await,
    };
    let mut head = format!("HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\n{COMMON}\r\n");
    if is_head {
        return send(&socket, head.as_bytes(), &[]).await;
    }
    head.push_str(&String::from_utf8_lossy(&OPENING));
    let manner = Manner {
        framing: Framing::Parts,
        pictures: None,
        patience: None,
        stall: server.limits.stall,
        allows_half_close: false,
    };
    session.send_to(socket, Bytes::from(head), manner).await
}

async fn still(server: &Server, socket: &TcpStream, is_head: bool) -> End {
    let name = server.stream.name().as_str();
    let snapshot = match server.mjpeg.snapshot(name, PATIENCE).await {
        Ok(snapshot) => snapshot,
        Err(error) => return refuse(socket, &error).await,
    };
    let (length, age) = (snapshot.jpeg.len(), snapshot.age.as_secs());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\nAge: {age}\r\n{COMMON}\r\n"
    );
    let body: &[u8] = if is_head { &[] } else { &snapshot.jpeg };
    send(socket, head.as_bytes(), body).await
}

async fn refuse(socket: &TcpStream, error: &Error) -> End {
    let status = match error {
        Error::TimedOut { .. } => "503 Service Unavailable",
        Error::UnknownStream(_) | Error::NoPictures(_) => "404 Not Found",
        _ => "501 Not Implemented",
    };
    short(socket, status, "", &format!("{error}\n")).await
}

async fn short(socket: &TcpStream, status: &str, extra: &str, text: &str) -> End {
    let kind = match extra {
        "" => "Content-Type: text/plain; charset=utf-8\r\n",
        extra => extra,
    };
    let length = text.len();
    let head = format!("HTTP/1.1 {status}\r\n{kind}Content-Length: {length}\r\n{COMMON}\r\n");
    send(socket, head.as_bytes(), text.as_bytes()).await
}

async fn send(socket: &TcpStream, head: &[u8], body: &[u8]) -> End {
    let write = async {
        for mut bytes in [head, body] {
            while !bytes.is_empty() {
                socket.writable().await?;
                match socket.try_write(bytes) {
                    Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    };
    match tokio::time::timeout(HEAD_TIMEOUT, write).await {
        Ok(Ok(())) => End::Served,
        Ok(Err(_)) => End::Gone,
        Err(_) => End::Stalled,
    }
}

async fn read_head(socket: &TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 2 << 10];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") && head.len() <= MAX_HEAD {
        socket.readable().await?;
        match socket.try_read(&mut piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => head.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(head)
}

/// What counts of a request.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    is_head: bool,
    /// Without the query.
    path: &'a str,
    host: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn parse(head: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let (head, _) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let host = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map(|(_, value)| value.trim());
        Some(Self {
            is_head: method == "HEAD",
            path: target.split('?').next()?,
            host,
        })
    }

    fn is_for_this_machine(&self) -> bool {
        let Some(host) = self.host else { return true };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => host,
        };
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|ours| name.eq_ignore_ascii_case(ours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_to_its_path_and_host() {
        let head = b"GET /stream?x=1 HTTP/1.1\r\nAccept: */*\r\nHOST: localhost:8081\r\n\r\n";
        let request = Request::parse(head).unwrap();
        assert_eq!((request.path, request.is_head), ("/stream", false));
        assert!(request.is_for_this_machine());
        for foreign in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
            let head = format!("HEAD / HTTP/1.0\r\nHost: {foreign}\r\n\r\n");
            let request = Request::parse(head.as_bytes()).unwrap();
            assert!(
                request.is_head && !request.is_for_this_machine(),
                "{foreign}"
            );
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for head in [
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n",
            "GET / RTSP/1.0\r\n\r\n",
        ] {
            assert_eq!(Request::parse(head.as_bytes()), None, "{head}");
        }
    }
}
