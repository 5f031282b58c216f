use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub::{Cursor, Start, State, ViewerGuard};
use serde_json::json;

use super::init::Init;
use super::muxer::Item;
use crate::muxers::Muxer;

/// One WebSocket message for the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// JSON; see the table in the module's documentation.
    Text(String),
    /// An init segment or a fragment, shared by all viewers.
    Binary(Bytes),
}

/// One viewer.
#[derive(Debug)]
pub struct Session {
    muxer: Arc<Muxer<Item>>,
    cursor: Cursor,
    init: Option<Arc<Init>>,
    /// Whether the page has all that was there when it began, and was told so.
    is_live: bool,
    has_successor: bool,
    ready: VecDeque<Message>,
    viewer: ViewerGuard,
}

/// How long nothing may arrive before the page is told; also keeps proxies from closing the
/// WebSocket while a camera is away.
const QUIET: Duration = Duration::from_secs(2);

/// Tells the page that the burst of the start is over.
const LIVE: &str = r#"{"type":"live"}"#;

impl Session {
    pub(super) fn new(muxer: Arc<Muxer<Item>>) -> Self {
        // While a camera is away, its last pictures would be followed by a gap.
        let start = match muxer.stream().ring().has_start() {
            true => Start::Gop,
            false => Start::Live,
        };
        let cursor = muxer.ring().start(start);
        let viewer = muxer.stream().viewer(super::NAME);
        Self {
            muxer,
            cursor,
            init: None,
            is_live: false,
            has_successor: false,
            ready: VecDeque::new(),
            viewer,
        }
    }

    /// The next message; `None` when the camera was taken out of the configuration.
    ///
    /// Cancel safe: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                if let Message::Binary(bytes) = &message {
                    self.viewer.add_bytes(bytes.len() as u64);
                }
                return Some(message);
            }
            if let Some((item, skipped)) = self.cursor.poll_counting(self.muxer.ring()) {
                self.viewer.add_dropped(skipped);
                self.take(&item);
                continue;
            }
            if !self.is_live && !self.has_successor && self.is_shown() {
                self.is_live = true;
                return Some(Message::Text(LIVE.to_owned()));
            }
            let arrival = self.muxer.ring().wait(self.cursor.next());
            if tokio::time::timeout(QUIET, arrival).await.is_err() {
                if self.muxer.is_over() {
                    return None;
                }
                if let Some(state) = self.state() {
                    self.ready.push_back(state);
                }
            }
        }
    }

    /// Access units that passed this viewer by because it was too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.cursor.lost()
    }

    fn take(&mut self, item: &Item) {
        let is_same = |init: &Arc<Init>| Arc::ptr_eq(init, &item.init);
        if !self.init.as_ref().is_some_and(is_same) {
            self.ready.push_back(Message::Text(item.init.text.clone()));
            let segment = item.init.segment.clone().map(Message::Binary);
            self.ready.extend(segment);
            self.init = Some(Arc::clone(&item.init));
            self.is_live = false;
        }
        self.has_successor = item.has_successor;
        if !item.bytes.is_empty() {
            self.ready.push_back(Message::Binary(item.bytes.clone()));
        }
    }

    /// Whether the page got an init segment.
    fn is_shown(&self) -> bool {
        let init = self.init.as_ref();
        init.is_some_and(|init| init.segment.is_some())
    }

    /// What the page shall say while nothing arrives.
    fn state(&self) -> Option<Message> {
        if self.init.is_some() && !self.is_shown() {
            return None; // It was told why, and that does not change by waiting.
        }
        let status = self.muxer.stream().status();
        let state = match status.state {
            // A camera that sends a picture every ten seconds is not away.
            State::Live => "live",
            State::Idle | State::Connecting if status.error.is_none() => "connecting",
            State::Idle | State::Connecting | State::Waiting => "away",
        };
        let message = status.error.unwrap_or_default();
        let text = json!({ "type": "state", "state": state, "message": message });
        Some(Message::Text(text.to_string()))
    }
}
