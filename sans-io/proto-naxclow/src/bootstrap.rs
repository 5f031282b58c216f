//! What a camera asks over HTTP before anything else, and the answers (facts, section 2).
//!
//! Cameras send a bare request line and two headers, no body, no length, and read the answer into a small fixed
//! buffer: [`reply`] is to be written at once.

use bytes::Bytes;

use crate::{Error, Object, Style, Uid, Value};

/// Longest request line (facts, section 13). A camera's has about 110 bytes.
pub const MAX_REQUEST_LINE: usize = 2048;

/// Longest head of a request or reply (facts, section 13).
pub const MAX_HEAD: usize = 8192;

/// Longest body that is passed over; cameras send none.
pub const MAX_BODY: usize = 4096;

/// The name that cameras ask for their configuration.
pub const DOMAIN: &str = "v720.naxclow.com";

/// "Operation succeeded", in the vendor's words.
const SUCCESS: &str = "\u{64CD}\u{4F5C}\u{6210}\u{529F}";

/// A question, H1 to H5 (facts, section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// H1: a camera without a device code wants one.
    RegisterDevices,
    /// H2: it has taken the code.
    Confirm,
    /// H3: newer firmware, before H4; a 404 stops it for good.
    DeviceInfo,
    /// H4: where is the control port?
    Configuration,
    /// H5: nobody knows when.
    Binding,
}

impl Bootstrap {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::RegisterDevices,
        Self::Confirm,
        Self::DeviceInfo,
        Self::Configuration,
        Self::Binding,
    ];

    /// The path that is asked.
    pub fn path(self) -> &'static str {
        match self {
            Self::RegisterDevices => "/app/api/ApiSysDevicesBatch/registerDevices",
            Self::Confirm => "/app/api/ApiSysDevicesBatch/confirm",
            Self::DeviceInfo => "/app/api/ApiSysDevices/getDevInfo",
            Self::Configuration => "/app/api/ApiServer/getA9ConfCheck",
            Self::Binding => "/app/api/ApiSysDevices/a9bindingAppDevice",
        }
    }

    /// The question behind a path.
    pub fn from_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        Self::ALL.into_iter().find(|asked| asked.path() == path)
    }

    /// The request as a camera writes it (capture): a POST without body and length. `random` and `token` are
    /// ornaments that nobody checks.
    pub fn request(
        self,
        device: &str,
        random: &str,
        token: &str,
        host: &str,
        version: &str,
    ) -> String {
        let name = match self {
            Self::RegisterDevices => "batch",
            _ => "devicesCode",
        };
        let path = self.path();
        format!(
            "POST {path}?{name}={device}&random={random}&token={token} HTTP/1.1\r\nHost: {host}\r\nversion: {version}\r\n\r\n"
        )
    }
}

/// A request, as far as anybody looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `POST`, and `GET` is as good.
    pub method: String,
    /// The path, decoded.
    pub path: String,
    /// The parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Build number of the firmware, from the header `version`.
    pub version: Option<String>,
    /// The client wants the connection closed after the answer.
    pub close: bool,
}

impl Request {
    /// Reads the first request in `bytes`, and tells how many bytes it took. `None` while more must come.
    ///
    /// # Errors
    /// What is no HTTP, or is longer than any camera's request.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some((head, mut used)) = head(bytes)? else {
            return Ok(None);
        };
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default();
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Error::Http("the request line has not three words"));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(Error::Http("the request is not HTTP/1.x"));
        }
        let mut request = Self::from_target(target);
        request.method = method.to_owned();
        request.close = version == "HTTP/1.0";
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                return Err(Error::Http("a header has no colon"));
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "version" => request.version = Some(value.chars().take(64).collect()),
                "connection" => request.close |= value.eq_ignore_ascii_case("close"),
                "transfer-encoding" => return Err(Error::Http("the body has no length")),
                "content-length" => {
                    let len = value.parse::<usize>().ok();
                    let len = len.filter(|len| *len <= MAX_BODY);
                    used += len.ok_or(Error::Http("the body is too long"))?;
                }
                _ => {}
            }
        }
        Ok((bytes.len() >= used).then_some((request, used)))
    }

    /// The path and the parameters of a target such as `/a/b?c=d`.
    pub fn from_target(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parameters = query.split('&').filter(|pair| !pair.is_empty());
        let parameters = parameters.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self {
            path: decode(path),
            query: parameters.collect(),
            ..Self::default()
        }
    }

    /// The first parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// The device that asks. Cameras write `devicesCode`; `devices_code` stands in other people's notes.
    pub fn device(&self) -> Option<Uid> {
        let name = ["devicesCode", "devices_code"];
        let code = name.iter().find_map(|name| self.parameter(name))?;
        code.parse().ok()
    }
}

