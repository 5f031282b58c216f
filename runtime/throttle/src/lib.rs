//! Slows those who fail to log in, by address and by name, in bounded memory.
//!
//! ```
//! use std::time::Instant;
//! use throttle::{Limits, Throttle};
//! let throttle = Throttle::new(Limits { of_name: 5, of_address: 50 });
//! let (peer, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
//! for _ in 0..5 {
//!     throttle.note_failure(peer, "shed", now);
//! }
//! assert!(throttle.is_blocked(peer, "shed", now));
//! assert!(!throttle.is_blocked(peer, "barn", now));
//! ```
#![warn(missing_docs)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long failures are remembered, and so how long a blocked address waits at most.
pub const WINDOW: Duration = Duration::from_secs(60);
/// How many failures within a minute are too many.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one name from one address.
    pub of_name: u32,
    /// Of all names from one address.
    pub of_address: u32,
}

/// Most addresses and names remembered. Beyond it strangers are not slowed, which costs work but no safety.
const MAX_ENTRIES: usize = 4096;

/// Least time between two walks through a full table.
const PURGE_PAUSE: Duration = Duration::from_secs(1);

/// Counts failed attempts at one door.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    entries: Mutex<HashMap<Key, Entry>>,
    purged: Mutex<Option<Instant>>,
}

type Key = (IpAddr, Option<String>);

#[derive(Debug)]
struct Entry {
    failures: u32,
    since: Instant,
}

impl Throttle {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: Mutex::default(),
            purged: Mutex::default(),
        }
    }

    /// Whether this name from this address has to wait.
    #[must_use]
    pub fn is_blocked(&self, peer: IpAddr, name: &str, now: Instant) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |key: &Key| {
            entries
                .get(key)
                .filter(|entry| entry.is_fresh(now))
                .map_or(0, |entry| entry.failures)
        };
        let network = network(peer);
        count(&(network, Some(name.to_owned()))) >= self.limits.of_name
            || count(&(network, None)) >= self.limits.of_address
    }

    /// Counts a failure of this name from this address.
    pub fn note_failure(&self, peer: IpAddr, name: &str, now: Instant) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(peer);
        for key in [(network, Some(name.to_owned())), (network, None)] {
            if entries.len() >= MAX_ENTRIES && !entries.contains_key(&key) {
                if self.may_purge(now) {
                    entries.retain(|_, entry| entry.is_fresh(now));
                }
                if entries.len() >= MAX_ENTRIES {
                    return;
                }
            }
            let entry = entries.entry(key).or_insert(Entry {
                failures: 0,
                since: now,
            });
            if !entry.is_fresh(now) {
                *entry = Entry {
                    failures: 0,
                    since: now,
                };
            }
            entry.failures = entry.failures.saturating_add(1);
        }
    }
}

impl Throttle {
    /// A flood from many addresses must not make every failure walk through the whole table.
    fn may_purge(&self, now: Instant) -> bool {
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        let due = purged.is_none_or(|last| now.saturating_duration_since(last) >= PURGE_PAUSE);
        if due {
            *purged = Some(now);
        }
        due
    }
}

impl Entry {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < WINDOW
    }
}

/// The address by which a peer is counted: who holds one IPv6 address holds its whole /64.
#[must_use]
pub fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        of_name: 5,
        of_address: 50,
    };
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_failing_name_is_blocked_for_a_while_and_its_neighbour_is_not() {
        let (throttle, now) = (Throttle::new(LIMITS), Instant::now());
        for _ in 0..LIMITS.of_name {
            assert!(!throttle.is_blocked(PEER, "shed", now));
            throttle.note_failure(PEER, "shed", now);
        }
        assert!(throttle.is_blocked(PEER, "shed", now));
        assert!(!throttle.is_blocked(PEER, "barn", now));
        assert!(!throttle.is_blocked("192.0.2.2".parse().unwrap(), "shed", now));
        assert!(!throttle.is_blocked(PEER, "shed", now + WINDOW));
    }

    #[test]
    fn changing_names_does_not_help_one_address() {
        let (throttle, now) = (Throttle::new(LIMITS), Instant::now());
        for n in 0..LIMITS.of_address {
            throttle.note_failure(PEER, &format!("n{n}"), now);
        }
        assert!(throttle.is_blocked(PEER, "fresh", now));
    }

    #[test]
    fn addresses_of_one_v6_network_count_together_and_memory_is_bounded() {
        let (throttle, now) = (Throttle::new(LIMITS), Instant::now());
        for n in 0..LIMITS.of_name {
            throttle.note_failure(format!("2001:db8::{n}").parse().unwrap(), "shed", now);
        }
        assert!(throttle.is_blocked("2001:db8::ffff".parse().unwrap(), "shed", now));
        for n in 0..10_000u32 {
            throttle.note_failure(IpAddr::V4(n.into()), "x", now);
        }
        assert!(throttle.entries.lock().unwrap().len() <= MAX_ENTRIES);
    }
}
