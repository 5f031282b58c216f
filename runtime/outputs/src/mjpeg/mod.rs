//! Motion JPEG over HTTP (`multipart/x-mixed-replace`) and single stills, as plain bytes.
//!
//! Only for streams whose camera sends JPEG; nothing is decoded or encoded here. Each picture is
//! made into a part once and shared by all viewers. A viewer that is slow skips to the newest
//! picture. Torn pictures are never passed on. It opens no socket and knows no HTTP server.

mod connection;
mod muxer;
mod session;
mod snapshot;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub::{Hub, Limits, Ring, Stream};
use media::{Codec, Tracks};

pub use session::Session;
pub use snapshot::Snapshot;

pub(crate) use connection::{End, Manner};
pub(crate) use muxer::Framing;
use muxer::{Part, picture};

use crate::Error;
use crate::muxers::Muxers;

/// This output's name in metrics and the API.
pub const NAME: &str = "mjpeg";

/// The `Content-Type` of a session's bytes.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=eyelet";

/// From this age on a picture is no longer live: a new viewer is not shown it, and a still is
/// called stale. Twice the time after which a silent camera is connected to anew.
pub const STALE: Duration = Duration::from_secs(10);

/// What stands in front of the first part. Behind each part the next boundary follows at once,
/// since browsers show a picture only when they see that it has ended.
pub(crate) const OPENING: Bytes = Bytes::from_static(b"--eyelet\r\n");

/// The MJPEG output of all streams.
#[derive(Debug)]
pub struct Mjpeg {
    hub: Arc<Hub>,
    muxers: Muxers<Part>,
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
        self.session_of(NAME, stream, patience).await
    }

    /// The same for a viewer that is counted under another output's name.
    pub(crate) async fn session_of(
        &self,
        output: &'static str,
        stream: &str,
        patience: Duration,
    ) -> Result<Session, Error> {
        let stream = self.find(stream)?;
        let lease = stream.lease();
        let tracks = tokio::time::timeout(patience, stream.wait_tracks()).await;
        let tracks = tracks.map_err(|_| timed_out(&stream, patience))?;
        check(&stream, &tracks)?;
        // Two seconds of pictures are enough: who is further behind gets the newest.
        let limits = Limits {
            behind: Duration::from_secs(2),
            gop: Duration::from_secs(60),
            ..Limits::default()
        };
        let muxer = self.muxers.open(&stream, || Ring::new(limits), muxer::run);
        drop(lease);
        Ok(Session::new(muxer, Arc::clone(&self.hub), output))
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
