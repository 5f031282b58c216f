//! Logins: Digest with SHA-256 and MD5 (RFC 7616), Basic (RFC 7617).
//!
//! Challenges go out as SHA-256, MD5, Basic. ffmpeg 5.1 and live555 keep the last Digest they read,
//! GStreamer 1.22 takes the last nonce and computes MD5 whatever was asked, and clients that know
//! both prefer the first: with MD5 as the last Digest all of them come in. Nonces carry their time
//! and a signature, so none is stored and any connection accepts them.

use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::transport::split_unquoted;
use crate::{Method, Uri};

/// How long a nonce is good. Checked only at a connection's first login: long enough for a person
/// who types a password, short enough to make a recorded one stale.
const NONCE_LIFE: Duration = Duration::from_secs(300);
/// Most parameters read from one header: Digest defines a dozen.
const MAX_PARAMETERS: usize = 24;
/// Bytes of a nonce's signature.
const SIGNATURE: usize = 16;

/// Issues challenges and judges answers; shared by all connections.
pub struct Authenticator {
    realm: String,
    users: Vec<(String, String)>,
    key: [u8; 32],
    epoch: Instant,
}

/// What an Authorization header proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// This user knows the password.
    User(&'a str),
    /// The header is absent or of a scheme not offered.
    Missing,
    /// Right, but for a nonce that is too old: ask again with `stale=true`.
    Stale,
    /// User, password or address is wrong.
    Wrong,
}

impl Authenticator {
    /// `users` are names and passwords. `seed` must be secret and random: it signs nonces.
    #[must_use]
    pub fn new(
        realm: impl Into<String>,
        users: Vec<(String, String)>,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let realm = realm.into().replace(['"', '\\'], "'");
        Self {
            realm,
            users,
            key: seed,
            epoch: now,
        }
    }

    /// The WWW-Authenticate values of a 401, in the order to send them.
    #[must_use]
    pub fn challenges(&self, is_stale: bool, now: Instant) -> [String; 3] {
        let nonce = self.nonce(self.seconds(now));
        let realm = &self.realm;
        let stale = if is_stale { ", stale=true" } else { "" };
        let digest = |algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}"
            )
        };
        let basic = format!("Basic realm=\"{realm}\"");
        [digest("SHA-256"), digest("MD5"), basic]
    }

    /// Judges the Authorization header of a request.
    #[must_use]
    pub fn verify(
        &self,
        method: &Method,
        uri: &str,
        authorization: Option<&str>,
        now: Instant,
    ) -> Verdict<'_> {
        let header = authorization.unwrap_or_default().trim();
        let (scheme, rest) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            self.verify_basic(rest.trim())
        } else if scheme.eq_ignore_ascii_case("digest") {
            self.verify_digest(method, uri, rest, now)
        } else {
            Verdict::Missing
        }
    }

    fn verify_basic(&self, credentials: &str) -> Verdict<'_> {
        let decoded = BASE64_STANDARD.decode(credentials).unwrap_or_default();
        let colon = decoded.iter().position(|&b| b == b':');
        let Some((name, password)) = colon.and_then(|at| decoded.split_at_checked(at)) else {
            return Verdict::Wrong;
        };
        let password = password.get(1..).unwrap_or_default();
        let (user, expected) = self.user(name);
        // Hashes compare in a time that tells no length either.
        let is_right = Sha256::digest(password).ct_eq(&Sha256::digest(expected));
        match user {
            Some(user) if bool::from(is_right) => Verdict::User(user),
            _ => Verdict::Wrong,
        }
    }

    fn verify_digest(
        &self,
        method: &Method,
        request_uri: &str,
        header: &str,
        now: Instant,
    ) -> Verdict<'_> {
        let parameters = parse_parameters(header);
        let find = |key: &str| {
            let found = parameters.iter().find(|(k, _)| k == key);
            found.map_or("", |(_, value)| value.as_str())
        };
        let algorithm = match Algorithm::parse(find("algorithm")) {
            Some(algorithm) => algorithm,
            None => return Verdict::Wrong,
        };
        let (uri, nonce, response) = (find("uri"), find("nonce"), find("response"));
        let Some(age) = self.nonce_age(nonce, now) else {
            // Signed by nobody we know, as after our own restart: a new nonce helps an honest client.
            return Verdict::Stale;
        };
        let (user, password) = self.user(find("username").as_bytes());
        let answer = DigestAnswer {
            username: find("username"),
            realm: &self.realm,
            password,
            method: method.as_str(),
            uri,
            nonce,
            qop: (!find("qop").is_empty()).then(|| (find("nc"), find("cnonce"), find("qop"))),
        };
        let expected = answer.response(algorithm);
        let is_right = expected
            .as_bytes()
            .ct_eq(response.to_ascii_lowercase().as_bytes());
        match user {
            Some(user) if bool::from(is_right) && names_same(uri, request_uri) => {
                if age > NONCE_LIFE {
                    Verdict::Stale
                } else {
                    Verdict::User(user)
                }
            }
            _ => Verdict::Wrong,
        }
    }

    /// The user's own name and password; a password nobody has where the name is unknown, so that
    /// both cases take the same steps.
    fn user(&self, name: &[u8]) -> (Option<&str>, &str) {
        let known = self.users.iter().find(|(n, _)| n.as_bytes() == name);
        known.map_or((None, "\u{0}"), |(name, password)| (Some(name), password))
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    fn nonce(&self, seconds: u64) -> String {
        let signature = self.sign(seconds);
        format!("{seconds:016x}{}", hex(&signature))
    }

    fn sign(&self, seconds: u64) -> [u8; SIGNATURE] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes any key length");
        mac.update(b"rtsp nonce");
        mac.update(&seconds.to_be_bytes());
        let whole = mac.finalize().into_bytes();
        let mut out = [0; SIGNATURE];
        for (to, from) in out.iter_mut().zip(whole) {
            *to = from;
        }
        out
    }

    /// `None` if we did not issue it.
    fn nonce_age(&self, nonce: &str, now: Instant) -> Option<Duration> {
        let (time, signature) = nonce.split_at_checked(16)?;
        let issued = u64::from_str_radix(time, 16).ok()?;
        let expected = hex(&self.sign(issued));
        if !bool::from(expected.as_bytes().ct_eq(signature.as_bytes())) {
            return None;
        }
        let age = self.seconds(now).checked_sub(issued)?;
        Some(Duration::from_secs(age))
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("realm", &self.realm)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

/// A client's answer to a 401: the Authorization value for the strongest challenge it can meet.
#[must_use]
pub fn answer_challenges<'a>(
    challenges: impl IntoIterator<Item = &'a str>,
    user: &str,
    password: &str,
    method: &Method,
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    let mut best: Option<(u8, String)> = None;
    for challenge in challenges {
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        let answer = if scheme.eq_ignore_ascii_case("digest") {
            answer_digest(rest, user, password, method, uri, cnonce)
        } else if scheme.eq_ignore_ascii_case("basic") {
            let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
            Some((1, format!("Basic {credentials}")))
        } else {
            None
        };
        if let Some(answer) = answer
            && best.as_ref().is_none_or(|best| answer.0 > best.0)
        {
            best = Some(answer);
        }
    }
    best.map(|(_, answer)| answer)
}

