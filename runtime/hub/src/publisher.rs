use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Kind, MAX_ACCESS_UNIT, MAX_TRACKS, MediaTime, Tracks};

use crate::{Event, State, Stream};

/// A step of the camera's clock away from its arrival that counts as a jump and not as jitter.
const MAX_JUMP: Duration = Duration::from_secs(10);

/// What a driver did that the hub does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// An access unit of a track that was not announced.
    #[error("access unit of track {track}, but {tracks} tracks were announced")]
    UnknownTrack {
        /// The index that came.
        track: usize,
        /// How many there are.
        tracks: usize,
    },
    /// An access unit that nobody could hold in memory for long.
    #[error("access unit of {0} bytes; at most {MAX_ACCESS_UNIT} are taken")]
    TooLarge(usize),
    /// More tracks than any camera has.
    #[error("{0} tracks; at most {MAX_TRACKS} are taken")]
    TooManyTracks(usize),
}

/// The stream's own time, which goes on over all sessions with the camera.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    epoch: Option<Instant>,
    /// The latest time given out, in nanoseconds.
    end: Option<i64>,
}

/// Puts one session's media into a stream.
///
/// A camera's timestamps start anywhere and jump with every session. The publisher maps them to
/// the stream's own time line, which never runs back, so that readers stay over a reconnection.
/// Pictures before the session's first keyframe are left out.
#[derive(Debug)]
pub struct Publisher {
    stream: Arc<Stream>,
    tracks: Option<Tracks>,
    /// Nanoseconds added to the camera's time, once the first access unit came.
    offset: Option<i64>,
    /// Stream time and arrival of the last access unit of each track.
    last: [Option<(i64, Instant)>; MAX_TRACKS],
    has_keyframe: bool,
    started: Instant,
    is_live: bool,
    was_live: bool,
}

impl Publisher {
    pub(crate) fn new(stream: Arc<Stream>) -> Self {
        stream.counters.session_started();
        Self {
            stream,
            tracks: None,
            offset: None,
            last: [None; MAX_TRACKS],
            has_keyframe: false,
            started: Instant::now(),
            is_live: false,
            was_live: false,
        }
    }

    /// Announces the tracks, or new parameters of them, in order with the media.
    ///
    /// # Errors
    /// [`PublishError::TooManyTracks`].
    pub fn announce(&mut self, tracks: Tracks) -> Result<(), PublishError> {
        if tracks.len() > MAX_TRACKS {
            return Err(PublishError::TooManyTracks(tracks.len()));
        }
        self.tracks = Some(tracks.clone());
        let changed = self.stream.tracks.send_if_modified(|known| {
            let changed = known.as_ref() != Some(&tracks);
            if changed {
                *known = Some(tracks.clone());
            }
            changed
        });
        if changed {
            self.stream
                .ring
                .push(Arc::new(Event::Tracks(tracks)), Instant::now());
        }
        Ok(())
    }

    /// Appends an access unit, its `time` on the camera's own scale.
    ///
    /// # Errors
    /// [`PublishError::UnknownTrack`], [`PublishError::TooLarge`].
    pub fn publish(&mut self, mut unit: AccessUnit) -> Result<(), PublishError> {
        let tracks = self.tracks.as_ref().map_or(&[][..], |tracks| tracks);
        let Some(track) = tracks.get(unit.track) else {
            return Err(PublishError::UnknownTrack {
                track: unit.track,
                tracks: tracks.len(),
            });
        };
        if unit.payload.len() > MAX_ACCESS_UNIT {
            return Err(PublishError::TooLarge(unit.payload.len()));
        }
        let is_video = track.kind() == Kind::Video;
        let starts_readers = unit.is_keyframe
            && self
                .tracks
                .as_ref()
                .and_then(Tracks::video)
                .is_none_or(|video| video == unit.track);
        if is_video && !self.has_keyframe && !unit.is_keyframe {
            return Ok(());
        }
        self.has_keyframe |= is_video && unit.is_keyframe;
        let clock_rate = track.clock_rate;
        unit.time = self.stream_time(unit.track, unit.time, clock_rate, unit.received);
        let received = unit.received;
        self.stream
            .counters
            .count(unit.payload.len(), is_video, unit.is_keyframe, received);
        self.stream
            .ring
            .push(Arc::new(Event::AccessUnit(unit, starts_readers)), received);
        if !self.is_live && self.has_media() {
            self.is_live = true;
            if !self.was_live {
                self.was_live = true;
                self.stream
                    .set_time_to_first_picture(self.started.elapsed());
            }
            self.stream.set_status(State::Live, None, None);
        }
        Ok(())
    }

