use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::Status;

/// A request's method.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's own words")]
pub enum Method {
    Options,
    Describe,
    Announce,
    Setup,
    Play,
    Pause,
    Teardown,
    Record,
    Redirect,
    GetParameter,
    SetParameter,
    /// A word that RFC 2326 does not know.
    Other(String),
}

impl Method {
    /// Reads a method; methods are case-sensitive (RFC 2326 section 6.1).
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "OPTIONS" => Self::Options,
            "DESCRIBE" => Self::Describe,
            "ANNOUNCE" => Self::Announce,
            "SETUP" => Self::Setup,
            "PLAY" => Self::Play,
            "PAUSE" => Self::Pause,
            "TEARDOWN" => Self::Teardown,
            "RECORD" => Self::Record,
            "REDIRECT" => Self::Redirect,
            "GET_PARAMETER" => Self::GetParameter,
            "SET_PARAMETER" => Self::SetParameter,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Announce => "ANNOUNCE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::Record => "RECORD",
            Self::Redirect => "REDIRECT",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The header fields of a message, in their order; names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value under `name`.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let found = fields.find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every value under `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self
            .0
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Adds a field. Control characters become spaces: a value echoed from a peer cannot end its line.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let clean = |text: String| {
            if text.contains(char::is_control) {
                text.replace(char::is_control, " ")
            } else {
                text
            }
        };
        self.0.push((clean(name.into()), clean(value.into())));
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn last_value(&mut self) -> Option<&mut String> {
        self.0.last_mut().map(|(_, value)| value)
    }

    fn encode(&self, body: &[u8], out: &mut BytesMut) {
        for (name, value) in &self.0 {
            out.put_slice(name.as_bytes());
            out.put_slice(b": ");
            out.put_slice(value.as_bytes());
            out.put_slice(b"\r\n");
        }
        if !body.is_empty() && self.first("Content-Length").is_none() {
            out.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        out.put_slice(b"\r\n");
        out.put_slice(body);
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Of what, as it came.
    pub uri: String,
    /// "RTSP/1.0".
    pub version: String,
    /// The header fields.
    pub headers: Headers,
    /// The body, empty as a rule.
    pub body: Bytes,
}

impl Request {
    /// A request of RTSP 1.0 without a body.
    #[must_use]
    pub fn new(method: Method, uri: impl Into<String>, cseq: u32) -> Self {
        let mut headers = Headers::default();
        headers.push("CSeq", cseq.to_string());
        Self {
            method,
            uri: uri.into(),
            version: "RTSP/1.0".to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The bytes on the wire; `Content-Length` is added where a body needs it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(format!("{} {} {}\r\n", self.method, self.uri, self.version).as_bytes());
        self.headers.encode(&self.body, &mut out);
        out.freeze()
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// The header fields.
    pub headers: Headers,
    /// The body, empty but after DESCRIBE.
    pub body: Bytes,
}

impl Response {
    /// A response that says no more than `status`.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body: Bytes::new(),
        }
    }

    /// A response to `request`: repeats its CSeq, if it has one.
    #[must_use]
    pub fn to(request: &Request, status: Status) -> Self {
        let mut response = Self::new(status);
        if let Some(cseq) = request.headers.first("CSeq") {
            response.headers.push("CSeq", cseq);
        }
        response
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body and says what it is.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.push("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// The bytes on the wire; `Content-Length` is added where a body needs it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_slice(format!("RTSP/1.0 {}\r\n", self.status).as_bytes());
        self.headers.encode(&self.body, &mut out);
        out.freeze()
    }
}
