//! Datagrams under way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// What a network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) name: &'static str,
    /// Of 1000.
    pub(crate) loss: u64,
    /// Of 1000.
    pub(crate) duplicates: u64,
    /// One way.
    pub(crate) delay: Duration,
    /// Added to the delay at random: what exceeds the distance of two datagrams reorders them.
    pub(crate) jitter: Duration,
}

const fn weather(
    name: &'static str,
    loss: u64,
    duplicates: u64,
    delay: u64,
    jitter: u64,
) -> Weather {
    Weather {
        name,
        loss,
        duplicates,
        delay: Duration::from_millis(delay),
        jitter: Duration::from_millis(jitter),
    }
}

pub(crate) const FINE: Weather = weather("fine", 0, 0, 2, 0);
pub(crate) const ALL: [Weather; 8] = [
    FINE,
    weather("1 % loss", 10, 0, 5, 0),
    weather("5 % loss", 50, 0, 5, 0),
    weather("20 % loss", 200, 0, 5, 0),
    weather("reordered", 0, 0, 5, 40),
    weather("duplicated", 0, 300, 5, 10),
    weather("300 ms late", 0, 0, 300, 0),
    weather(
        "20 % loss, 300 ms late, reordered, duplicated",
        200,
        50,
        300,
        50,
    ),
];

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnderWay {
    at: Instant,
    number: u64,
    from: SocketAddr,
    to: SocketAddr,
    payload: Bytes,
}

/// A network between all addresses.
pub(crate) struct Wire {
    weather: Weather,
    random: Random,
    under_way: BinaryHeap<Reverse<UnderWay>>,
    pub(crate) carried: u64,
}

impl Wire {
    pub(crate) fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            random: Random(seed),
            under_way: BinaryHeap::new(),
            carried: 0,
        }
    }

    pub(crate) fn carry(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        payload: &Bytes,
        now: Instant,
    ) {
        assert!(payload.len() <= 1350, "longer than the agreed size");
        self.carried += 1;
        let copies = 1 + u64::from(self.random.below(1000) < self.weather.duplicates);
        for _ in 0..copies {
            if self.random.below(1000) < self.weather.loss {
                continue;
            }
            let jitter = self
                .random
                .below(self.weather.jitter.as_micros() as u64 + 1);
            let number = self.random.next();
            self.under_way.push(Reverse(UnderWay {
                at: now + self.weather.delay + Duration::from_micros(jitter),
                // Ties keep their order.
                number: self.carried << 1 | number & 1,
                from,
                to,
                payload: payload.clone(),
            }));
        }
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(it)| it.at)
    }

    pub(crate) fn arrive(&mut self, now: Instant) -> Option<(SocketAddr, SocketAddr, Bytes)> {
        if self.next_at()? > now {
            return None;
        }
        let Reverse(it) = self.under_way.pop()?;
        Some((it.from, it.to, it.payload))
    }
}