fn answer_digest(
    challenge: &str,
    user: &str,
    password: &str,
    method: &Method,
    uri: &str,
    cnonce: &str,
) -> Option<(u8, String)> {
    let parameters = parse_parameters(challenge);
    let find = |key: &str| {
        let found = parameters.iter().find(|(k, _)| k == key);
        found.map_or("", |(_, value)| value.as_str())
    };
    let algorithm = Algorithm::parse(find("algorithm"))?;
    let has_qop = find("qop").split(',').any(|q| q.trim() == "auth");
    let (realm, nonce) = (find("realm"), find("nonce"));
    let answer = DigestAnswer {
        username: user,
        realm,
        password,
        method: method.as_str(),
        uri,
        nonce,
        qop: has_qop.then_some(("00000001", cnonce, "auth")),
    };
    let response = answer.response(algorithm);
    let (rank, name) = match algorithm {
        Algorithm::Sha256 => (3, "SHA-256"),
        Algorithm::Md5 => (2, "MD5"),
    };
    let user = user.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm={name}"
    );
    if has_qop {
        text.push_str(&format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""));
    }
    Some((rank, text))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    /// MD5 where nothing is said (RFC 2617).
    fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Md5),
            _ if name.eq_ignore_ascii_case("MD5") => Some(Self::Md5),
            _ if name.eq_ignore_ascii_case("SHA-256") => Some(Self::Sha256),
            _ => None,
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

struct DigestAnswer<'a> {
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    method: &'a str,
    uri: &'a str,
    nonce: &'a str,
    /// Count, client's nonce, "auth"; absent in the legacy form.
    qop: Option<(&'a str, &'a str, &'a str)>,
}

impl DigestAnswer<'_> {
    fn response(&self, algorithm: Algorithm) -> String {
        let who = algorithm.hash(&format!(
            "{}:{}:{}",
            self.username, self.realm, self.password
        ));
        let what = algorithm.hash(&format!("{}:{}", self.method, self.uri));
        algorithm.hash(&match self.qop {
            Some((nc, cnonce, qop)) => {
                format!("{who}:{}:{nc}:{cnonce}:{qop}:{what}", self.nonce)
            }
            None => format!("{who}:{}:{what}", self.nonce),
        })
    }
}

/// Clients disagree on which address they sign: the request's, the session's, with a slash or
/// without, the path alone. Good enough is a path that is a part of the other.
fn names_same(signed: &str, requested: &str) -> bool {
    if signed == requested {
        return true;
    }
    let (Some(signed), Some(requested)) = (Uri::parse(signed), Uri::parse(requested)) else {
        return false;
    };
    let within = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || outer.is_empty() || rest.starts_with('/'))
    };
    signed.path == "*"
        || requested.path == "*"
        || within(&signed.path, &requested.path)
        || within(&requested.path, &signed.path)
}

