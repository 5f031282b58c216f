use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the state could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An agent of this name exists.
    #[error("an agent named {0} exists already: remove it first to make a new join code")]
    AgentExists(String),
    /// No agent of this name.
    #[error("there is no agent named {0}")]
    NoSuchAgent(String),
    /// The table is full.
    #[error("there are {0} agents already, no more can be added")]
    TooManyAgents(usize),
    /// Another forward has this address.
    #[error("there is a forward on {0} already")]
    ForwardExists(SocketAddr),
    /// No forward has this address.
    #[error("no forward on {0} was made by the API")]
    NoSuchForward(SocketAddr),
    /// The table is full.
    #[error("there are {0} forwards already, no more can be added")]
    TooManyForwards(usize),
    /// The file comes from the future.
    #[error("{path} was written by a newer Eyelet (schema {found}, this program knows {known})")]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The folder or file cannot be used.
    #[error("cannot use {path}")]
    File {
        /// Folder or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// SQLite's own complaint.
    #[error("the state file failed")]
    Database(#[from] rusqlite::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}
