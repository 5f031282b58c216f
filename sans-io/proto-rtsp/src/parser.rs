use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Error, Headers, Method, Request, Response, Status};

/// Most bytes of a message's lines: the longest seen from a player is below 2 KiB.
pub const MAX_HEAD: usize = 16 << 10;
/// Most header fields of a message: players send a dozen.
pub const MAX_HEADERS: usize = 64;
/// Most bytes of a body: requests have next to none, a session description has a few KiB.
pub const MAX_BODY: usize = 64 << 10;
/// Most bytes of an interleaved packet: its length has 16 bits.
pub const MAX_INTERLEAVED: usize = u16::MAX as usize;
/// Most bytes of a request's address: enough for any camera's query.
pub const MAX_URI: usize = 4 << 10;

/// What came over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A request.
    Request(Request),
    /// A response: a server asks nothing, so it drops them; a client lives on them.
    Response(Response),
    /// A packet between messages (RFC 2326 section 10.12).
    Interleaved {
        /// Which of the session's channels.
        channel: u8,
        /// An RTP or RTCP packet.
        payload: Bytes,
    },
}

/// Cuts the bytes of one connection into messages and interleaved packets.
///
/// As forgiving as cameras and players make necessary: line ends may lack the CR, empty lines may
/// stand before a message, lines may be folded, an address may contain spaces.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
    /// Bytes of `buffer` already searched for the end of a head, so that one byte at a time costs no
    /// more than all at once.
    searched: usize,
    /// A message whose body is still on its way.
    head: Option<Head>,
    /// Bytes taken out of `buffer` so far.
    offset: u64,
    failure: Option<Error>,
}

