//! One port for HTTP and TLS, told apart by the first byte.
//!
//! Everything that a peer can do slowly has a time limit here, and everything it can send a cap:
//! the first byte, the TLS handshake, the request's head, and the taking of an answer.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use link::ReadAhead;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::Service;
use tunnel::AgentsTls;

use crate::AppState;
use crate::patience::Patience;
use crate::takeover::{SharedSocket, Takeover};

/// Most connections at a time. An agent holds one, or two while it goes on with its session, a viewer in a browser one
/// per picture: enough for ten thousand agents and some thousand viewers; beyond it a newcomer is told 503 instead
/// of slowing all the others.
pub const MAX_CONNECTIONS: usize = 16_384;

/// Largest request head in bytes. A browser sends one or two thousand; hyper needs at least 8,192.
pub const MAX_HEAD: usize = 16 << 10;

/// Most header lines of one request; browsers send about twenty.
pub const MAX_HEADERS: usize = 64;

/// How long a peer may take for its first byte, for a TLS handshake, and for a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a peer may take no byte of an answer before it is cut. Longer than a paused laptop's
/// hiccup, short enough that a dead peer does not hold its place for long.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(90);

/// Most TLS handshakes at once. All of ten thousand agents that come back together would come too late; in turns each
/// takes a moment.
const MAX_HANDSHAKES: usize = 128;

/// How long a handshake may keep its turn; a slow peer goes on without.
const TURN: Duration = Duration::from_millis(250);

/// How long a peer whose handshake failed may take to hang up.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long running requests may go on once the program was told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Pause after a failed accept, which means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// First byte of a TLS record that carries a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Who sent a request, and over what; in every request's extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other end of the TCP connection.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Whether agents have to show a certificate here, and this connection has shown none that holds. Set for all that
    /// did not go through [`Tls::agents`], whatever they say they are.
    pub lacks_certificate: bool,
    /// Cancelled when the listener stops; long answers end then.
    pub shutdown: CancellationToken,
    /// Whether the answer may take the socket over; see [`Takeover`].
    pub(crate) may_take_over: bool,
    /// The connection's place among [`MAX_CONNECTIONS`]. A WebSocket outlives the request that
    /// opened it, so it keeps its [`Peer`] to keep its place.
    _place: Arc<Place>,
}

/// A connection that counts, and that a shutdown waits for.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _session: TaskTrackerToken,
}

/// Time limits of one listener; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// See [`MAX_CONNECTIONS`].
    pub connections: usize,
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`STALL_TIMEOUT`].
    pub stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            head_timeout: HEAD_TIMEOUT,
            stall_timeout: STALL_TIMEOUT,
        }
    }
}

/// Encryption of one listener.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For all but agents; for them, too, if they need no certificate.
    pub everyone: Arc<rustls::ServerConfig>,
    /// For agents that have to show a certificate. Nobody else is asked for one: browsers would bother people with it.
    pub agents: Option<AgentsTls>,
}

impl From<Arc<rustls::ServerConfig>> for Tls {
    fn from(everyone: Arc<rustls::ServerConfig>) -> Self {
        Self {
            everyone,
            agents: None,
        }
    }
}

/// Serves dashboard, API and agents on `listener` until `shutdown` is cancelled.
///
/// Plain HTTP and TLS come in on the same port. Returns after the running requests have ended, or
/// three seconds after the cancellation.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    tls: impl Into<Tls>,
    shutdown: CancellationToken,
) {
    serve_with(listener, state, tls, shutdown, Limits::default()).await;
}

/// [`serve`] with limits of one's own.
pub async fn serve_with(
    listener: TcpListener,
    state: AppState,
    tls: impl Into<Tls>,
    shutdown: CancellationToken,
    limits: Limits,
) {
    let door = Door {
        router: crate::router(state),
        tls: tls.into(),
        // Children of our own, so that they end with this listener however it ends.
        shutdown: shutdown.child_token(),
        limits,
        turns: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
    };
    let places = Arc::new(Semaphore::new(limits.connections));
    let sessions = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(permit) => {
                    let place = Place {
                        _permit: permit,
                        _session: sessions.token(),
                    };
                    sessions.spawn(door.clone().attend(stream, address, Arc::new(place)));
                }
                Err(_) => refuse(stream, address, limits.connections),
            },
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; is the limit of open files too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    sessions.close();
    if tokio::time::timeout(GRACE, sessions.wait()).await.is_err() {
        tracing::debug!(
            left = sessions.len(),
            "HTTP sessions outlived the grace period"
        );
    }
}

/// An encrypted connection.
pub(crate) type TlsSocket = TlsStream<Patience<ReadAhead<TcpStream>>>;

/// Tells a peer for whom there is no place so, as far as its socket takes it at once.
fn refuse(stream: TcpStream, address: SocketAddr, limit: usize) {
    tracing::debug!(%address, limit, "too many HTTP connections, refused one");
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 42\r\n\r\nToo many connections. Try again in a bit.\n";
    let _ = stream.try_write(ANSWER);
}

/// What every connection of a listener shares.
#[derive(Clone)]
struct Door {
    router: Router,
    tls: Tls,
    shutdown: CancellationToken,
    limits: Limits,
    /// For TLS handshakes.
    turns: Arc<Semaphore>,
}

