//! The far half of the tunnel: dials out, serves opens from its allow-list.
//!
//! [`Agent::run`] keeps one session to the gateway for as long as it is let: TCP, TLS 1.3 with the gateway's key
//! pinned (no authority, no clock), a WebSocket at `/agent`, then `link`'s streams; or QUIC with the same key and the
//! same streams, where UDP gets through ([`Transport`]). It redials for ever. The gateway
//! asks for connections; which targets it may have is decided here alone, by [`AllowList`]. There is no listening
//! socket, nothing is written to disk but the identity, and every queue is bounded.
//!
//! ```no_run
//! # async fn example() -> Result<(), agent::Error> {
//! let mut config = agent::AgentConfig::new("/var/lib/eyelet-agent");
//! config.join = Some("eyelet1.…".parse()?);
//! agent::Agent::new(config)?.run(std::future::pending()).await
//! # }
//! ```
#![warn(missing_docs)]

mod allow;
mod backoff;
mod certificate;
mod connect;
mod error;
mod follow;
mod identity;
mod keep;
mod known;
mod lease;
mod life;
mod log;
mod network;
mod pin;
mod prospect;
mod redial;
mod relay;
mod serve;
mod site;
mod unsent;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dialer::{Dialer, Direct};
use link::{Line, Mux, MuxConfig, SessionEnd, TransportKind};
use proto_tunnel::{Bye, ByeReason, HeartbeatConfig, JoinCode, ResumeConfig};
use tokio::sync::watch;
use tracing::{error, info, warn};

pub use allow::{AllowList, Allowed, DatagramRule, ParseAllowedError};
pub use certificate::Certificate;
use connect::{Connected, Socket};
pub use error::Error;
use identity::Identity;
pub use identity::default_state_dir;
pub use life::CameraNotes;
use life::Life;
pub use log::LogTail;
use prospect::Prospect;
pub use prospect::Transport;
use redial::Redial;

/// 4 MiB: 16 s of a stream of 2 Mbit/s, and what a camera with 32 MiB can spare for a while.
pub const DEFAULT_HOLD: usize = 4 << 20;

/// What an agent needs to know.
#[derive(Clone)]
pub struct AgentConfig {
    /// Where its identity is kept.
    pub state_dir: PathBuf,
    /// The code to join with; needed once, harmless later.
    pub join: Option<JoinCode>,
    /// The gateway's `host:port` where it is known better than when the agent joined; tried first.
    pub gateway: Option<String>,
    /// For gateways that ask for one.
    pub certificate: Option<Certificate>,
    /// What may carry its session.
    pub transport: Transport,
    /// What it may dial.
    pub allow: AllowList,
    /// How it dials.
    pub dialer: Arc<dyn Dialer>,
    /// Signs of life.
    pub heartbeat: HeartbeatConfig,
    /// The newest log lines, which the gateway may ask for.
    pub log: LogTail,
    /// What it tells of its camera.
    pub notes: CameraNotes,
    /// Starts the program anew; returns only if that failed. Without it the agent begins afresh in the same process.
    pub restart: Option<Arc<dyn Fn() + Send + Sync>>,
    /// How long the session, and all that it carries, is kept without a connection.
    pub resume_window: Duration,
    /// Most bytes of cameras that are kept, over all of them, while there is no connection.
    pub hold: usize,
    /// Factor on all pauses between redials; tests make them short.
    pub pace: f32,
    /// Whether it heeds changes of this machine's addresses and routes; many agents in one process need not.
    pub watches_network: bool,
}

impl std::fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentConfig")
            .field("state_dir", &self.state_dir)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

impl AgentConfig {
    /// Defaults: RTSP on this machine's loopback only, dialed directly.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            join: None,
            gateway: None,
            certificate: None,
            transport: Transport::default(),
            allow: AllowList::default(),
            dialer: Arc::new(Direct),
            heartbeat: HeartbeatConfig::default(),
            log: LogTail::new(),
            notes: CameraNotes::default(),
            restart: None,
            resume_window: ResumeConfig::default().patience,
            hold: DEFAULT_HOLD,
            pace: 1.0,
            watches_network: true,
        }
    }
}

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Dials the gateway.
    Connecting,
    /// Has a session.
    Connected,
    /// Waits before it dials again.
    Waiting,
}

/// One agent.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    identity: Identity,
    state: watch::Sender<State>,
}

