use std::time::Instant;

use bytes::Bytes;
use format::jpeg::Picture;
use hub::Publisher;
use media::{AccessUnit, MediaTime, Track, Tracks};

use crate::DriverError;

/// Publishes the pictures of cameras that tell no time: the time of a picture is its arrival.
pub(crate) struct Pictures<'a> {
    publisher: &'a mut Publisher,
    started: Instant,
    last: i64,
    size: Option<(u32, u32)>,
}

impl<'a> Pictures<'a> {
    pub(crate) fn new(publisher: &'a mut Publisher) -> Self {
        Self {
            publisher,
            started: Instant::now(),
            last: -1,
            size: None,
        }
    }

    /// Publishes one whole picture.
    ///
    /// # Errors
    /// A head that no decoder would take, and what the hub refuses.
    pub(crate) fn publish(&mut self, picture: Bytes) -> Result<(), DriverError> {
        let head = Picture::parse(&picture).map_err(|error| {
            DriverError::Protocol(format!("a picture came that is none: {error}"))
        })?;
        let size = (head.width, head.height);
        if self.size != Some(size) {
            self.size = Some(size);
            let track = Track::jpeg(self.size);
            self.publisher.announce(Tracks::new(vec![track]))?;
        }
        let received = Instant::now();
        let elapsed = received.saturating_duration_since(self.started).as_nanos();
        let time = MediaTime::from_nanos(i64::try_from(elapsed).unwrap_or(i64::MAX), 90_000);
        // Two pictures may come in one read; their times still differ.
        self.last = time.0.max(self.last.saturating_add(1));
        self.publisher.publish(AccessUnit {
            track: 0,
            time: MediaTime(self.last),
            wall: None,
            received,
            is_keyframe: true,
            payload: picture,
        })?;
        Ok(())
    }
}

/// The first bytes of what came instead of pictures, for a message.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    if shown
        .iter()
        .all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t'))
    {
        format!("{:?}", String::from_utf8_lossy(shown))
    } else {
        let hex: Vec<String> = shown.iter().map(|b| format!("{b:02x}")).collect();
        hex.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_text_where_it_is_text_and_hex_elsewhere() {
        assert_eq!(excerpt(b"HTTP/1.1 200 OK\r\n"), "\"HTTP/1.1 200 OK\\r\\n\"");
        assert_eq!(excerpt(&[0, 0xff]), "00 ff");
    }
}
