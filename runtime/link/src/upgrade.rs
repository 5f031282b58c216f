//! From HTTP to a WebSocket (RFC 6455 section 4).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{Error, Transport, WebSocketBytes, WebSocketEnd};

/// What the server appends to the client's key, to show that it knows WebSockets.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Largest answer to a request for a WebSocket; the gateway's has some 150 bytes.
const MAX_ANSWER: usize = 4 << 10;

/// The answer to a client's `Sec-WebSocket-Key`.
#[must_use]
pub fn websocket_accept(key: &str) -> String {
    let key = format!("{key}{GUID}");
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()))
}

/// Asks the server at the far end of `socket` for a WebSocket at `path`. `nonce` should be random.
///
/// # Errors
/// [`Error::Io`] when the connection breaks, [`Error::Upgrade`] when the server opens none: with its answer's first line.
pub async fn upgrade<S: Transport>(
    mut socket: S,
    host: &str,
    path: &str,
    nonce: [u8; 16],
) -> Result<WebSocketBytes<S>, Error> {
    let key = BASE64_STANDARD.encode(nonce);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    socket.flush().await?;
    let mut answer = Vec::new();
    // Not one byte more: what follows is the WebSocket's.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_ANSWER {
            return Err(Error::Upgrade("an answer without an end".to_owned()));
        }
        answer.push(socket.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer);
    let mut lines = answer.lines();
    let first = lines.next().unwrap_or_default();
    let accept = websocket_accept(&key);
    let is_accepted = lines
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| {
            name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == accept
        });
    if first.split(' ').nth(1) != Some("101") || !is_accepted {
        return Err(Error::Upgrade(first.chars().take(80).collect()));
    }
    Ok(WebSocketBytes::new(
        socket,
        WebSocketEnd::Client,
        Bytes::new(),
    ))
}

#[cfg(feature = "hyper")]
mod server {
    use std::io;

    use bytes::Bytes;
    use hyper::header::{
        CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    };
    use hyper::upgrade::OnUpgrade;
    use hyper::{Method, Request, Response, StatusCode};
    use hyper_util::rt::TokioIo;

    use crate::{Transport, WebSocketBytes, WebSocketEnd, websocket_accept};

    /// A WebSocket that was granted, until the answer that says so is out.
    #[derive(Debug)]
    pub struct Granted(OnUpgrade);

    /// The answer to a request for a WebSocket, and what comes of it. Nothing if the request asks for none.
    pub fn grant<B>(request: &mut Request<B>) -> Option<(Response<()>, Granted)> {
        let headers = request.headers();
        let asks = request.method() == Method::GET
            && names(headers, &CONNECTION, "upgrade")
            && names(headers, &UPGRADE, "websocket")
            && names(headers, &SEC_WEBSOCKET_VERSION, "13");
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks)?;
        let accept = websocket_accept(key.to_str().ok()?);
        let on_upgrade = request.extensions_mut().remove::<OnUpgrade>()?;
        let answer = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, accept)
            .body(())
            .ok()?;
        Some((answer, Granted(on_upgrade)))
    }

    /// Whether one of the header's comma-separated words is `word`.
    fn names(headers: &HeaderMap, name: &hyper::header::HeaderName, word: &str) -> bool {
        let values = headers.get_all(name).iter();
        let mut words = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }

    impl Granted {
        /// The WebSocket. The HTTP server ran over a [`TokioIo`] of `S`, which is taken out of it.
        ///
        /// # Errors
        /// When the connection broke before, or was another one than `S`.
        pub async fn websocket<S: Transport>(self) -> io::Result<WebSocketBytes<S>> {
            let upgraded = self.0.await.map_err(io::Error::other)?;
            let parts = upgraded
                .downcast::<TokioIo<S>>()
                .map_err(|_| io::Error::other("the connection under the WebSocket is unknown"))?;
            let early: Bytes = parts.read_buf;
            Ok(WebSocketBytes::new(
                parts.io.into_inner(),
                WebSocketEnd::Server,
                early,
            ))
        }
    }
}

#[cfg(feature = "hyper")]
pub use server::{Granted, grant};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_specification_gets_its_answer() {
        let accept = websocket_accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
