//! The resumable pipe over a virtual network with a virtual clock: whatever breaks, a stream arrives byte for byte, or
//! both readers know that it did not.
//!
//! A seed that fails is printed; `EYELET_SEED=N cargo test -p proto-tunnel --test resume_simulation` plays it again
//! with every event on stderr. `EYELET_SEEDS=N` says how many seeds to try.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proto_tunnel::{Endpoint, HeartbeatConfig, ResumeConfig, Verdict};

/// Enough to meet every kind of accident in every phase; takes a few seconds.
const SEEDS: u64 = 2_000;
/// Virtual time after which a run that is not over hangs.
const LIMIT: Duration = Duration::from_secs(900);

#[test]
fn every_stream_arrives_byte_for_byte_or_is_cleanly_reset() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one who runs the test chooses the seed"
    )]
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("EYELET_SEED") {
        let sum = Run::new(seed, true).play();
        eprintln!("{sum:?}");
        return;
    }
    let mut sum = Sum::default();
    for seed in 0..number("EYELET_SEEDS").unwrap_or(SEEDS) {
        let played = std::panic::catch_unwind(|| Run::new(seed, false).play());
        match played {
            Ok(run) => sum.add(&run),
            Err(panic) => {
                eprintln!("failed with EYELET_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{sum:?}");
    // The world must really have been rough, and most streams must have got through it.
    assert!(
        sum.replayed > 0 && sum.silent > 0 && sum.stale > 0,
        "{sum:?}"
    );
    assert!(sum.whole > 4 * sum.reset && sum.reset > 0, "{sum:?}");
}

#[derive(Debug, Default)]
struct Sum {
    whole: u64,
    reset: u64,
    connections: u64,
    replayed: u64,
    silent: u64,
    stale: u64,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.whole += other.whole;
        self.reset += other.reset;
        self.connections += other.connections;
        self.replayed += other.replayed;
        self.silent += other.silent;
        self.stale += other.stale;
    }
}

/// Splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    fn ms(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

fn byte_at(seed: u64, position: u64) -> u8 {
    (position.wrapping_mul(0x9E37_79B9) >> 11 ^ position >> 3 ^ seed).to_le_bytes()[0]
}

/// One end: the agent (0) or the gateway (1), with what it writes and reads.
struct Side {
    pipe: Endpoint,
    to_write: u64,
    written: u64,
    read: u64,
    end_read: bool,
    expired: bool,
    /// The attempt whose connection it has.
    attempt: Option<usize>,
    dial_at: Option<Instant>,
}

/// A connection on its way through the network: a hello, a welcome, bytes both ways, in order each.
struct Attempt {
    hello: Option<(Instant, u64)>,
    welcome: Option<(Instant, u64)>,
    bytes: [VecDeque<(Instant, Vec<u8>)>; 2],
    /// From when on each direction swallows what is sent, without a word.
    swallows: [Option<Instant>; 2],
    /// When each side learns of the cut, if it does.
    cut: [Option<Instant>; 2],
    delay: Duration,
}

struct Run {
    dice: Dice,
    seed: u64,
    now: Instant,
    start: Instant,
    sides: [Side; 2],
    attempts: Vec<Attempt>,
    latest_seen: Option<usize>,
    talk: bool,
    trouble_until: Instant,
    sum: Sum,
}

impl Run {
    fn new(seed: u64, talk: bool) -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
        let now = Instant::now();
        let mut dice = Dice(seed);
        let heartbeat = HeartbeatConfig::default();
        let mut side = || {
            let config = ResumeConfig {
                window: 1 << (9 + dice.below(10)),
                patience: Duration::from_secs(if dice.percent(20) { 3 } else { 60 }),
                heartbeat,
            };
            Side {
                pipe: Endpoint::new(config, now),
                to_write: if dice.percent(15) {
                    0
                } else {
                    dice.below(60_000)
                },
                written: 0,
                read: 0,
                end_read: false,
                expired: false,
                attempt: None,
                dial_at: None,
            }
        };
        let mut sides = [side(), side()];
        sides[0].dial_at = Some(now);
        let trouble_until = now + dice.ms(60_000);
        Self {
            dice,
            seed,
            now,
            start: now,
            sides,
            attempts: Vec::new(),
            latest_seen: None,
            talk,
            trouble_until,
            sum: Sum::default(),
        }
    }

    fn say(&self, text: impl FnOnce() -> String) {
        if self.talk {
            eprintln!("{:9.3} {}", (self.now - self.start).as_secs_f64(), text());
        }
    }

    fn play(mut self) -> Sum {
        while !self.is_over() {
            assert!(self.now - self.start < LIMIT, "it hangs");
            if self.now < self.trouble_until {
                self.trouble();
            }
            self.dial();
            self.deliver();
            for side in 0..2 {
                self.work(side);
            }
            self.now += Duration::from_millis(1 + self.dice.below(60));
            if self.dice.percent(3) {
                self.now += self.dice.ms(2_000);
            }
        }
        self.judge()
    }

    fn is_over(&self) -> bool {
        let done = |side: &Side| side.expired || (side.end_read && side.pipe.is_drained());
        self.sides.iter().all(done)
    }

    /// The network misbehaves.
    fn trouble(&mut self) {
        let now = self.now;
        if self.dice.percent(2) && !self.attempts.is_empty() {
            let last = self.attempts.len() - 1;
            let (near, far) = (self.dice.ms(300), self.dice.ms(300));
            let kind = self.dice.below(4);
            self.say(|| format!("trouble {kind} for attempt {last}"));
            let attempt = &mut self.attempts[last];
            match kind {
                0 => attempt.cut = [Some(now + near), Some(now + far)],
                1 => attempt.swallows = [Some(now), Some(now)],
                2 => {
                    let side = self.dice.below(2) as usize;
                    attempt.swallows[side] = Some(now);
                }
                _ => attempt.delay += self.dice.ms(3_000),
            }
        }
        if self.dice.percent(1) {
            let side = self.dice.below(2) as usize;
            self.sides[side].pipe.doubt();
        }
    }

    fn dial(&mut self) {
        let agent = &mut self.sides[0];
        if agent.expired || agent.dial_at.is_none_or(|at| self.now < at) {
            return;
        }
        let consumed = agent.pipe.consumed();
        agent.dial_at = Some(self.now + Duration::from_secs(4));
        agent.attempt = Some(self.attempts.len());
        let mut delay = self.dice.ms(150);
        // Now and then a hello is under way for so long that the next one overtakes it.
        if self.now < self.trouble_until && self.dice.percent(25) {
            delay += self.dice.ms(9_000);
        }
        self.attempts.push(Attempt {
            hello: Some((self.now + delay, consumed)),
            welcome: None,
            bytes: [VecDeque::new(), VecDeque::new()],
            swallows: [None, None],
            cut: [None, None],
            delay: self.dice.ms(150),
        });
        self.say(|| {
            format!(
                "agent dials, attempt {}, has taken {consumed}",
                self.attempts.len() - 1
            )
        });
    }

    fn deliver(&mut self) {
        for n in 0..self.attempts.len() {
            let now = self.now;
            let due = move |at: Instant| at <= now;
            if let Some((at, consumed)) = self.attempts[n].hello
                && due(at)
            {
                self.attempts[n].hello = None;
                self.meet(n, consumed);
            }
            if let Some((at, consumed)) = self.attempts[n].welcome
                && due(at)
            {
                self.attempts[n].welcome = None;
                let agent = &mut self.sides[0];
                if agent.attempt == Some(n) && !agent.expired {
                    agent.pipe.attach(consumed, self.now).unwrap();
                    agent.dial_at = None;
                    self.say(|| {
                        format!("agent attaches attempt {n}, gateway has taken {consumed}")
                    });
                }
            }
            for side in 0..2 {
                if self.attempts[n].cut[side].is_some_and(due) {
                    self.attempts[n].cut[side] = None;
                    if self.sides[side].attempt == Some(n) {
                        self.lose(side, "cut");
                    }
                }
                while self.attempts[n].bytes[side]
                    .front()
                    .is_some_and(|piece| due(piece.0))
                {
                    let (_, piece) = self.attempts[n].bytes[side].pop_front().unwrap();
                    let to = &mut self.sides[1 - side];
                    if to.attempt == Some(n) && to.pipe.is_attached() {
                        to.pipe.handle_input(&piece, self.now).unwrap();
                    }
                }
            }
        }
    }

    /// The gateway gets a hello.
    fn meet(&mut self, n: usize, consumed: u64) {
        let gateway = &mut self.sides[1];
        if gateway.expired {
            // A gateway that has given up answers with a new session: the agent's streams end there.
            let agent = &mut self.sides[0];
            if agent.attempt == Some(n) {
                agent.expired = true;
            }
            return;
        }
        if self.latest_seen.is_some_and(|latest| n < latest) {
            self.sum.stale += 1;
            self.say(|| format!("gateway refuses attempt {n}, it is stale"));
            return;
        }
        self.latest_seen = Some(n);
        gateway.pipe.detach(self.now);
        let taken = gateway.pipe.consumed();
        gateway.pipe.attach(consumed, self.now).unwrap();
        gateway.attempt = Some(n);
        let delay = self.attempts[n].delay;
        self.attempts[n].welcome = Some((self.now + delay, taken));
        self.say(|| format!("gateway attaches attempt {n}, agent has taken {consumed}"));
    }

    fn lose(&mut self, side: usize, why: &str) {
        self.say(|| format!("side {side} loses its connection: {why}"));
        let now = self.now;
        let lost = &mut self.sides[side];
        lost.pipe.detach(now);
        lost.attempt = None;
        if side == 0 {
            lost.dial_at = Some(now + self.dice.ms(1_500));
        }
    }

    fn work(&mut self, n: usize) {
        let (now, seed) = (self.now, self.seed + n as u64);
        let side = &mut self.sides[n];
        if side.expired {
            return;
        }
        // The writer.
        let burst = self.dice.below(6_000).min(side.to_write - side.written);
        let bytes: Vec<u8> = (0..burst)
            .map(|i| byte_at(seed, side.written + i))
            .collect();
        side.written += side.pipe.write(&bytes) as u64;
        if side.written == side.to_write && self.dice.percent(30) {
            side.pipe.finish();
        }
        // The reader, often slow.
        if !self.dice.percent(30) {
            let mut buffer = vec![0; self.dice.below(5_000) as usize];
            let got = side.pipe.read(&mut buffer, now);
            for byte in &buffer[..got] {
                assert_eq!(
                    *byte,
                    byte_at(self.seed + 1 - n as u64, side.read),
                    "at {}",
                    side.read
                );
                side.read += 1;
            }
            side.end_read |= side.pipe.read_end(now);
        }
        // The clock.
        if now >= side.pipe.poll_timeout() {
            match side.pipe.handle_timeout(now) {
                Verdict::Fine => {}
                Verdict::Silent => {
                    self.sum.silent += 1;
                    return self.lose(n, "silent");
                }
                Verdict::Expired => {
                    side.expired = true;
                    return self.say(|| format!("side {n} gives up"));
                }
            }
        }
        // The wire, which takes as much as it likes.
        let side = &mut self.sides[n];
        let Some(attempt) = side.attempt.map(|attempt| &mut self.attempts[attempt]) else {
            return;
        };
        let mut budget = self.dice.below(8_000) as usize;
        let mut out = Vec::new();
        while let Some(pieces) = side.pipe.poll_transmit() {
            let before = out.len();
            for piece in pieces {
                let room = budget - (out.len() - before);
                out.extend_from_slice(&piece[..room.min(piece.len())]);
            }
            let took = out.len() - before;
            side.pipe.transmitted(took);
            budget -= took;
            if budget == 0 {
                break;
            }
        }
        if !out.is_empty() && attempt.swallows[n].is_none() {
            let earliest = attempt.bytes[n].back().map_or(now, |piece| piece.0);
            attempt.bytes[n].push_back(((now + attempt.delay).max(earliest), out));
        }
    }

    fn judge(mut self) -> Sum {
        for (n, side) in self.sides.iter().enumerate() {
            let peer = &self.sides[1 - n];
            self.sum.connections += side.pipe.stats().connections;
            self.sum.replayed += side.pipe.stats().replayed;
            // Never silently short: the end is read only after every byte before it.
            if side.end_read {
                assert_eq!(
                    side.read, peer.to_write,
                    "side {n} believes that this is all"
                );
                self.sum.whole += 1;
            } else {
                assert!(side.expired, "side {n} neither ended nor was reset");
                self.sum.reset += 1;
            }
        }
        self.sum
    }
}
