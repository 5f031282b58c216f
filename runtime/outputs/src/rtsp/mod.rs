//! RTSP out: `rtsp://HOST:PORT/CAMERA`, over TCP and UDP.
//!
//! One muxer per stream packetises; one loop writes each block to all TCP viewers; a session
//! per connection talks RTSP. The first picture comes at once from the newest GOP, unless the URL
//! ends in `?start=live`.

mod block;
mod connection;
mod muxer;
mod passthrough;
mod session;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hub::Hub;
use proto_rtsp::Authenticator;
use throttle::{Limits, Throttle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::muxer::Muxers;
use self::passthrough::Sorted;
pub use self::passthrough::{Carry, Passthrough};
use self::udp::Ports;

/// Most connections at once; each costs a file descriptor and a few kilobytes.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Wrong passwords within a minute. A person mistypes three times; who guesses needs thousands.
const WRONG_LOGINS: Limits = Limits {
    of_name: 10,
    of_address: 10,
};

/// The name of this output in statistics.
pub(crate) const OUTPUT: &str = "rtsp";

/// What a peer is told whose address has failed too often, before it asks anything.
const TOO_MANY_FAILURES: &[u8] =
    b"RTSP/1.0 503 Service Unavailable\r\nRetry-After: 60\r\nConnection: close\r\n\r\n";

/// The RTSP server.
pub struct Server {
    hub: Arc<Hub>,
    muxers: Muxers,
    authenticator: Option<Arc<Authenticator>>,
    ports: Option<Arc<Ports>>,
    passthrough: Option<Passthrough>,
    wrong_logins: Throttle,
    listener: TcpListener,
}

impl Server {
    /// Listens at `address`. `users` are names and passwords; with none everybody may watch.
    ///
    /// # Errors
    /// The address cannot be had. Without ports for UDP the server goes on with TCP alone.
    pub async fn bind(
        hub: Arc<Hub>,
        address: SocketAddr,
        users: Vec<(String, String)>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let ports = match Ports::bind(address.ip()).await {
            Ok(ports) => Some(Arc::new(ports)),
            Err(error) => {
                tracing::warn!("no ports for RTSP over UDP, only TCP is offered: {error}");
                None
            }
        };
        let authenticator = (!users.is_empty()).then(|| {
            let mut seed = [0; 32];
            // Without randomness nonces could be forged, so the process must not go on.
            getrandom::fill(&mut seed).expect("the system gives random bytes");
            Arc::new(Authenticator::new("eyelet", users, seed, Instant::now()))
        });
        Ok(Self {
            hub,
            muxers: Muxers::default(),
            authenticator,
            ports,
            passthrough: None,
            wrong_logins: Throttle::new(WRONG_LOGINS),
            listener,
        })
    }

    /// Lets connections that ask for no camera of ours through to another server.
    #[must_use]
    pub fn with_passthrough(mut self, passthrough: Passthrough) -> Self {
        self.passthrough = Some(passthrough);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`; then every session ends.
    pub async fn serve(self, shutdown: CancellationToken) {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let sessions = TaskTracker::new();
        if let Some(ports) = &server.ports {
            sessions.spawn(Arc::clone(ports).listen(shutdown.clone()));
        }
        loop {
            let accepted = tokio::select! {
                accepted = server.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let (socket, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: trying at once would only spin.
                    tracing::warn!("RTSP cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(%peer, "RTSP connection refused: {MAX_CONNECTIONS} are open");
                continue;
            };
            let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
            sessions.spawn(async move {
                tokio::select! {
                    () = server.attend(socket, peer) => {}
                    () = shutdown.cancelled() => {}
                }
                drop(place);
            });
        }
        sessions.close();
        sessions.wait().await;
    }

    /// Whether wrong passwords of this peer count. Programs of this machine share one address: one of them with an old
    /// password must not lock the others out.
    fn counts(&self, peer: SocketAddr) -> bool {
        self.authenticator.is_some() && !peer.ip().to_canonical().is_loopback()
    }

    /// Whether too many wrong passwords came from this peer's address.
    fn is_turned_away(&self, peer: SocketAddr) -> bool {
        self.counts(peer) && self.wrong_logins.is_blocked(peer.ip(), "", Instant::now())
    }

    async fn attend(&self, socket: TcpStream, peer: SocketAddr) {
        if self.is_turned_away(peer) {
            tracing::debug!(%peer, "RTSP connection refused: too many wrong passwords from its address");
            let _ = socket.try_write(TOO_MANY_FAILURES);
            return;
        }
        let passthrough = self.passthrough.as_ref().filter(|way| way.is_for(peer));
        let Some(passthrough) = passthrough else {
            return session::run(self, socket, peer, &[]).await;
        };
        match passthrough::sort(&self.hub, &socket).await {
            Sorted::Ours(first) => session::run(self, socket, peer, &first).await,
            Sorted::Through(first) => (passthrough.carry)(socket, peer, first).await,
            Sorted::Gone => {}
        }
    }
}
