//! Durable state in one SQLite file: the agents, the forwards that were made while the gateway ran, and A9 cameras.
//!
//! The gateway and the command line have the file open at the same time; every method is one short transaction.
//! Calls block for a few microseconds, a writer at most for [`BUSY_TIMEOUT`]. Only hashes of secrets and tokens are
//! stored. The crate knows no protocol, no sockets and no configuration.
//!
//! ```
//! let dir = tempfile::tempdir()?;
//! let store = store::Store::open(dir.path())?;
//! let secret = store.add_agent(&"shed".parse()?, store::JOIN_LIFETIME)?;
//! assert_eq!(store.agents()?.len(), 1);
//! # let _ = secret;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod a9;
mod agents;
mod error;
mod file;
mod forwards;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

pub use a9::{A9Camera, MAX_ISSUED};
pub use agents::{Agent, Credential, JOIN_LIFETIME, MAX_AGENTS, TokenHash};
pub use error::Error;
pub use forwards::{FORWARD_PORTS, Forward, MAX_FORWARDS};

/// Longest wait for another process that writes.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The state file. Cheap to clone; all clones share two connections, so reads never wait for a write.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
}

impl Store {
    /// Opens or creates `eyelet.db` in `data_dir`, itself created if missing (0700; the file 0600).
    ///
    /// # Errors
    /// When the folder or the file cannot be used, or was written by a newer Eyelet.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        let path = file::prepare(data_dir)?;
        let mut writer = file::connect(&path)?;
        file::migrate(&mut writer, &path)?;
        let reader = file::connect(&path)?;
        Ok(Self {
            shared: Arc::new(Shared {
                path,
                reader: Mutex::new(reader),
                writer: Mutex::new(writer),
            }),
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.shared
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.shared
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
