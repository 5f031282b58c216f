use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hub::{Cursor, ViewerGuard};
use tokio::net::TcpStream;

use super::OPENING;
use super::connection::{Connection, End, Manner};
use super::muxer::{Framing, Part, entrance, next_part};
use crate::muxers::Muxer;

/// One viewer.
#[derive(Debug)]
pub struct Session {
    muxer: Arc<Muxer<Part>>,
    cursor: Cursor,
    has_opened: bool,
    viewer: ViewerGuard,
}

/// How often a quiet session looks whether its camera still exists.
const QUIET: Duration = Duration::from_secs(2);

impl Session {
    /// `output` is the name under which the viewer is counted.
    pub(super) fn new(muxer: Arc<Muxer<Part>>, output: &'static str) -> Self {
        let cursor = entrance(muxer.ring());
        let viewer = muxer.stream().viewer(output);
        Self {
            muxer,
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
            if let Some(part) = next_part(&mut self.cursor, self.muxer.ring(), &self.viewer, true) {
                let bytes = part.wire(Framing::Parts);
                self.viewer.add_bytes(bytes.len() as u64);
                return Some(bytes);
            }
            let arrival = self.muxer.ring().wait(self.cursor.next());
            if tokio::time::timeout(QUIET, arrival).await.is_err() && self.muxer.is_over() {
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

    /// Sends `head`, an HTTP response's, and then the body to a plain socket that nobody else writes
    /// to, until the viewer leaves or takes nothing for `stall`, or the camera is configured no more.
    ///
    /// This is the cheap way: no task is woken for a picture.
    pub async fn serve_on(self, socket: Arc<TcpStream>, head: &[u8], stall: Duration) {
        let manner = Manner {
            framing: Framing::Parts,
            pictures: None,
            patience: None,
            stall,
            allows_half_close: false,
        };
        let head = BytesMut::from_iter(head.iter().chain(&OPENING)).freeze();
        self.send_to(socket, head, manner).await;
    }

    /// The same for any kind of viewer.
    pub(crate) async fn send_to(self, socket: Arc<TcpStream>, head: Bytes, manner: Manner) -> End {
        let Self {
            muxer,
            cursor,
            viewer,
            ..
        } = self;
        let ring = Arc::clone(muxer.ring());
        let connection = Connection::new(socket, ring, cursor, viewer, head, manner);
        let connection = Arc::new(connection);
        let _seat = muxer.fanout().join(muxer.ring(), connection.clone());
        // What is there already; what comes from here on, the fan-out brings.
        connection.pump();
        let end = connection.serve(|| muxer.is_over()).await;
        if end == End::Served {
            connection.farewell().await;
        }
        end
    }
}
