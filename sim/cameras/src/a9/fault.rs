use std::str::FromStr;
use std::time::Duration;

/// How a simulated A9 camera misbehaves. Rates are 0 to 1, of its media packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct A9Fault {
    /// Loses packets.
    pub drop: f64,
    /// Sends packets twice.
    pub duplicate: f64,
    /// Sends packets behind the next one.
    pub reorder: f64,
    /// Leaves the last packet out of every third picture, for good.
    pub no_last: bool,
    /// Writes a wrong length behind every picture.
    pub tail: bool,
    /// Writes every message in single bytes.
    pub split: bool,
    /// Writes what it has to say in one piece.
    pub coalesce: bool,
    /// Leaves out two of three heartbeats.
    pub slow_heartbeat: bool,
    /// After so long, leaves its connection open without a word and begins anew.
    pub half_open: Option<Duration>,
    /// A twin with the same device code is there too.
    pub clash: bool,
    /// Announces an impossible length after it has registered.
    pub oversize: bool,
    /// Stops sending pictures so long after it was asked, and says nothing.
    pub stall: Option<Duration>,
}

/// A fault that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no fault: expected drop=RATE, duplicate=RATE, reorder=RATE (0 to 1), no-last, tail, split, coalesce, slow-heartbeat, half-open=SECONDS, stall=SECONDS, clash or oversize, several with commas between"
)]
pub struct A9FaultError(String);

impl FromStr for A9Fault {
    type Err = A9FaultError;

    /// Reads `drop=0.05,reorder=0.05,split`.
    fn from_str(text: &str) -> Result<Self, A9FaultError> {
        let mut fault = Self::default();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let wrong = || A9FaultError(word.to_owned());
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let number = || value.parse::<f64>().map_err(|_| wrong());
            let rate = || match number()? {
                rate if (0.0..=1.0).contains(&rate) => Ok(rate),
                _ => Err(wrong()),
            };
            let seconds = || Duration::try_from_secs_f64(number()?).map_err(|_| wrong());
            match name {
                "drop" => fault.drop = rate()?,
                "duplicate" => fault.duplicate = rate()?,
                "reorder" => fault.reorder = rate()?,
                "half-open" => fault.half_open = Some(seconds()?),
                "stall" => fault.stall = Some(seconds()?),
                _ if !value.is_empty() => return Err(wrong()),
                "no-last" => fault.no_last = true,
                "tail" => fault.tail = true,
                "split" => fault.split = true,
                "coalesce" => fault.coalesce = true,
                "slow-heartbeat" => fault.slow_heartbeat = true,
                "clash" => fault.clash = true,
                "oversize" => fault.oversize = true,
                _ => return Err(wrong()),
            }
        }
        Ok(fault)
    }
}

/// Random numbers that are the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// Whether something of this rate happens now.
    pub(crate) fn falls(&mut self, rate: f64) -> bool {
        // xorshift64: good enough to lose packets by.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64) < rate * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_people_write_them() {
        let fault: A9Fault = "drop=0.1, split,half-open=2.5".parse().unwrap();
        assert_eq!((fault.drop, fault.split), (0.1, true));
        assert_eq!(fault.half_open, Some(Duration::from_millis(2500)));
        assert_eq!("".parse::<A9Fault>().unwrap(), A9Fault::default());
        for bad in ["drop", "drop=2", "burn", "split=1", "stall=-1"] {
            assert!(bad.parse::<A9Fault>().is_err(), "{bad}");
        }
    }

    #[test]
    fn dice_fall_as_often_as_they_should() {
        let mut dice = Dice::new(7);
        let fallen = (0..10_000).filter(|_| dice.falls(0.1)).count();
        assert!((900..1100).contains(&fallen), "{fallen}");
    }
}