/// Percent-decoding; what is no UTF-8 afterwards is replaced.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _, _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The head at the start of `bytes` and its length with the empty line.
fn head(bytes: &[u8]) -> Result<Option<(&str, usize)>, Error> {
    let seen = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let end = |mark: &[u8]| {
        let at = seen.windows(mark.len()).position(|part| part == mark);
        at.map(|at| (at, at + mark.len()))
    };
    let ends = [end(b"\r\n\r\n"), end(b"\n\n")];
    let line = seen.iter().position(|byte| *byte == b'\n');
    if line.unwrap_or(seen.len()) > MAX_REQUEST_LINE {
        return Err(Error::Http("the first line is too long"));
    }
    let Some((at, used)) = ends.into_iter().flatten().min() else {
        return match bytes.len() < MAX_HEAD {
            true => Ok(None),
            false => Err(Error::Http("the head is too long")),
        };
    };
    let head = seen.get(..at).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| Error::Http("the head is no text"))?;
    Ok(Some((head, used)))
}

/// What [`Bootstrap::Configuration`] is answered with (facts, section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The control port; the camera takes the same number for UDP.
    pub tcp_port: u16,
    /// The device, echoed.
    pub uid: Uid,
    /// `"8"` from every known cloud.
    pub is_bind: String,
    /// Repeated by the camera when it registers.
    pub domain: String,
    /// Address of the control port, as the camera reaches it.
    pub host: String,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// Eight hexadecimal digits; the camera registers with them.
    pub pwd: String,
}

impl Configuration {
    /// The members in the order of the capture. `updateUrl` and `version` stay null: they would make the camera
    /// load firmware.
    pub fn content(&self) -> Object {
        Object::default()
            .with("tcpPort", i64::from(self.tcp_port))
            .with("uid", self.uid.as_str())
            .with("isBind", self.is_bind.as_str())
            .with("domain", self.domain.as_str())
            .with("updateUrl", Value::Null)
            .with("host", self.host.as_str())
            .with("currTime", self.unix_time.to_string().as_str())
            .with("pwd", self.pwd.as_str())
            .with("version", Value::Null)
    }

    /// Reads the members as a camera does.
    ///
    /// # Errors
    /// The member that is missing or unusable.
    pub fn read(content: &Object) -> Result<Self, Error> {
        let missing = |member| Error::Member { code: 200, member };
        let text = |name| content.text(name).map(str::to_owned).ok_or(missing(name));
        let port = content
            .integer("tcpPort")
            .and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            tcp_port: port.ok_or(missing("tcpPort"))?,
            uid: text("uid")?.parse()?,
            is_bind: text("isBind").unwrap_or_default(),
            domain: text("domain").unwrap_or_default(),
            host: text("host")?,
            unix_time: content
                .integer("currTime")
                .and_then(|time| u64::try_from(time).ok())
                .unwrap_or_default(),
            pwd: text("pwd")?,
        })
    }
}

/// The body around an answer.
pub fn envelope(data: impl Into<Value>) -> String {
    Object::default()
        .with("code", 200)
        .with("message", SUCCESS)
        .with("data", data)
        .write(Style::Compact)
}

/// The body of the answer to [`Bootstrap::DeviceInfo`].
pub fn device_info() -> String {
    envelope(Object::default().with("userInfo_state", 1))
}

/// A whole reply, to be written at once. `status` such as `200 OK`; `date` as HTTP writes it.
pub fn reply(status: &str, date: Option<&str>, body: &str) -> Bytes {
    let date = date.map_or(String::new(), |date| format!("Date: {date}\r\n"));
    let len = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: nginx/1.14.0 (Ubuntu)\r\n{date}Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: keep-alive\r\n\r\n"
    );
    (head + body).into()
}

/// How a camera reads a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Until the JSON is whole, whatever stands between head and body: an older server writes one line end too
    /// many (facts, section 2.5).
    Lenient,
    /// By the status and the length, as newer firmware does.
    Strict,
}

/// Reads a reply; `None` while more must come. Gives `data`.
///
/// # Errors
/// A status that is not 200 and, read strictly, a missing length or a body that is no JSON.
pub fn read_reply(bytes: &[u8], reading: Reading) -> Result<Option<Value>, Error> {
    let Some((head, used)) = head(bytes)? else {
        return Ok(None);
    };
    let status = head.split_ascii_whitespace().nth(1);
    if status != Some("200") {
        return Err(Error::Http("the status is not 200"));
    }
    let body = bytes.get(used..).unwrap_or_default();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let object = match reading {
        Reading::Lenient => match Object::read(body) {
            Ok(object) => object,
            Err(error) if body.len() > MAX_BODY => return Err(error),
            Err(_) => return Ok(None),
        },
        Reading::Strict => {
            let length = length.ok_or(Error::Http("the reply has no length"))?;
            if length > MAX_BODY {
                return Err(Error::Http("the reply is too long"));
            }
            let Some(body) = body.get(..length) else {
                return Ok(None);
            };
            let trimmed = body.strip_prefix(b"{").and(body.strip_suffix(b"}"));
            trimmed.ok_or(Error::Http("the body is no whole JSON object"))?;
            Object::read(body)?
        }
    };
    Ok(Some(object.value("data").cloned().unwrap_or(Value::Null)))
}
