//! A port of this machine that is a camera's port: a plain byte pipe, for viewers that want the camera itself.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dialer::Target;
use link::{Counter, Flow, PipeEnd, PipeOptions, pipe};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::dial::AgentDialer;
use crate::early::Early;
use crate::{Error, ForwardStatus, Gateway};

/// Most connections through one forward: as many streams as one agent carries.
pub const MAX_FORWARD_CONNECTIONS: usize = proto_tunnel::MAX_STREAMS;

/// After a failed `accept` (out of file descriptors), the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What leads where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Port of this machine.
    pub listen: SocketAddr,
    /// Through which agent.
    pub agent: String,
    /// To which port, as seen from the agent.
    pub target: Target,
}

/// A forward that has its port. The port stays open while the agent is away.
#[derive(Debug)]
pub struct BoundForward {
    listener: TcpListener,
    state: Arc<ForwardState>,
    gateway: Gateway,
}

#[derive(Debug)]
pub(crate) struct ForwardState {
    forward: Forward,
    places: Arc<Semaphore>,
    accepted: Counter,
    failed: Counter,
    flow: Flow,
    last_error: Mutex<Option<String>>,
}

impl BoundForward {
    pub(crate) async fn bind(gateway: &Gateway, forward: Forward) -> Result<Self, Error> {
        let fail = |source: io::Error| Error::Listen {
            listen: forward.listen,
            target: forward.target.to_string(),
            source,
        };
        let listener = TcpListener::bind(forward.listen).await.map_err(fail)?;
        let listen = listener.local_addr().map_err(fail)?;
        let state = ForwardState::new(gateway, Forward { listen, ..forward });
        Ok(Self {
            listener,
            state,
            gateway: gateway.clone(),
        })
    }

