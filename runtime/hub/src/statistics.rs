use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Length of the window over which rates are taken.
const WINDOW: Duration = Duration::from_secs(2);

/// Counts of one stream since the program started, and its newest rates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Access units received from the camera.
    pub access_units: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Times the camera's clock jumped and was set right.
    pub time_jumps: u64,
    /// Pictures that came damaged (cut, torn, too large) and were left out.
    pub damaged: u64,
    /// Pictures a second over the last window; 0 while nothing arrives.
    pub fps: f64,
    /// Payload bits a second over the last window, all tracks.
    pub bitrate: f64,
    /// Time between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// Sessions that ended with an error, by reason.
    pub reconnects: BTreeMap<&'static str, u64>,
    /// Outputs that serve this stream.
    pub outputs: BTreeMap<&'static str, OutputStatistics>,
}

/// Counts of one output of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputStatistics {
    /// Viewers at this moment.
    pub viewers: u64,
    /// Access units that slow viewers missed.
    pub dropped: u64,
    /// Bytes handed to viewers' sockets.
    pub bytes: u64,
}

/// Counters that one output of one stream moves; an output's name is a mere label here.
#[derive(Debug, Default)]
pub struct OutputCounters {
    viewers: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
}

impl OutputCounters {
    /// Counts access units that a slow viewer missed.
    pub fn add_dropped(&self, units: u64) {
        self.dropped.fetch_add(units, Ordering::Relaxed);
    }

    /// Counts bytes handed to a viewer's socket.
    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Viewers at this moment.
    #[must_use]
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }
}

/// One viewer, counted for as long as this lives.
#[derive(Debug)]
pub struct ViewerGuard(Arc<OutputCounters>);

impl ViewerGuard {
    pub(crate) fn new(counters: Arc<OutputCounters>) -> Self {
        counters.viewers.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl std::ops::Deref for ViewerGuard {
    type Target = OutputCounters;

    fn deref(&self) -> &OutputCounters {
        &self.0
    }
}

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The stream's own counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    access_units: u64,
    bytes: u64,
    time_jumps: u64,
    damaged: u64,
    window_started: Option<Instant>,
    window_pictures: u64,
    window_bytes: u64,
    rates: Option<(Instant, f64, f64)>,
    last_keyframe: Option<Instant>,
    keyframe_interval: Option<Duration>,
    reconnects: BTreeMap<&'static str, u64>,
    outputs: BTreeMap<&'static str, Arc<OutputCounters>>,
}

impl Counters {
    pub(crate) fn count(&self, bytes: usize, is_picture: bool, is_keyframe: bool, now: Instant) {
        let mut inner = self.lock();
        inner.access_units += 1;
        inner.bytes += bytes as u64;
        inner.window_bytes += bytes as u64;
        inner.window_pictures += u64::from(is_picture);
        if is_picture
            && is_keyframe
            && let Some(last) = inner.last_keyframe.replace(now)
        {
            inner.keyframe_interval = Some(now.saturating_duration_since(last));
        }
        let started = *inner.window_started.get_or_insert(now);
        let length = now.saturating_duration_since(started);
        if length >= WINDOW {
            let seconds = length.as_secs_f64();
            // The picture that ends the window is the first of the next.
            let fps = inner.window_pictures.saturating_sub(1) as f64 / seconds;
            inner.rates = Some((now, fps, inner.window_bytes as f64 * 8.0 / seconds));
            inner.window_started = Some(now);
            inner.window_pictures = u64::from(is_picture);
            inner.window_bytes = 0;
        }
    }

    pub(crate) fn session_started(&self) {
        let mut inner = self.lock();
        inner.window_started = None;
        inner.window_pictures = 0;
        inner.window_bytes = 0;
        inner.last_keyframe = None;
    }

    pub(crate) fn count_time_jump(&self) {
        self.lock().time_jumps += 1;
    }

    pub(crate) fn count_damaged(&self, pictures: u64) {
        self.lock().damaged += pictures;
    }

    pub(crate) fn count_reconnect(&self, reason: &'static str) {
        *self.lock().reconnects.entry(reason).or_default() += 1;
    }

    pub(crate) fn output(&self, name: &'static str) -> Arc<OutputCounters> {
        Arc::clone(self.lock().outputs.entry(name).or_default())
    }

    pub(crate) fn snapshot(&self) -> Statistics {
        let inner = self.lock();
        let fresh = inner.rates.filter(|(at, ..)| at.elapsed() < 3 * WINDOW);
        Statistics {
            access_units: inner.access_units,
            bytes: inner.bytes,
            time_jumps: inner.time_jumps,
            damaged: inner.damaged,
            fps: fresh.map_or(0.0, |(_, fps, _)| fps),
            bitrate: fresh.map_or(0.0, |(.., bitrate)| bitrate),
            keyframe_interval: inner.keyframe_interval,
            reconnects: inner.reconnects.clone(),
            outputs: inner
                .outputs
                .iter()
                .map(|(name, counters)| (*name, counters.snapshot()))
                .collect(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl OutputCounters {
    fn snapshot(&self) -> OutputStatistics {
        OutputStatistics {
            viewers: self.viewers.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_25_pictures_a_second_are_told_as_25() {
        let counters = Counters::default();
        let t0 = Instant::now();
        for picture in 0..=100_u32 {
            counters.count(
                1_000,
                true,
                picture % 50 == 0,
                t0 + Duration::from_millis(40) * picture,
            );
        }
        let statistics = counters.snapshot();
        assert!((statistics.fps - 25.0).abs() < 0.6, "{}", statistics.fps);
        assert!(
            (statistics.bitrate - 200_000.0).abs() < 9_000.0,
            "{}",
            statistics.bitrate
        );
        assert_eq!(statistics.keyframe_interval, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_viewer_counts_while_it_is_there() {
        let counters = Counters::default();
        let viewer = ViewerGuard::new(counters.output("rtsp"));
        viewer.add_dropped(3);
        assert_eq!(counters.snapshot().outputs["rtsp"].viewers, 1);
        drop(viewer);
        let left = counters.snapshot().outputs["rtsp"];
        assert_eq!((left.viewers, left.dropped), (0, 3));
    }
}
