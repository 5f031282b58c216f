//! A camera that speaks RTSP, media interleaved in the connection.

mod connection;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto_rtsp::Authenticator;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Fault;
use crate::source::{Kind, Source, wall_time};

/// How long a listener rests when accepting fails, as when files run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A simulated RTSP camera. Clones are the same camera.
///
/// It answers at any path, over TCP interleaved only: a player that proposes UDP is told 461, as
/// by a camera behind a firewall. Media runs on one clock, whoever watches.
#[derive(Clone, Debug)]
pub struct RtspCamera {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    login: Option<(String, String)>,
    authenticator: Option<Arc<Authenticator>>,
    seed: [u8; 32],
    epoch: Instant,
    fault: watch::Sender<Option<Fault>>,
    /// Goes up when all connections are to be cut.
    cuts: watch::Sender<u64>,
    connections: AtomicU64,
    players: AtomicU64,
}

impl RtspCamera {
    /// An evening porch in H.264, 640x360 at 25 pictures a second, and a door chime in G.711.
    #[must_use]
    pub fn porch() -> Self {
        Self::new(Kind::Porch)
    }

    /// Colour bars and a clock in JPEG, drawn live, ten pictures a second.
    #[must_use]
    pub fn jpeg() -> Self {
        Self::new(Kind::Bars)
    }

    fn new(kind: Kind) -> Self {
        let epoch = Instant::now();
        let shared = Shared {
            source: Source::new(kind),
            login: None,
            authenticator: None,
            seed: seed(),
            epoch,
            fault: watch::Sender::new(None),
            cuts: watch::Sender::new(0),
            connections: AtomicU64::new(0),
            players: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The same camera, freshly started, which wants this login.
    #[must_use]
    pub fn with_login(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let login = (user.into(), password.into());
        let mut camera = Self::new(self.shared.source.kind);
        if let Some(shared) = Arc::get_mut(&mut camera.shared) {
            let now = shared.epoch.into_std();
            let users = vec![login.clone()];
            let authenticator = Authenticator::new("camera", users, shared.seed, now);
            shared.authenticator = Some(Arc::new(authenticator));
            shared.login = Some(login);
            shared.fault.send_replace(*self.shared.fault.borrow());
        }
        camera
    }

    /// The same camera with a fault from the start.
    #[must_use]
    pub fn with_fault(self, fault: Fault) -> Self {
        self.set_fault(Some(fault));
        self
    }

    /// Lets the camera misbehave from here on, or no longer.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared.fault.send_replace(fault);
    }

    /// Cuts every connection, once.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Players that are being sent media.
    #[must_use]
    pub fn players(&self) -> u64 {
        self.shared.players.load(Ordering::Relaxed)
    }

    /// The address to watch it at, login included, if it listens at `address`.
    #[must_use]
    pub fn url(&self, address: impl std::fmt::Display) -> String {
        match &self.shared.login {
            Some((user, password)) => format!("rtsp://{user}:{password}@{address}/stream1"),
            None => format!("rtsp://{address}/stream1"),
        }
    }

    /// Serves everyone who connects. Ends only by being dropped, and its connections with it.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        // Small packets must not wait for acknowledgements; without, it is only slower.
                        drop(socket.set_nodelay(true));
                        let camera = self.clone();
                        connections.spawn(async move { camera.serve_connection(socket).await });
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_REST).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one connection, until either side closes it.
    pub async fn serve_connection<T>(&self, io: T) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        connection::run(&self.shared, io, number).await
    }
}

/// Different at each start. A simulated camera's secrets protect nothing, so the clock is enough.
pub(crate) fn seed() -> [u8; 32] {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let start = STARTS.fetch_add(1, Ordering::Relaxed);
    let mut state = wall_time().as_nanos() as u64 ^ start.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut seed = [0; 32];
    for chunk in seed.chunks_exact_mut(8) {
        chunk.copy_from_slice(&mix(&mut state).to_le_bytes());
    }
    seed
}

/// One step of SplitMix64.
pub(crate) fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
