use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use dialer::Target;
use serde::{Serialize, Serializer};

use crate::secret::{MASK, Secret};

/// Longest source URL that is read. Cameras' own paths stay below 300 characters.
const MAX_URL: usize = 2048;

macro_rules! schemes {
    ($($variant:ident = $name:literal, port $port:literal;)+) => {
        /// The protocol of a source, one per driver of this build.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Scheme {
            $(#[doc = concat!("`", $name, "://`")] $variant,)+
        }

        impl Scheme {
            /// Every scheme that this build has a driver for.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The scheme as it stands before `://`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The port when the URL names none.
            #[must_use]
            pub fn default_port(self) -> u16 {
                match self { $(Self::$variant => $port,)+ }
            }
        }
    };
}

// A new driver adds its line here.
schemes! {
    Rtsp = "rtsp", port 554;
    JpegTcp = "jpeg+tcp", port 1234;
    JpegPush = "jpeg+push", port 4444;
    JpegUdp = "jpeg+udp", port 8081;
    MjpegHttp = "mjpeg+http", port 80;
    Http = "http", port 80;
    A9 = "a9", port 6123;
    Reolink = "reolink", port 9000;
    // A UID has no port.
    ReolinkUid = "reolink+uid", port 0;
}

/// Schemes that have a meaning in Eyelet but no driver yet; they get another message than a typing
/// error does.
const WITHOUT_DRIVER: [&str; 2] = ["rtsps", "https"];

impl Scheme {
    /// Whether such a camera comes to this machine, and the source names where it is awaited.
    #[must_use]
    pub fn listens(self) -> bool {
        matches!(self, Self::JpegPush | Self::JpegUdp)
    }

    /// Whether a login of this protocol has a password and no user.
    #[must_use]
    pub fn has_password_alone(self) -> bool {
        matches!(self, Self::JpegUdp)
    }
}

/// User and password for a camera.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credentials {
    /// The user, decoded.
    pub user: String,
    /// The password, decoded; empty if the camera has none.
    pub password: Secret,
}

/// Where a camera is and how it speaks: a parsed source URL.
///
/// `Display` and `Debug` mask the password, and what looks like one in path and query.
///
/// # How user and password are found
///
/// Passwords hold `@`, `/`, `#` and `?`, and people paste them as they are. So the text before the
/// host is read by this rule instead of the one of RFC 3986:
///
/// 1. If the text up to the first `/`, `?` or `#` has no `@` and is a host (with or without port),
///    there are no credentials: `rtsp://10.0.0.9/live@main`. (Unless it is a bare word and a clear
///    host follows a later `@`: `rtsp://admin:1/2@10.0.0.9`.)
/// 2. Otherwise the host follows an `@`, and is itself followed by `/`, `?` or the end. Of all such
///    places the last one counts that is clearly a host (an address, a name with a dot or a port,
///    `localhost`), else the last one.
/// 3. What stands before is the user, up to the first `:`, and the password. `%XX` is decoded where
///    it is valid; a single `%` stays.
///
/// A URL that this rule reads wrongly can be written with `%40`, `%2F`, …, or with the separate
/// keys `user` and `password`, which win over the URL and are taken as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The protocol.
    pub scheme: Scheme,
    /// Login, if there is one.
    pub credentials: Option<Credentials>,
    /// Host and port, as seen from the agent if the camera is reached through one.
    pub target: Target,
    /// Path and query as the camera gets them: empty, or it begins with `/` or `?`. Characters that a
    /// request line cannot carry (spaces, controls, letters beyond ASCII) are percent-encoded.
    pub path: String,
}

/// Why a text is no source. Never quotes the text: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(String);