impl Door {
    /// Waits for a turn, a little less than peers wait for an answer.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(self.limits.head_timeout, turn);
        turn.await.ok()?.ok()
    }

    /// A TLS connection over `stream`, and whether its peer has shown an agent's certificate.
    async fn encrypt(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        place: Arc<Place>,
    ) -> io::Result<(TlsSocket, bool)> {
        let stream =
            Patience::new(ReadAhead::new(stream), self.limits.stall_timeout).keeping(place);
        // Who says nothing takes no turn: reading a hello costs nothing, answering it does.
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let hello = tokio::time::timeout(self.limits.head_timeout, hello)
            .await
            .map_err(|_| slow("did not finish its TLS hello"))??;
        let turn = self
            .turn()
            .await
            .ok_or_else(|| slow("had no turn for its TLS handshake"))?;
        let agents = self.tls.agents.as_ref().filter(|_| is_agent(&hello));
        let config = agents.map_or(&self.tls.everyone, |agents| &agents.config);
        let shaken = hello.into_stream(Arc::clone(config)).into_fallible();
        let shaken = tokio::time::timeout(self.limits.head_timeout, shaken);
        tokio::pin!(shaken);
        let shaken = match tokio::time::timeout(TURN, &mut shaken).await {
            Ok(shaken) => shaken,
            Err(_) => {
                drop(turn);
                shaken.await
            }
        };
        match shaken.map_err(|_| slow("did not finish the TLS handshake"))? {
            Ok(stream) => Ok((stream, agents.is_some())),
            Err((error, stream)) => {
                if let Some(agents) = agents {
                    complain(agents, address, &error);
                    let _ = tokio::time::timeout(LAST_WORD, drain(stream)).await;
                }
                Err(error)
            }
        }
    }

    async fn attend(self, stream: TcpStream, address: SocketAddr, place: Arc<Place>) {
        let shutdown = self.shutdown.clone();
        let result = tokio::select! {
            result = self.talk(stream, address, place) => result,
            () = async {
                shutdown.cancelled().await;
                tokio::time::sleep(GRACE).await;
            } => Ok(()),
        };
        if let Err(error) = result {
            tracing::debug!(%address, %error, "HTTP connection ended");
        }
    }

    async fn talk(
        self,
        stream: TcpStream,
        address: SocketAddr,
        place: Arc<Place>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let timeout = self.limits.head_timeout;
        let mut first = [0; 1];
        let seen = tokio::time::timeout(timeout, stream.peek(&mut first))
            .await
            .map_err(|_| slow("sent nothing"))??;
        if seen == 0 {
            return Ok(());
        }
        let stall = self.limits.stall_timeout;
        if first[0] == TLS_HANDSHAKE {
            let (stream, has_certificate) =
                self.encrypt(stream, address, Arc::clone(&place)).await?;
            self.serve(stream, None, has_certificate, address, place)
                .await
        } else if first[0].is_ascii_alphabetic() || first[0] == b'\r' || first[0] == b'\n' {
            let socket = Arc::new(stream);
            let stream = Patience::new(SharedSocket(Arc::clone(&socket)), stall);
            self.serve(stream, Some(socket), false, address, place)
                .await
        } else {
            let mut stream = Patience::new(stream, stall);
            stream.write_all(NEITHER).await?;
            stream.shutdown().await
        }
    }

    /// Answers requests; `socket` is the one under `stream`, if nothing is encrypted.
    async fn serve<S>(
        self,
        stream: S,
        socket: Option<Arc<TcpStream>>,
        has_certificate: bool,
        address: SocketAddr,
        place: Arc<Place>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let peer = Peer {
            address,
            is_tls: socket.is_none(),
            lacks_certificate: self.tls.agents.is_some() && !has_certificate,
            shutdown: self.shutdown.clone(),
            may_take_over: socket.is_some(),
            _place: Arc::clone(&place),
        };
        let router = self.router;
        let (taken, mut takeovers) = mpsc::channel(1);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let answer = router.clone().call(request);
            let taken = taken.clone();
            async move {
                let response = answer.await?;
                if let Some(takeover) = Takeover::of(&response)
                    && taken.try_send(takeover).is_ok()
                {
                    // hyper hears nothing more: it is dropped, and the socket goes on without it.
                    return pending().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = Box::pin(
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.limits.head_timeout)
                .max_buf_size(MAX_HEAD)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades(),
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            Some(takeover) = takeovers.recv() => {
                drop(connection);
                if let Some(socket) = socket {
                    let session = takeover.serve(socket, self.limits.stall_timeout);
                    tokio::select! {
                        () = session => {}
                        () = self.shutdown.cancelled() => {}
                    }
                }
                return Ok(());
            }
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(io::Error::other)
    }
}

/// Whether a TLS hello says that its sender is an agent with a certificate.
fn is_agent<S>(hello: &StartHandshake<S>) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let names = hello.client_hello().alpn();
    names.is_some_and(|mut names| names.any(|name| name == tunnel::WEBSOCKET_ALPN))
}

/// Tells the operator why an agent does not get in.
fn complain(agents: &AgentsTls, peer: SocketAddr, error: &io::Error) {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    if let Some(fault) = cause.and_then(tunnel::certificate_fault) {
        let reason = agents.authorities.explain(fault);
        tracing::warn!(%peer, %error, "agent refused: {reason}");
    }
}

/// Reads what a peer has under way, so that the reset for unread bytes does not overtake the alert that tells it why.
async fn drain<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(MAX_HEAD as u64);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The answer to bytes that begin neither an HTTP request nor a TLS handshake.
const NEITHER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 38\r\n\r\nThis port speaks HTTP and HTTPS only.\n";

fn slow(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the peer {what} in time"))
}
