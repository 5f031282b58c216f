use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dialer::Dialer;
use link::Transport;
use proto_tunnel::{AgentName, ByeReason, HeartbeatConfig, JoinCode, QuicOffer, ResumeConfig};
use store::{Agent, Store, TokenHash};
use throttle::{Limits, Throttle};
use tokio::time::Instant;
use tracing::warn;

use crate::dial::AgentDialer;
use crate::doors::Doors;
use crate::forward::ForwardState;
use crate::limit::Limit;
use crate::registry::{Registry, Slot};
use crate::{AgentStatus, Error, Forward, ForwardStatus, Identity, session};

/// Failures at the agents' door. Secrets have 256 bits, so this is not about guessing: it keeps a misconfigured agent
/// from filling logs and the state file's queue. A site's good agents share the address with a bad one, hence the room.
const FAILURES: Limits = Limits {
    of_name: 5,
    of_address: 50,
};

/// Times of the gateway. The defaults are for the field, tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct GatewayConfig {
    /// How long a peer may take to prove who it is.
    pub auth_timeout: Duration,
    /// Signs of life.
    pub heartbeat: HeartbeatConfig,
    /// How long a session may be without a connection before it, and all that it carries, is given up.
    pub resume_window: Duration,
    /// How long a dial waits for an agent that is away: a redial after a cut takes about a second.
    pub agent_wait: Duration,
    /// How long an agent may take to connect to a camera; a little more than it gives itself.
    pub open_timeout: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            auth_timeout: Duration::from_secs(10),
            heartbeat: HeartbeatConfig::default(),
            resume_window: ResumeConfig::default().patience,
            agent_wait: Duration::from_secs(10),
            open_timeout: Duration::from_secs(12),
        }
    }
}

impl GatewayConfig {
    pub(crate) fn resume(&self) -> ResumeConfig {
        ResumeConfig {
            heartbeat: self.heartbeat,
            patience: self.resume_window,
            ..ResumeConfig::default()
        }
    }
}

/// All agents' sessions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) config: GatewayConfig,
    pub(crate) registry: Registry,
    pub(crate) throttle: Throttle,
    pub(crate) doors: Doors,
    pub(crate) next_session: AtomicU64,
    enrolled: tokio::sync::Mutex<Option<Enrolled>>,
    /// Limits of single agents.
    limits: Mutex<HashMap<String, Arc<Limit>>>,
    /// What agents are told of QUIC.
    quic: Mutex<QuicOffer>,
    seen: Seen,
    pub(crate) forwards: Mutex<Vec<Weak<ForwardState>>>,
}