impl Source {
    /// The URL without user and password, port only where it is not the scheme's own.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "{}://{}{}",
            self.scheme.as_str(),
            self.authority(),
            self.path
        )
    }

    /// Where a camera of this source is awaited, if it comes to this machine by itself.
    #[must_use]
    pub fn awaited_at(&self) -> Option<SocketAddr> {
        let ip = match self.target.host.as_str() {
            "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
            host => host.parse().ok()?,
        };
        self.scheme
            .listens()
            .then_some(SocketAddr::new(ip, self.target.port))
    }

    fn authority(&self) -> String {
        let text = self.target.to_string();
        match text.strip_suffix(&format!(":{}", self.scheme.default_port())) {
            Some(host) => host.to_owned(),
            None => text,
        }
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let text = text.trim();
        if text.len() > MAX_URL {
            return Err(SourceError(format!(
                "a source is at most {MAX_URL} characters long"
            )));
        }
        let (scheme, rest) = split_scheme(text)?;
        if scheme == Scheme::A9 {
            return device_code(rest);
        }
        let (userinfo, host_and_path) = split_credentials(rest)?;
        let (authority, path) = host_and_path.split_at(
            host_and_path
                .find(['/', '?'])
                .unwrap_or(host_and_path.len()),
        );
        let (host, port) = split_host(authority).ok_or_else(|| no_host(scheme))?;
        if scheme.listens() {
            check_listening(scheme, host, path)?;
        }
        if path.contains('#') {
            return Err(SourceError(
                "unexpected \"#\" in the path of the source; write %23 if the camera wants it (options after # belong to other programs)".into(),
            ));
        }
        Ok(Self {
            scheme,
            credentials: userinfo.map(read_credentials).transpose()?,
            target: Target::new(host, port.unwrap_or(scheme.default_port())),
            path: encode_path(path),
        })
    }
}

/// A camera that is named by its device code, and comes to us.
fn device_code(rest: &str) -> Result<Source, SourceError> {
    let code = rest.trim_end_matches('/');
    // The rule of proto-naxclow's Uid.
    let is_code =
        (8..=32).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_code {
        return Err(SourceError(
            "expected a device code after a9://, such as a9://0800c00128F8: 8 to 32 letters and digits, the part after Nax_ in the name of the camera's own network".into(),
        ));
    }
    Ok(Source {
        scheme: Scheme::A9,
        credentials: None,
        target: Target::new(code, Scheme::A9.default_port()),
        path: String::new(),
    })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if let Some(Credentials { user, .. }) = &self.credentials {
            let user = encode(user, |b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
            write!(f, "{user}:{MASK}@")?;
        }
        write!(f, "{}{}", self.authority(), mask_passwords(&self.path))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({self})")
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), SourceError> {
    let names: Vec<&str> = Scheme::ALL.iter().map(|s| s.as_str()).collect();
    let drivers = names.join(", ");
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SourceError(
            "expected a URL such as \"rtsp://user:password@192.168.1.10/stream1\"; there is no \"://\" in it".into(),
        ));
    };
    let scheme = scheme.to_ascii_lowercase();
    if let Some(found) = Scheme::ALL.iter().find(|s| s.as_str() == scheme) {
        return Ok((*found, rest));
    }
    if WITHOUT_DRIVER.contains(&scheme.as_str()) {
        return Err(SourceError(format!(
            "this build has no driver for {scheme}:// sources; it has: {drivers}"
        )));
    }
    // A text that is no scheme may be part of a password: it is not quoted.
    if scheme.len() > 16
        || !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+')
    {
        return Err(SourceError(format!(
            "expected a source that begins with a scheme; this build has: {drivers}"
        )));
    }
    let hint = match crate::read::nearest(&scheme, names.iter().copied().chain(WITHOUT_DRIVER)) {
        Some(near) => format!("; did you mean {near}://?"),
        None => String::new(),
    };
    Err(SourceError(format!(
        "unknown scheme {scheme}://{hint} (this build has: {drivers})"
    )))
}

