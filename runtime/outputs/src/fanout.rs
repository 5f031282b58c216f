use std::fmt;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use hub::{Ring, Slot};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Viewers that one task serves. A write takes some 6 us, so a full shard is through in under
/// 2 ms, and further shards go to other cores.
const SHARD: usize = 256;

/// Viewers whose memory is fetched together. Every write of a picture drives what else is there out of the
/// processor's cache; one after the other, hundreds of viewers would each wait for memory.
const TOGETHER: usize = 8;

/// A viewer that takes what is new in a ring, as far as its socket does, without waiting.
pub(crate) trait Pump: fmt::Debug + Send + Sync + 'static {
    /// Reads where [`pump_live`](Self::pump_live) will begin, so that it is in the cache by then.
    fn touch(&self);

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

/// Writes what `socket` takes at this moment, past tokio's own note of whether it takes something: that note is one
/// more place in memory for each viewer, and only a socket that is full needs it.
pub(crate) fn write_now(socket: &TcpStream, chunks: &[IoSlice<'_>]) -> io::Result<usize> {
    let raw = SockRef::from(socket);
    let written = match chunks {
        [one] => raw.send(one),
        many => raw.send_vectored(many),
    };
    match written {
        // So that tokio learns it, and tells when there is room.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            socket.try_write_vectored(chunks)
        }
        written => written,
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
        for viewers in shard.lock().chunks(TOGETHER) {
            for viewer in viewers {
                viewer.touch();
            }
            for viewer in viewers {
                viewer.pump_live();
            }
        }
        // A pump never waits, so without this a flood of slots could hold the core.
        tokio::task::yield_now().await;
    }
}