impl Agent {
    /// Loads the identity, or makes one from the join code and stores it.
    ///
    /// # Errors
    /// When there is neither, or the state folder or the certificate cannot be used.
    pub fn new(config: AgentConfig) -> Result<Self, Error> {
        let mut identity = Identity::load_or_join(&config.state_dir, config.join.as_ref())?;
        if let Some(gateway) = &config.gateway {
            identity.prefer(gateway);
        }
        if let Some(certificate) = &config.certificate {
            identity.show(certificate)?;
        }
        Ok(Self {
            config,
            identity,
            state: watch::Sender::new(State::Connecting),
        })
    }

    /// Its name, as the gateway knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.identity.name.as_str()
    }

    /// Watches what it is doing.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Keeps a session to the gateway until `shutdown` resolves; then says goodbye and returns.
    ///
    /// # Errors
    /// Only when the gateway refuses the very first join: that needs a person. Anything later is retried for ever.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(shutdown);
        let prospect = Prospect::new(self.config.transport, self.resume(), self.config.pace);
        let mut redial = Redial::new(&self.config, prospect);
        let mut life = Arc::new(Life::new());
        // A connection for a new session, when the gateway had no more of the old one.
        let mut next = None;
        loop {
            let connected = match next.take() {
                Some(connected) => connected,
                None => tokio::select! {
                    () = &mut shutdown => return Ok(()),
                    connected = redial.dial(&self.identity, &self.state, None) => connected?,
                },
            };
            let Connected {
                socket,
                welcome,
                local,
            } = connected;
            let kind = socket.kind();
            self.welcomed(kind);
            let Some(mux) = self.begin(socket) else {
                continue;
            };
            life.note_session(local);
            let mut is_restart = false;
            let leave = async {
                let text = tokio::select! {
                    () = &mut shutdown => "the agent is stopping",
                    () = life.restart.notified() => {
                        is_restart = true;
                        "the agent is restarting"
                    }
                };
                Bye {
                    reason: ByeReason::Shutdown,
                    text: text.to_owned(),
                }
            };
            let after = tokio::select! {
                end = serve::serve(&mux, &self.config, &life, leave) => self.explain(end),
                replaced = self.keep(&mut redial, &mux, &welcome.ticket, &life, local) => {
                    next = replaced?;
                    continue;
                }
            };
            if kind == TransportKind::Quic {
                redial.note_quic_ended();
            }
            mux.close().await;
            if is_restart {
                if let Some(restart) = &self.config.restart {
                    restart();
                }
                life = Arc::new(Life::new());
                redial.plan_at_once();
                continue;
            }
            match after {
                After::Stop => return Ok(()),
                // A gateway that knows the connection no more says so at once.
                After::Redial if kind == TransportKind::Quic => redial.plan_at_once(),
                After::Redial => redial.plan_soon(),
                After::Wait => redial.plan_late(),
            }
        }
    }

    /// The streams of a session.
    fn begin(&self, socket: Socket) -> Option<Mux> {
        match socket {
            Socket::WebSocket(socket) => {
                let (line, handle) = Line::new(self.resume());
                handle.attach(socket, 0).ok()?;
                Some(Mux::client((line, handle), MuxConfig::agent()))
            }
            #[cfg(feature = "quic")]
            Socket::Quic(connection) => Some(Mux::quic(connection, MuxConfig::agent())),
        }
    }

    fn resume(&self) -> ResumeConfig {
        ResumeConfig {
            patience: self.config.resume_window,
            heartbeat: self.config.heartbeat,
            ..ResumeConfig::default()
        }
    }

    fn welcomed(&mut self, transport: TransportKind) {
        self.state.send_replace(State::Connected);
        info!(agent = %self.identity.name, %transport, "connected to the gateway");
        if self.identity.join_secret.take().is_some()
            && let Err(error) = self.identity.save(&self.config.state_dir)
        {
            // Harmless: the used secret stays in the file, and the token counts.
            warn!("cannot update the identity file: {}", error.chain());
        }
    }

    fn explain(&self, end: SessionEnd) -> After {
        match end {
            SessionEnd::Left(_) => return After::Stop,
            SessionEnd::PeerLeft(Bye {
                reason: ByeReason::Replaced,
                ..
            }) => {
                warn!("another agent with this identity has connected: is it running twice?");
                return After::Wait;
            }
            SessionEnd::PeerLeft(Bye {
                reason: ByeReason::Removed,
                ..
            }) => {
                error!("the gateway has removed this agent: join again with a new code");
                return After::Wait;
            }
            SessionEnd::PeerLeft(bye) => info!("the gateway ended the session: {}", bye.text),
            SessionEnd::Broken(error) => warn!("the session broke, redialing: {error}"),
        }
        After::Redial
    }
}

enum After {
    Stop,
    Redial,
    Wait,
}
