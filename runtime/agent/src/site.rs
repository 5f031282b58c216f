//! The networks that the agent's machine stands in, and how much they are troubled.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dialer::{Subnet, subnets};
use tokio::time::Instant;

use crate::network::towards;

/// Most broadcasts in a second, over all that the gateway asks for. A search says hello twice, twice a second, so this is
/// eight cameras that are looked for at once; every device of the network has to read each of them.
pub(crate) const MAX_BROADCASTS: u32 = 32;

/// How long it is believed which networks there are; a new lease may change them.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known of the site. Nothing at first.
#[derive(Debug, Default)]
pub(crate) struct Site {
    networks: Mutex<Option<(Instant, Vec<Subnet>)>>,
    /// Since when broadcasts are counted, and how many there were.
    broadcasts: Mutex<Option<(Instant, u32)>>,
}

impl Site {
    /// Whether `address` is in one of this machine's own networks, or in the machine itself.
    pub(crate) fn has(&self, address: Ipv4Addr) -> bool {
        if address.is_loopback() {
            return true;
        }
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = networks.take();
        let known = known.filter(|(seen, _)| seen.elapsed() < LOOK_AGAIN);
        let (seen, own) = known.unwrap_or_else(|| (Instant::now(), own_networks()));
        let is_there = own.iter().any(|network| network.contains(address));
        *networks = Some((seen, own));
        is_there
    }

    /// Whether one broadcast more is bearable; it counts then.
    pub(crate) fn may_broadcast(&self) -> bool {
        let broadcasts = self.broadcasts.lock();
        let mut broadcasts = broadcasts.unwrap_or_else(PoisonError::into_inner);
        let second = broadcasts.filter(|(begin, _)| begin.elapsed() < Duration::from_secs(1));
        let (begin, count) = second.unwrap_or_else(|| (Instant::now(), 0));
        if count >= MAX_BROADCASTS {
            return false;
        }
        *broadcasts = Some((begin, count + 1));
        true
    }
}

/// Networks in which this machine has an address. A route without a gateway alone may lead through a VPN to anywhere.
fn own_networks() -> Vec<Subnet> {
    let is_own = |network: &Subnet| {
        let anybody = Ipv4Addr::from(u32::from(network.address()) | 1);
        let own = towards(SocketAddr::from((anybody, 9)));
        matches!(own, Some(std::net::IpAddr::V4(own)) if network.contains(own))
    };
    subnets().into_iter().filter(is_own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machines_own_address_is_at_the_site() {
        let site = Site::default();
        for network in own_networks() {
            let anybody = Ipv4Addr::from(u32::from(network.address()) | 1);
            let Some(std::net::IpAddr::V4(own)) = towards(SocketAddr::from((anybody, 9))) else {
                continue;
            };
            assert!(site.has(own), "{own}");
        }
        assert!(site.has(Ipv4Addr::LOCALHOST));
        assert!(!site.has(Ipv4Addr::new(203, 0, 113, 9)));
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_broadcasts_go_out_in_a_second_and_no_more() {
        let site = Site::default();
        for _ in 0..3 {
            let sent = (0..100).filter(|_| site.may_broadcast()).count();
            assert_eq!(sent, MAX_BROADCASTS as usize);
            tokio::time::advance(Duration::from_millis(1_001)).await;
        }
    }
}
