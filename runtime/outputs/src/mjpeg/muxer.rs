use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use format::jpeg;
use hub::{Cursor, Event, Lease, OutputCounters, Ring, Slot, Start};
use media::AccessUnit;
use pixels::Pictures;

use super::{OPENING, STALE};
use crate::fanout::Fanout;

/// One picture with its part headers and the boundary that follows it.
#[derive(Debug)]
pub(crate) struct Part {
    bytes: Bytes,
    /// Where the picture alone stands in it.
    picture: Range<usize>,
    /// When it came from the camera.
    received: Instant,
    made: Instant,
}

/// How much of a part a viewer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// All of it: `multipart/x-mixed-replace`.
    Parts,
    /// The picture alone, as raw TCP viewers want it.
    Bare,
}

impl Slot for Part {
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn is_keyframe(&self) -> bool {
        true
    }
}

impl Part {
    fn new(unit: &AccessUnit) -> Self {
        let jpeg = &unit.payload;
        let head = format!(
            "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        let mut bytes = BytesMut::with_capacity(head.len() + jpeg.len() + 2 + OPENING.len());
        bytes.put_slice(head.as_bytes());
        bytes.put_slice(jpeg);
        bytes.put_slice(b"\r\n");
        bytes.put_slice(&OPENING);
        Self {
            bytes: bytes.freeze(),
            picture: head.len()..head.len() + jpeg.len(),
            received: unit.received,
            made: Instant::now(),
        }
    }

    /// The shared bytes that a viewer of this kind is sent.
    pub(super) fn wire(&self, framing: Framing) -> Bytes {
        match framing {
            Framing::Parts => self.bytes.clone(),
            Framing::Bare => self.bytes.slice(self.picture.clone()),
        }
    }
}

/// Where a new viewer enters: at the newest picture, unless that is no longer live.
pub(super) fn entrance(ring: &Ring<Part>) -> Cursor {
    let is_live = |part: Arc<Part>| part.received.elapsed() < STALE;
    match ring.newest_keyframe().is_some_and(is_live) {
        true => ring.start(Start::Gop),
        false => ring.start(Start::Live),
    }
}

/// How old a picture may be while a newer one waits for a viewer that cannot keep up. A burst from
/// the camera is shown whole.
const MAX_AGE: Duration = Duration::from_millis(400);

/// The next part for a viewer. Whole pictures that it was too slow for are skipped and counted; a
/// viewer that is not slow gets every one, even if we are late ourselves.
pub(super) fn next_part(
    cursor: &mut Cursor,
    ring: &Ring<Part>,
    counters: &OutputCounters,
    is_slow: bool,
) -> Option<Arc<Part>> {
    let (part, skipped) = cursor.poll_counting(ring)?;
    counters.add_dropped(skipped);
    if !is_slow || part.made.elapsed() <= MAX_AGE {
        return Some(part);
    }
    let newest = ring.start(Start::Gop);
    if newest.next() < cursor.next() {
        return Some(part);
    }
    counters.add_dropped(newest.next() + 1 - cursor.next());
    *cursor = newest;
    cursor.poll(ring).or(Some(part))
}

/// The picture in this event, if it is one and whole.
fn picture(event: &Event) -> Option<&AccessUnit> {
    match event {
        Event::AccessUnit(unit, true) if jpeg::is_whole(&unit.payload) => Some(unit),
        Event::AccessUnit(..) | Event::Tracks(_) => None,
    }
}

/// Makes parts for as long as the task lives. The lease is on the camera's stream, the pictures may
/// be another one.
pub(super) async fn run(
    _lease: Lease,
    pictures: Pictures,
    ring: Arc<Ring<Part>>,
    fanout: Arc<Fanout>,
) {
    let stream = pictures.stream();
    let mut cursor = stream.ring().start(Start::Still);
    loop {
        match cursor.poll(stream.ring()) {
            Some(event) => {
                let live = |unit: &&AccessUnit| unit.received.elapsed() < STALE;
                if let Some(unit) = picture(&event).filter(live) {
                    let part = Part::new(unit);
                    let made = part.made;
                    ring.push(Arc::new(part), made);
                    fanout.pump();
                    // A pump never waits, so without this a flood of pictures could hold the core.
                    tokio::task::consume_budget().await;
                }
            }
            None => stream.ring().wait(cursor.next()).await,
        }
    }
}
