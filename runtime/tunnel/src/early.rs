//! What a viewer says before its camera is there.

use std::io;

use tokio::net::TcpStream;

/// Most bytes of a viewer that are taken before its camera is there; the first words of RTSP or HTTP are shorter.
const MAX_EARLY: usize = 16 << 10;

/// A viewer's first bytes. They go with the question for the camera, which saves the viewer a round trip, and are kept
/// until the answer, for a session that ends under the question.
#[derive(Debug, Default)]
pub(crate) struct Early<'a> {
    viewer: Option<&'a TcpStream>,
    bytes: Vec<u8>,
}

impl<'a> Early<'a> {
    /// Of `viewer`, from which `first` has been read already.
    pub(crate) fn of(viewer: &'a TcpStream, first: &[u8]) -> Self {
        Self {
            viewer: Some(viewer),
            bytes: first.to_vec(),
        }
    }

    /// All that came so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Waits for more: where it begins. Never resolves once there is enough, or no more can come. Cancel-safe.
    pub(crate) async fn more(&mut self) -> usize {
        let from = self.bytes.len();
        let mut piece = [0; 2048];
        let room = piece.len().min(MAX_EARLY.saturating_sub(from));
        if let (Some(viewer), Some(room @ [_, ..])) = (self.viewer, piece.get_mut(..room))
            && viewer.readable().await.is_ok()
        {
            match viewer.try_read(room) {
                Ok(n @ 1..) => {
                    self.bytes
                        .extend_from_slice(room.get(..n).unwrap_or_default());
                    return from;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return from,
                // Whoever carries the connection from here hears it again.
                Ok(_) | Err(_) => self.viewer = None,
            }
        }
        std::future::pending().await
    }
}
