use std::collections::VecDeque;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What a ring holds: access units in the hub, wire-ready blocks in a muxer.
pub trait Slot: Send + Sync + 'static {
    /// Bytes it keeps alive.
    fn size(&self) -> usize;
    /// Whether a reader may start here.
    fn is_keyframe(&self) -> bool;
}

/// How much a ring keeps. It always keeps the newest group of pictures, unless that alone is
/// larger than these limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most bytes kept. 16 MiB is 8 s of a 16 Mbit/s camera.
    pub bytes: usize,
    /// Most slots kept, against floods of tiny units.
    pub slots: usize,
    /// Oldest slot kept for readers that fall behind, where the newest GOP is shorter than this.
    pub behind: Duration,
    /// Oldest slot kept for the newest GOP, against cameras that almost never send a keyframe.
    pub gop: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            slots: 16_384,
            behind: Duration::from_secs(3),
            gop: Duration::from_secs(30),
        }
    }
}

/// Where a new reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the newest keyframe, so that the first picture comes at once.
    Gop,
    /// At the newest keyframe, even if its session has ended: for pictures that are shown one by one.
    Still,
    /// At the next keyframe to come, so that nothing old is seen.
    Live,
}

/// A bounded log of shared slots, numbered from 0, with an index of its keyframes.
///
/// Publishing never waits; a reader is a [`Cursor`] and costs the ring nothing.
#[derive(Debug)]
pub struct Ring<T> {
    inner: RwLock<Inner<T>>,
    head: watch::Sender<u64>,
    limits: Limits,
}

#[derive(Debug)]
struct Inner<T> {
    slots: VecDeque<(Instant, Arc<T>)>,
    /// Number of the slot in front of the queue.
    first: u64,
    /// Numbers of the keyframes in the queue.
    keyframes: VecDeque<u64>,
    /// New readers start at no keyframe before this number.
    oldest_start: u64,
    bytes: usize,
}

