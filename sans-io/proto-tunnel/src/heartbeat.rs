use std::time::{Duration, Instant};

/// When to ask for a sign of life, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Between pings while nothing else flows. Below 30 s, where the shortest-lived NAT entries and proxies cut.
    pub idle: Duration,
    /// Between pings while bytes flow: round-trip times stay fresh, and a cut is noticed sooner. Also
    /// how often it is looked whether bytes flow.
    pub busy: Duration,
    /// Unanswered pings in a row that mean the peer is gone.
    pub missed: u32,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            // With the questions that follow an unanswered one, a dead peer is known within 15 s.
            idle: Duration::from_secs(11),
            // A cut under traffic is known after two to three of these: within 5 s.
            busy: Duration::from_millis(1_500),
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
    last_look: Instant,
    received: u64,
    transferred: u64,
    /// Whether bytes flowed before the last look, or the one before it.
    busy: bool,
    /// Whether bytes flowed before the last look.
    flowed: bool,
    unanswered: u32,
    round_trip: Option<Duration>,
    least: Option<Duration>,
}

impl Heartbeat {
    /// Starts; the first ping goes out at once, to have a round-trip time to show.
    #[must_use]
    pub fn new(config: HeartbeatConfig, now: Instant) -> Self {
        Self {
            config,
            origin: now,
            last_ping: None,
            last_look: now,
            received: 0,
            transferred: 0,
            busy: false,
            flowed: false,
            unanswered: 0,
            round_trip: None,
            least: None,
        }
    }

    /// When [`Self::handle_timeout`] has to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        match self.last_ping {
            None => self.origin,
            Some(_) => (self.last_look + self.config.busy).min(self.next_ping()),
        }
    }

    /// When the next ping is due.
    fn next_ping(&self) -> Instant {
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
        let flows = transferred.saturating_sub(self.transferred) > QUIET_BYTES;
        // Traffic that has just ceased is asked about once more: it may have been cut.
        self.busy = flows || self.flowed;
        self.flowed = flows;
        self.received = received;
        self.transferred = transferred;
        self.last_look = now;
        if now < self.next_ping() {
            return Beat::Wait;
        }
        if self.unanswered >= self.config.missed {
            return Beat::Dead;
        }
        self.unanswered += 1;
        self.last_ping = Some(now);
        let stamp = now.saturating_duration_since(self.origin).as_micros();
        Beat::Ping(u64::try_from(stamp).unwrap_or(u64::MAX))
    }

    /// The path may have been cut just now: the next look asks at once, and one unanswered question is enough.
    pub fn doubt(&mut self, received: u64) {
        self.last_ping = None;
        self.received = received;
        self.unanswered = self.config.missed.saturating_sub(1);
    }

    /// A pong came. A stamp from the future or of an earlier session is the peer's mistake and is ignored.
    pub fn handle_pong(&mut self, stamp: u64, now: Instant) {
        self.unanswered = 0;
        let asked = self.origin.checked_add(Duration::from_micros(stamp));
        if let Some(trip) = asked.and_then(|asked| now.checked_duration_since(asked)) {
            self.round_trip = Some(trip);
            self.least = Some(self.least.map_or(trip, |least| least.min(trip)));
        }
    }

    /// Pings since the peer's last sign of life.
    #[must_use]
    pub fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// The shortest one so far.
    #[must_use]
    pub fn least_round_trip(&self) -> Option<Duration> {
        self.least
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
    fn an_idle_session_pings_every_eleven_seconds_and_measures() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0 + Duration::from_millis(40));
        assert_eq!(beat.round_trip(), Some(Duration::from_millis(40)));
        assert_eq!(beat.handle_timeout(40, 40, t0 + 10 * S), Beat::Wait);
        assert_eq!(
            beat.handle_timeout(40, 40, t0 + 11 * S),
            Beat::Ping(11_000_000)
        );
    }

    #[test]
    fn traffic_that_begins_between_two_pings_shortens_the_interval() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0);
        assert_eq!(beat.handle_timeout(40, 40, t0 + 2 * S), Beat::Wait);
        let ping = beat.handle_timeout(1_000_000, 0, t0 + 4 * S);
        assert_eq!(ping, Beat::Ping(4_000_000));
    }

    #[test]
    fn a_peer_that_falls_silent_under_traffic_is_dead_within_five_seconds() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0);
        let (mut now, mut received) = (t0, 0);
        let cut = t0 + 10 * S;
        let found = loop {
            now = beat.poll_timeout().max(now);
            received += if now < cut { 100_000 } else { 0 };
            match beat.handle_timeout(received, 0, now) {
                Beat::Dead => break now,
                Beat::Ping(stamp) if now < cut => beat.handle_pong(stamp, now),
                Beat::Ping(_) | Beat::Wait => {}
            }
        };
        assert!(found - cut <= 5 * S, "{:?}", found - cut);
    }

    #[test]
    fn a_peer_that_falls_silent_when_idle_is_dead_within_fifteen_seconds() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0);
        let found = loop {
            let now = beat.poll_timeout();
            if beat.handle_timeout(40, 40, now) == Beat::Dead {
                break now;
            }
        };
        assert!(found - t0 <= 15 * S, "{:?}", found - t0);
    }

    #[test]
    fn after_a_doubt_a_peer_that_does_not_answer_is_dead_within_two_seconds() {
        let (mut beat, t0) = started();
        beat.handle_pong(0, t0);
        let t1 = t0 + 5 * S;
        assert_eq!(beat.handle_timeout(40, 40, t1), Beat::Wait);
        beat.doubt(40);
        assert!(matches!(beat.handle_timeout(40, 40, t1), Beat::Ping(_)));
        assert_eq!(beat.handle_timeout(40, 80, t1 + 2 * S), Beat::Dead);
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
