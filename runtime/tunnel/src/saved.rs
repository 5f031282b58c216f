//! Forwards that are made and removed while the gateway runs, and are there again after a restart.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dialer::Target;
use store::{FORWARD_PORTS, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::{BoundForward, Error, Forward, Gateway};

/// Pause between attempts to get a port that another program holds.
const BIND_PAUSE: Duration = Duration::from_secs(5);

/// The forwards in the store, each with a task that serves it. Clones are the same.
#[derive(Clone, Debug)]
pub struct SavedForwards {
    gateway: Gateway,
    store: Store,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    running: Arc<Mutex<HashMap<SocketAddr, CancellationToken>>>,
}

/// Why a forward cannot be made or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// No agent of this name.
    #[error("there is no agent named {0}")]
    UnknownAgent(String),
    /// An address that others reach.
    #[error(
        "{0} is not on loopback: a port that others can reach is only opened by the configuration file"
    )]
    NotLoopback(SocketAddr),
    /// Every port of the range is taken.
    #[error("no port between {} and {} is free", FORWARD_PORTS.start(), FORWARD_PORTS.end())]
    NoPort,
    /// The port cannot be had.
    #[error("cannot listen at {listen}: {source}")]
    Listen {
        /// The port.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Another forward has this address.
    #[error("there is a forward on {0} already")]
    Taken(SocketAddr),
    /// No forward of this address was made here.
    #[error("no forward on {0} was made by the API")]
    Unknown(SocketAddr),
    /// The state file failed, or is full.
    #[error(transparent)]
    Store(store::Error),
}

impl From<store::Error> for ForwardError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::ForwardExists(listen) => Self::Taken(listen),
            store::Error::NoSuchForward(listen) => Self::Unknown(listen),
            other => Self::Store(other),
        }
    }
}

impl SavedForwards {
    /// Serves what is in the store until `shutdown`. A port that another program holds is waited for.
    ///
    /// # Errors
    /// The state file's failure.
    pub fn start(
        gateway: &Gateway,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, store::Error> {
        let store = gateway.shared.store.clone();
        let this = Self {
            gateway: gateway.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
            running: Arc::default(),
            store,
        };
        for saved in this.store.forwards()? {
            match saved.target.parse() {
                Ok(target) => this.keep(Forward {
                    listen: saved.listen,
                    agent: saved.agent,
                    target,
                }),
                Err(_) => {
                    warn!(listen = %saved.listen, target = saved.target, "a saved forward leads to no HOST:PORT and is left out");
                }
            }
        }
        Ok(this)
    }

    /// Makes a forward on loopback and keeps it in the store; without `listen` on a free port, which it keeps.
    ///
    /// # Errors
    /// When the agent is unknown, or the port cannot be had.
    pub async fn add(
        &self,
        agent: &str,
        target: Target,
        listen: Option<SocketAddr>,
    ) -> Result<SocketAddr, ForwardError> {
        if self.store.agent(agent)?.is_none() {
            return Err(ForwardError::UnknownAgent(agent.to_owned()));
        }
        if let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) {
            return Err(ForwardError::NotLoopback(listen));
        }
        let forward = |listen| Forward {
            listen,
            agent: agent.to_owned(),
            target: target.clone(),
        };
        let bound = match listen {
            Some(listen) => self.bind(forward(listen)).await?,
            None => self.bind_free(forward).await?,
        };
        let forward = bound.forward().clone();
        self.store.add_forward(&store::Forward {
            listen: forward.listen,
            agent: forward.agent,
            target: forward.target.to_string(),
        })?;
        self.serve(bound);
        Ok(forward.listen)
    }

    /// Ends a forward and everything on it, and takes it out of the store.
    ///
    /// # Errors
    /// When it was not made here: the configuration file's forwards are the file's.
    pub fn remove(&self, listen: SocketAddr) -> Result<(), ForwardError> {
        self.store.remove_forward(listen)?;
        if let Some(end) = self.running().remove(&listen) {
            end.cancel();
        }
        Ok(())
    }

    /// Whether the forward on this address is one of the store's.
    #[must_use]
    pub fn contains(&self, listen: SocketAddr) -> bool {
        self.running().contains_key(&listen)
    }

    async fn bind(&self, forward: Forward) -> Result<BoundForward, ForwardError> {
        self.gateway
            .bind_forward(forward)
            .await
            .map_err(|error| match error {
                Error::Listen { listen, source, .. } => ForwardError::Listen { listen, source },
                other => ForwardError::Listen {
                    listen: (Ipv4Addr::LOCALHOST, 0).into(),
                    source: io::Error::other(other),
                },
            })
    }

    async fn bind_free(
        &self,
        forward: impl Fn(SocketAddr) -> Forward,
    ) -> Result<BoundForward, ForwardError> {
        // One whose port another program holds for now keeps its claim.
        let taken: Vec<SocketAddr> = self
            .store
            .forwards()?
            .iter()
            .map(|saved| saved.listen)
            .collect();
        for port in FORWARD_PORTS {
            let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            if taken.contains(&listen) {
                continue;
            }
            match self.bind(forward(listen)).await {
                Err(ForwardError::Listen { .. }) => {}
                bound => return bound,
            }
        }
        Err(ForwardError::NoPort)
    }

    fn serve(&self, bound: BoundForward) {
        let end = self.enter(bound.local_addr());
        self.tasks.spawn(bound.run(end));
    }

    /// Serves a forward as soon as its port can be had.
    fn keep(&self, forward: Forward) {
        let end = self.enter(forward.listen);
        let gateway = self.gateway.clone();
        self.tasks.spawn(async move {
            let mut is_told = false;
            loop {
                match gateway.bind_forward(forward.clone()).await {
                    Ok(bound) => return bound.run(end).await,
                    Err(error) if !is_told => {
                        warn!(listen = %forward.listen, %error, "a saved forward waits for its port");
                        is_told = true;
                    }
                    Err(_) => {}
                }
                tokio::select! {
                    () = end.cancelled() => return,
                    () = tokio::time::sleep(BIND_PAUSE) => {}
                }
            }
        });
    }

    fn enter(&self, listen: SocketAddr) -> CancellationToken {
        let end = self.shutdown.child_token();
        self.running().insert(listen, end.clone());
        end
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
