use std::str::FromStr;
use std::time::Duration;

/// Which pictures are spoilt: so many good ones stand between that a reader can come back.
const EVERY: u64 = 5;

/// How a simulated ESP32 misbehaves. Several may come together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Esp32Fault {
    /// Falls silent so long after each connection began, and keeps it.
    Hang(Duration),
    /// Every fifth picture ends in the middle, and the connection with it; of datagrams the rest
    /// is missing.
    Cut,
    /// Every fifth picture lacks its end, and the next follows at once; of datagrams one in the
    /// middle is missing.
    Torn,
    /// Zeros and bytes without meaning between the pictures.
    Junk,
    /// Each picture carries a smaller one in an application segment.
    Thumbnail,
    /// Every fifth picture has no end for nine megabytes.
    Oversized,
    /// Sends no more than so many bytes a second.
    Slow(u32),
    /// Starts anew every so often: all connections end, for two seconds nobody answers, and
    /// counting begins at nothing.
    Reboot(Duration),
    /// Datagrams come in another order, some of them twice.
    Shuffle,
}

/// A fault that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no fault of an ESP32: expected hang@SECONDS, cut, torn, junk, thumbnail, oversized, slow=BYTES_PER_SECOND, reboot@SECONDS or shuffle"
)]
pub struct Esp32FaultError(String);

impl FromStr for Esp32Fault {
    type Err = Esp32FaultError;

    fn from_str(text: &str) -> Result<Self, Esp32FaultError> {
        let error = || Esp32FaultError(text.to_owned());
        let seconds = |seconds: &str| {
            let seconds = seconds.trim_end_matches('s').parse().map_err(|_| error())?;
            Duration::try_from_secs_f64(seconds).map_err(|_| error())
        };
        Ok(match text {
            "hang" => Self::Hang(Duration::ZERO),
            "cut" => Self::Cut,
            "torn" => Self::Torn,
            "junk" => Self::Junk,
            "thumbnail" => Self::Thumbnail,
            "oversized" => Self::Oversized,
            "shuffle" => Self::Shuffle,
            other => match (other.split_once('@'), other.split_once('=')) {
                (Some(("hang", after)), _) => Self::Hang(seconds(after)?),
                (Some(("reboot", every)), _) => Self::Reboot(seconds(every)?),
                (_, Some(("slow", rate))) => {
                    let rate = rate.parse().ok().filter(|&rate| rate > 0);
                    Self::Slow(rate.ok_or_else(error)?)
                }
                _ => return Err(error()),
            },
        })
    }
}

/// The faults of one camera, asked for by what they do.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Esp32Fault>);

impl Faults {
    pub(super) fn has(&self, fault: Esp32Fault) -> bool {
        self.0.contains(&fault)
    }

    /// Whether `fault` is the camera's and picture `number` one of those that it spoils.
    pub(super) fn spoils(&self, fault: Esp32Fault, number: u64) -> bool {
        self.has(fault) && number % EVERY == EVERY - 1
    }

    pub(super) fn hang(&self) -> Option<Duration> {
        self.0.iter().find_map(|fault| match fault {
            Esp32Fault::Hang(after) => Some(*after),
            _ => None,
        })
    }

    pub(super) fn reboot(&self) -> Option<Duration> {
        self.0.iter().find_map(|fault| match fault {
            Esp32Fault::Reboot(every) => Some(*every),
            _ => None,
        })
    }

    pub(super) fn rate(&self) -> Option<u32> {
        self.0.iter().find_map(|fault| match fault {
            Esp32Fault::Slow(rate) => Some(*rate),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_people_write_them() {
        let half = Duration::from_millis(500);
        for (text, fault) in [
            ("hang", Esp32Fault::Hang(Duration::ZERO)),
            ("hang@0.5", Esp32Fault::Hang(half)),
            ("reboot@0.5s", Esp32Fault::Reboot(half)),
            ("slow=20000", Esp32Fault::Slow(20_000)),
            ("cut", Esp32Fault::Cut),
        ] {
            assert_eq!(text.parse(), Ok(fault));
        }
        for bad in ["", "slow", "slow=0", "reboot", "hang@-1", "cut@2"] {
            assert!(bad.parse::<Esp32Fault>().is_err(), "{bad}");
        }
    }
}
