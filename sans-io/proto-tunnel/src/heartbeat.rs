use std::time::{Duration, Instant};

/// When to ask for a sign of life, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Between pings while nothing else flows. Below 30 s, where the shortest-lived NAT entries and proxies cut.
    pub idle: Duration,
    /// Between pings while bytes flow: round-trip times stay fresh, and a cut is noticed sooner.
    pub busy: Duration,
    /// Unanswered pings in a row that mean the peer is gone.
    pub missed: u32,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15),
            busy: Duration::from_secs(2),
            missed: 2,
        }
    }
}

/// What [`Heartbeat::handle_timeout`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Wait,
    /// Send a ping with this stamp.
    Ping(u64),
    /// Nothing came from the peer for too long: end the session.
    Dead,
}

/// Decides when to ping and when the peer is dead. Any byte from the peer is a sign of life, so pongs that wait
/// behind video on a slow link do not kill the session.
#[derive(Debug)]
pub struct Heartbeat {
    config: HeartbeatConfig,
    origin: Instant,
    last_ping: Option<Instant>,
    received: u64,
    transferred: u64,
    busy: bool,
    unanswered: u32,
    round_trip: Option<Duration>,
}

impl Heartbeat {
    /// Starts; the first ping goes out at once, to have a round-trip time to show.
    #[must_use]
    pub fn new(config: HeartbeatConfig, now: Instant) -> Self {
        Self {
            config,
            origin: now,
            last_ping: None,
            received: 0,
            transferred: 0,
            busy: false,
            unanswered: 0,
            round_trip: None,
        }
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        let Some(last) = self.last_ping else {
            return self.origin;
        };
        // While an answer is missing the short interval holds: a dead peer is found sooner than a quiet one is asked.
        let busy = self.busy || self.unanswered > 0;
        last + if busy {
            self.config.busy
        } else {
            self.config.idle
        }
    }

    /// Time has come. `received` and `sent` are the session's byte counters so far.
    pub fn handle_timeout(&mut self, received: u64, sent: u64, now: Instant) -> Beat {
        if now < self.poll_timeout() {
            return Beat::Wait;
        }
        if received != self.received {
            self.unanswered = 0;
        }
        // A ping and its pong, framed for the transport, stay below this; more means that somebody is watching.
        const QUIET_BYTES: u64 = 2048;
        let transferred = received.saturating_add(sent);
        self.busy = transferred.saturating_sub(self.transferred) > QUIET_BYTES;
        self.received = received;
        self.transferred = transferred;
        if self.unanswered >= self.config.missed {
            return Beat::Dead;
        }
        self.unanswered += 1;
        self.last_ping = Some(now);
        let stamp = now.saturating_duration_since(self.origin).as_micros();
        Beat::Ping(u64::try_from(stamp).unwrap_or(u64::MAX))
    }

    /// A pong came. A stamp from the future or of an earlier session is the peer's mistake and is ignored.
    pub fn handle_pong(&mut self, stamp: u64, now: Instant) {
        self.unanswered = 0;
        let asked = self.origin.checked_add(Duration::from_micros(stamp));
        if let Some(trip) = asked.and_then(|asked| now.checked_duration_since(asked)) {
            self.round_trip = Some(trip);
        }
    }

    /// The latest measured time from ping to pong.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn started() -> (Heartbeat, Instant) {
        let now = Instant::now_for_test();
        let mut beat = Heartbeat::new(HeartbeatConfig::default(), now);
        assert_eq!(beat.handle_timeout(0, 0, now), Beat::Ping(0));
        (beat, now)
    }

    #[test]
    fn an_idle_session_pings_every_fifteen_seconds_and_measures() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0 + Duration::from_millis(40));
        assert_eq!(beat.round_trip(), Some(Duration::from_millis(40)));
        assert_eq!(beat.poll_timeout(), t0 + 15 * S);
        assert_eq!(beat.handle_timeout(40, 40, t0 + 14 * S), Beat::Wait);
        assert_eq!(
            beat.handle_timeout(40, 40, t0 + 15 * S),
            Beat::Ping(15_000_000)
        );
    }

    #[test]
    fn traffic_shortens_the_interval() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0);
        beat.handle_timeout(1_000_000, 0, t0 + 15 * S);
        beat.handle_pong(15_000_000, t0 + 15 * S);
        assert_eq!(beat.poll_timeout(), t0 + 17 * S);
    }

    #[test]
    fn a_silent_peer_is_dead_after_two_missed_pings() {
        let (mut beat, t0) = started();
        assert_eq!(beat.handle_timeout(0, 0, t0 + 2 * S), Beat::Ping(2_000_000));
        assert_eq!(beat.handle_timeout(0, 0, t0 + 4 * S), Beat::Dead);
    }

    #[test]
    fn bytes_are_a_sign_of_life_even_when_the_pong_is_late() {
        let (mut beat, t0) = started();
        for tick in 1..20u32 {
            let beat = beat.handle_timeout(u64::from(tick) * 10_000, 0, t0 + 5 * tick * S);
            assert!(matches!(beat, Beat::Ping(_)), "{tick}: {beat:?}");
        }
    }

    #[test]
    fn a_stamp_from_the_future_is_no_measurement() {
        let (mut beat, t0) = started();
        beat.handle_pong(u64::MAX, t0 + S);
        beat.handle_pong(60_000_000, t0 + S);
        assert_eq!(beat.round_trip(), None);
    }

    trait ForTest {
        fn now_for_test() -> Instant;
    }

    impl ForTest for Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "an Instant has no other origin; tests then count from it"
        )]
        fn now_for_test() -> Instant {
            Instant::now()
        }
    }
}