    /// Says that no media comes though the session goes on: a camera that sends by itself is away.
    /// The stream waits, for the reason `why`, until media comes again.
    pub fn pause(&mut self, why: String) {
        self.is_live = false;
        self.stream.counters.session_started();
        self.stream.set_status(State::Waiting, Some(why), None);
    }

    /// Counts pictures that came damaged and were left out.
    pub fn count_damaged(&self, pictures: u64) {
        self.stream.counters.count_damaged(pictures);
    }

    /// Whether a picture that can be decoded alone has come, or a sound where there are no pictures.
    #[must_use]
    pub fn has_media(&self) -> bool {
        self.has_keyframe
            || (self.offset.is_some()
                && self
                    .tracks
                    .as_ref()
                    .is_some_and(|tracks| tracks.video().is_none()))
    }

    fn stream_time(
        &mut self,
        track: usize,
        time: MediaTime,
        rate: u32,
        received: Instant,
    ) -> MediaTime {
        let stream = Arc::clone(&self.stream);
        let mut timeline = stream
            .timeline
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let epoch = *timeline.epoch.get_or_insert(received);
        let arrival = nanos(received.saturating_duration_since(epoch));
        let camera = time.as_nanos(rate);
        let jumped = match (self.offset, self.last.get(track).copied().flatten()) {
            (Some(offset), Some((last, at))) => {
                let expected = last.saturating_add(nanos(received.saturating_duration_since(at)));
                camera.saturating_add(offset).abs_diff(expected) > MAX_JUMP.as_nanos() as u64
            }
            // A track that starts far from the others shares nothing with their clock.
            (Some(offset), None) => {
                camera.saturating_add(offset).abs_diff(arrival) > MAX_JUMP.as_nanos() as u64
            }
            (None, _) => false,
        };
        if jumped {
            self.stream.counters.count_time_jump();
            self.last = [None; MAX_TRACKS];
        }
        if self.offset.is_none() || jumped {
            // The millisecond keeps two sessions' units apart on every clock.
            let start = timeline
                .end
                .map_or(arrival, |end| arrival.max(end.saturating_add(1_000_000)));
            self.offset = Some(start.saturating_sub(camera));
        }
        let now = camera.saturating_add(self.offset.unwrap_or(0));
        timeline.end = timeline.end.max(Some(now));
        if let Some(last) = self.last.get_mut(track) {
            *last = Some((now, received));
        }
        // Converting the offset and not the sum keeps the camera's own spacing tick for tick.
        MediaTime(
            time.0
                .saturating_add(MediaTime::from_nanos(self.offset.unwrap_or(0), rate).0),
        )
    }
}

