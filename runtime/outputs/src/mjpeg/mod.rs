//! Motion JPEG over HTTP (`multipart/x-mixed-replace`) and single stills, as plain bytes.
//!
//! Only for streams whose camera sends JPEG; nothing is decoded or encoded here. Each picture is
//! made into a part once and shared by all viewers. A viewer that is slow skips to the newest
//! picture. Torn pictures are never passed on. It opens no socket and knows no HTTP server.

mod session;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use format::jpeg;
use hub::{Event, Hub, Lease, Limits, Ring, Slot, Start, Stream};
use media::{Codec, Tracks};

pub use session::Session;
pub use snapshot::Snapshot;

use crate::Error;
use crate::muxers::Muxers;

/// This output's name in metrics and the API.
pub const NAME: &str = "mjpeg";

/// The `Content-Type` of a session's bytes.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=eyelet";

/// What stands in front of the first part. Behind each part the next boundary follows at once,
/// since browsers show a picture only when they see that it has ended.
const OPENING: Bytes = Bytes::from_static(b"--eyelet\r\n");

/// The MJPEG output of all streams.
#[derive(Debug)]
pub struct Mjpeg {
    hub: Arc<Hub>,
    muxers: Muxers<Part>,
}

/// One picture with its part headers and the boundary that follows it.
#[derive(Debug)]
pub(crate) struct Part {
    bytes: Bytes,
    made: Instant,
}

impl Slot for Part {
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn is_keyframe(&self) -> bool {
        true
    }
}

impl Mjpeg {
    /// Serves the streams of `hub`.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            muxers: Muxers::default(),
        }
    }

    /// Begins a session with one viewer. The stream is wanted for as long as the session lives.
    ///
    /// Waits at most `patience` for a camera that was never seen to say what it sends; one that
    /// is merely away is waited for inside the session.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::NotJpeg`], [`Error::NoPictures`], [`Error::TimedOut`].
    pub async fn session(&self, stream: &str, patience: Duration) -> Result<Session, Error> {
        let stream = self.find(stream)?;
        let lease = stream.lease();
        let tracks = tokio::time::timeout(patience, stream.wait_tracks()).await;
        let tracks = tracks.map_err(|_| timed_out(&stream, patience))?;
        check(&stream, &tracks)?;
        // A second of pictures is enough: who is further behind gets the newest.
        let limits = Limits {
            behind: Duration::from_secs(1),
            gop: Duration::from_secs(60),
            ..Limits::default()
        };
        let muxer = self.muxers.open(&stream, || Ring::new(limits), run);
        drop(lease);
        Ok(Session::new(muxer, Arc::clone(&self.hub)))
    }

    /// The newest picture, not older than 2 s if the camera gives one within `patience`; else
    /// the last that is known.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::NotJpeg`], [`Error::NoPictures`], [`Error::TimedOut`].
    pub async fn snapshot(&self, stream: &str, patience: Duration) -> Result<Snapshot, Error> {
        snapshot::take(&self.find(stream)?, patience).await
    }

    /// How many sessions watch `stream`.
    #[must_use]
    pub fn viewers(&self, stream: &str) -> u64 {
        let statistics = self.hub.stream(stream).map(|stream| stream.statistics());
        statistics
            .and_then(|statistics| statistics.outputs.get(NAME).map(|output| output.viewers))
            .unwrap_or(0)
    }

    fn find(&self, stream: &str) -> Result<Arc<Stream>, Error> {
        let found = self.hub.stream(stream);
        found.ok_or_else(|| Error::UnknownStream(stream.to_owned()))
    }
}

/// Whether the stream's pictures are JPEG.
fn check(stream: &Stream, tracks: &Tracks) -> Result<(), Error> {
    let video = tracks.video().and_then(|video| tracks.get(video));
    match video.map(|track| track.codec) {
        Some(Codec::Jpeg) => Ok(()),
        Some(codec) => Err(Error::NotJpeg {
            stream: stream.name().to_string(),
            codec,
        }),
        None => Err(Error::NoPictures(stream.name().to_string())),
    }
}

/// The picture in this event, if it is one and whole.
fn picture(event: &Event) -> Option<&media::AccessUnit> {
    match event {
        Event::AccessUnit(unit, true) if jpeg::is_whole(&unit.payload) => Some(unit),
        Event::AccessUnit(..) | Event::Tracks(_) => None,
    }
}

fn timed_out(stream: &Stream, patience: Duration) -> Error {
    let status = stream.status();
    let reason = status
        .error
        .unwrap_or_else(|| format!("the camera is {}", status.state.name()));
    Error::TimedOut {
        stream: stream.name().to_string(),
        seconds: patience.as_secs(),
        reason,
    }
}

fn part(jpeg: &[u8]) -> Bytes {
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
        jpeg.len()
    );
    let mut bytes = BytesMut::with_capacity(head.len() + jpeg.len() + 2 + OPENING.len());
    bytes.put_slice(head.as_bytes());
    bytes.put_slice(jpeg);
    bytes.put_slice(b"\r\n");
    bytes.put_slice(&OPENING);
    bytes.freeze()
}

/// Makes parts for as long as the task lives.
async fn run(lease: Lease, ring: Arc<Ring<Part>>) {
    let stream = lease.stream();
    let mut cursor = stream.ring().start(Start::Gop);
    loop {
        match cursor.poll(stream.ring()) {
            Some(event) => {
                if let Some(unit) = picture(&event) {
                    let made = Instant::now();
                    let bytes = part(&unit.payload);
                    ring.push(Arc::new(Part { bytes, made }), made);
                }
            }
            None => stream.ring().wait(cursor.next()).await,
        }
    }
}
