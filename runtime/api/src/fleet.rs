//! The gateway's half of the tunnel, as the API sees it.

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use link::Transport;
use tunnel::{
    AgentStatus, CommandError, ForwardError, ForwardStatus, Gateway, LogLine, Report, Returned,
    SavedForwards, Target,
};

/// What the API asks of the tunnel.
pub trait Agents: Send + Sync {
    /// All agents that may come, connected or not, by name. May read a disk.
    fn list(&self) -> Vec<AgentStatus>;

    /// All forwards that have their port.
    fn forwards(&self) -> Vec<ForwardStatus>;

    /// Talks with a peer that says it is an agent until it leaves.
    fn accept(&self, transport: Box<dyn Transport>, peer: SocketAddr) -> BoxFuture<'static, ()>;

    /// Tells a peer that says it is an agent, and has not shown the certificate that agents must have, so.
    fn turn_away(&self, transport: Box<dyn Transport>, peer: SocketAddr) -> BoxFuture<'static, ()>;

    /// Has an agent start anew; resolves when it is back.
    fn restart(&self, agent: String) -> BoxFuture<'static, Result<Returned, CommandError>>;

    /// Has an agent's tunnel made anew; resolves when it stands.
    fn reconnect(&self, agent: String) -> BoxFuture<'static, Result<Returned, CommandError>>;

    /// The newest lines of an agent's log.
    fn log(&self, agent: String) -> BoxFuture<'static, Result<Vec<LogLine>, CommandError>>;

    /// What an agent tells of itself and its camera now.
    fn report(&self, agent: String) -> BoxFuture<'static, Result<Report, CommandError>>;

    /// Makes a forward that lasts: agent, target, and where it listens if somebody cares.
    fn add_forward(
        &self,
        agent: String,
        target: Target,
        listen: Option<SocketAddr>,
    ) -> BoxFuture<'static, Result<SocketAddr, ForwardError>>;

    /// Removes a forward that was made that way. May write to a disk.
    fn remove_forward(&self, listen: SocketAddr) -> Result<(), ForwardError>;

    /// Whether a forward was made that way.
    fn is_saved(&self, listen: SocketAddr) -> bool;
}

/// The tunnel of this process.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Agents' sessions.
    pub gateway: Gateway,
    /// Forwards that last.
    pub forwards: SavedForwards,
}

impl Agents for Fleet {
    fn list(&self) -> Vec<AgentStatus> {
        self.gateway.agents()
    }

    fn forwards(&self) -> Vec<ForwardStatus> {
        self.gateway.forwards()
    }

    fn accept(&self, transport: Box<dyn Transport>, peer: SocketAddr) -> BoxFuture<'static, ()> {
        let gateway = self.gateway.clone();
        Box::pin(async move {
            // It reports its ends by itself.
            let _ = gateway.accept(transport, peer).await;
        })
    }

    fn turn_away(&self, transport: Box<dyn Transport>, peer: SocketAddr) -> BoxFuture<'static, ()> {
        let gateway = self.gateway.clone();
        Box::pin(async move {
            let _ = gateway.turn_away(transport, peer).await;
        })
    }

    fn restart(&self, agent: String) -> BoxFuture<'static, Result<Returned, CommandError>> {
        let gateway = self.gateway.clone();
        Box::pin(async move { gateway.restart_agent(&agent).await })
    }

    fn reconnect(&self, agent: String) -> BoxFuture<'static, Result<Returned, CommandError>> {
        let gateway = self.gateway.clone();
        Box::pin(async move { gateway.restart_tunnel(&agent).await })
    }

    fn log(&self, agent: String) -> BoxFuture<'static, Result<Vec<LogLine>, CommandError>> {
        let gateway = self.gateway.clone();
        Box::pin(async move { gateway.agent_log(&agent).await })
    }

    fn report(&self, agent: String) -> BoxFuture<'static, Result<Report, CommandError>> {
        let gateway = self.gateway.clone();
        Box::pin(async move { gateway.agent_report(&agent).await })
    }

    fn add_forward(
        &self,
        agent: String,
        target: Target,
        listen: Option<SocketAddr>,
    ) -> BoxFuture<'static, Result<SocketAddr, ForwardError>> {
        let forwards = self.forwards.clone();
        Box::pin(async move { forwards.add(&agent, target, listen).await })
    }

    fn remove_forward(&self, listen: SocketAddr) -> Result<(), ForwardError> {
        self.forwards.remove(listen)
    }

    fn is_saved(&self, listen: SocketAddr) -> bool {
        self.forwards.contains(listen)
    }
}
