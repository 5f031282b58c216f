//! What every request must pass and every answer carries.
//!
//! A page of another site, open in the same browser, can send requests to a gateway on loopback:
//! by name through DNS rebinding, or by address. The `Host` check stops the first; the `Origin`
//! check on WebSockets, the browser's own words on where a request comes from, and the resource
//! policy on all answers the second. There are no accounts yet: what changes
//! something is for this machine alone.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;
use crate::talk::MAX_SOUND;
use crate::{AppState, Peer};

/// Longest path with query, in bytes; ours are below 300.
pub(crate) const MAX_TARGET: usize = 2048;

/// Largest request body, in bytes: a line of JSON.
pub(crate) const MAX_BODY: u64 = 16 << 10;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

/// Paths whose callers prove themselves, or learn nothing: they may use any name for us.
const ANY_HOST: [&str; 2] = ["/agent", "/healthz"];

pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = match judge(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn judge(state: &AppState, request: &Request) -> Result<(), Problem> {
    let target_len = request
        .uri()
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target_len > MAX_TARGET {
        let detail =
            format!("the request's path has {target_len} bytes; at most {MAX_TARGET} are taken");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, detail));
    }
    let headers = request.headers();
    let body = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    // The one that takes a file reads it only after its own checks.
    let is_sound = request.method() == Method::POST && request.uri().path().ends_with("/talk");
    let max = if is_sound { MAX_SOUND } else { MAX_BODY };
    if body.is_some_and(|len| len > max) || headers.contains_key(header::TRANSFER_ENCODING) {
        let detail =
            format!("no request body of more than {max} bytes or of unknown length is taken");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    if *request.method() == Method::TRACE || *request.method() == Method::CONNECT {
        return Err(Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this is no proxy",
        ));
    }
    if headers.get_all(header::HOST).iter().count() > 1 {
        let detail = "a request is for one host";
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    }
    // Cameras ask for the vendor's name, and a proxy may pass that on.
    let is_camera = request.uri().path().starts_with("/app/");
    if !is_camera && !ANY_HOST.contains(&request.uri().path()) {
        check_host(state, host(request).map(host_name))?;
    }
    check_site(headers)?;
    Ok(())
}

/// A name of somebody else's domain that leads here is how a foreign page reads what it may not (DNS rebinding). On
/// loopback only loopback's names are ours; elsewhere any address, and names that no stranger can own.
fn check_host(state: &AppState, name: Option<&str>) -> Result<(), Problem> {
    let misdirected = |detail: &str| Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
    if name.is_some_and(|name| is_our_name(name, state.public_name())) {
        return Ok(());
    }
    if state.listens_on_loopback() {
        return misdirected(
            "this gateway listens on loopback only and takes requests for \"localhost\", \"127.0.0.1\" and \"[::1]\"; set the public name in the configuration to use another",
        );
    }
    match name {
        // Programs of the last century; no browser.
        None => Ok(()),
        Some(name) if is_address(name) || is_local_name(name) => Ok(()),
        Some(_) => misdirected(
            "this gateway is not known by that name: let http.public name it in the configuration",
        ),
    }
}

fn is_address(name: &str) -> bool {
    name.trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok()
}

/// Names that public name servers do not give out (RFC 6761, 6762, 8375, and what routers use).
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match name.rsplit_once('.') {
        None => true,
        Some((_, last)) => {
            matches!(
                last,
                "local" | "lan" | "home" | "internal" | "localdomain" | "localhost" | "test"
            ) || name.ends_with(".home.arpa")
        }
    }
}

