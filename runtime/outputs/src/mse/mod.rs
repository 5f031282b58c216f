//! Fragmented MP4 for Media Source Extensions, carried by a WebSocket that others own.
//!
//! One muxer per stream makes one fragment per access unit, once for all viewers; it runs while
//! there are viewers. A session is a cursor into the muxer's ring: it begins with the init segment
//! and the newest GOP, and goes on live. A session that is too slow goes on at the newest keyframe.
//!
//! | message | means |
//! |---|---|
//! | text `{"type":"init","mime":…,"tracks":[…],"left_out":[…]}` | begin anew with this type; the init segment follows |
//! | binary | the init segment, or one fragment |
//! | text `{"type":"live"}` | what was there at the start is sent; the page may go to its end and play |
//! | text `{"type":"state","state":"away"\|"connecting"\|"live","message":…}` | nothing arrived for 2 s; repeated |
//! | text `{"type":"error","message":…}` | this stream cannot be shown this way |
//!
//! It opens no socket and knows no HTTP.

mod clock;
mod init;
mod muxer;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hub::{Hub, Ring};

pub use session::{Message, Session};

use crate::Error;
use crate::muxers::Muxers;

/// This output's name in metrics and the API.
pub const NAME: &str = "mse";

/// The MSE output of all streams.
#[derive(Debug)]
pub struct Mse {
    hub: Arc<Hub>,
    muxers: Muxers<muxer::Item>,
}

impl Mse {
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
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::UnknownStream`].
    pub fn session(&self, stream: &str) -> Result<Session, Error> {
        let found = self.hub.stream(stream);
        let stream = found.ok_or_else(|| Error::UnknownStream(stream.to_owned()))?;
        let muxer = self.muxers.open(&stream, Ring::default, |lease, ring, _| {
            muxer::run(lease, ring)
        });
        Ok(Session::new(muxer))
    }

    /// How many sessions watch `stream`.
    #[must_use]
    pub fn viewers(&self, stream: &str) -> u64 {
        let statistics = self.hub.stream(stream).map(|stream| stream.statistics());
        statistics
            .and_then(|statistics| statistics.outputs.get(NAME).map(|output| output.viewers))
            .unwrap_or(0)
    }
}
