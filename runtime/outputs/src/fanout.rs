use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hub::{Ring, Slot};
use tokio_util::sync::CancellationToken;

/// Viewers that one task serves. A write takes some 6 us, so a full shard is through in under
/// 2 ms, and further shards go to other cores.
const SHARD: usize = 256;

/// A viewer that takes what is new in a ring, as far as its socket does, without waiting.
pub(crate) trait Pump: fmt::Debug + Send + Sync + 'static {
    /// Sends what a new slot brought, unless the socket is known to be full: its session goes on
    /// when it drains.
    fn pump_live(&self);
}

/// Writes each new slot of a ring to every plain TCP viewer, straight from one loop: no viewer has
/// a task to be woken for it. A viewer whose socket is full is left to its own session until it drains.
#[derive(Debug)]
pub(crate) struct Fanout {
    shards: Mutex<Vec<Arc<Shard>>>,
    end: CancellationToken,
}

#[derive(Debug, Default)]
struct Shard {
    viewers: Mutex<Vec<Arc<dyn Pump>>>,
}

/// Keeps a viewer in the fan-out for as long as it lives.
#[derive(Debug)]
pub(crate) struct Seat {
    shard: Arc<Shard>,
    viewer: Arc<dyn Pump>,
}

impl Fanout {
    /// A fan-out whose tasks run until `end`.
    pub(crate) fn new(end: CancellationToken) -> Self {
        Self {
            shards: Mutex::default(),
            end,
        }
    }

    /// Serves `viewer` from now on with what comes into `ring`.
    pub(crate) fn join<T: Slot>(&self, ring: &Arc<Ring<T>>, viewer: Arc<dyn Pump>) -> Seat {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let vacant = shards
            .iter()
            .find(|shard| shard.lock().len() < SHARD)
            .map(Arc::clone);
        let shard = vacant.unwrap_or_else(|| {
            let shard = Arc::new(Shard::default());
            // From here on nothing is missed, however late the task starts.
            let next = ring.head();
            let work = serve(Arc::clone(&shard), Arc::clone(ring), next, self.end.clone());
            tokio::spawn(work);
            shards.push(Arc::clone(&shard));
            shard
        });
        shard.lock().push(Arc::clone(&viewer));
        Seat { shard, viewer }
    }
}

impl Shard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Pump>>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let own = Arc::as_ptr(&self.viewer);
        self.shard
            .lock()
            .retain(|viewer| !std::ptr::addr_eq(Arc::as_ptr(viewer), own));
    }
}

async fn serve<T: Slot>(
    shard: Arc<Shard>,
    ring: Arc<Ring<T>>,
    mut next: u64,
    end: CancellationToken,
) {
    loop {
        tokio::select! {
            () = ring.wait(next) => {}
            () = end.cancelled() => return,
        }
        next = ring.head();
        for viewer in shard.lock().iter() {
            viewer.pump_live();
        }
        // A pump never waits, so without this a flood of slots could hold the core.
        tokio::task::yield_now().await;
    }
}
