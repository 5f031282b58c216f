use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What failed at the gateway's half.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A peer at the agents' door was not let in.
    #[error("{peer} was refused: {reason}")]
    Refused {
        /// Where it came from.
        peer: SocketAddr,
        /// Why, as logged.
        reason: String,
    },
    /// A peer said nothing useful in time.
    #[error("{0} did not say who it is in time")]
    TimedOut(SocketAddr),
    /// A session ended by failure; the agent will redial.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A join code cannot be made of these addresses.
    #[error(transparent)]
    Join(#[from] proto_tunnel::Error),
    /// The gateway's key or certificate cannot be used.
    #[error("cannot use {path}: {reason}")]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificates of agents' authorities cannot be used.
    #[error("cannot use {path}, which `http.agent_ca` names: {reason}")]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The UDP port for agents cannot be had.
    #[error("cannot take agents by QUIC at {listen}")]
    Quic {
        /// The port.
        listen: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A forward's port cannot be had.
    #[error("cannot listen at {listen} for the forward to {target}")]
    Listen {
        /// The port.
        listen: SocketAddr,
        /// What it should lead to.
        target: String,
        /// The system's reason.
        source: io::Error,
    },
}
