//! Motion JPEG over HTTP (`multipart/x-mixed-replace`) and single stills, as plain bytes.
//!
//! The pictures of cameras that send no JPEG are made elsewhere ([`pixels`]); nothing is decoded or
//! encoded here. Each picture is made into a part once and shared by all viewers. A viewer that is
//! slow skips to the newest picture. Torn pictures are never passed on. It opens no socket and knows no HTTP server.

mod connection;
mod muxer;
mod session;
mod snapshot;
#[cfg(test)]
mod socket_tests;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub::{Hub, Limits, Ring, State, Stream};
use media::Tracks;
use pixels::{Pictures, Pixels};

pub use session::Session;
pub use snapshot::{Origin, Snapshot};

pub(crate) use connection::{End, Manner};
pub(crate) use muxer::Framing;
use muxer::Part;

use crate::Error;
use crate::muxers::Muxers;

/// This output's name in metrics and the API.
pub const NAME: &str = "mjpeg";

/// The `Content-Type` of a session's bytes.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=eyelet";

/// From this age on a picture is no longer live: a new viewer is not shown it, and a still is
/// called stale. Twice the time after which a silent camera is connected to anew.
pub const STALE: Duration = Duration::from_secs(10);

/// How long a camera may take to become live before something else is shown, if there is something.
const ABSENT: Duration = Duration::from_secs(3);

/// What stands in front of the first part. Behind each part the next boundary follows at once,
/// since browsers show a picture only when they see that it has ended.
pub(crate) const OPENING: Bytes = Bytes::from_static(b"--eyelet\r\n");

/// The MJPEG output of all streams.
#[derive(Debug)]
pub struct Mjpeg {
    hub: Arc<Hub>,
    pixels: Arc<Pixels>,
    muxers: Muxers<Part>,
}

impl Mjpeg {
    /// Serves the streams of `hub`; `pixels` makes pictures of those that are not JPEG.
    #[must_use]
    pub fn new(hub: Arc<Hub>, pixels: Arc<Pixels>) -> Self {
        Self {
            hub,
            pixels,
            muxers: Muxers::default(),
        }
    }

    /// Begins a session with one viewer. The stream is wanted for as long as the session lives.
    ///
    /// Waits at most `patience` for a camera that was never seen to say what it sends; one that
    /// is merely away is waited for inside the session.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Pixels`], [`Error::NoPictures`], [`Error::TimedOut`].
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
        let pictures = self.pictures(&stream, patience).await?;
        // Two seconds of pictures are enough: who is further behind gets the newest.
        let limits = Limits {
            behind: Duration::from_secs(2),
            gop: Duration::from_secs(60),
            ..Limits::default()
        };
        let muxer = self.muxers.open(
            &stream,
            || Ring::new(limits),
            |lease, ring, fanout| muxer::run(lease, pictures, ring, fanout),
        );
        drop(lease);
        Ok(Session::new(muxer, output))
    }

    /// The JPEG pictures of a camera; where it gives nothing, what is to be shown instead.
    async fn pictures(&self, stream: &Arc<Stream>, patience: Duration) -> Result<Pictures, Error> {
        if stream.status().state != State::Live
            && self.pixels.substitute(stream.name()).await.is_some()
        {
            let mut status = stream.watch_status();
            let live = status.wait_for(|status| status.state == State::Live);
            if tokio::time::timeout(ABSENT, live).await.is_err() {
                return Ok(self.pixels.pictures_of_absent(stream));
            }
        }
        let tracks = tokio::time::timeout(patience, stream.wait_tracks()).await;
        let tracks = tracks.map_err(|_| timed_out(stream, patience))?;
        self.decoded(stream, &tracks)
    }

    fn decoded(&self, stream: &Arc<Stream>, tracks: &Tracks) -> Result<Pictures, Error> {
        let pictures = self.pixels.pictures(stream, tracks)?;
        pictures.ok_or_else(|| Error::NoPictures(stream.name().to_string()))
    }

    /// The newest picture, not older than 2 s if the camera gives one within `patience`; else
    /// the last that is known.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Pixels`], [`Error::NoPictures`], [`Error::TimedOut`].
    pub async fn snapshot(&self, stream: &str, patience: Duration) -> Result<Snapshot, Error> {
        snapshot::take(&self.find(stream)?, &self.pixels, patience).await
    }

    /// The last picture that is known, without asking the camera for anything.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], [`Error::Pixels`].
    pub async fn last(&self, stream: &str) -> Result<Option<Snapshot>, Error> {
        snapshot::last(&self.find(stream)?, &self.pixels).await
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