impl<T: Slot> Default for Ring<T> {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<T: Slot> Ring<T> {
    /// An empty ring.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let inner = Inner {
            slots: VecDeque::new(),
            first: 0,
            keyframes: VecDeque::new(),
            oldest_start: 0,
            bytes: 0,
        };
        Self {
            inner: RwLock::new(inner),
            head: watch::Sender::new(0),
            limits,
        }
    }

    /// Appends a slot, drops what is too old, wakes waiting readers. Never waits.
    pub fn push(&self, slot: Arc<T>, now: Instant) {
        let head = {
            let mut inner = self.write();
            let number = inner.head();
            if slot.is_keyframe() {
                inner.keyframes.push_back(number);
            }
            inner.bytes += slot.size();
            inner.slots.push_back((now, slot));
            inner.trim(&self.limits, now);
            inner.head()
        };
        self.head.send_replace(head);
    }

    /// Number that the next slot will get.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Bytes held at this moment.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.read().bytes
    }

    /// The newest keyframe still held.
    #[must_use]
    pub fn newest_keyframe(&self) -> Option<Arc<T>> {
        let inner = self.read();
        inner
            .keyframes
            .back()
            .and_then(|&number| inner.slot(number))
            .map(|(_, slot)| Arc::clone(slot))
    }

    /// A cursor for a new reader.
    #[must_use]
    pub fn start(&self, start: Start) -> Cursor {
        let inner = self.read();
        let keyframe = match start {
            Start::Gop => inner.newest_start(),
            Start::Still => inner.keyframes.back().copied(),
            Start::Live => None,
        };
        Cursor {
            next: keyframe.unwrap_or_else(|| inner.head()),
            lost: 0,
            seeks_keyframe: keyframe.is_none(),
        }
    }

    /// Whether [`Start::Gop`] finds a keyframe.
    #[must_use]
    pub fn has_start(&self) -> bool {
        self.read().newest_start().is_some()
    }

    /// From now on new readers wait for the next keyframe: what is held belongs to a session that
    /// has ended, and after it the time line jumps. Readers under way are not disturbed.
    pub fn forget_starts(&self) {
        let mut inner = self.write();
        inner.oldest_start = inner.head();
    }

    /// A cursor that reads everything from the oldest slot held, keyframe or not.
    #[must_use]
    pub fn start_oldest(&self) -> Cursor {
        Cursor {
            next: self.read().first,
            lost: 0,
            seeks_keyframe: false,
        }
    }

    /// Waits until slot `number` exists; at once if it already does.
    pub async fn wait(&self, number: u64) {
        let mut head = self.head.subscribe();
        // The sender lives in self, so this cannot fail while we are borrowed.
        let _ = head.wait_for(|head| *head > number).await;
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner<T>> {
        self.inner
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Inner<T>> {
        self.inner
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl<T: Slot> Inner<T> {
    fn head(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn newest_start(&self) -> Option<u64> {
        let newest = self.keyframes.back().copied();
        newest.filter(|&keyframe| keyframe >= self.oldest_start)
    }

    fn slot(&self, number: u64) -> Option<&(Instant, Arc<T>)> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(index)
    }

    fn trim(&mut self, limits: &Limits, now: Instant) {
        while let Some((at, _)) = self.slots.front() {
            let age = now.saturating_duration_since(*at);
            let in_newest_gop = self
                .keyframes
                .back()
                .is_none_or(|&keyframe| self.first >= keyframe);
            let full = self.bytes > limits.bytes || self.slots.len() > limits.slots;
            let old = age > limits.gop || (age > limits.behind && !in_newest_gop);
            if !full && !old || self.slots.len() == 1 {
                return;
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, slot)) = self.slots.pop_front() {
            self.bytes -= slot.size();
            if self.keyframes.front() == Some(&self.first) {
                self.keyframes.pop_front();
            }
            self.first += 1;
        }
    }
}

/// A reader's place in a ring.
#[derive(Clone, Debug)]
pub struct Cursor {
    next: u64,
    lost: u64,
    seeks_keyframe: bool,
}

/// How far behind the head a reader may lag before it is moved to the newest keyframe, if there
/// is one ahead of it: late enough that a burst of radio trouble passes unseen, early enough that
/// the picture does not grow old.
pub const MAX_LAG: Duration = Duration::from_millis(2_500);

impl Cursor {
    /// The next slot, or `None` if there is none yet.
    ///
    /// A reader that was overrun, or lags by more than [`MAX_LAG`], goes on at the newest
    /// keyframe; what it missed is added to [`Cursor::lost`].
    pub fn poll<T: Slot>(&mut self, ring: &Ring<T>) -> Option<Arc<T>> {
        self.poll_counting(ring).map(|(slot, _)| slot)
    }

    /// Like [`Cursor::poll`]; the second value tells how many slots were skipped just before.
    pub fn poll_counting<T: Slot>(&mut self, ring: &Ring<T>) -> Option<(Arc<T>, u64)> {
        let inner = ring.read();
        let head = inner.head();
        let mut skipped = 0;
        if self.next < inner.first {
            // With no keyframe at hand the reader waits for one: decoding from the middle of a
            // GOP would show torn pictures.
            let (resume, seeks) = match inner.keyframes.back() {
                Some(&keyframe) => (keyframe, false),
                None => (head, true),
            };
            skipped = resume - self.next;
            self.next = resume;
            self.seeks_keyframe = seeks;
        } else if let (Some((at, _)), Some((newest, _)), Some(&keyframe)) = (
            inner.slot(self.next),
            inner.slots.back(),
            inner.keyframes.back(),
        ) && keyframe > self.next
            && newest.saturating_duration_since(*at) > MAX_LAG
        {
            skipped = keyframe - self.next;
            self.next = keyframe;
        }
        if self.seeks_keyframe {
            let Some(&keyframe) = inner.keyframes.iter().find(|&&number| number >= self.next)
            else {
                self.next = head;
                return None;
            };
            self.next = keyframe;
            self.seeks_keyframe = false;
        }
        self.lost += skipped;
        let (_, slot) = inner.slot(self.next)?;
        self.next += 1;
        Some((Arc::clone(slot), skipped))
    }

    /// Number of the slot that this cursor reads next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Slots that passed this reader by because it was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Unit {
        id: u64,
        key: bool,
        size: usize,
    }

    impl Slot for Unit {
        fn size(&self) -> usize {
            self.size
        }
        fn is_keyframe(&self) -> bool {
            self.key
        }
    }

    fn fill(ring: &Ring<Unit>, from: Instant, ids: std::ops::Range<u64>, gop: u64) {
        for id in ids {
            let at = from + Duration::from_millis(40 * id);
            ring.push(
                Arc::new(Unit {
                    id,
                    key: id % gop == 0,
                    size: 100,
                }),
                at,
            );
        }
    }

    #[test]
    fn late_reader_starts_with_a_keyframe() {
        let ring = Ring::default();
        fill(&ring, Instant::now(), 0..60, 25);
        let mut cursor = ring.start(Start::Gop);
        let first = cursor.poll(&ring).unwrap();
        assert!(first.key);
        assert_eq!(first.id, 50);
    }

    #[test]
    fn live_reader_waits_for_the_next_keyframe() {
        let ring = Ring::default();
        let t0 = Instant::now();
        fill(&ring, t0, 0..60, 25);
        let mut cursor = ring.start(Start::Live);
        assert!(cursor.poll(&ring).is_none());
        fill(&ring, t0, 60..80, 25);
        assert_eq!(cursor.poll(&ring).unwrap().id, 75);
    }

    #[test]
    fn overrun_reader_goes_on_at_the_newest_keyframe_and_counts_its_loss() {
        let ring = Ring::new(Limits {
            slots: 30,
            ..Limits::default()
        });
        let t0 = Instant::now();
        fill(&ring, t0, 0..10, 25);
        let mut cursor = ring.start(Start::Gop);
        assert_eq!(cursor.poll(&ring).unwrap().id, 0);
        fill(&ring, t0, 10..110, 25);
        assert_eq!(cursor.poll(&ring).unwrap().id, 100);
        assert_eq!(cursor.lost(), 99);
    }

    #[test]
    fn lagging_reader_is_moved_only_if_a_keyframe_is_ahead() {
        let ring = Ring::new(Limits {
            behind: Duration::from_secs(60),
            ..Limits::default()
        });
        let t0 = Instant::now();
        fill(&ring, t0, 0..1, 1_000);
        let mut cursor = ring.start(Start::Gop);
        fill(&ring, t0, 1..100, 1_000);
        assert_eq!(
            cursor.poll(&ring).unwrap().id,
            0,
            "one long GOP: nowhere to jump to"
        );
        fill(&ring, t0, 100..200, 150);
        assert_eq!(cursor.poll(&ring).unwrap().id, 150);
    }

    #[test]
    fn ring_keeps_the_newest_gop_whole_and_stays_within_its_bytes() {
        let ring = Ring::new(Limits {
            bytes: 10_000,
            behind: Duration::from_secs(1),
            ..Limits::default()
        });
        let t0 = Instant::now();
        fill(&ring, t0, 0..90, 80);
        assert_eq!(ring.start(Start::Gop).next(), 80);
        assert_eq!(
            ring.read().first,
            90 - 1 - 25,
            "one second behind the newest"
        );
        fill(&ring, t0, 90..160, 1_000);
        assert_eq!(ring.read().first, 80, "the GOP outlives the second");
        fill(&ring, t0, 160..300, 1_000);
        assert!(ring.bytes() <= 10_000);
        assert!(ring.newest_keyframe().is_none());
        assert!(
            ring.start(Start::Gop).poll(&ring).is_none(),
            "no keyframe, no torn picture"
        );
    }

    #[tokio::test]
    async fn waiting_reader_wakes_when_its_slot_arrives() {
        let ring = Arc::new(Ring::default());
        let waiter = tokio::spawn({
            let ring = Arc::clone(&ring);
            async move { ring.wait(0).await }
        });
        tokio::task::yield_now().await;
        fill(&ring, Instant::now(), 0..1, 25);
        tokio::time::timeout(Duration::from_secs(5), waiter)
            .await
            .unwrap()
            .unwrap();
    }
}
