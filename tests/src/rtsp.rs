//! A small RTSP viewer of the tests' own: for many viewers at once, for one that stops reading, and for
//! looking at each RTP packet. Whether pictures are right is for real players to say.
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Digest;

use crate::world::Host;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The headers, one per line, as sent.
    pub head: String,
    pub body: String,
}

impl Answer {
    /// All values of a header.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

/// How to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    Basic,
    Md5,
    Sha256,
}

/// One picture's worth of RTP packets.
#[derive(Clone, Copy, Debug)]
pub struct Unit {
    /// When its first packet came.
    pub arrived: Instant,
    /// RTP time.
    pub timestamp: u32,
    /// Whether an H.264 IDR slice or parameter set was in it.
    pub is_keyframe: bool,
    /// Whether the packets' sequence numbers have no gap, neither inside nor before it.
    pub is_gapless: bool,
}

fn accepted(method: &str, answer: &Answer) -> io::Result<()> {
    match answer.status {
        200 => Ok(()),
        _ => Err(io::Error::other(format!("{method}: {}", answer.head))),
    }
}

/// A viewer.
pub struct Viewer {
    stream: BufReader<TcpStream>,
    url: String,
    number: u32,
    session: Option<String>,
    login: Option<(Login, String, String)>,
    last_sequence: Option<u16>,
    held: Option<Unit>,
}

impl Viewer {
    /// Connects; says nothing yet.
    pub fn connect(host: &Host, address: SocketAddr, url: &str) -> io::Result<Self> {
        let stream = host.connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(15)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::with_capacity(4096, stream),
            url: url.to_owned(),
            number: 0,
            session: None,
            login: None,
            last_sequence: None,
            held: None,
        })
    }

    /// Connects and plays the video, interleaved. Panics if anything is refused.
    pub fn play(host: &Host, address: SocketAddr, url: &str) -> Self {
        let mut viewer = Self::connect(host, address, url).unwrap();
        viewer.start_playing();
        viewer
    }

    /// Plays the video, interleaved. Panics if anything is refused.
    pub fn start_playing(&mut self) {
        self.try_to_play().unwrap();
    }

    /// Plays the video, interleaved.
    pub fn try_to_play(&mut self) -> io::Result<()> {
        let described = self.request("DESCRIBE", &["Accept: application/sdp"])?;
        accepted("DESCRIBE", &described)?;
        let control = self.video_control(&described);
        let transport = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1";
        let setup = self.request_at("SETUP", &control, &[transport])?;
        accepted("SETUP", &setup)?;
        let session = setup.headers("Session")[0].split(';').next().unwrap();
        self.session = Some(session.to_owned());
        accepted("PLAY", &self.request("PLAY", &["Range: npt=0-"])?)
    }

    fn video_control(&self, described: &Answer) -> String {
        let video = described
            .body
            .split("m=video")
            .nth(1)
            .expect("no video in the SDP");
        let control = video
            .lines()
            .find_map(|line| line.strip_prefix("a=control:"))
            .expect("no control of the video in the SDP");
        if control.starts_with("rtsp://") {
            return control.to_owned();
        }
        let base = described
            .headers("Content-Base")
            .first()
            .map_or(&*self.url, |base| *base);
        format!("{}/{control}", base.trim_end_matches('/'))
    }

    /// One request to the stream's own URL.
    pub fn request(&mut self, method: &str, headers: &[&str]) -> io::Result<Answer> {
        self.request_at(method, &self.url.clone(), headers)
    }

    /// One request; skips media that comes in between.
    pub fn request_at(&mut self, method: &str, url: &str, headers: &[&str]) -> io::Result<Answer> {
        self.number += 1;
        let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {}\r\n", self.number);
        if let Some(session) = &self.session {
            text.push_str(&format!("Session: {session}\r\n"));
        }
        for header in headers {
            text.push_str(&format!("{header}\r\n"));
        }
        self.stream
            .get_mut()
            .write_all(format!("{text}\r\n").as_bytes())?;
        self.read_answer()
    }

    /// DESCRIBE with a login that answers what the server asked.
    pub fn describe_with(&mut self, login: Login, user: &str, password: &str) -> Answer {
        let asked = self
            .request("DESCRIBE", &["Accept: application/sdp"])
            .unwrap();
        assert_eq!(asked.status, 401, "DESCRIBE without login: {}", asked.head);
        let challenges = asked.headers("WWW-Authenticate").join("\n");
        let proof = authorization(&challenges, login, user, password, "DESCRIBE", &self.url)
            .unwrap_or_else(|| panic!("no {login:?} among:\n{challenges}"));
        self.login = Some((login, user.to_owned(), password.to_owned()));
        let proof = format!("Authorization: {proof}");
        self.request("DESCRIBE", &["Accept: application/sdp", &proof])
            .unwrap()
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        let mut first = self.byte()?;
        while first == b'$' {
            self.skip_packet()?;
            first = self.byte()?;
        }
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte()?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let mut answer = Answer {
            status: status.ok_or(io::ErrorKind::InvalidData)?,
            head,
            body: String::new(),
        };
        let length = answer
            .headers("Content-Length")
            .first()
            .and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn skip_packet(&mut self) -> io::Result<()> {
        let mut head = [0; 3];
        self.stream.read_exact(&mut head)?;
        let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        self.stream.read_exact(&mut packet)
    }

    /// The next RTP packet of the video.
    pub fn packet(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if self.byte()? != b'$' {
                return Err(io::Error::other("something that is not media"));
            }
            let mut head = [0; 3];
            self.stream.read_exact(&mut head)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            self.stream.read_exact(&mut packet)?;
            if head[0] == 0 && packet.len() > 12 {
                return Ok(packet);
            }
        }
    }

    /// The next whole picture of H.264.
    pub fn unit(&mut self) -> io::Result<Unit> {
        loop {
            let packet = self.packet()?;
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
            let is_next = self
                .last_sequence
                .is_none_or(|last| last.wrapping_add(1) == sequence);
            self.last_sequence = Some(sequence);
            let is_keyframe = is_key(&packet[12 + 4 * usize::from(packet[0] & 15)..]);
            let done = match &mut self.held {
                Some(held) if held.timestamp == timestamp => {
                    held.is_keyframe |= is_keyframe;
                    held.is_gapless &= is_next;
                    None
                }
                _ => self.held.replace(Unit {
                    arrived: Instant::now(),
                    timestamp,
                    is_keyframe,
                    is_gapless: is_next,
                }),
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// Waits at most so long for each byte.
    pub fn set_patience(&self, patience: Duration) {
        self.stream
            .get_ref()
            .set_read_timeout(Some(patience))
            .unwrap();
    }
}

fn is_key(payload: &[u8]) -> bool {
    let is_key_type = |byte: u8| matches!(byte & 31, 5 | 7 | 8);
    match payload {
        [first, second, ..] if first & 31 == 28 => is_key_type(*second),
        [first, _, _, inner, ..] if first & 31 == 24 => is_key_type(*inner),
        [first, ..] => is_key_type(*first),
        [] => false,
    }
}

fn authorization(
    challenges: &str,
    login: Login,
    user: &str,
    password: &str,
    method: &str,
    url: &str,
) -> Option<String> {
    let wanted = |line: &&str| match login {
        Login::Basic => line.starts_with("Basic"),
        Login::Md5 => line.starts_with("Digest") && !line.contains("SHA-256"),
        Login::Sha256 => line.starts_with("Digest") && line.contains("SHA-256"),
    };
    let challenge = challenges.lines().find(wanted)?;
    if login == Login::Basic {
        return Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{password}"))
        ));
    }
    let field = |name: &str| {
        let after = challenge.split(&format!("{name}=\"")).nth(1)?;
        after.split('"').next().map(str::to_owned)
    };
    let (realm, nonce) = (field("realm")?, field("nonce")?);
    let proof = Proof {
        login,
        user,
        password,
        realm: &realm,
        nonce: &nonce,
        method,
        url,
    };
    let algorithm = if login == Login::Sha256 {
        "SHA-256"
    } else {
        "MD5"
    };
    let common = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{url}\", algorithm={algorithm}"
    );
    Some(if challenge.contains("qop=") {
        let answer = proof.response(Some("0a4f113b"));
        format!("{common}, qop=auth, nc=00000001, cnonce=\"0a4f113b\", response=\"{answer}\"")
    } else {
        format!("{common}, response=\"{}\"", proof.response(None))
    })
}