/// `key=value, key="quoted \"value\""`; keys in lower case.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    split_unquoted(text, ',')
        .take(MAX_PARAMETERS)
        .filter_map(|part| {
            let (key, value) = part.split_once('=')?;
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            let value = match quoted {
                Some(quoted) => unescape(quoted),
                None => value.to_owned(),
            };
            Some((key.trim().to_ascii_lowercase(), value))
        })
        .collect()
}

fn unescape(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            c
        });
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|&b| [digit(b >> 4), digit(b & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "rtsp://127.0.0.1:8554/porch";

    fn authenticator(now: Instant) -> Authenticator {
        let users = vec![
            ("admin".to_owned(), "se cret".to_owned()),
            ("o\"dd".to_owned(), "p:a:s:s".to_owned()),
        ];
        Authenticator::new("eyelet", users, [7; 32], now)
    }

    fn answer(challenges: &[String], user: &str, password: &str) -> String {
        let challenges = challenges.iter().map(String::as_str);
        answer_challenges(challenges, user, password, &Method::Play, URI, "c0ffee").unwrap()
    }

    #[test]
    fn every_scheme_lets_the_right_password_in_and_no_other() {
        let now = Instant::now();
        let auth = authenticator(now);
        for challenge in auth.challenges(false, now) {
            for (user, password) in [("admin", "se cret"), ("o\"dd", "p:a:s:s")] {
                let header = answer(std::slice::from_ref(&challenge), user, password);
                let verdict = auth.verify(&Method::Play, URI, Some(&header), now);
                assert_eq!(verdict, Verdict::User(user), "{header}");
            }
            for (user, password) in [("admin", "se cre"), ("nobody", "se cret"), ("admin", "")] {
                let header = answer(std::slice::from_ref(&challenge), user, password);
                let verdict = auth.verify(&Method::Play, URI, Some(&header), now);
                assert_eq!(verdict, Verdict::Wrong, "{header}");
            }
        }
        assert_eq!(auth.verify(&Method::Play, URI, None, now), Verdict::Missing);
    }

    #[test]
    fn the_strongest_challenge_is_answered() {
        let now = Instant::now();
        let mut challenges = authenticator(now).challenges(false, now).to_vec();
        assert!(answer(&challenges, "admin", "x").contains("SHA-256"));
        challenges.remove(0);
        assert!(answer(&challenges, "admin", "x").contains("MD5"));
        challenges.remove(0);
        assert!(answer(&challenges, "admin", "x").starts_with("Basic "));
    }

    #[test]
    fn an_old_nonce_is_stale_and_a_forged_one_too() {
        let now = Instant::now();
        let auth = authenticator(now);
        let header = answer(&auth.challenges(false, now), "admin", "se cret");
        let later = now + NONCE_LIFE + Duration::from_secs(1);
        let verdict = auth.verify(&Method::Play, URI, Some(&header), later);
        assert_eq!(verdict, Verdict::Stale);
        let forged = header.replacen("nonce=\"0", "nonce=\"1", 1);
        let verdict = auth.verify(&Method::Play, URI, Some(&forged), now);
        assert_eq!(verdict, Verdict::Stale);
        assert!(auth.challenges(true, later)[1].contains("stale=true"));
    }

    #[test]
    fn an_answer_for_another_method_or_camera_is_wrong() {
        let now = Instant::now();
        let auth = authenticator(now);
        let header = answer(&auth.challenges(false, now), "admin", "se cret");
        let verdict = auth.verify(&Method::Setup, URI, Some(&header), now);
        assert_eq!(verdict, Verdict::Wrong);
        let other = "rtsp://127.0.0.1:8554/bedroom";
        let verdict = auth.verify(&Method::Play, other, Some(&header), now);
        assert_eq!(verdict, Verdict::Wrong);
        for same in [
            "rtsp://10.0.0.1/porch/trackID=0",
            "rtsp://h/porch/?a=b",
            "/porch",
        ] {
            let verdict = auth.verify(&Method::Play, same, Some(&header), now);
            assert_eq!(verdict, Verdict::User("admin"), "{same}");
        }
    }

    /// Recorded on loopback from ffmpeg 5.1.9 and GStreamer 1.22.0 against a scripted server with
    /// user "admin", password "se cret"; nonces n2 (MD5) and n1.
    #[test]
    fn answers_of_real_players_hash_as_we_do() {
        let response = |method, uri, nonce, qop| {
            let (username, realm, password) = ("admin", "eyelet", "se cret");
            let answer = DigestAnswer {
                username,
                realm,
                password,
                method,
                uri,
                nonce,
                qop,
            };
            answer.response(Algorithm::Md5)
        };
        let qop = Some(("00000001", "82758f0a30f3212f", "auth"));
        let ffmpeg = response("DESCRIBE", "rtsp://127.0.0.1:35561/porch", "n2", qop);
        assert_eq!(ffmpeg, "63fcc0083f5dd18015904c26c0527d78");
        let gstreamer = response("PLAY", "rtsp://127.0.0.1:59005/porch/", "n2", None);
        assert_eq!(gstreamer, "e1ae1c770e6b483f673cb80d8de71b93");
    }
}
