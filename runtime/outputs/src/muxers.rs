use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, Weak};

use hub::{Lease, Ring, Stream, StreamName};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::fanout::Fanout;

/// The muxers of one output: one task per stream, alive as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct Muxers<T> {
    running: Mutex<HashMap<StreamName, Weak<Muxer<T>>>>,
}

/// A running muxer. Its end stops the task and gives the stream back.
#[derive(Debug)]
pub(crate) struct Muxer<T> {
    stream: Arc<Stream>,
    ring: Arc<Ring<T>>,
    task: AbortHandle,
    fanout: Arc<Fanout>,
    _end: DropGuard,
}

impl<T> Default for Muxers<T> {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
        }
    }
}

impl<T> Muxers<T> {
    /// The muxer of `stream`; started with `run` if there is none. If it has viewers on plain sockets, `run` pumps the
    /// fan-out after every slot.
    pub(crate) fn open<F>(
        &self,
        stream: &Arc<Stream>,
        ring: impl FnOnce() -> Ring<T>,
        run: impl FnOnce(Lease, Arc<Ring<T>>, Arc<Fanout>) -> F,
    ) -> Arc<Muxer<T>>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self
            .running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(muxer) = running.get(stream.name()).and_then(Weak::upgrade)
            // A camera that was configured anew has another stream under the same name.
            && Arc::ptr_eq(&muxer.stream, stream)
            && !muxer.is_over()
        {
            return muxer;
        }
        running.retain(|_, muxer| muxer.strong_count() > 0);
        let ring = Arc::new(ring());
        let end = CancellationToken::new();
        let fanout = Arc::new(Fanout::new(end.clone()));
        let work = run(stream.lease(), Arc::clone(&ring), Arc::clone(&fanout));
        let task = tokio::spawn(work).abort_handle();
        let muxer = Arc::new(Muxer {
            stream: Arc::clone(stream),
            ring,
            task,
            fanout,
            _end: end.drop_guard(),
        });
        running.insert(stream.name().clone(), Arc::downgrade(&muxer));
        muxer
    }
}

impl<T> Muxer<T> {
    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    pub(crate) fn ring(&self) -> &Arc<Ring<T>> {
        &self.ring
    }

    /// Writes the ring to viewers on plain sockets.
    pub(crate) fn fanout(&self) -> &Fanout {
        &self.fanout
    }

    /// Whether nothing more will come: the camera is configured no more, or anew.
    pub(crate) fn is_over(&self) -> bool {
        // The task never ends by itself.
        self.stream.is_removed() || self.task.is_finished()
    }
}

impl<T> Drop for Muxer<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
