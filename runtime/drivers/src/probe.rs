use std::sync::Arc;
use std::time::Duration;

use dialer::Dialer;
use hub::{Event, Hub};
use media::{MediaTime, Tracks};
use tokio_util::sync::CancellationToken;

use crate::{Camera, Driver, DriverContext, DriverError};

/// What a camera gave while it was probed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its tracks.
    pub tracks: Tracks,
    /// From the first packet sent to the first picture that can be decoded.
    pub time_to_first_picture: Option<Duration>,
    /// Pictures a second, by the camera's own timestamps.
    pub fps: Option<f64>,
    /// Payload bits a second, all tracks.
    pub bitrate: f64,
    /// Time between keyframes, by the camera's own timestamps; `None` if fewer than two came.
    pub keyframe_interval: Option<Duration>,
    /// How long it was watched.
    pub watched: Duration,
}

/// Runs one session with `camera` for `length` after its first media, and reports what came.
///
/// # Errors
/// What ended the session, or that nothing came in `patience`.
pub async fn probe(
    driver: &dyn Driver,
    camera: &Camera,
    dialer: Arc<dyn Dialer>,
    length: Duration,
    patience: Duration,
) -> Result<Report, DriverError> {
    let stream = Hub::new().add(camera.name.clone());
    let shutdown = CancellationToken::new();
    let context = DriverContext {
        publisher: stream.publisher(),
        dialer,
        shutdown: shutdown.clone(),
    };
    let session = driver.run(camera, context);
    tokio::pin!(session);
    let watch = async {
        let first = async {
            let mut status = stream.watch_status();
            let _ = status
                .wait_for(|status| status.state == hub::State::Live)
                .await;
        };
        if tokio::time::timeout(patience, first).await.is_err() {
            return Err(match stream.status().error {
                // The driver waits for the camera, and says what it has seen of it.
                Some(why) => DriverError::Absent {
                    listen: camera.url.authority().to_owned(),
                    why,
                },
                None => DriverError::Stalled(patience),
            });
        }
        let mut cursor = stream.ring().start_oldest();
        let mut tally = Tally::default();
        let end = tokio::time::sleep(length);
        tokio::pin!(end);
        loop {
            while let Some(event) = cursor.poll(stream.ring()) {
                tally.take(&event);
            }
            tokio::select! {
                () = stream.ring().wait(cursor.next()) => {}
                () = &mut end => break,
            }
        }
        Ok(tally)
    };
    let tally = tokio::select! {
        ended = &mut session => return Err(ended.err().unwrap_or_else(|| DriverError::Closed("before it was watched long enough".to_owned()))),
        tally = watch => tally?,
    };
    shutdown.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(2), session).await;
    let tracks = stream.tracks().unwrap_or_else(|| Tracks::new(Vec::new()));
    let rate = tracks
        .video()
        .and_then(|video| tracks.get(video))
        .map_or(90_000, |track| track.clock_rate);
    Ok(Report {
        time_to_first_picture: stream.status().time_to_first_picture,
        fps: tally.fps(rate),
        bitrate: tally.bytes as f64 * 8.0 / length.as_secs_f64(),
        keyframe_interval: tally.keyframe_interval(rate),
        tracks,
        watched: length,
    })
}

/// Counts over the watched time.
#[derive(Debug, Default)]
struct Tally {
    video: Option<usize>,
    bytes: u64,
    pictures: Vec<MediaTime>,
    keyframes: Vec<MediaTime>,
}

impl Tally {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Tracks(tracks) => self.video = tracks.video(),
            Event::AccessUnit(unit, _) => {
                self.bytes += unit.payload.len() as u64;
                if self.video == Some(unit.track) {
                    self.pictures.push(unit.time);
                    if unit.is_keyframe {
                        self.keyframes.push(unit.time);
                    }
                }
            }
        }
    }

    fn fps(&self, rate: u32) -> Option<f64> {
        // B pictures come out of order, so the span is that of the extremes.
        let span = self.pictures.iter().max()?.0 - self.pictures.iter().min()?.0;
        (span > 0).then(|| (self.pictures.len() - 1) as f64 * f64::from(rate) / span as f64)
    }

    fn keyframe_interval(&self, rate: u32) -> Option<Duration> {
        let (first, last) = (self.keyframes.first()?, self.keyframes.last()?);
        let gaps = u32::try_from(self.keyframes.len() - 1)
            .ok()
            .filter(|&gaps| gaps > 0)?;
        let nanos = MediaTime(last.0 - first.0).as_nanos(rate);
        Some(Duration::from_nanos(u64::try_from(nanos).ok()?) / gaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_from_the_cameras_own_timestamps() {
        let times: Vec<MediaTime> = (0..51).map(|n| MediaTime(3_600 * n)).collect();
        let keyframes = vec![times[0], times[25], times[50]];
        let tally = Tally {
            video: Some(0),
            bytes: 0,
            pictures: times,
            keyframes,
        };
        assert_eq!(tally.fps(90_000), Some(25.0));
        assert_eq!(
            tally.keyframe_interval(90_000),
            Some(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_single_picture_tells_no_rate() {
        let tally = Tally {
            pictures: vec![MediaTime(5)],
            keyframes: vec![MediaTime(5)],
            ..Tally::default()
        };
        assert_eq!(tally.fps(90_000), None);
        assert_eq!(tally.keyframe_interval(90_000), None);
    }
}
