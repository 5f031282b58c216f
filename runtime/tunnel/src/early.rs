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
    /// How many of them an agent may have heard, and so the camera.
    said: usize,
}

impl<'a> Early<'a> {
    /// Of `viewer`, from which `first` has been read already.
    pub(crate) fn of(viewer: &'a TcpStream, first: &[u8]) -> Self {
        Self {
            viewer: Some(viewer),
            bytes: first.to_vec(),
            said: 0,
        }
    }

    /// All that came so far is being said.
    pub(crate) fn note_said(&mut self) {
        self.said = self.bytes.len();
    }

    /// Whether a camera that has heard what was said so far may hear it once more, on another connection.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.said == 0 || is_one_question(&self.bytes)
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

/// Whether this is one request, or the beginning of one, that changes nothing at the camera however often it is heard
/// (RFC 9110 section 9.2.2, RFC 2326 sections 10.1 and 10.2). Nearly all viewers begin with one.
fn is_one_question(bytes: &[u8]) -> bool {
    const QUESTIONS: [&[u8]; 4] = [b"OPTIONS ", b"DESCRIBE ", b"GET ", b"HEAD "];
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|piece| piece == END);
    let is_one = end.is_none_or(|end| end + END.len() == bytes.len());
    is_one && QUESTIONS.iter().any(|word| bytes.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_what_may_change_something() {
        for question in [
            "OPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "DESCRIBE rtsp://h/ RTSP/1.0\r\nCSe",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert!(is_one_question(question.as_bytes()), "{question:?}");
        }
        for other in [
            "",
            "GE",
            "POST / HTTP/1.1\r\n\r\n",
            "GET_PARAMETER rtsp://h/ RTSP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n\r\n",
            "OPTIONS * RTSP/1.0\r\nContent-Length: 1\r\n\r\nx",
            "\u{f0}\u{de}",
        ] {
            assert!(!is_one_question(other.as_bytes()), "{other:?}");
        }
    }
}