    /// The port that was taken; it differs from the one asked for when that was 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.state.forward.listen
    }

    /// What leads where, with the port that was taken.
    #[must_use]
    pub fn forward(&self) -> &Forward {
        &self.state.forward
    }

    /// Serves until `shutdown`, then cuts what is left.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            listener,
            state,
            gateway,
        } = self;
        let Forward {
            listen,
            agent,
            target,
        } = &state.forward;
        info!(%listen, agent, %target, "forward is open");
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (viewer, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%listen, %error, "a viewer could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            state.accepted.add(1);
            let Ok(place) = Arc::clone(&state.places).try_acquire_owned() else {
                state.fail(&format!(
                    "all {MAX_FORWARD_CONNECTIONS} connections of this forward are in use"
                ));
                reset(&viewer);
                continue;
            };
            let (state, dialer) = (Arc::clone(&state), AgentDialer::new(gateway.clone(), agent));
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = state.serve(viewer, peer, &dialer, &state.forward.target, &[], place) => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

impl ForwardState {
    /// Known to the gateway for as long as somebody holds it.
    fn new(gateway: &Gateway, forward: Forward) -> Arc<Self> {
        let state = Arc::new(Self {
            forward,
            places: Arc::new(Semaphore::new(MAX_FORWARD_CONNECTIONS)),
            accepted: Counter::default(),
            failed: Counter::default(),
            flow: Flow::default(),
            last_error: Mutex::new(None),
        });
        let mut forwards = gateway
            .shared
            .forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        forwards.retain(|known| known.strong_count() > 0);
        forwards.push(Arc::downgrade(&state));
        drop(forwards);
        state
    }

    /// Carries one connection; `first` has been read from it already.
    async fn serve(
        &self,
        mut viewer: TcpStream,
        peer: SocketAddr,
        dialer: &AgentDialer,
        target: &Target,
        first: &[u8],
        _place: OwnedSemaphorePermit,
    ) {
        let agent = &self.forward.agent;
        let _ = viewer.set_nodelay(true);
        // A viewer that vanished without a word is found in a few minutes at the latest.
        let _ = keep_alive(&viewer);
        let mut early = Early::of(&viewer, first);
        let opened = tokio::select! {
            opened = dialer.open(target, &mut early) => opened,
            // A viewer that gave up while the agent was away must not hold a place.
            () = gone(&viewer) => return,
        };
        let mut camera = match opened {
            Ok(camera) => camera,
            Err(error) => {
                warn!(agent, %target, %peer, %error, "forward has no way to the camera");
                self.fail(&error.to_string());
                reset(&viewer);
                return;
            }
        };
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        debug!(agent, %target, %peer, "forward connected");
        self.flow.sent.add(early.bytes().len() as u64);
        match pipe(&mut viewer, &mut camera, PipeOptions::default(), &self.flow).await {
            PipeEnd::Complete => debug!(agent, %target, %peer, "forward connection complete"),
            PipeEnd::Idle => {
                info!(agent, %target, %peer, "forward connection was silent too long");
                reset(&viewer);
            }
            PipeEnd::Broken(error) => {
                debug!(agent, %target, %peer, %error, "forward connection broke");
                reset(&viewer);
            }
        }
    }

    fn fail(&self, reason: &str) {
        self.failed.add(1);
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    pub(crate) fn status(&self) -> ForwardStatus {
        ForwardStatus {
            listen: self.forward.listen,
            agent: self.forward.agent.clone(),
            target: self.forward.target.to_string(),
            connections: MAX_FORWARD_CONNECTIONS.saturating_sub(self.places.available_permits()),
            accepted: self.accepted.value(),
            failed: self.failed.value(),
            bytes_received: self.flow.received.value(),
            bytes_sent: self.flow.sent.value(),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }
}

/// A way to an agent's camera for connections that somebody else accepted, counted like a forward.
#[derive(Clone, Debug)]
pub struct Passage {
    state: Arc<ForwardState>,
    gateway: Gateway,
    /// Where it leads; if nobody said, to what the agent calls its camera.
    target: Option<Target>,
}

impl Passage {
    pub(crate) fn new(
        gateway: &Gateway,
        listen: SocketAddr,
        agent: &str,
        target: Option<Target>,
    ) -> Self {
        let forward = Forward {
            listen,
            agent: agent.to_owned(),
            target: target.clone().unwrap_or_else(own_camera),
        };
        Self {
            state: ForwardState::new(gateway, forward),
            gateway: gateway.clone(),
            target,
        }
    }

    /// Carries a viewer's connection, of which `first` has been read already, until it ends.
    pub async fn carry(&self, viewer: TcpStream, peer: SocketAddr, first: &[u8]) {
        let state = &self.state;
        state.accepted.add(1);
        let Ok(place) = Arc::clone(&state.places).try_acquire_owned() else {
            state.fail(&format!(
                "all {MAX_FORWARD_CONNECTIONS} connections of this forward are in use"
            ));
            reset(&viewer);
            return;
        };
        let agent = &state.forward.agent;
        let dialer = AgentDialer::new(self.gateway.clone(), agent);
        let target = match &self.target {
            Some(target) => target.clone(),
            None => self
                .gateway
                .reported_camera(agent)
                .unwrap_or_else(own_camera),
        };
        state
            .serve(viewer, peer, &dialer, &target, first, place)
            .await;
    }
}

/// RTSP on the agent's own machine, which every agent allows unless it was told otherwise.
fn own_camera() -> Target {
    Target::new("127.0.0.1", 554)
}

/// What follows is a reset when the socket is dropped: a viewer must not take a cut for the end of the data.
fn reset(viewer: &TcpStream) {
    let _ = viewer.set_zero_linger();
}

fn keep_alive(viewer: &TcpStream) -> io::Result<()> {
    let settings = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(20));
    socket2::SockRef::from(viewer).set_tcp_keepalive(&settings)
}

/// Resolves when the viewer has reset the connection. Bytes that it sent stay where they are. An end of its sending
/// alone says nothing: it may wait for the camera's bytes all the same.
async fn gone(viewer: &TcpStream) {
    if viewer.peek(&mut [0; 1]).await.is_ok() {
        std::future::pending().await
    }
}
