use std::time::Duration;

/// First wait. A camera that closed one connection usually takes the next at once.
const FIRST: Duration = Duration::from_millis(250);

/// Longest wait. There are tries only while somebody watches, and whoever watches shall have the
/// picture within 5 s of the camera's return.
const LONGEST: Duration = Duration::from_secs(2);

/// Wait after a refused login: many cameras lock their door for half an hour after five wrong
/// passwords.
const AFTER_LOGIN: Duration = Duration::from_secs(60);

/// Growing waits between tries, never in step with anybody else's.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The session worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait before the next try.
    pub(crate) fn after_failure(&mut self) -> Duration {
        let wait = jitter(self.next);
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// How long to wait after the camera refused the login.
    pub(crate) fn after_refused_login(&mut self) -> Duration {
        jitter(AFTER_LOGIN)
    }
}

/// Three to four quarters of `wait`.
fn jitter(wait: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(0);
    wait * 3 / 4 + (wait / 4).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_begin_anew_after_success() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..8).map(|_| backoff.after_failure()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST * 3 / 4);
        assert!(waits[7] <= LONGEST && waits[7] >= LONGEST * 3 / 4);
        backoff.reset();
        assert!(backoff.after_failure() <= FIRST);
    }
}
