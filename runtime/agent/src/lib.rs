//! The far half of the tunnel: dials out, serves opens from its allow-list.
//!
//! [`Agent::run`] keeps one session to the gateway for as long as it is let: TCP, TLS 1.3 with the gateway's key
//! pinned (no authority, no clock), a WebSocket at `/agent`, then `link`'s streams. It redials for ever. The gateway
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
mod connect;
mod error;
mod identity;
mod lease;
mod life;
mod log;
mod pin;
mod serve;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dialer::{Dialer, Direct};
use link::SessionEnd;
use proto_tunnel::{Bye, ByeReason, HeartbeatConfig, JoinCode, Refusal};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

pub use allow::AllowList;
use backoff::Backoff;
pub use error::Error;
use identity::Identity;
pub use identity::default_state_dir;
pub use life::CameraNotes;
use life::Life;
pub use log::LogTail;

/// What an agent needs to know.
#[derive(Clone)]
pub struct AgentConfig {
    /// Where its identity is kept.
    pub state_dir: PathBuf,
    /// The code to join with; needed once, harmless later.
    pub join: Option<JoinCode>,
    /// The gateway's `host:port` where it is known better than when the agent joined; tried first.
    pub gateway: Option<String>,
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
    /// Factor on all pauses between redials; tests make them short.
    pub pace: f32,
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
            allow: AllowList::default(),
            dialer: Arc::new(Direct),
            heartbeat: HeartbeatConfig::default(),
            log: LogTail::new(),
            notes: CameraNotes::default(),
            restart: None,
            pace: 1.0,
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

/// A session shorter than this does not count as a success for the pauses between redials.
const STABLE: Duration = Duration::from_secs(30);
/// Pause after a refusal or a replacement, which time alone rarely mends.
const LONG_PAUSE: Duration = Duration::from_secs(30);

impl Agent {
    /// Loads the identity, or makes one from the join code and stores it.
    ///
    /// # Errors
    /// When there is neither, or the state folder cannot be used.
    pub fn new(config: AgentConfig) -> Result<Self, Error> {
        let mut identity = Identity::load_or_join(&config.state_dir, config.join.as_ref())?;
        if let Some(gateway) = &config.gateway {
            identity.prefer(gateway);
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
        let mut backoff = Backoff::new(self.config.pace);
        let mut life = Arc::new(Life::new());
        loop {
            self.state.send_replace(State::Connecting);
            let connected = tokio::select! {
                () = &mut shutdown => return Ok(()),
                connected = connect::connect(&self.identity) => connected,
            };
            let pause = match connected {
                Ok(session) => {
                    self.welcomed();
                    let start = Instant::now();
                    life.sessions.fetch_add(1, Ordering::Relaxed);
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
                    let end = serve::serve(session, &self.config, &life, leave).await;
                    if is_restart {
                        if let Some(restart) = &self.config.restart {
                            restart();
                        }
                        life = Arc::new(Life::new());
                        backoff.reset();
                        continue;
                    }
                    if start.elapsed() >= STABLE {
                        backoff.reset();
                    }
                    match self.explain(end) {
                        After::Stop => return Ok(()),
                        After::Redial => backoff.next(),
                        After::Wait => backoff.stretch(LONG_PAUSE),
                    }
                }
                Err(Error::Refused { reason, text }) => {
                    error!(reason = ?reason, "the gateway refused this agent: {text}");
                    if self.identity.join_secret.is_some() && reason == Refusal::Unauthorized {
                        return Err(Error::Refused { reason, text });
                    }
                    match reason {
                        Refusal::Busy => backoff.next(),
                        Refusal::Unauthorized
                        | Refusal::Version
                        | Refusal::RateLimited
                        | Refusal::Malformed
                        | Refusal::Other(_) => backoff.stretch(LONG_PAUSE),
                    }
                }
                Err(error) => {
                    let pause = backoff.next();
                    warn!(retry_in = ?pause, "cannot reach the gateway: {}", error.chain());
                    pause
                }
            };
            self.state.send_replace(State::Waiting);
            tokio::select! {
                () = &mut shutdown => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn welcomed(&mut self) {
        self.state.send_replace(State::Connected);
        info!(agent = %self.identity.name, "connected to the gateway");
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
            SessionEnd::Dead => warn!("the gateway gives no sign of life, redialing"),
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
