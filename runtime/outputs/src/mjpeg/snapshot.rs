use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use format::jpeg::Picture;
use hub::{Start, Stream};
use media::AccessUnit;

use super::{check, picture, timed_out};
use crate::Error;

/// One whole picture.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The picture, SOI to EOI.
    pub jpeg: Bytes,
    /// How long ago it arrived here.
    pub age: Duration,
    /// Its size in pixels, if its head is readable.
    pub size: Option<(u32, u32)>,
}

/// How old a picture may be to be given without asking the camera.
const FRESH: Duration = Duration::from_secs(2);

impl Snapshot {
    fn of(unit: &AccessUnit) -> Self {
        let size = Picture::parse(&unit.payload).ok();
        Self {
            jpeg: unit.payload.clone(),
            age: Instant::now().saturating_duration_since(unit.received),
            size: size.map(|picture| (picture.width, picture.height)),
        }
    }
}

pub(super) async fn take(stream: &Arc<Stream>, patience: Duration) -> Result<Snapshot, Error> {
    let known = known(stream);
    if let Some(snapshot) = known.as_ref().filter(|snapshot| snapshot.age <= FRESH) {
        return Ok(snapshot.clone());
    }
    let lease = stream.lease();
    let fresh = tokio::time::timeout(patience, fresh(stream)).await;
    drop(lease);
    match (fresh, known) {
        (Ok(Ok(snapshot)), _) => Ok(snapshot),
        (Ok(Err(error)), _) => Err(error),
        (Err(_), Some(old)) => Ok(Snapshot {
            age: old.age.saturating_add(patience),
            ..old
        }),
        (Err(_), None) => Err(timed_out(stream, patience)),
    }
}

/// The newest whole picture in the ring.
fn known(stream: &Stream) -> Option<Snapshot> {
    check(stream, &stream.tracks()?).ok()?;
    let event = stream.ring().newest_keyframe()?;
    picture(&event).map(Snapshot::of)
}

/// The next whole picture to arrive.
async fn fresh(stream: &Stream) -> Result<Snapshot, Error> {
    let mut cursor = stream.ring().start(Start::Live);
    check(stream, &stream.wait_tracks().await)?;
    loop {
        match cursor.poll(stream.ring()) {
            Some(event) => {
                if let Some(unit) = picture(&event) {
                    check(stream, &stream.wait_tracks().await)?;
                    return Ok(Snapshot::of(unit));
                }
            }
            None => stream.ring().wait(cursor.next()).await,
        }
    }
}
