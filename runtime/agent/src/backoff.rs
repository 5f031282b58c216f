use std::time::Duration;

use tokio::time::Instant;

/// Pause after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause in the first minute of an outage: what comes back within it is noticed within this time. A minute
/// covers a router's reboot and a gateway's restart.
const SHORT_CAP: Duration = Duration::from_millis(1_500);
/// Longest pause of all.
const CAP: Duration = Duration::from_secs(15);
const SHORT_OUTAGE: Duration = Duration::from_secs(60);

/// Pauses between redials: growing, and jittered so that a site's agents do not knock all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    pace: f32,
    pause: Duration,
    outage: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(pace: f32) -> Self {
        Self {
            pace,
            pause: FIRST,
            outage: None,
        }
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.pace);
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let since = *self.outage.get_or_insert_with(Instant::now);
        let cap = if since.elapsed() < SHORT_OUTAGE {
            SHORT_CAP
        } else {
            CAP
        };
        let pause = self.pause.min(cap);
        self.pause = (pause * 3 / 2).min(CAP);
        jitter(pause).mul_f32(self.pace)
    }

    /// A pause of at least `least`.
    pub(crate) fn stretch(&mut self, least: Duration) -> Duration {
        jitter(least * 4 / 3).mul_f32(self.pace)
    }
}

/// Between three quarters and all of it.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0; 2];
    // Without random bytes all agents pause equally long, which is no harm worth failing for.
    let _ = getrandom::fill(&mut byte);
    pause - (pause / 4).mul_f32(f32::from(u16::from_ne_bytes(byte)) / f32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_stay_short_for_a_minute_and_grow_to_fifteen_seconds() {
        let mut backoff = Backoff::new(1.0);
        let start = Instant::now();
        let mut longest = Duration::ZERO;
        while start.elapsed() < Duration::from_secs(300) {
            let pause = backoff.next();
            assert!(pause >= FIRST * 3 / 4 && pause <= CAP);
            if start.elapsed() < Duration::from_secs(60) {
                assert!(pause <= SHORT_CAP, "{pause:?}");
            }
            longest = longest.max(pause);
            tokio::time::sleep(pause).await;
        }
        assert!(longest > Duration::from_secs(11));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
