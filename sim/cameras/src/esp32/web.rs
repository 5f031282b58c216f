//! The two HTTP servers of CameraWebServer, and what other firmware makes of them.

use std::io;
use std::time::Duration;

use proto_rtsp::{Method, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Instant;

use super::line::Line;
use super::{Esp32Fault, Firmware, Shared};

/// The boundary of Espressif's firmware and of what was copied from it.
const BOUNDARY: &str = "123456789000000000000987654321";

/// Longest request that is read.
const MAX_REQUEST: usize = 4096;

/// A client that says nothing is dropped.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was asked for.
struct Request {
    path: String,
    query: String,
    authorization: Option<String>,
}

impl Request {
    /// Reads the head of a request; `None` if the client left.
    async fn read<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = match tokio::time::timeout(PATIENCE, io.read_u8()).await {
                Ok(Ok(byte)) => byte,
                Ok(Err(_)) | Err(_) => return Ok(None),
            };
            head.push(byte);
            if head.len() > MAX_REQUEST {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let authorization = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case("authorization");
            is_it.then(|| value.trim().to_owned())
        });
        Ok(Some(Self {
            path: path.to_owned(),
            query: query.to_owned(),
            authorization,
        }))
    }

    fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found.next().map(|(_, value)| value)
    }
}

/// The answer that asks for a login, if the request has none that is good.
fn challenge(shared: &Shared, request: &Request) -> Option<String> {
    let authenticator = shared.authenticator.as_ref()?;
    let method = Method::Other("GET".to_owned());
    let now = Instant::now().into_std();
    let given = request.authorization.as_deref();
    match authenticator.verify(&method, &request.target(), given, now) {
        Verdict::User(_) => None,
        _ => {
            let challenges = authenticator.challenges(false, now);
            let fields: String = challenges
                .iter()
                .map(|challenge| format!("WWW-Authenticate: {challenge}\r\n"))
                .collect();
            Some(format!(
                "HTTP/1.1 401 Unauthorized\r\n{fields}Content-Length: 0\r\n\r\n"
            ))
        }
    }
}

/// The server for stills and settings, over a connection that is kept.
pub(super) async fn control<T>(shared: &Shared, io: T) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line::new(io, &shared.faults);
    while let Some(request) = Request::read(&mut line.io).await? {
        if let Some(challenge) = challenge(shared, &request) {
            line.write(challenge.as_bytes()).await?;
            continue;
        }
        match request.path.as_str() {
            "/capture" => {
                let (number, picture) = shared.capture().await;
                let stamp = timestamp(shared);
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nContent-Disposition: inline; filename=capture.jpg\r\nAccess-Control-Allow-Origin: *\r\nX-Timestamp: {stamp}\r\n\r\n",
                    picture.len()
                );
                line.write(head.as_bytes()).await?;
                if shared.faults.spoils(Esp32Fault::Cut, number) {
                    line.write(Shared::half(&picture)).await?;
                    return line.close().await;
                }
                if shared.faults.spoils(Esp32Fault::Torn, number) {
                    let mut torn = Shared::half(&picture).to_vec();
                    torn.resize(picture.len(), 0);
                    line.write(&torn).await?;
                } else {
                    line.write(&picture).await?;
                }
            }
            "/status" => {
                let status = shared.sensor.status();
                line.write(&answer("200 OK", "application/json", &status))
                    .await?;
            }
            "/control" => {
                let (name, value) = (request.parameter("var"), request.parameter("val"));
                let status = match (name, value) {
                    (Some(name), Some(value)) => {
                        // As atoi does: what is no number is 0.
                        if shared.sensor.set(name, value.parse().unwrap_or(0)) {
                            "200 OK"
                        } else {
                            "500 Internal Server Error"
                        }
                    }
                    _ => "404 Not Found",
                };
                line.write(&answer(status, "text/plain", "")).await?;
            }
            "/" => {
                let page = "<!doctype html><title>ESP32-CAM</title><img src=/capture>";
                line.write(&answer("200 OK", "text/html", page)).await?;
            }
            _ => {
                let nothing = "Nothing matches the given URI";
                line.write(&answer("404 Not Found", "text/html", nothing))
                    .await?;
            }
        }
    }
    Ok(())
}

