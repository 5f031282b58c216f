//! How many peers prove who they are at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most peers that may be between their first byte and their welcome at once.
const MAX_PENDING: usize = 256;
/// The same from one address. The agents of a whole site, behind one NAT, all come back at once.
const MAX_PENDING_OF_ADDRESS: usize = 32;

/// Peers that have not proved who they are, bounded in all and for each address. Whoever finds no place waits for one,
/// in the order of coming: refused, they would all come again with everything that a handshake costs.
#[derive(Debug)]
pub(crate) struct Doors {
    all: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// One such peer; dropped when it is let in or sent away.
#[derive(Debug)]
pub(crate) struct Pending {
    _place: OwnedSemaphorePermit,
    _of_address: OwnedSemaphorePermit,
}

/// Those who wait count, too, so that an address is known as long as somebody of it is there.
struct Waiting<'a> {
    doors: &'a Doors,
    address: IpAddr,
    places: Option<Arc<Semaphore>>,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_PENDING)),
            addresses: Mutex::default(),
        }
    }
}

impl Doors {
    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Semaphore>>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(crate) fn crowd(&self) -> usize {
        MAX_PENDING.saturating_sub(self.all.available_permits())
    }

    fn places(&self, address: IpAddr) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(MAX_PENDING_OF_ADDRESS));
        Arc::clone(self.addresses().entry(address).or_insert_with(new))
    }

    /// A place if there is one now.
    pub(crate) fn try_enter(&self, peer: SocketAddr) -> Option<Pending> {
        let address = throttle::network(peer.ip());
        let places = self.places(address);
        let _waiting = Waiting {
            doors: self,
            address,
            places: Some(Arc::clone(&places)),
        };
        let of_address = places.try_acquire_owned().ok()?;
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Pending {
            _place: place,
            _of_address: of_address,
        })
    }

    /// Waits for a place. Cancel-safe.
    pub(crate) async fn enter(&self, peer: SocketAddr) -> Option<Pending> {
        let address = throttle::network(peer.ip());
        let places = self.places(address);
        let waiting = Waiting {
            doors: self,
            address,
            places: Some(Arc::clone(&places)),
        };
        let of_address = places.acquire_owned().await.ok()?;
        let place = Arc::clone(&self.all).acquire_owned().await.ok()?;
        drop(waiting);
        Some(Pending {
            _place: place,
            _of_address: of_address,
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut addresses = self.doors.addresses();
        self.places = None;
        // Addresses of which nobody is there any more; looked for only when there are many.
        const MANY: usize = 64;
        if addresses.len() > MANY {
            addresses.retain(|_, places| Arc::strong_count(places) > 1);
        } else if addresses
            .get(&self.address)
            .is_some_and(|places| Arc::strong_count(places) == 1)
        {
            addresses.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(20);

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_all_places_and_its_next_peer_waits_for_one() {
        let doors = Doors::default();
        let crowd: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let mut held = Vec::new();
        for _ in 0..MAX_PENDING_OF_ADDRESS {
            held.push(doors.enter(crowd).await.unwrap());
        }
        assert!(timeout(MOMENT, doors.enter(crowd)).await.is_err());
        let other = timeout(MOMENT, doors.enter("192.0.2.2:5".parse().unwrap()));
        let other = other.await.unwrap();
        let waiting = doors.enter(crowd);
        held.pop();
        held.push(timeout(MOMENT, waiting).await.unwrap().unwrap());
        drop((held, other));
        drop(doors.enter(crowd).await);
        assert!(doors.addresses().len() <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgotten() {
        let doors = Doors::default();
        for last in 0..200 {
            drop(
                doors
                    .enter(SocketAddr::from(([198, 51, 100, last], 1)))
                    .await,
            );
        }
        assert!(doors.addresses().len() <= 65, "{}", doors.addresses().len());
    }
}
