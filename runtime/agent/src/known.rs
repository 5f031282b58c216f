//! Addresses that the gateway's names had when they last led to it: for the boot at which no name server answers yet.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto_tunnel::MAX_ADDRESSES;
use tracing::debug;

const FILE: &str = "addresses";
/// A full file has a few hundred bytes.
const MAX_FILE: u64 = 8 << 10;

/// One address for each name. Not secret, and not trusted: whoever answers there must have the pinned key.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    entries: Vec<(String, SocketAddr)>,
}

impl Known {
    /// What is remembered in this folder; nothing if that cannot be read.
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let is_small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= MAX_FILE);
        let text = is_small.then(|| fs::read_to_string(&path).ok()).flatten();
        let entry = |line: &str| {
            let (name, at) = line.split_once(' ')?;
            Some((name.to_owned(), at.parse().ok()?))
        };
        let entries = text.unwrap_or_default();
        let entries = entries.lines().filter_map(entry).take(MAX_ADDRESSES);
        Self {
            path,
            entries: entries.collect(),
        }
    }

    /// Where `address`, a name with a port, led last.
    pub(crate) fn find(&self, address: &str) -> Option<SocketAddr> {
        let found = self.entries.iter().find(|(name, _)| name == address);
        found.map(|(_, at)| *at)
    }

    /// `address` has led to the gateway at `at`. Written down only if it is news: flash wears out.
    pub(crate) fn note(&mut self, address: &str, at: SocketAddr) {
        let is_name = address.parse::<SocketAddr>().is_err();
        if !is_name || self.find(address) == Some(at) {
            return;
        }
        self.entries.retain(|(name, _)| name != address);
        self.entries.insert(0, (address.to_owned(), at));
        self.entries.truncate(MAX_ADDRESSES);
        if let Err(error) = self.save() {
            debug!("the gateway's address cannot be remembered: {error}");
        }
    }

    fn save(&self) -> std::io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut file = fs::File::create(&draft)?;
        for (name, at) in &self.entries {
            writeln!(file, "{name} {at}")?;
        }
        file.sync_all()?;
        fs::rename(&draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_remembered_over_a_restart_and_an_address_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = Known::load(dir.path());
        let (at, later) = (
            "192.0.2.1:8080".parse().unwrap(),
            "192.0.2.2:8080".parse().unwrap(),
        );
        known.note("gw.example:8080", at);
        known.note("192.0.2.9:8080", "192.0.2.9:8080".parse().unwrap());
        assert_eq!(Known::load(dir.path()).find("gw.example:8080"), Some(at));
        known.note("gw.example:8080", later);
        let again = Known::load(dir.path());
        assert_eq!(again.find("gw.example:8080"), Some(later));
        assert_eq!(again.entries.len(), 1);
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"gw.example:8080 nowhere\n\xFF\xFE").unwrap();
        assert!(Known::load(dir.path()).entries.is_empty());
    }
}
