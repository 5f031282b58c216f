use std::time::Duration;

/// Ticks on a track's clock, counted from the start of the stream; widened so that it never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(pub i64);

impl MediaTime {
    /// These ticks as nanoseconds on a clock of `clock_rate` ticks a second.
    #[must_use]
    pub fn as_nanos(self, clock_rate: u32) -> i64 {
        let nanos = i128::from(self.0) * 1_000_000_000 / i128::from(clock_rate.max(1));
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Ticks of a clock of `clock_rate` ticks a second that last `nanos`.
    #[must_use]
    pub fn from_nanos(nanos: i64, clock_rate: u32) -> Self {
        let ticks = i128::from(nanos) * i128::from(clock_rate) / 1_000_000_000;
        Self(i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }))
    }

    /// These ticks converted from one clock to another.
    #[must_use]
    pub fn rescale(self, from: u32, to: u32) -> Self {
        if from == to {
            return self;
        }
        let ticks = i128::from(self.0) * i128::from(to) / i128::from(from.max(1));
        Self(i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }))
    }
}

/// Estimated UTC, as time since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub Duration);

/// Seconds between the NTP era (1900) and the Unix epoch (1970), RFC 5905 section 6.
const NTP_TO_UNIX: u64 = 2_208_988_800;

impl WallTime {
    /// The 64-bit NTP timestamp of RTCP sender reports (RFC 3550 section 4).
    #[must_use]
    pub fn to_ntp(self) -> u64 {
        let seconds = self.0.as_secs().wrapping_add(NTP_TO_UNIX);
        let fraction = (u64::from(self.0.subsec_nanos()) << 32) / 1_000_000_000;
        (seconds << 32) | fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanos_round_trip_on_the_video_clock() {
        for ticks in [0, 1, 3_600, 90_000, 90_000 * 86_400 * 365, -3_600] {
            let back = MediaTime::from_nanos(MediaTime(ticks).as_nanos(90_000), 90_000);
            assert!(
                (back.0 - ticks).abs() <= 1,
                "{ticks} came back as {}",
                back.0
            );
        }
    }

    #[test]
    fn absurd_times_saturate_instead_of_wrapping() {
        assert_eq!(MediaTime(i64::MAX).as_nanos(1), i64::MAX);
        assert_eq!(MediaTime(i64::MIN).rescale(1, 90_000).0, i64::MIN);
    }

    #[test]
    fn ntp_of_the_unix_epoch_is_2208988800_seconds() {
        assert_eq!(WallTime(Duration::ZERO).to_ntp(), 2_208_988_800 << 32);
        assert_eq!(
            WallTime(Duration::from_millis(500)).to_ntp() & 0xffff_ffff,
            1 << 31
        );
    }
}