impl Gateway {
    /// A gateway for the agents in `store`.
    #[must_use]
    pub fn new(store: Store, config: GatewayConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                config,
                registry: Registry::new(),
                throttle: Throttle::new(FAILURES),
                doors: Doors::default(),
                next_session: AtomicU64::new(1),
                enrolled: tokio::sync::Mutex::new(None),
                limits: Mutex::new(HashMap::new()),
                quic: Mutex::new(QuicOffer::None),
                seen: Seen::default(),
                forwards: Mutex::new(Vec::new()),
            }),
        }
    }

    /// Runs one agent's session over a transport that was accepted from `peer`, until it ends. Reports what happens
    /// by itself; dropping the future ends the session.
    ///
    /// # Errors
    /// Why the peer was not let in, or how the session broke. A session that ended on purpose is no error.
    pub async fn accept(&self, transport: impl Transport, peer: SocketAddr) -> Result<(), Error> {
        session::run(&self.shared, transport, peer).await
    }

    /// Tells a peer that came without the certificate that [`Identity::demand_certificates`] asks for so. It gets no
    /// session, and what it says of itself is not looked at.
    ///
    /// # Errors
    /// Always: that it was refused, or did not get so far.
    pub async fn turn_away(
        &self,
        transport: impl Transport,
        peer: SocketAddr,
    ) -> Result<(), Error> {
        session::turn_away(&self.shared, transport, peer).await
    }

    /// Limits what connections through an agent carry together to so many bytes a second, each way. It holds for those that
    /// are opened from now on.
    pub fn limit_agent(&self, agent: &str, rate: u64) {
        let mut limits = self.shared.limits();
        limits.insert(agent.to_owned(), Arc::new(Limit::new(rate)));
    }

    /// A way to cameras through the agent of this name, which need not be connected, nor exist yet.
    #[must_use]
    pub fn dialer(&self, agent: &str) -> Arc<dyn Dialer> {
        Arc::new(AgentDialer::new(self.clone(), agent))
    }

    /// Takes the forward's port.
    ///
    /// # Errors
    /// [`Error::Listen`] when the port cannot be had.
    pub async fn bind_forward(&self, forward: Forward) -> Result<crate::BoundForward, Error> {
        crate::BoundForward::bind(self, forward).await
    }

    /// Takes all ports and serves them until `shutdown`.
    ///
    /// # Errors
    /// [`Error::Listen`], before any connection is served, when one of the ports cannot be had.
    pub async fn serve_forwards(
        &self,
        forwards: Vec<Forward>,
        shutdown: tokio_util::sync::CancellationToken,
    ) -> Result<(), Error> {
        let mut bound = Vec::new();
        for forward in forwards {
            bound.push(self.bind_forward(forward).await?);
        }
        futures_util::future::join_all(
            bound
                .into_iter()
                .map(|forward| forward.run(shutdown.clone())),
        )
        .await;
        Ok(())
    }

    /// A way to an agent's camera for connections that were accepted at `listen` by somebody else. Without a target it
    /// leads to what the agent calls its camera.
    #[must_use]
    pub fn passage(
        &self,
        listen: SocketAddr,
        agent: &str,
        target: Option<dialer::Target>,
    ) -> crate::Passage {
        crate::Passage::new(self, listen, agent, target)
    }

    /// What the agent says its camera is.
    pub(crate) fn reported_camera(&self, agent: &str) -> Option<dialer::Target> {
        let session = self.shared.registry.live(agent)?;
        let report = session
            .report
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let camera = report.as_ref()?.camera.as_ref()?;
        Some(dialer::Target::new(camera.host.clone(), camera.port))
    }

    /// All agents in the store with their live state, by name.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentStatus> {
        let known = self.shared.store.agents().unwrap_or_else(|error| {
            warn!(%error, "the state file cannot be read, agents are not listed");
            Vec::new()
        });
        let slots = self.shared.registry.slots();
        known
            .iter()
            .map(|agent| {
                let limit = self.shared.limit(&agent.name);
                status(agent, slots.get(&agent.name), limit.as_deref())
            })
            .collect()
    }

    /// All forwards that are bound.
    #[must_use]
    pub fn forwards(&self) -> Vec<ForwardStatus> {
        let mut forwards = self
            .shared
            .forwards
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        forwards.retain(|forward| forward.strong_count() > 0);
        forwards
            .iter()
            .filter_map(Weak::upgrade)
            .map(|forward| forward.status())
            .collect()
    }

    /// Whether the agent has a live session, and that a connection.
    #[must_use]
    pub fn is_connected(&self, agent: &str) -> bool {
        let live = self.shared.registry.live(agent);
        live.is_some_and(|session| session.mux.is_attached())
    }

    /// Adds an agent and makes its join code.
    ///
    /// # Errors
    /// When the name is taken or not a name, or an address is not `host:port`.
    pub fn add_agent(
        store: &Store,
        identity: &Identity,
        name: &str,
        addresses: Vec<String>,
    ) -> Result<JoinCode, Error> {
        let name: AgentName = name.parse()?;
        // The addresses are checked before anything is stored.
        let draft = JoinCode::new(
            addresses,
            identity.pin(),
            name.clone(),
            proto_tunnel::Secret::new([0; 32]),
        )?;
        let secret = store.add_agent(&name, store::JOIN_LIFETIME)?;
        Ok(JoinCode { secret, ..draft })
    }

    /// Says goodbye to all agents, which will redial, and waits a little for it to be heard.
    pub async fn shutdown(&self) {
        let sessions = self.shared.registry.all_live();
        for session in &sessions {
            session.leave(ByeReason::Shutdown, "the gateway is stopping");
        }
        let all =
            futures_util::future::join_all(sessions.iter().map(|session| session.mux.closed()));
        let _ = tokio::time::timeout(Duration::from_secs(3), all).await;
    }
}

/// Who is in the store, and when it was looked at. One look serves all sessions: with ten thousand of them, one each
/// would be all that the gateway does.
#[derive(Debug)]
struct Enrolled {
    at: Instant,
    tokens: HashMap<String, TokenHash>,
}

impl Shared {
    /// Whether the agent still has this token, by a look at the store that is younger than `since` and than a heartbeat.
    /// Nothing if the store cannot be read.
    pub(crate) async fn is_enrolled(
        &self,
        name: &AgentName,
        token: TokenHash,
        since: Instant,
    ) -> Option<bool> {
        let mut enrolled = self.enrolled.lock().await;
        let is_fresh =
            |seen: &&Enrolled| seen.at >= since && seen.at.elapsed() < self.config.heartbeat.busy;
        if enrolled.as_ref().filter(is_fresh).is_none() {
            let (store, at) = (self.store.clone(), Instant::now());
            let tokens = tokio::task::spawn_blocking(move || store.enrolled());
            let tokens = tokens.await.ok()?.ok()?;
            *enrolled = Some(Enrolled { at, tokens });
        }
        let stored = enrolled.as_ref()?.tokens.get(name.as_str());
        Some(stored == Some(&token))
    }

