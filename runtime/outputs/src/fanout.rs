use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::muxer::Shared;

/// Viewers that one task serves. A write takes some 6 us, so a full shard is through in under
/// 2 ms, and further shards go to other cores.
const SHARD: usize = 256;

/// Writes each new block to every TCP viewer, straight from one loop: no viewer has a task to be
/// woken for it. A viewer whose socket is full is left to its own session until it drains.
#[derive(Debug)]
pub(super) struct Fanout {
    shards: Mutex<Vec<Arc<Shard>>>,
    end: CancellationToken,
}

#[derive(Debug, Default)]
struct Shard {
    viewers: Mutex<Vec<Arc<Connection>>>,
}

/// Keeps a connection in the fan-out for as long as it lives.
#[derive(Debug)]
pub(super) struct Seat {
    shard: Arc<Shard>,
    viewer: Arc<Connection>,
}

impl Fanout {
    pub(super) fn new(end: CancellationToken) -> Self {
        Self {
            shards: Mutex::default(),
            end,
        }
    }

    /// Serves `viewer` from now on.
    pub(super) fn join(&self, shared: &Arc<Shared>, viewer: &Arc<Connection>) -> Seat {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let vacant = shards
            .iter()
            .find(|shard| shard.lock().len() < SHARD)
            .map(Arc::clone);
        let shard = vacant.unwrap_or_else(|| {
            let shard = Arc::new(Shard::default());
            tokio::spawn(serve(
                Arc::clone(&shard),
                Arc::clone(shared),
                self.end.clone(),
            ));
            shards.push(Arc::clone(&shard));
            shard
        });
        shard.lock().push(Arc::clone(viewer));
        Seat {
            shard,
            viewer: Arc::clone(viewer),
        }
    }
}

impl Shard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shard
            .lock()
            .retain(|viewer| !Arc::ptr_eq(viewer, &self.viewer));
    }
}

async fn serve(shard: Arc<Shard>, shared: Arc<Shared>, end: CancellationToken) {
    let mut next = shared.ring.head();
    loop {
        tokio::select! {
            () = shared.ring.wait(next) => {}
            () = end.cancelled() => return,
        }
        next = shared.ring.head();
        for viewer in shard.lock().iter() {
            viewer.pump_live();
        }
        // A pump never waits, so without this a flood of blocks could hold the core.
        tokio::task::yield_now().await;
    }
}
