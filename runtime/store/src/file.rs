//! The file itself: place, modes, pragmas, migrations.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::{BUSY_TIMEOUT, Error};

const FILE: &str = "eyelet.db";

/// Each entry leads from its index to the next version; entries are never changed once released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE agents (
        name          TEXT PRIMARY KEY,
        created       INTEGER NOT NULL,   -- unix seconds, as all times here
        secret_hash   BLOB,               -- SHA-256 of the one-time secret; NULL once used
        secret_expiry INTEGER,
        token_hash    BLOB,               -- SHA-256 of the agent's token; NULL until it joined
        joined        INTEGER,
        last_seen     INTEGER
    ) STRICT;
",
    "
    CREATE TABLE forwards (
        listen  TEXT PRIMARY KEY,         -- 127.0.0.1:18554
        agent   TEXT NOT NULL,
        target  TEXT NOT NULL,
        created INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE a9_cameras (
        uid     TEXT PRIMARY KEY COLLATE NOCASE,
        name    TEXT,                     -- NULL for a device code that was given out and not accepted
        created INTEGER NOT NULL
    ) STRICT;
",
];

pub(crate) fn prepare(dir: &Path) -> Result<PathBuf, Error> {
    if !dir.is_dir() {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).map_err(|source| Error::File {
            path: dir.to_owned(),
            source,
        })?;
    }
    let path = dir.join(FILE);
    // SQLite gives its journal files the mode of the main file, so creating that one privately is enough.
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(&path)
        .and_then(|_| restrict(&path))
        .map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
    Ok(path)
}

/// A file copied back from a backup may be readable by all.
fn restrict(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    Ok(())
}

pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    // An agent's token must survive a power cut right after it was told that it is welcome.
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(Error::NewerSchema {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
