use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Mode, NAME, Server, http};
use crate::Error;
use crate::mjpeg::{End, Framing, Manner, Session};

/// How long a viewer that closed its half is kept while the camera gives nothing.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// How long a viewer without end waits at a time for a camera that was never seen.
const ROUND: Duration = Duration::from_secs(60);

/// Serves one viewer until it leaves.
pub(super) async fn attend(server: &Server, socket: Arc<TcpStream>, peer: SocketAddr) {
    // It only makes it better; a socket that refuses works all the same.
    let _ = socket.set_nodelay(true);
    let end = match said(&socket, server.limits.sniff).await {
        Said::Http => http::answer(server, socket).await,
        Said::Nothing => raw(server, socket).await,
        Said::Gone => End::Gone,
    };
    if end == End::Stalled {
        let seconds = server.limits.stall.as_secs();
        tracing::debug!(camera = %server.stream.name(), %peer, "raw JPEG viewer cut: it took nothing for {seconds} s");
    }
}

/// What a viewer said first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Nothing, or nothing that we understand.
    Nothing,
    /// The start of an HTTP request, which is still unread.
    Http,
    Gone,
}

/// Listens for the start of an HTTP request.
async fn said(socket: &TcpStream, sniff: Duration) -> Said {
    let deadline = Instant::now() + sniff;
    loop {
        let mut first = [0; 5];
        let seen = match tokio::time::timeout_at(deadline, socket.peek(&mut first)).await {
            Ok(Ok(seen)) => first.get(..seen).unwrap_or_default(),
            Ok(Err(_)) => return Said::Gone,
            Err(_) => return Said::Nothing,
        };
        let methods: [&[u8]; 2] = [b"GET ", b"HEAD "];
        if methods.iter().any(|method| seen.starts_with(method)) {
            return Said::Http;
        }
        // Nothing more will come, or something else did.
        if seen.is_empty() || !methods.iter().any(|method| method.starts_with(seen)) {
            return Said::Nothing;
        }
        if Instant::now() >= deadline {
            return Said::Nothing;
        }
        // The half of a word is there, so peeking does not wait.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn raw(server: &Server, socket: Arc<TcpStream>) -> End {
    let session = tokio::select! {
        session = open(server) => session,
        () = left(&socket) => return End::Gone,
    };
    let session = match session {
        Ok(session) => session,
        Err(error) => {
            tracing::debug!(camera = %server.stream.name(), "raw JPEG viewer sent away: {error}");
            return End::Gone;
        }
    };
    let is_single = server.mode == Mode::Single;
    let manner = Manner {
        framing: Framing::Bare,
        pictures: is_single.then_some(1),
        patience: is_single.then_some(server.limits.patience),
        stall: server.limits.stall,
        allows_half_close: true,
    };
    session.send_to(socket, Bytes::new(), manner).await
}

/// A session once it is known what the camera sends; without end there is no hurry.
async fn open(server: &Server) -> Result<Session, Error> {
    let name = server.stream.name().as_str();
    // Held here, so that the camera is wanted between two rounds.
    let _lease = server.stream.lease();
    loop {
        let patience = match server.mode {
            Mode::Single => server.limits.patience,
            Mode::Continuous => ROUND,
        };
        match server.mjpeg.session_of(NAME, name, patience).await {
            Err(Error::TimedOut { .. }) if server.mode == Mode::Continuous => {}
            outcome => return outcome,
        }
    }
}

/// Ends when the viewer has left.
async fn left(socket: &TcpStream) {
    let mut passed = [0; 512];
    while socket.readable().await.is_ok() {
        match socket.try_read(&mut passed) {
            Ok(0) => {
                tokio::time::sleep(HALF_CLOSED).await;
                return;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}