/// Splits what follows `://` into credentials and the rest, by the rule at [`Source`].
fn split_credentials(rest: &str) -> Result<(Option<&str>, &str), SourceError> {
    let hosts: Vec<(usize, bool)> = rest
        .match_indices('@')
        .filter_map(|(at, _)| {
            let host = until_path(&rest[at + 1..], &['/', '?']);
            split_host(host).map(|(name, port)| (at, port.is_some() || is_clearly_a_host(name)))
        })
        .collect();
    let clear = hosts.iter().rev().find(|(_, clear)| *clear);
    let authority = until_path(rest, &['/', '?', '#']);
    if let Some((name, _)) = split_host(authority).filter(|_| !authority.contains('@'))
        && (is_clearly_a_host(name) || clear.is_none())
    {
        return Ok((None, rest));
    }
    match clear.or(hosts.last()) {
        Some((at, _)) => Ok((Some(&rest[..*at]), &rest[at + 1..])),
        None => Err(SourceError(
            "expected a host (and a port, if it is not the usual one) after user and password"
                .into(),
        )),
    }
}

fn until_path<'a>(text: &'a str, ends: &[char]) -> &'a str {
    &text[..text.find(ends).unwrap_or(text.len())]
}

/// Splits `host`, `host:port` or `[v6]:port`; `None` if it is none of them.
fn split_host(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (host, port) = inner.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        let port = match port {
            "" => None,
            port => Some(parse_port(port.strip_prefix(':')?)?),
        };
        return Some((host, port));
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (text, None),
    };
    let is_name = host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        });
    let ends_in_a_number = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    let is_host = if ends_in_a_number {
        host.parse::<Ipv4Addr>().is_ok()
    } else {
        is_name
    };
    is_host.then_some((host, port))
}

fn parse_port(text: &str) -> Option<u16> {
    // `parse` alone would take "+554".
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())?
        .filter(|port| *port != 0)
}

fn is_clearly_a_host(host: &str) -> bool {
    host == "localhost" || host.contains(['.', ':'])
}

fn no_host(scheme: Scheme) -> SourceError {
    SourceError(format!(
        "expected a host after {}://, such as 192.168.1.10 or camera.local:{}",
        scheme.as_str(),
        scheme.default_port()
    ))
}

/// A source that is awaited names an address of this machine, and at most whom to expect.
fn check_listening(scheme: Scheme, host: &str, path: &str) -> Result<(), SourceError> {
    let name = scheme.as_str();
    if host != "localhost" && host.parse::<IpAddr>().is_err() {
        return Err(SourceError(format!(
            "{name}:// names where this machine waits for the camera: expected an address such as 0.0.0.0 (all of this machine's), found a name"
        )));
    }
    let (path, options) = path.split_once('?').unwrap_or((path, ""));
    if !matches!(path, "" | "/") {
        return Err(SourceError(format!(
            "{name}:// has no path: a camera that connects by itself names none"
        )));
    }
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("from", address)) if address.parse::<IpAddr>().is_ok() => {}
            Some(("from", _)) => {
                return Err(SourceError(
                    "from= names the camera's address, such as ?from=192.168.1.50".into(),
                ));
            }
            _ => {
                return Err(SourceError(format!(
                    "{name}:// has one option, ?from=ADDRESS, the only address to take pictures from{}",
                    if scheme.has_password_alone() {
                        "; its password stands under the key password"
                    } else {
                        ""
                    }
                )));
            }
        }
    }
    Ok(())
}

fn read_credentials(userinfo: &str) -> Result<Credentials, SourceError> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let user = decode(user);
    let password = decode(password);
    check_credentials(&user, &password).map_err(SourceError)?;
    Ok(Credentials {
        user,
        password: Secret::new(password),
    })
}

/// Refuses what no login can carry.
pub(crate) fn check_credentials(user: &str, password: &str) -> Result<(), String> {
    if user.chars().chain(password.chars()).any(char::is_control) {
        return Err("user and password cannot hold control characters such as a line break".into());
    }
    Ok(())
}

/// Decodes `%XX` where it is valid. A text that does not decode to UTF-8 stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |index: usize| after.get(index).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn encode(text: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn encode_path(path: &str) -> String {
    encode(path, |b| {
        b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)
    })
}

