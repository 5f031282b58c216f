//! A9 cameras: who was accepted, and which device codes were given out.

use rusqlite::params;

use crate::agents::now;
use crate::{Error, Store};

/// Most device codes that are given out and never used: a slip or a flood must not fill the disk.
pub const MAX_ISSUED: usize = 1000;

/// A camera as an operator knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct A9Camera {
    /// Device code; the case of its letters counts for nothing.
    pub uid: String,
    /// Its name, if it was accepted; without one it was only given its code.
    pub name: Option<String>,
}

impl Store {
    /// All cameras, by device code.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn a9_cameras(&self) -> Result<Vec<A9Camera>, Error> {
        let connection = self.reader();
        let mut statement =
            connection.prepare_cached("SELECT uid, name FROM a9_cameras ORDER BY uid")?;
        let cameras = statement.query_map([], |row| {
            Ok(A9Camera {
                uid: row.get(0)?,
                name: row.get(1)?,
            })
        })?;
        Ok(cameras.collect::<Result<_, _>>()?)
    }

    /// Writes down that a camera is accepted under this name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn accept_a9(&self, uid: &str, name: &str) -> Result<(), Error> {
        self.writer().execute(
            "INSERT INTO a9_cameras (uid, name, created) VALUES (?1, ?2, ?3)
             ON CONFLICT (uid) DO UPDATE SET name = excluded.name",
            params![uid, name, now()],
        )?;
        Ok(())
    }

    /// Takes back that a camera was accepted. Its device code stays given out.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn forget_a9(&self, uid: &str) -> Result<(), Error> {
        self.writer().execute(
            "UPDATE a9_cameras SET name = NULL WHERE uid = ?1",
            params![uid],
        )?;
        Ok(())
    }

    /// Gives a device code out; false if it is taken. The oldest unused codes make place for new ones.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn issue_a9(&self, uid: &str) -> Result<bool, Error> {
        let connection = self.writer();
        let added = connection.execute(
            "INSERT INTO a9_cameras (uid, name, created) VALUES (?1, NULL, ?2) ON CONFLICT (uid) DO NOTHING",
            params![uid, now()],
        )?;
        connection.execute(
            "DELETE FROM a9_cameras WHERE name IS NULL AND uid NOT IN
             (SELECT uid FROM a9_cameras WHERE name IS NULL ORDER BY created DESC, rowid DESC LIMIT ?1)",
            params![i64::try_from(MAX_ISSUED).unwrap_or(i64::MAX)],
        )?;
        Ok(added > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_accepted_survives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.issue_a9("0800c0012345").unwrap());
        assert!(!store.issue_a9("0800C0012345").unwrap());
        store.accept_a9("0800c00128F8", "yard").unwrap();
        store.accept_a9("0800c00128f8", "porch").unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let camera = |uid: &str, name: Option<&str>| A9Camera {
            uid: uid.to_owned(),
            name: name.map(str::to_owned),
        };
        let known = store.a9_cameras().unwrap();
        assert_eq!(
            known,
            [
                camera("0800c0012345", None),
                camera("0800c00128F8", Some("porch"))
            ]
        );
        store.forget_a9("0800c00128F8").unwrap();
        assert!(store.a9_cameras().unwrap().iter().all(|c| c.name.is_none()));
    }

    #[test]
    fn unused_codes_do_not_fill_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.accept_a9("keep00000000", "kept").unwrap();
        for number in 0..30 {
            assert!(store.issue_a9(&format!("0800c00{number:05}")).unwrap());
        }
        assert_eq!(store.a9_cameras().unwrap().len(), 31);
    }
}
