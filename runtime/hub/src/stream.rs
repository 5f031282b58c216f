use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use media::{AccessUnit, Tracks};
use tokio::sync::watch;

use crate::publisher::Timeline;
use crate::statistics::Counters;
use crate::{Publisher, Ring, Slot, State, Statistics, Status, StreamName, ViewerGuard};

/// What flows through a stream, in order.
#[derive(Clone, Debug)]
pub enum Event {
    /// The tracks, or their parameters, are these from here on.
    Tracks(Tracks),
    /// One access unit; the flag tells whether a new reader may start here.
    AccessUnit(AccessUnit, bool),
}

impl Slot for Event {
    fn size(&self) -> usize {
        match self {
            Self::Tracks(_) => 256,
            Self::AccessUnit(unit, _) => unit.payload.len() + size_of::<Self>(),
        }
    }

    fn is_keyframe(&self) -> bool {
        match self {
            Self::Tracks(_) => false,
            Self::AccessUnit(_, is_start) => *is_start,
        }
    }
}

/// A named set of tracks: one ring, and those who want it.
#[derive(Debug)]
pub struct Stream {
    name: StreamName,
    pub(crate) ring: Ring<Event>,
    pub(crate) tracks: watch::Sender<Option<Tracks>>,
    pub(crate) counters: Counters,
    pub(crate) timeline: Mutex<Timeline>,
    leases: watch::Sender<usize>,
    status: watch::Sender<Status>,
    is_removed: watch::Sender<bool>,
}

impl Stream {
    /// A stream that no hub lists: made of another one, and named like it.
    #[must_use]
    pub fn detached(name: StreamName) -> Self {
        Self::new(name)
    }

    pub(crate) fn new(name: StreamName) -> Self {
        Self {
            name,
            ring: Ring::default(),
            tracks: watch::Sender::new(None),
            counters: Counters::default(),
            timeline: Mutex::new(Timeline::default()),
            leases: watch::Sender::new(0),
            status: watch::Sender::new(Status::default()),
            is_removed: watch::Sender::new(false),
        }
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The ring that readers put their cursors into.
    #[must_use]
    pub fn ring(&self) -> &Ring<Event> {
        &self.ring
    }

    /// The tracks as they are, or were when the camera was last seen.
    #[must_use]
    pub fn tracks(&self) -> Option<Tracks> {
        self.tracks.borrow().clone()
    }

    /// Waits until the tracks are known. Hold a [`Lease`], or nobody fetches them.
    pub async fn wait_tracks(&self) -> Tracks {
        let mut tracks = self.tracks.subscribe();
        loop {
            // The guard of the value must not live across the wait: it is no Send.
            if let Some(tracks) = tracks.borrow_and_update().clone() {
                return tracks;
            }
            // The sender lives in self, so this cannot fail while we are borrowed.
            let _ = tracks.changed().await;
        }
    }

    /// Says that somebody wants this stream, for as long as the lease lives.
    #[must_use]
    pub fn lease(self: &Arc<Self>) -> Lease {
        self.leases.send_modify(|leases| *leases += 1);
        Lease(Arc::clone(self))
    }

    /// How many leases there are.
    #[must_use]
    pub fn leases(&self) -> usize {
        *self.leases.borrow()
    }

    /// Waits until somebody wants the stream.
    pub async fn wanted(&self) {
        let mut leases = self.leases.subscribe();
        let _ = leases.wait_for(|leases| *leases > 0).await;
    }

    /// Waits until nobody has wanted the stream for `idle` on end.
    pub async fn unwanted(&self, idle: Duration) {
        let mut leases = self.leases.subscribe();
        loop {
            let _ = leases.wait_for(|leases| *leases == 0).await;
            let wanted = leases.wait_for(|leases| *leases > 0);
            if tokio::time::timeout(idle, wanted).await.is_err() {
                return;
            }
        }
    }

    /// Whether the hub lists this stream no more: nothing will come, whoever waits.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        *self.is_removed.borrow()
    }

    /// Waits until the hub lists this stream no more.
    pub async fn removed(&self) {
        let mut removed = self.is_removed.subscribe();
        let _ = removed.wait_for(|is_removed| *is_removed).await;
    }

    pub(crate) fn set_removed(&self) {
        self.is_removed.send_replace(true);
    }

    /// A publisher for one session with the camera.
    #[must_use]
    pub fn publisher(self: &Arc<Self>) -> Publisher {
        Publisher::new(Arc::clone(self))
    }

    /// What the upstream is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Follows what the upstream is doing.
    #[must_use]
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Told by the supervisor: a new state, and what went wrong before it.
    pub fn set_status(&self, state: State, error: Option<String>, retry_at: Option<Instant>) {
        self.status.send_modify(|status| {
            if status.state != state {
                status.since = Instant::now();
                status.since_wall = SystemTime::now();
            }
            status.state = state;
            status.error = error;
            status.retry_at = retry_at;
        });
    }

    /// Told by the supervisor: the first picture came after this time.
    pub fn set_time_to_first_picture(&self, time: Duration) {
        self.status
            .send_modify(|status| status.time_to_first_picture = Some(time));
    }

    /// Told by the supervisor: a session ended with an error for this reason.
    pub fn count_reconnect(&self, reason: &'static str) {
        self.counters.count_reconnect(reason);
    }

    /// Counts one more viewer of `output` for as long as the guard lives.
    #[must_use]
    pub fn viewer(&self, output: &'static str) -> ViewerGuard {
        ViewerGuard::new(self.counters.output(output))
    }

    /// The counts and rates at this moment.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.snapshot()
    }
}

/// Somebody wants the stream.
#[derive(Debug)]
pub struct Lease(Arc<Stream>);

impl Lease {
    /// The stream that is wanted.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.send_modify(|leases| *leases -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_of_readers_does_not_end_the_stream() {
        let stream = Arc::new(Stream::new(StreamName::new("porch").unwrap()));
        let lease = stream.lease();
        let unwanted = tokio::spawn({
            let stream = Arc::clone(&stream);
            async move { stream.unwanted(Duration::from_secs(10)).await }
        });
        drop(lease);
        tokio::time::sleep(Duration::from_secs(9)).await;
        let lease = stream.lease();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!unwanted.is_finished());
        drop(lease);
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(unwanted.is_finished());
    }
}
