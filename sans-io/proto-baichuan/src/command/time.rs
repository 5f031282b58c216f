//! The camera's clock, section 7.7.

use crate::message::Payload;
use crate::xml::Element;

/// `SystemGeneral`: the camera's **local** time and the way to UTC. Daylight saving is another document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraTime {
    /// Seconds to add to local time to get UTC: positive west of Greenwich.
    pub zone_seconds: i32,
    /// A year like 2026. Before 2019 the camera has never been told the time.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// The camera's name, if told.
    pub device_name: Option<String>,
}

impl CameraTime {
    /// The fields for a moment in Unix seconds.
    #[must_use]
    pub fn from_unix(seconds: i64, zone_seconds: i32) -> Self {
        let local = seconds.saturating_sub(i64::from(zone_seconds));
        let (days, rest) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let part = |number: i64| u8::try_from(number).unwrap_or(0);
        Self {
            zone_seconds,
            year,
            month,
            day,
            hour: part(rest / 3600),
            minute: part(rest / 60 % 60),
            second: part(rest % 60),
            device_name: None,
        }
    }

    /// The moment in Unix seconds.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        let clock = i64::from(self.hour) * 3600 + i64::from(self.minute) * 60;
        days(self.year, self.month, self.day) * 86_400
            + clock
            + i64::from(self.second)
            + i64::from(self.zone_seconds)
    }

    pub(super) fn from_payload(payload: &Payload) -> Option<Self> {
        let general = payload.command("SystemGeneral")?;
        let part = |name, max: u8| general.number(name).filter(|number| *number <= max);
        Some(Self {
            zone_seconds: general
                .number::<i32>("timeZone")
                .filter(|zone| (-86_400..=86_400).contains(zone))
                .unwrap_or(0),
            year: general
                .number::<i32>("year")
                .filter(|year| (1900..=9999).contains(year))?,
            month: part("month", 12).filter(|month| *month > 0)?,
            day: part("day", 31).filter(|day| *day > 0)?,
            hour: part("hour", 23)?,
            minute: part("minute", 59)?,
            second: part("second", 60)?,
            device_name: general.value("deviceName").map(str::to_owned),
        })
    }

    pub(super) fn to_body(&self) -> Element {
        let general = Element::versioned("SystemGeneral")
            .with("timeZone", self.zone_seconds)
            .with("osdFormat", "DMY")
            .with("year", self.year)
            .with("month", self.month)
            .with("day", self.day)
            .with("hour", self.hour)
            .with("minute", self.minute)
            .with("second", self.second)
            .with("timeFormat", 0)
            .with_some("deviceName", self.device_name.as_ref());
        Element::new("body")
            .containing(general)
            .containing(Element::versioned("Norm").with("norm", "PAL"))
    }
}

/// Days since 1970 of a date of the Gregorian calendar, in years that begin in March.
fn days(year: i32, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month < 3);
    let from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + day_of_year - 719_468
}

fn civil(days: i64) -> (i32, u8, u8) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month < 3);
    let part = |number: i64| u8::try_from(number).unwrap_or(1);
    (i32::try_from(year).unwrap_or(1970), part(month), part(day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_becomes_local_fields_and_back() {
        // 2024-02-29 23:30:05 UTC, an hour east of Greenwich: already March there.
        let time = CameraTime::from_unix(1_709_249_405, -3600);
        assert_eq!((time.year, time.month, time.day), (2024, 3, 1));
        assert_eq!((time.hour, time.minute, time.second), (0, 30, 5));
        for seconds in (0..4_000_000_000).step_by(86_399 * 7) {
            assert_eq!(CameraTime::from_unix(seconds, 3600).unix_seconds(), seconds);
        }
    }
}