    fn limits(&self) -> MutexGuard<'_, HashMap<String, Arc<Limit>>> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limit(&self, agent: &str) -> Option<Arc<Limit>> {
        self.limits().get(agent).cloned()
    }

    pub(crate) fn quic_offer(&self) -> QuicOffer {
        *self.quic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn offer_quic(&self, offer: QuicOffer) {
        *self.quic.lock().unwrap_or_else(PoisonError::into_inner) = offer;
    }

    /// Writes down that the agent is here, or was until now. While one write is under way the next ones gather, and go
    /// in one: ten thousand agents that come back at once are some dozen writes.
    pub(crate) async fn note_seen(&self, name: &AgentName) {
        self.seen.names().push(name.clone());
        let _turn = self.seen.turn.lock().await;
        let names = std::mem::take(&mut *self.seen.names());
        if names.is_empty() {
            return;
        }
        let store = self.store.clone();
        let noted = tokio::task::spawn_blocking(move || store.note_agents_seen(&names));
        match noted.await {
            Ok(Ok(gone)) => {
                for name in &gone {
                    self.registry.forget(name.as_str());
                }
            }
            Ok(Err(error)) => warn!(agent = %name, %error, "the state file cannot be written"),
            Err(_) => {}
        }
    }
}

/// Agents that were seen since the last write.
#[derive(Debug, Default)]
struct Seen {
    /// One for each session at most: it waits until its agent is written down.
    names: Mutex<Vec<AgentName>>,
    turn: tokio::sync::Mutex<()>,
}

impl Seen {
    fn names(&self) -> MutexGuard<'_, Vec<AgentName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn status(agent: &Agent, slot: Option<&Slot>, limit: Option<&Limit>) -> AgentStatus {
    let live = slot.and_then(|slot| slot.live.as_deref());
    let past = slot.map(|slot| slot.past).unwrap_or_default();
    let flow = live.map(|session| session.mux.flow());
    let line = live.map(|session| session.mux.stats());
    let line = line.unwrap_or_default();
    let is_attached = live.is_some_and(|session| session.mux.is_attached());
    let hello = live.map(|session| session.hello());
    let seen = past.last_seen.max(agent.last_seen);
    AgentStatus {
        name: agent.name.clone(),
        joined: agent.joined.is_some(),
        connected: is_attached,
        reconnecting: live.is_some() && !is_attached,
        connected_since: live.map(|session| unix(session.since)),
        last_seen: if is_attached {
            Some(unix(SystemTime::now()))
        } else {
            seen.map(unix)
        },
        remote: live.map(|session| session.peer()),
        version: hello.as_ref().map(|hello| hello.program.clone()),
        host_name: hello.as_ref().map(|hello| hello.host_name.clone()),
        local_addresses: hello.map(|hello| hello.local_addresses).unwrap_or_default(),
        transport: live.map(|session| session.mux.transport()),
        rtt_ms: live.and_then(|session| {
            let trip = session.mux.round_trip()?;
            Some(trip.as_secs_f64() * 1000.0)
        }),
        bytes_received: past.received + flow.map_or(0, |flow| flow.received.value()),
        bytes_sent: past.sent + flow.map_or(0, |flow| flow.sent.value()),
        streams: live.map_or(0, |session| session.mux.open_streams()),
        streams_opened: past.opened + live.map_or(0, |session| session.opened.value()),
        streams_failed: past.failed + live.map_or(0, |session| session.failed.value()),
        reconnects: (past.connections + line.connections).saturating_sub(1),
        said_goodbye: live.is_none() && past.said_goodbye,
        last_heartbeat: live.and_then(|session| {
            let silent = session.mux.heard()?.elapsed();
            SystemTime::now().checked_sub(silent).map(unix)
        }),
        report: live.and_then(|session| {
            let report = session.report.lock();
            report.unwrap_or_else(PoisonError::into_inner).clone()
        }),
        sessions: slot.map_or(0, |slot| slot.sessions),
        sessions_lost: past.lost,
        bytes_replayed: past.replayed + line.replayed,
        limit: limit.map(Limit::rate),
        limited: limit.map(Limit::waited).unwrap_or_default(),
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
