use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long failures are remembered, and so how long a blocked address waits at most.
const WINDOW: Duration = Duration::from_secs(60);
/// Failures of one name from one address within the window. Secrets have 256 bits, so this is not about guessing:
/// it keeps a misconfigured agent from filling logs and the state file's queue.
const MAX_FAILURES_OF_NAME: u32 = 5;
/// Failures of all names from one address. A site's good agents share it with a bad one, hence the room.
const MAX_FAILURES_OF_ADDRESS: u32 = 50;
/// Most addresses and names remembered. Beyond it strangers are not slowed, which costs work but no safety.
const MAX_ENTRIES: usize = 4096;

/// Least time between two walks through a full table.
const PURGE_PAUSE: Duration = Duration::from_secs(1);

/// Counts failed attempts at the agents' door.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
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
    pub(crate) fn is_blocked(&self, peer: IpAddr, name: &str, now: Instant) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |key: &Key| {
            entries
                .get(key)
                .filter(|entry| entry.is_fresh(now))
                .map_or(0, |entry| entry.failures)
        };
        let network = network(peer);
        count(&(network, Some(name.to_owned()))) >= MAX_FAILURES_OF_NAME
            || count(&(network, None)) >= MAX_FAILURES_OF_ADDRESS
    }

    pub(crate) fn note_failure(&self, peer: IpAddr, name: &str, now: Instant) {
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

/// Who holds one IPv6 address holds its whole /64.
fn network(peer: IpAddr) -> IpAddr {
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

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_failing_name_is_blocked_for_a_while_and_its_neighbour_is_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..MAX_FAILURES_OF_NAME {
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
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..MAX_FAILURES_OF_ADDRESS {
            throttle.note_failure(PEER, &format!("n{n}"), now);
        }
        assert!(throttle.is_blocked(PEER, "fresh", now));
    }

    #[test]
    fn addresses_of_one_v6_network_count_together_and_memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..MAX_FAILURES_OF_NAME {
            throttle.note_failure(format!("2001:db8::{n}").parse().unwrap(), "shed", now);
        }
        assert!(throttle.is_blocked("2001:db8::ffff".parse().unwrap(), "shed", now));
        for n in 0..10_000u32 {
            throttle.note_failure(IpAddr::V4(n.into()), "x", now);
        }
        assert!(throttle.entries.lock().unwrap().len() <= MAX_ENTRIES);
    }
}
