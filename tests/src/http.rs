//! A small HTTP/1.1 client: one request, one connection.
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::world::Host;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Asks for `path`.
pub fn request(host: &Host, address: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = host.connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    )?;
    read_answer(&mut BufReader::new(stream))
}

/// Sends `body` as JSON (whatever it is) with `method`, waiting up to `within` for the answer.
pub fn send(
    host: &Host,
    address: SocketAddr,
    (method, path): (&str, &str),
    body: impl AsRef<[u8]>,
    within: Duration,
) -> io::Result<Answer> {
    let head = (method, path, "application/json");
    send_as(host, address, head, body, within)
}

/// The same with a content type of one's choice, the third word.
pub fn send_as(
    host: &Host,
    address: SocketAddr,
    (method, path, kind): (&str, &str, &str),
    body: impl AsRef<[u8]>,
    within: Duration,
) -> io::Result<Answer> {
    let body = body.as_ref();
    let mut stream = host.connect(address)?;
    stream.set_read_timeout(Some(within))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    read_answer(&mut BufReader::new(stream))
}

/// Reads one answer.
pub fn read_answer(stream: &mut impl BufRead) -> io::Result<Answer> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<u64>().ok());
    let mut body = Vec::new();
    if lower.contains("transfer-encoding: chunked") {
        read_chunks(stream, &mut body)?;
    } else {
        stream
            .take(length.unwrap_or(u64::MAX))
            .read_to_end(&mut body)?;
    }
    Ok(Answer { status, head, body })
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.take(size).read_to_end(body)?;
        line.clear();
        stream.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}
