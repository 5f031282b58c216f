use std::str::FromStr;
use std::time::Duration;

/// How a simulated camera misbehaves, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it does.
    pub kind: FaultKind,
    /// How long after PLAY it begins, on each connection anew.
    pub after: Duration,
}

/// What a faulty camera does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Keeps the connection and says nothing more, hears nothing more.
    Hang,
    /// Closes the connection.
    Cut,
    /// Sends bytes that mean nothing.
    Junk,
    /// Sends no more than so many bytes a second.
    Slow {
        /// At least 1.
        bytes_per_second: u32,
    },
}

/// A fault that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no fault: expected hang, cut, junk or slow=BYTES_PER_SECOND, then perhaps @SECONDS"
)]
pub struct FaultError(String);

impl FromStr for Fault {
    type Err = FaultError;

    /// Reads `hang`, `cut@5`, `junk@2.5`, `slow=20000`.
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let error = || FaultError(text.to_owned());
        let (kind, after) = text.split_once('@').unwrap_or((text, "0"));
        let kind = match kind.split_once('=') {
            None if kind == "hang" => FaultKind::Hang,
            None if kind == "cut" => FaultKind::Cut,
            None if kind == "junk" => FaultKind::Junk,
            Some(("slow", rate)) => FaultKind::Slow {
                bytes_per_second: rate
                    .parse()
                    .ok()
                    .filter(|&rate| rate > 0)
                    .ok_or_else(error)?,
            },
            _ => return Err(error()),
        };
        let seconds = after.trim_end_matches('s').parse().map_err(|_| error())?;
        let after = Duration::try_from_secs_f64(seconds).map_err(|_| error())?;
        Ok(Self { kind, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_people_write_them() {
        let fault = |kind, seconds| {
            let after = Duration::from_secs_f64(seconds);
            Ok(Fault { kind, after })
        };
        assert_eq!("hang".parse(), fault(FaultKind::Hang, 0.0));
        assert_eq!("cut@2.5s".parse(), fault(FaultKind::Cut, 2.5));
        let slow = FaultKind::Slow {
            bytes_per_second: 20_000,
        };
        assert_eq!("slow=20000@1".parse(), fault(slow, 1.0));
        for bad in ["", "slow", "slow=0", "hang@-1", "cut@x", "burn"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