/// Masks `password=…`, `pass=…`, `pwd=…`, `token=…`: some cameras want their login in the path or query.
fn mask_passwords(path: &str) -> String {
    const WORDS: [&str; 6] = ["password=", "passwd=", "pass=", "pwd=", "token=", "auth="];
    let lower = path.to_ascii_lowercase();
    let mut out = String::with_capacity(path.len());
    let mut position = 0;
    while position < path.len() {
        let next = WORDS
            .iter()
            .filter_map(|word| {
                lower[position..]
                    .find(word)
                    .map(|at| position + at + word.len())
            })
            .min();
        let Some(value) = next else { break };
        let end = path[value..]
            .find(['&', '/', '?'])
            .map_or(path.len(), |at| value + at);
        out.push_str(&path[position..value]);
        out.push_str(MASK);
        position = end;
    }
    out.push_str(&path[position..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Source {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn login(text: &str) -> (String, String, String, String) {
        let source = parse(text);
        let Credentials { user, password } = source.credentials.clone().unwrap();
        (
            user,
            password.reveal().into(),
            source.target.to_string(),
            source.path,
        )
    }

    #[test]
    fn plain_urls_have_host_port_and_path() {
        let source = parse("rtsp://192.168.1.10/stream1");
        assert_eq!(source.target, Target::new("192.168.1.10", 554));
        assert_eq!(
            (source.path.as_str(), source.credentials.clone()),
            ("/stream1", None)
        );
        assert_eq!(source.url(), "rtsp://192.168.1.10/stream1");
        assert_eq!(
            parse("RTSP://cam.local:8554").url(),
            "rtsp://cam.local:8554"
        );
        assert_eq!(
            parse("rtsp://[fe80::1]:8554/x").target,
            Target::new("fe80::1", 8554)
        );
        assert_eq!(parse("rtsp://[fe80::1]").url(), "rtsp://[fe80::1]");
        assert_eq!(parse("rtsp://cam?a=1").path, "?a=1");
    }

    #[test]
    fn an_a9_camera_is_named_by_its_device_code() {
        let source = parse("a9://0800c00128F8");
        assert_eq!(source.target.host, "0800c00128F8");
        assert_eq!(source.url(), "a9://0800c00128F8");
        assert_eq!(parse("a9://080000128128/").url(), "a9://080000128128");
        assert_eq!(source.to_string(), "a9://0800c00128F8");
    }

    #[test]
    fn odd_characters_in_a_password_need_no_encoding() {
        for (url, password, target, path) in [
            ("rtsp://admin:p@ss/w@rd@host", "p@ss/w@rd", "host:554", ""),
            (
                "rtsp://admin:p@ss/w@rd@10.0.0.9:8554/a?b=c",
                "p@ss/w@rd",
                "10.0.0.9:8554",
                "/a?b=c",
            ),
            ("rtsp://admin:a/b@10.0.0.9/x", "a/b", "10.0.0.9:554", "/x"),
            (
                "rtsp://admin:a#b?c@10.0.0.9/x",
                "a#b?c",
                "10.0.0.9:554",
                "/x",
            ),
            ("rtsp://admin:100%@10.0.0.9/x", "100%", "10.0.0.9:554", "/x"),
            (
                "rtsp://admin:a b:c@10.0.0.9/x",
                "a b:c",
                "10.0.0.9:554",
                "/x",
            ),
            (
                "rtsp://admin:p%40ss%2Fw%23@10.0.0.9/x",
                "p@ss/w#",
                "10.0.0.9:554",
                "/x",
            ),
            (
                "rtsp://admin:%zz%4@10.0.0.9/x",
                "%zz%4",
                "10.0.0.9:554",
                "/x",
            ),
            (
                "rtsp://admin:pw@10.0.0.9/live@1",
                "pw",
                "10.0.0.9:554",
                "/live@1",
            ),
            (
                "rtsp://admin:pw@10.0.0.9/live@main",
                "pw",
                "10.0.0.9:554",
                "/live@main",
            ),
            ("rtsp://admin:@10.0.0.9", "", "10.0.0.9:554", ""),
            ("rtsp://admin:пароль@10.0.0.9", "пароль", "10.0.0.9:554", ""),
        ] {
            let want = (
                "admin".to_owned(),
                password.to_owned(),
                target.to_owned(),
                path.to_owned(),
            );
            assert_eq!(login(url), want, "{url}");
        }
        assert_eq!(login("rtsp://me%40home@10.0.0.9").0, "me@home");
    }

    #[test]
    fn an_at_sign_in_the_path_needs_no_login() {
        assert_eq!(parse("rtsp://10.0.0.9:554/live@main").credentials, None);
    }

    #[test]
    fn paths_of_real_cameras_stay_as_they_are() {
        for path in [
            "/cam/realmonitor?channel=1&subtype=0",
            "/Streaming/Channels/101",
            "/user=admin_password=tlJwpbo6_channel=1_stream=0.sdp?real_stream",
            "/axis-media/media.amp?videocodec=h264",
            "//stream0",
        ] {
            assert_eq!(parse(&format!("rtsp://10.0.0.9{path}")).path, path);
        }
        assert_eq!(
            parse("rtsp://10.0.0.9/a b\r\nX: y").path,
            "/a%20b%0D%0AX:%20y"
        );
    }

    #[test]
    fn nothing_prints_a_password() {
        let source = parse("rtsp://admin:s3cret@10.0.0.9/a?user=x&password=s3cret&b=1");
        let printed = format!(
            "{source} {source:?} {}",
            serde_json::to_string(&source).unwrap()
        );
        assert!(!printed.contains("s3cret"), "{printed}");
        assert_eq!(
            source.to_string(),
            "rtsp://admin:***@10.0.0.9/a?user=x&password=***&b=1"
        );
    }

    #[test]
    fn errors_say_what_was_expected_and_quote_no_password() {
        for (text, part) in [
            ("192.168.1.10", "no \"://\""),
            (
                "rtps://admin:s3cret@10.0.0.9",
                "unknown scheme rtps://; did you mean rtsp://?",
            ),
            (
                "rtsps://admin:s3cret@10.0.0.9",
                "no driver for rtsps:// sources; it has: rtsp",
            ),
            ("a9://192.168.1.20", "expected a device code"),
            ("a9://me:s3cret@0800c00128F8", "expected a device code"),
            ("a9://", "expected a device code"),
            ("rtsp://", "expected a host"),
            ("rtsp://admin:s3cret@", "expected a host"),
            ("rtsp://admin:s3cret@10.0.0.300/x", "expected a host"),
            ("rtsp://10.0.0.9:70000/x", "expected a host"),
            ("rtsp://10.0.0.9/x#backchannel=0", "unexpected \"#\""),
            ("rtsp://a:b%0d%0a@10.0.0.9", "control characters"),
            ("jpeg+push://camera.local:4444", "found a name"),
            ("jpeg+push://0.0.0.0:4444/stream", "has no path"),
            ("jpeg+push://0.0.0.0:4444?form=10.0.0.9", "one option"),
            (
                "jpeg+udp://0.0.0.0?from=porch",
                "such as ?from=192.168.1.50",
            ),
            (
                "jpeg+udp://0.0.0.0?password=s3cret",
                "under the key password",
            ),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(
                error.contains(part) && !error.contains("s3cret"),
                "{text}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn encoded_logins_come_back(user in "\\PC{1,12}", password in "\\PC{0,12}") {
            let plain = |b: u8| b.is_ascii_alphanumeric();
            let url = format!("rtsp://{}:{}@10.0.0.9/x@y", encode(&user, plain), encode(&password, plain));
            prop_assert_eq!(login(&url), (user, password, "10.0.0.9:554".into(), "/x@y".into()));
        }

        #[test]
        fn raw_passwords_come_back(password in "[!-$&-~]{1,16}") {
            // Without '%', and with nothing in it that could be the host.
            prop_assume!(!password.contains('@'));
            let url = format!("rtsp://admin:{password}@10.0.0.9/x");
            prop_assert_eq!(login(&url).1, password);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "(rtsp://)?\\PC{0,40}") {
            if let Ok(source) = text.parse::<Source>() {
                prop_assert_eq!(&parse(&source.url()).target, &source.target);
                prop_assert!(url::Url::parse(&source.url()).is_ok());
            }
        }
    }
}
