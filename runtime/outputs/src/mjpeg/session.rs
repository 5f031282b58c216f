use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use hub::{Cursor, Hub, Start, ViewerGuard};

use super::{OPENING, Part};
use crate::muxers::Muxer;

/// One viewer.
#[derive(Debug)]
pub struct Session {
    muxer: Arc<Muxer<Part>>,
    hub: Arc<Hub>,
    cursor: Cursor,
    has_opened: bool,
    viewer: ViewerGuard,
}

/// How old a picture may be while a newer one waits. A burst from the camera is shown whole; a
/// viewer that cannot keep up sees the newest.
const MAX_AGE: Duration = Duration::from_millis(400);

/// How often a quiet session looks whether its camera still exists.
const QUIET: Duration = Duration::from_secs(2);

impl Session {
    pub(super) fn new(muxer: Arc<Muxer<Part>>, hub: Arc<Hub>) -> Self {
        let cursor = muxer.ring().start(Start::Gop);
        let viewer = muxer.stream().viewer(super::NAME);
        Self {
            muxer,
            hub,
            cursor,
            has_opened: false,
            viewer,
        }
    }

    /// The next piece of the body; `None` when the camera was taken out of the configuration.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Bytes> {
        if !self.has_opened {
            self.has_opened = true;
            return Some(OPENING);
        }
        loop {
            if let Some((part, skipped)) = self.cursor.poll_counting(self.muxer.ring()) {
                self.viewer.add_dropped(skipped);
                let newest = self.muxer.ring().start(Start::Gop);
                let part = if part.made.elapsed() > MAX_AGE && newest.next() >= self.cursor.next() {
                    let skipped = newest.next() + 1 - self.cursor.next();
                    self.viewer.add_dropped(skipped);
                    self.cursor = newest;
                    self.cursor.poll(self.muxer.ring()).unwrap_or(part)
                } else {
                    part
                };
                self.viewer.add_bytes(part.bytes.len() as u64);
                return Some(part.bytes.clone());
            }
            let arrival = self.muxer.ring().wait(self.cursor.next());
            if tokio::time::timeout(QUIET, arrival).await.is_err() && self.is_over() {
                return None;
            }
        }
    }

    /// The body as a stream that never fails.
    pub fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> + Send {
        stream::unfold(self, |mut session| async {
            let bytes = session.next().await?;
            Some((Ok(bytes), session))
        })
    }

    fn is_over(&self) -> bool {
        let stream = self.muxer.stream();
        let is_gone = match self.hub.stream(stream.name().as_str()) {
            Some(current) => !Arc::ptr_eq(&current, stream),
            None => true,
        };
        is_gone || self.muxer.is_finished()
    }
}