fn answer(status: &str, of_type: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {of_type}\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The server for the stream.
pub(super) async fn stream<T>(shared: &Shared, io: T) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line::new(io, &shared.faults);
    let request = loop {
        let Some(request) = Request::read(&mut line.io).await? else {
            return Ok(());
        };
        match challenge(shared, &request) {
            Some(challenge) => line.write(challenge.as_bytes()).await?,
            None => break request,
        }
    };
    if !matches!(request.path.as_str(), "/" | "/stream") {
        let nothing = "Nothing matches the given URI";
        let answer = answer("404 Not Found", "text/html", nothing);
        line.write(&answer).await?;
        return line.close().await;
    }
    let is_chunked = matches!(
        shared.firmware,
        Firmware::Espressif | Firmware::EspressifOld
    );
    let head = match shared.firmware {
        Firmware::Espressif | Firmware::EspressifOld => format!(
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\nTransfer-Encoding: chunked\r\nAccess-Control-Allow-Origin: *\r\nX-Framerate: 60\r\n\r\n"
        ),
        Firmware::EspHome => format!(
            "HTTP/1.0 200 OK\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\nContent-Type: multipart/x-mixed-replace;boundary={BOUNDARY}\r\n\r\n--{BOUNDARY}\r\n"
        ),
        Firmware::Bare | Firmware::WrongLength => {
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=\"--frame\"\r\n\r\n"
                .to_owned()
        }
    };
    line.write(head.as_bytes()).await?;
    loop {
        let (number, picture) = shared.capture().await;
        let is_cut = shared.faults.spoils(Esp32Fault::Cut, number);
        let is_torn = shared.faults.spoils(Esp32Fault::Torn, number);
        let body = if is_cut || is_torn {
            Shared::half(&picture)
        } else {
            &picture
        };
        // A camera that is cut has promised the whole.
        let len = if is_cut { picture.len() } else { body.len() };
        for (is_body, piece) in part(shared, number, len, body) {
            if is_chunked {
                line.write(format!("{:x}\r\n", piece.len()).as_bytes())
                    .await?;
                line.write(&piece).await?;
                line.write(b"\r\n").await?;
            } else {
                line.write(&piece).await?;
            }
            if is_cut && is_body {
                return line.close().await;
            }
        }
    }
}

/// A part as its firmware sends it, in the pieces in which that writes; one of them is the body.
fn part(shared: &Shared, number: u64, len: usize, body: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let stamp = timestamp(shared);
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {len}\r\nX-Timestamp: {stamp}\r\n\r\n"
    );
    let mut body = body.to_vec();
    if shared.faults.has(Esp32Fault::Junk) {
        let junk = super::raw::junk(number, body.len());
        body.extend(junk);
    }
    let boundary = format!("\r\n--{BOUNDARY}\r\n").into_bytes();
    match shared.firmware {
        Firmware::Espressif => vec![(false, boundary), (false, head.into_bytes()), (true, body)],
        Firmware::EspressifOld | Firmware::EspHome => {
            vec![(false, head.into_bytes()), (true, body), (false, boundary)]
        }
        Firmware::Bare => {
            let head = b"--frame\r\nContent-Type: image/jpeg\r\n\r\n".to_vec();
            vec![(false, head), (true, body), (false, b"\r\n".to_vec())]
        }
        Firmware::WrongLength => {
            let len = len + 17;
            let head =
                format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len}\r\n\r\n");
            let end = b"\r\n".to_vec();
            vec![(false, head.into_bytes()), (true, body), (false, end)]
        }
    }
}

/// Seconds since the camera's start, as it writes them.
fn timestamp(shared: &Shared) -> String {
    let time = shared.started.elapsed();
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}
