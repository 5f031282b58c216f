use std::time::{Duration, Instant};

use bytes::Bytes;
use format::jpeg::Picture;
use hub::Publisher;
use media::{AccessUnit, MediaTime, Track, Tracks};
use proto_jpeg::Losses;

use crate::DriverError;

/// Publishes the pictures of cameras that tell no time: the time of a picture is its arrival.
pub(crate) struct Pictures<'a> {
    publisher: &'a mut Publisher,
    started: Instant,
    last: i64,
    size: Option<(u32, u32)>,
    pace: Pace,
}

impl<'a> Pictures<'a> {
    /// `interval` is the least time between two pictures that [`Self::offer`] takes.
    pub(crate) fn new(publisher: &'a mut Publisher, interval: Option<Duration>) -> Self {
        Self {
            publisher,
            started: Instant::now(),
            last: -1,
            size: None,
            pace: Pace {
                interval,
                due: None,
            },
        }
    }

    /// Publishes one whole picture of a camera that sends at its own pace, unless it comes too
    /// soon after the last. Says whether it was a picture.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub(crate) fn offer(&mut self, picture: Bytes) -> Result<bool, DriverError> {
        if self.pace.admits(Instant::now()) {
            self.publish(picture)
        } else {
            Ok(true)
        }
    }

    /// Publishes one whole picture. One whose head no decoder would take is counted and left out:
    /// then the answer is false.
    ///
    /// # Errors
    /// What the hub refuses.
    pub(crate) fn publish(&mut self, picture: Bytes) -> Result<bool, DriverError> {
        let head = match Picture::parse(&picture) {
            Ok(head) => head,
            Err(error) => {
                tracing::debug!("a picture was left out: {error}");
                self.publisher.count_damaged(1);
                return Ok(false);
            }
        };
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
        Ok(true)
    }

    /// Says that the camera is away, and why.
    pub(crate) fn pause(&mut self, why: String) {
        self.publisher.pause(why);
    }

    /// Counts what was lost since the last call with the same `seen`.
    pub(crate) fn count_losses(&self, losses: Losses, seen: &mut Losses) {
        let damaged = |losses: Losses| losses.torn + losses.oversized;
        let more = damaged(losses).saturating_sub(damaged(*seen));
        if more > 0 {
            self.publisher.count_damaged(more);
        }
        *seen = losses;
    }

    /// Counts pictures that were lost.
    pub(crate) fn count_damaged(&self, pictures: u64) {
        self.publisher.count_damaged(pictures);
    }
}

/// Lets things through at most once per interval, on the average exactly so.
#[derive(Debug)]
struct Pace {
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl Pace {
    fn admits(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else {
            return true;
        };
        let due = self.due.unwrap_or(now);
        // Pictures of a camera at the very same pace come a little early or late.
        if now + interval / 8 < due {
            return false;
        }
        self.due = Some(if now > due + interval {
            now + interval
        } else {
            due + interval
        });
        true
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

    #[test]
    fn a_pace_takes_every_second_picture_of_a_camera_twice_as_fast() {
        let start = Instant::now();
        let mut pace = Pace {
            interval: Some(Duration::from_millis(200)),
            due: None,
        };
        // Ten a second, each up to 15 ms early or late.
        let times = (0..100_u64).map(|n| 100 * n + (n * 7919) % 31);
        let taken = times.filter(|ms| pace.admits(start + Duration::from_millis(*ms)));
        let count = taken.count();
        assert!((49..=51).contains(&count), "{count} of 100");
        // After a silence nothing is made up for.
        let late = start + Duration::from_secs(60);
        assert!(pace.admits(late));
        assert!(!pace.admits(late + Duration::from_millis(100)));
    }
}