impl Drop for Publisher {
    /// The session's pictures stay for readers under way, but nobody new begins with them.
    fn drop(&mut self) {
        self.stream.ring.forget_starts();
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::Track;

    use super::*;
    use crate::{Start, StreamName};

    fn unit(time: i64, received: Instant, is_keyframe: bool) -> AccessUnit {
        let payload = Bytes::from_static(b"picture");
        AccessUnit {
            track: 0,
            time: MediaTime(time),
            wall: None,
            received,
            is_keyframe,
            payload,
        }
    }

    fn times(stream: &Stream) -> Vec<i64> {
        let mut cursor = stream.ring.start_oldest();
        std::iter::from_fn(|| cursor.poll(&stream.ring))
            .filter_map(|event| match &*event {
                Event::AccessUnit(unit, _) => Some(unit.time.0),
                Event::Tracks(_) => None,
            })
            .collect()
    }

    fn stream() -> Arc<Stream> {
        Arc::new(Stream::new(StreamName::new("porch").unwrap()))
    }

    fn jpeg() -> Tracks {
        Tracks::new(vec![Track::jpeg(None)])
    }

    #[test]
    fn time_goes_on_over_a_reconnection() {
        let stream = stream();
        let t0 = Instant::now();
        for (session, base) in [(0, 4_500_000), (1, 90)] {
            let mut publisher = stream.publisher();
            publisher.announce(jpeg()).unwrap();
            for n in 0..3 {
                let received =
                    t0 + Duration::from_secs(2 * session) + Duration::from_millis(40) * n;
                publisher
                    .publish(unit(base + 3_600 * i64::from(n), received, true))
                    .unwrap();
            }
        }
        assert_eq!(times(&stream), [0, 3_600, 7_200, 180_000, 183_600, 187_200]);
    }

    #[test]
    fn a_camera_that_sets_its_clock_does_not_tear_the_time_line() {
        let stream = stream();
        let t0 = Instant::now();
        let mut publisher = stream.publisher();
        publisher.announce(jpeg()).unwrap();
        publisher.publish(unit(0, t0, true)).unwrap();
        publisher
            .publish(unit(3_600, t0 + Duration::from_millis(40), true))
            .unwrap();
        publisher
            .publish(unit(90_000 * 86_400, t0 + Duration::from_millis(80), true))
            .unwrap();
        publisher
            .publish(unit(
                90_000 * 86_400 + 3_600,
                t0 + Duration::from_millis(120),
                true,
            ))
            .unwrap();
        assert_eq!(times(&stream), [0, 3_600, 7_200, 10_800]);
        assert_eq!(stream.statistics().time_jumps, 1);
    }

    #[test]
    fn pictures_before_the_first_keyframe_are_left_out() {
        let stream = stream();
        let mut publisher = stream.publisher();
        publisher.announce(jpeg()).unwrap();
        publisher.publish(unit(0, Instant::now(), false)).unwrap();
        assert!(!publisher.has_media());
        publisher
            .publish(unit(3_600, Instant::now(), true))
            .unwrap();
        assert!(publisher.has_media());
        assert_eq!(times(&stream).len(), 1);
        assert!(stream.ring.start(Start::Gop).poll(&stream.ring).is_some());
    }

    #[test]
    fn a_new_reader_never_begins_in_a_session_that_has_ended() {
        let stream = stream();
        let t0 = Instant::now();
        let mut publisher = stream.publisher();
        publisher.announce(jpeg()).unwrap();
        publisher.publish(unit(0, t0, true)).unwrap();
        let mut under_way = stream.ring.start(Start::Gop);
        drop(publisher);
        assert!(!stream.ring.has_start());
        assert!(stream.ring.start(Start::Still).poll(&stream.ring).is_some());
        let mut late = stream.ring.start(Start::Gop);
        assert!(late.poll(&stream.ring).is_none());
        let mut publisher = stream.publisher();
        publisher.announce(jpeg()).unwrap();
        let later = t0 + Duration::from_secs(1);
        publisher.publish(unit(0, later, true)).unwrap();
        assert!(stream.ring.has_start());
        let Some(event) = late.poll(&stream.ring) else {
            panic!("the new session's keyframe is there")
        };
        assert!(matches!(&*event, Event::AccessUnit(unit, _) if unit.received == later));
        // Everything that was published, for it began before.
        let mut seen = 0;
        while under_way.poll(&stream.ring).is_some() {
            seen += 1;
        }
        assert_eq!(seen, 2);
    }

    #[test]
    fn units_of_unknown_tracks_and_giants_are_refused() {
        let stream = stream();
        let mut publisher = stream.publisher();
        let error = publisher
            .publish(unit(0, Instant::now(), true))
            .unwrap_err();
        assert_eq!(
            error,
            PublishError::UnknownTrack {
                track: 0,
                tracks: 0
            }
        );
        publisher.announce(jpeg()).unwrap();
        let mut giant = unit(0, Instant::now(), true);
        giant.payload = vec![0; MAX_ACCESS_UNIT + 1].into();
        assert!(matches!(
            publisher.publish(giant),
            Err(PublishError::TooLarge(_))
        ));
    }
}