impl Parser {
    /// Takes the next bytes of the connection, in pieces of any size.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failure.is_none() {
            self.buffer.put_slice(bytes);
        }
    }

    /// Bytes that wait to be parsed.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// The next input; `None` asks for more bytes. After an error the connection cannot go on: the
    /// same error comes again.
    pub fn poll(&mut self) -> Result<Option<Input>, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let result = self.next();
        if let Err(error) = &result {
            self.failure = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        result
    }

    fn next(&mut self) -> Result<Option<Input>, Error> {
        if let Some(head) = self.head.take() {
            return Ok(self.finish(head));
        }
        let blank = |b: &&u8| matches!(b, b'\r' | b'\n');
        let blanks = self.buffer.iter().take_while(blank).count();
        if blanks > 0 {
            self.advance(blanks);
        }
        match self.buffer.first() {
            None => Ok(None),
            Some(b'$') => Ok(self.next_interleaved()),
            Some(first) if first.is_ascii_alphabetic() => self.next_message(),
            Some(_) => Err(self.malformed(0, "neither a message nor an interleaved packet")),
        }
    }

    fn next_interleaved(&mut self) -> Option<Input> {
        let &[_, channel, l0, l1, ..] = self.buffer.as_ref() else {
            return None;
        };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if self.buffer.len() < 4 + len {
            return None;
        }
        self.advance(4);
        self.offset += len as u64;
        let payload = self.buffer.split_to(len).freeze();
        Some(Input::Interleaved { channel, payload })
    }

    fn next_message(&mut self) -> Result<Option<Input>, Error> {
        let head_len = self.head_len();
        if head_len.unwrap_or(self.buffer.len()) > MAX_HEAD {
            return Err(too_large("message head", MAX_HEAD + 1, MAX_HEAD));
        }
        let Some(head_len) = head_len else {
            return Ok(None);
        };
        let head = self.buffer.get(..head_len).unwrap_or_default();
        let head = String::from_utf8_lossy(head);
        let mut lines = head.lines();
        let start = self.parse_start(lines.next().unwrap_or_default())?;
        let headers = self.parse_headers(lines)?;
        let body_len = match headers.first("Content-Length") {
            None => 0,
            Some(text) => text
                .parse::<usize>()
                .map_err(|_| self.malformed(0, "Content-Length is not a number"))?,
        };
        if body_len > MAX_BODY {
            return Err(too_large("message body", body_len, MAX_BODY));
        }
        self.advance(head_len);
        Ok(self.finish(Head {
            start,
            headers,
            body_len,
        }))
    }

    /// Adds the body, or keeps the head until it is there.
    fn finish(&mut self, head: Head) -> Option<Input> {
        if self.buffer.len() < head.body_len {
            self.head = Some(head);
            return None;
        }
        self.offset += head.body_len as u64;
        let body = self.buffer.split_to(head.body_len).freeze();
        let headers = head.headers;
        Some(match head.start {
            Start::Request(method, uri, version) => Input::Request(Request {
                method,
                uri,
                version,
                headers,
                body,
            }),
            Start::Response(status) => Input::Response(Response {
                status,
                headers,
                body,
            }),
        })
    }

    /// Bytes up to and with the empty line that ends a head.
    fn head_len(&mut self) -> Option<usize> {
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        for at in memchr::memchr_iter(b'\n', unsearched) {
            let end = self.searched + at + 1;
            match self.buffer.get(end..) {
                Some([b'\n', ..]) => return Some(end + 1),
                Some([b'\r', b'\n', ..]) => return Some(end + 2),
                // The line end is seen again once it is known what follows.
                Some([] | [b'\r']) => {
                    self.searched = end - 1;
                    return None;
                }
                _ => {}
            }
        }
        self.searched = self.buffer.len();
        None
    }

    fn parse_start(&self, line: &str) -> Result<Start, Error> {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("RTSP/") {
            let code = rest.split_ascii_whitespace().nth(1);
            let code = code.and_then(|code| code.parse::<u16>().ok());
            return match code {
                Some(code @ 100..=999) => Ok(Start::Response(Status(code))),
                _ => Err(self.malformed(0, "status line without a status code")),
            };
        }
        let parts = line
            .split_once(' ')
            .and_then(|(method, rest)| rest.rsplit_once(' ').map(|(uri, v)| (method, uri, v)));
        let Some((method, uri, version)) = parts else {
            return Err(self.malformed(0, "request line is not METHOD ADDRESS VERSION"));
        };
        if !version.starts_with("RTSP/") {
            let version = version.chars().take(16).collect();
            return Err(Error::NotRtsp { version });
        }
        let uri = uri.trim();
        if uri.len() > MAX_URI {
            return Err(too_large("address", uri.len(), MAX_URI));
        }
        if uri.is_empty() || uri.contains(char::is_control) {
            return Err(self.malformed(0, "address is empty or has control characters"));
        }
        Ok(Start::Request(
            Method::parse(method),
            uri.to_owned(),
            version.to_owned(),
        ))
    }

    fn parse_headers<'a>(&self, lines: impl Iterator<Item = &'a str>) -> Result<Headers, Error> {
        let mut headers = Headers::default();
        for line in lines.take_while(|line| !line.is_empty()) {
            if line.starts_with([' ', '\t']) {
                let Some(value) = headers.last_value() else {
                    return Err(self.malformed(0, "folded line before any header"));
                };
                value.push(' ');
                value.push_str(&line.trim().replace(char::is_control, " "));
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(self.malformed(0, "header line without a colon"));
            };
            let name = name.trim();
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(self.malformed(0, "header name is no word"));
            }
            if headers.len() == MAX_HEADERS {
                return Err(too_large("header count", MAX_HEADERS + 1, MAX_HEADERS));
            }
            headers.push(name, value.trim());
        }
        Ok(headers)
    }

    fn advance(&mut self, len: usize) {
        self.buffer.advance(len);
        self.offset += len as u64;
        self.searched = 0;
    }

    fn malformed(&self, at: usize, problem: &'static str) -> Error {
        let bytes = self.buffer.iter().skip(at).take(16);
        let bytes: Vec<String> = bytes.map(|b| format!("{b:02x}")).collect();
        Error::Malformed {
            offset: self.offset + at as u64,
            problem,
            bytes: bytes.join(" "),
        }
    }
}

#[derive(Debug)]
struct Head {
    start: Start,
    headers: Headers,
    body_len: usize,
}

#[derive(Debug)]
enum Start {
    Request(Method, String, String),
    Response(Status),
}

fn too_large(what: &'static str, len: usize, max: usize) -> Error {
    Error::TooLarge { what, len, max }
}

/// Appends an interleaved packet; what is beyond [`MAX_INTERLEAVED`] bytes is cut off.
pub fn put_interleaved(out: &mut BytesMut, channel: u8, payload: &[u8]) {
    let payload = payload.get(..MAX_INTERLEAVED).unwrap_or(payload);
    out.put_slice(&[b'$', channel]);
    out.put_u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
    out.put_slice(payload);
}
