use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use format::jpeg::{self, Picture};
use hub::{Event, Start, State, Stream};
use media::{AccessUnit, Codec};
use pixels::{Pixels, Substitute};

use super::timed_out;
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
    /// Where it is from.
    pub origin: Origin,
}

/// Where a picture is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The camera, since this program runs.
    Camera,
    /// The camera, kept from before: it gives nothing at this moment.
    Kept,
    /// The configuration: the camera gives nothing at this moment.
    Backup,
}

impl Origin {
    /// The word in headers: `camera`, `kept`, `backup`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Kept => "kept",
            Self::Backup => "backup",
        }
    }
}

/// How old a picture may be to be given without asking the camera.
const FRESH: Duration = Duration::from_secs(2);

/// The same for the newest keyframe of a camera that is sending.
const KEYFRAME_FRESH: Duration = Duration::from_secs(10);

/// How long a camera may take for a picture while there is another one to show.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);

impl Snapshot {
    fn of(unit: &AccessUnit) -> Self {
        let size = Picture::parse(&unit.payload).ok();
        Self {
            jpeg: unit.payload.clone(),
            age: Instant::now().saturating_duration_since(unit.received),
            size: size.map(|picture| (picture.width, picture.height)),
            origin: Origin::Camera,
        }
    }

    fn substitute(substitute: Substitute) -> Self {
        let size = Picture::parse(&substitute.jpeg).ok();
        Self {
            age: substitute.age().unwrap_or_default(),
            origin: match substitute.taken {
                Some(_) => Origin::Kept,
                None => Origin::Backup,
            },
            size: size.map(|picture| (picture.width, picture.height)),
            jpeg: substitute.jpeg,
        }
    }
}

pub(super) async fn take(
    stream: &Arc<Stream>,
    pixels: &Pixels,
    patience: Duration,
) -> Result<Snapshot, Error> {
    let known = match newest(stream, pixels) {
        Some(unit) if unit.received.elapsed() <= fresh_for(stream) => {
            return still(stream, pixels, &unit).await;
        }
        known => known,
    };
    // Whoever has something else to show need not wait long.
    let substitute = pixels.substitute(stream.name()).await;
    let patience = match substitute {
        Some(_) => patience.min(SHORT_PATIENCE),
        None => patience,
    };
    let lease = stream.lease();
    let next = tokio::time::timeout(patience, next(stream)).await;
    drop(lease);
    match (next, substitute, known) {
        (Ok(Ok(unit)), ..) => still(stream, pixels, &unit).await,
        (Ok(Err(error)), ..) => Err(error),
        // A configured picture says more than an old one; of two old ones the newer counts.
        (Err(_), Some(substitute), known) if substitute.taken.is_none() || known.is_none() => {
            Ok(Snapshot::substitute(substitute))
        }
        (Err(_), _, Some(old)) => still(stream, pixels, &old).await,
        (Err(_), _, None) => Err(timed_out(stream, patience)),
    }
}

/// The newer of what the stream and the store have.
pub(super) async fn last(stream: &Arc<Stream>, pixels: &Pixels) -> Result<Option<Snapshot>, Error> {
    match newest(stream, pixels) {
        Some(unit) => still(stream, pixels, &unit).await.map(Some),
        None => {
            let substitute = pixels.substitute(stream.name()).await;
            Ok(substitute.map(Snapshot::substitute))
        }
    }
}

/// How old a picture of this stream may be to be given without waiting for another. While a camera
/// sends video, its newest keyframe is what there is, unless they come very seldom.
fn fresh_for(stream: &Stream) -> Duration {
    let is_coded = stream.tracks().is_some_and(|tracks| {
        let video = tracks.video().and_then(|video| tracks.get(video));
        video.is_some_and(|video| video.codec != Codec::Jpeg)
    });
    if is_coded && stream.status().state == State::Live {
        KEYFRAME_FRESH
    } else {
        FRESH
    }
}

/// The access unit as a JPEG picture.
async fn still(
    stream: &Arc<Stream>,
    pixels: &Pixels,
    unit: &AccessUnit,
) -> Result<Snapshot, Error> {
    if jpeg::is_whole(&unit.payload) {
        return Ok(Snapshot::of(unit));
    }
    let tracks = stream.wait_tracks().await;
    Ok(Snapshot::of(&pixels.still(stream, &tracks, unit).await?))
}

/// The newest picture that is at hand, if it is one that can be decoded alone.
fn newest(stream: &Arc<Stream>, pixels: &Pixels) -> Option<AccessUnit> {
    let unit = pixels.newest(stream)?;
    let is_picture = jpeg::is_whole(&unit.payload) || is_start(stream, &unit);
    is_picture.then_some(unit)
}

/// The next picture to arrive that can be decoded alone.
async fn next(stream: &Stream) -> Result<AccessUnit, Error> {
    let mut cursor = stream.ring().start(Start::Live);
    loop {
        let tracks = stream.wait_tracks().await;
        if tracks.video().is_none() {
            return Err(Error::NoPictures(stream.name().to_string()));
        }
        match cursor.poll(stream.ring()) {
            Some(event) => {
                if let Event::AccessUnit(unit, true) = &*event
                    && is_start(stream, unit)
                {
                    return Ok(unit.clone());
                }
            }
            None => stream.ring().wait(cursor.next()).await,
        }
    }
}

/// Whether this keyframe is a picture that can be decoded alone: of JPEG, a whole one.
fn is_start(stream: &Stream, unit: &AccessUnit) -> bool {
    let tracks = stream.tracks();
    let track = tracks.as_ref().and_then(|tracks| tracks.get(unit.track));
    match track.map(|track| track.codec) {
        Some(Codec::Jpeg) => jpeg::is_whole(&unit.payload),
        Some(Codec::H264 | Codec::H265) => true,
        Some(Codec::Aac | Codec::Pcma | Codec::Pcmu) | None => false,
    }
}
