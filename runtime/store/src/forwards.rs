//! Forwards that were made while the gateway ran. They keep their port for as long as they exist: a recorder has it in
//! its configuration.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use rusqlite::{Row, TransactionBehavior, params};

use crate::agents::now;
use crate::{Error, Store};

/// Most forwards in the file; each is a port of this machine.
pub const MAX_FORWARDS: usize = 1_000;

/// Where ports come from when nobody names one: RTSP's customary 8554 with a 1 before it, below the range that systems
/// hand out by themselves.
pub const FORWARD_PORTS: RangeInclusive<u16> = 18_554..=19_553;

/// One forward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The port on this machine.
    pub listen: SocketAddr,
    /// Through which agent.
    pub agent: String,
    /// To which `HOST:PORT`, as seen from the agent.
    pub target: String,
}

impl Store {
    /// All forwards, the oldest first.
    ///
    /// # Errors
    /// The file's failure.
    pub fn forwards(&self) -> Result<Vec<Forward>, Error> {
        let reader = self.reader();
        let mut query = reader.prepare_cached(
            "SELECT listen, agent, target FROM forwards ORDER BY created, listen",
        )?;
        let forwards = query.query_map([], forward)?.collect::<Result<_, _>>()?;
        Ok(forwards)
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`Error::ForwardExists`], [`Error::TooManyForwards`], or the file's failure.
    pub fn add_forward(&self, forward: &Forward) -> Result<(), Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let count: u32 =
            transaction.query_row("SELECT count(*) FROM forwards", [], |row| row.get(0))?;
        if count as usize >= MAX_FORWARDS {
            return Err(Error::TooManyForwards(MAX_FORWARDS));
        }
        let added = transaction.execute(
            "INSERT INTO forwards (listen, agent, target, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![forward.listen.to_string(), forward.agent, forward.target, now()],
        )?;
        if added == 0 {
            return Err(Error::ForwardExists(forward.listen));
        }
        transaction.commit()?;
        Ok(())
    }

    /// Removes the one with this address.
    ///
    /// # Errors
    /// [`Error::NoSuchForward`], or the file's failure.
    pub fn remove_forward(&self, listen: SocketAddr) -> Result<(), Error> {
        let removed = self.writer().execute(
            "DELETE FROM forwards WHERE listen = ?1",
            [listen.to_string()],
        )?;
        if removed == 0 {
            return Err(Error::NoSuchForward(listen));
        }
        Ok(())
    }
}

fn forward(row: &Row<'_>) -> rusqlite::Result<Forward> {
    let listen: String = row.get(0)?;
    let listen = listen.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    Ok(Forward {
        listen,
        agent: row.get(1)?,
        target: row.get(2)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_there_after_a_restart_and_its_address_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let forward = Forward {
            listen: "127.0.0.1:18554".parse().unwrap(),
            agent: "shed".into(),
            target: "127.0.0.1:554".into(),
        };
        let store = Store::open(folder.path()).unwrap();
        store.add_forward(&forward).unwrap();
        assert!(matches!(
            store.add_forward(&forward),
            Err(Error::ForwardExists(_))
        ));
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.forwards().unwrap(), std::slice::from_ref(&forward));
        store.remove_forward(forward.listen).unwrap();
        assert!(matches!(
            store.remove_forward(forward.listen),
            Err(Error::NoSuchForward(_))
        ));
        assert!(store.forwards().unwrap().is_empty());
    }
}
