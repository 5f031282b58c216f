//! What a battery costs: wakes counted by cause, and how often is too often.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::outage::Outage;

/// The span of a wake budget.
const DAY: Duration = Duration::from_secs(86_400);

/// How long a refused login is remembered instead of being tried again: cameras lock their door
/// after a few wrong ones.
const LOGIN_PAUSE: Duration = Duration::from_secs(60);

/// Least time between two connections after one that failed, for a device that runs on a battery:
/// dense calls keep its wake chip lit. It doubles to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Longest such time.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Why a device was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Somebody watches.
    View,
    /// Somebody wants a picture.
    Snapshot,
    /// Somebody commands or asks.
    Command,
    /// Somebody listens for events.
    Events,
    /// Somebody talks.
    Talk,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 5] = [
        Self::View,
        Self::Snapshot,
        Self::Command,
        Self::Events,
        Self::Talk,
    ];

    /// The label in metrics and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Snapshot => "snapshot",
            Self::Command => "command",
            Self::Events => "events",
            Self::Talk => "talk",
        }
    }
}

/// The account of one device's wakes.
#[derive(Debug, Default)]
pub(super) struct Care {
    budget: Option<u32>,
    wakes: BTreeMap<Cause, u64>,
    /// Wakes of the last day, the oldest first; never more than the budget.
    recent: VecDeque<Instant>,
    pause: Option<Duration>,
    not_before: Option<(Instant, Outage)>,
}

impl Care {
    pub(super) fn set_budget(&mut self, budget: u32) {
        self.budget = Some(budget);
    }

    /// Whether a connection may be opened now.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Outage> {
        if let Some((until, outage)) = &self.not_before {
            if now < *until {
                return Err(outage.clone());
            }
            self.not_before = None;
        }
        let Some(budget) = self.budget else {
            return Ok(());
        };
        while self.recent.front().is_some_and(|at| now >= *at + DAY) {
            self.recent.pop_front();
        }
        if self.recent.len() < budget as usize {
            return Ok(());
        }
        let wait = match self.recent.front() {
            Some(oldest) => (*oldest + DAY).saturating_duration_since(now),
            None => DAY,
        };
        Err(Outage::Resting {
            said: format!(
                "it was woken {budget} times in 24 hours, which is its budget; raise wakes_per_day, or wait {}",
                in_words(wait)
            ),
            wait,
        })
    }

    /// A connection was opened.
    pub(super) fn count(&mut self, cause: Cause, now: Instant) {
        *self.wakes.entry(cause).or_default() += 1;
        if self.budget.is_some() {
            self.recent.push_back(now);
        }
    }

    /// The device answered and let us in.
    pub(super) fn succeeded(&mut self) {
        self.pause = None;
    }

    /// A session failed. Remembers what makes the next try wait.
    pub(super) fn failed(&mut self, outage: &Outage, is_battery: bool, now: Instant) {
        match outage {
            Outage::Login { .. } => self.not_before = Some((now + LOGIN_PAUSE, outage.clone())),
            Outage::Unsupported(_) | Outage::Resting { .. } => {}
            _ if is_battery => {
                let pause = self.pause.unwrap_or(FIRST_PAUSE);
                self.pause = Some((pause * 2).min(LONGEST_PAUSE));
                self.not_before = Some((now + pause, outage.clone()));
            }
            Outage::Unreachable { .. }
            | Outage::Protocol(_)
            | Outage::TimedOut { .. }
            | Outage::Closed(_) => {}
        }
    }

    pub(super) fn wakes(&self) -> BTreeMap<Cause, u64> {
        self.wakes.clone()
    }

    /// What is left of the budget.
    pub(super) fn left(&self, now: Instant) -> Option<u32> {
        let spent = self.recent.iter().filter(|at| now < **at + DAY).count();
        let budget = self.budget?;
        Some(budget.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX)))
    }
}

fn in_words(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_spent_and_comes_back_after_a_day() {
        let mut care = Care::default();
        care.set_budget(2);
        for _ in 0..2 {
            care.check(Instant::now()).unwrap();
            care.count(Cause::View, Instant::now());
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        let Err(Outage::Resting { said, wait }) = care.check(Instant::now()) else {
            panic!("a third wake was allowed");
        };
        assert!(said.contains("2 times") && said.contains("22 h"), "{said}");
        tokio::time::sleep(wait).await;
        care.check(Instant::now()).unwrap();
        assert_eq!(care.left(Instant::now()), Some(1));
        assert_eq!(care.wakes()[&Cause::View], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_battery_camera_that_fails_is_called_ever_less_often() {
        let mut care = Care::default();
        let away = Outage::Closed("gone".to_owned());
        let mut waits = Vec::new();
        for _ in 0..6 {
            care.failed(&away, true, Instant::now());
            let from = Instant::now();
            while care.check(Instant::now()).is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            waits.push(from.elapsed().as_secs());
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        care.failed(&away, false, Instant::now());
        assert!(care.check(Instant::now()).is_ok(), "the mains pay for it");
    }
}