/// What goes into a Digest answer.
struct Proof<'a> {
    login: Login,
    user: &'a str,
    password: &'a str,
    realm: &'a str,
    nonce: &'a str,
    method: &'a str,
    url: &'a str,
}

impl Proof<'_> {
    fn response(&self, cnonce: Option<&str>) -> String {
        let secret = self.hash(&format!("{}:{}:{}", self.user, self.realm, self.password));
        let request = self.hash(&format!("{}:{}", self.method, self.url));
        let nonce = self.nonce;
        match cnonce {
            Some(cnonce) => self.hash(&format!(
                "{secret}:{nonce}:00000001:{cnonce}:auth:{request}"
            )),
            None => self.hash(&format!("{secret}:{nonce}:{request}")),
        }
    }

    fn hash(&self, text: &str) -> String {
        match self.login {
            Login::Sha256 => hex(&sha2::Sha256::digest(text)),
            Login::Md5 | Login::Basic => hex(&md5::Md5::digest(text)),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_logins_match_the_examples_of_rfc_7616() {
        let proof = |login| Proof {
            login,
            user: "Mufasa",
            password: "Circle of Life",
            realm: "http-auth@example.org",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method: "GET",
            url: "/dir/index.html",
        };
        let cnonce = Some("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        assert_eq!(
            proof(Login::Md5).response(cnonce),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            proof(Login::Sha256).response(cnonce),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }
}
