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
///
/// The first shard is written to by the muxer itself, which has just made the slot: to wake another task costs as
/// much as ten viewers.
#[derive(Debug)]
pub(crate) struct Fanout {
    first: Arc<Shard>,
    others: Mutex<Vec<Arc<Shard>>>,
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
            first: Arc::default(),
            others: Mutex::default(),
            end,
        }
    }

    /// Called by the muxer after it has put slots into the ring.
    pub(crate) fn pump(&self) {
        self.first.pump();
    }

    /// Serves `viewer` from now on with what comes into `ring`.
    pub(crate) fn join<T: Slot>(&self, ring: &Arc<Ring<T>>, viewer: Arc<dyn Pump>) -> Seat {
        let shard = self.vacant(ring);
        shard.lock().push(Arc::clone(&viewer));
        Seat { shard, viewer }
    }

    /// A shard that has room.
    fn vacant<T: Slot>(&self, ring: &Arc<Ring<T>>) -> Arc<Shard> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::iter::once(&self.first).chain(&*others);
        if let Some(vacant) = all.find(|shard| shard.lock().len() < SHARD) {
            return Arc::clone(vacant);
        }
        let shard = Arc::new(Shard::default());
        // From here on nothing is missed, however late the task starts.
        let next = ring.head();
        let work = serve(Arc::clone(&shard), Arc::clone(ring), next, self.end.clone());
        tokio::spawn(work);
        others.push(Arc::clone(&shard));
        shard
    }
}

impl Shard {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Pump>>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pump(&self) {
        for viewers in self.lock().chunks(TOGETHER) {
            for viewer in viewers {
                viewer.touch();
            }
            for viewer in viewers {
                viewer.pump_live();
            }
        }
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
        shard.pump();
        // A pump never waits, so without this a flood of slots could hold the core. Giving way after every slot would
        // wake another core for nothing.
        tokio::task::consume_budget().await;
    }
}