/// Refuses what a page of another site loads from here, as far as the browser tells: it could not show it, but a
/// camera would be woken. A link that a person follows is no such thing.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let says = |name: &str, value: &str| headers.get(name).is_some_and(|says| says == value);
    let is_link = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
    if says("sec-fetch-site", "cross-site") && !is_link {
        let detail = "a page of another site may not load this";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// What requests that change something must pass besides.
pub(crate) async fn changes(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    match check_change(&state, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether this peer's requests may change something.
pub(crate) fn may_change(peer: &Peer) -> bool {
    peer.address.ip().to_canonical().is_loopback()
}

/// Only programs and pages of this machine change anything, and no page of another site by way of them.
fn check_change(state: &AppState, request: &Request) -> Result<(), Problem> {
    let forbidden = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, detail));
    if !request.extensions().get::<Peer>().is_some_and(may_change) {
        return forbidden(
            "there are no accounts yet, so changes are only taken from the gateway's own machine (through an SSH tunnel, if you are elsewhere)",
        );
    }
    // A foreign name that leads here is a trick of a foreign page; a bare address cannot be one.
    let name = host(request).map(host_name);
    if !name.is_some_and(|name| is_address(name) || is_our_name(name, state.public_name())) {
        return forbidden("changes are not taken under this host name");
    }
    check_origin(request.headers(), state.public_name())?;
    let site = request
        .headers()
        .get("sec-fetch-site")
        .map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return forbidden("a page of another site may not change anything");
    }
    Ok(())
}

/// The host that a request is for, with its port.
pub(crate) fn host(request: &Request) -> Option<&str> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => host_header(request.headers()),
    }
}

/// The `Host` header.
pub(crate) fn host_header(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// `host` without its port.
pub(crate) fn host_name(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

fn is_our_name(name: &str, public_name: Option<&str>) -> bool {
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|ours| name.eq_ignore_ascii_case(ours))
        || public_name.is_some_and(|ours| name.eq_ignore_ascii_case(ours))
}

/// Refuses a WebSocket or a change that a page of another site asks for. Programs send no `Origin`.
///
/// A reverse proxy may put its own words into `Host`, so the public name is good as well.
pub(crate) fn check_origin(headers: &HeaderMap, public_name: Option<&str>) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin_host = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    let is_public =
        |host| public_name.is_some_and(|ours| host_name(host).eq_ignore_ascii_case(ours));
    if origin_host.is_some_and(|host| host_header(headers) == Some(host) || is_public(host)) {
        return Ok(());
    }
    let detail = "a page of another site may not do this (Origin and Host differ)";
    Err(Problem::new(StatusCode::FORBIDDEN, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_keeps_its_brackets() {
        assert_eq!(host_name("localhost:8080"), "localhost");
        assert_eq!(host_name("[::1]:8080"), "[::1]");
        assert_eq!(host_name("[::1]"), "[::1]");
        assert_eq!(host_name("cam.example"), "cam.example");
    }

    #[test]
    fn names_that_a_stranger_can_own_are_not_local() {
        for local in [
            "nas",
            "nas.local",
            "cam.lan",
            "GW.home.arpa.",
            "a.b.internal",
        ] {
            assert!(is_local_name(local), "{local}");
        }
        for foreign in [
            "evil.example",
            "local.evil.com",
            "127.0.0.1.nip.io",
            "xhome.arpa",
        ] {
            assert!(!is_local_name(foreign), "{foreign}");
        }
        assert!(is_address("192.168.1.5") && is_address("[fd00::1]") && !is_address("1.evil"));
    }

    #[test]
    fn what_a_page_of_another_site_loads_is_refused_and_a_link_is_followed() {
        let check = |site: &'static str, mode: &'static str, dest: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            headers.insert("sec-fetch-mode", HeaderValue::from_static(mode));
            headers.insert("sec-fetch-dest", HeaderValue::from_static(dest));
            check_site(&headers).is_ok()
        };
        assert!(!check("cross-site", "no-cors", "image"));
        assert!(!check("cross-site", "cors", "empty"));
        assert!(!check("cross-site", "navigate", "iframe"));
        assert!(check("cross-site", "navigate", "document"));
        assert!(check("same-origin", "cors", "empty"));
        assert!(check("none", "navigate", "document"));
        assert!(check_site(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn only_our_own_pages_open_websockets() {
        let headers = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8080"));
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            headers
        };
        assert!(check_origin(&headers(""), None).is_ok());
        assert!(check_origin(&headers("http://127.0.0.1:8080"), None).is_ok());
        assert!(check_origin(&headers("https://cam.example"), Some("cam.example")).is_ok());
        for foreign in [
            "null",
            "http://evil.example",
            "http://127.0.0.1:9090",
            "http://127.0.0.1:8080.evil.example",
        ] {
            assert!(
                check_origin(&headers(foreign), Some("cam.example")).is_err(),
                "{foreign}"
            );
        }
    }
}
