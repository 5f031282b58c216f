//! Recordings on the SD card: one file a minute, and an index of them per day (facts, section 10).

use std::fmt;
use std::fmt::Write as _;

use crate::Error;

/// Longest index that is read: the vendor's client has a buffer of that size (facts, section 10.2).
pub const MAX_INDEX: usize = 1 << 20;

/// Longest recording that is taken (facts, section 13). A minute has about 15 MB.
pub const MAX_RECORDING: u64 = 2 << 30;

/// Most days that are listed: eleven years of them, more than the card's life.
pub const MAX_DAYS: usize = 4096;

/// A day of the calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

impl Day {
    /// The day of a number such as 20230124.
    pub fn from_number(number: i64) -> Result<Self, Error> {
        let wrong = || Error::Minute {
            found: number.to_string(),
        };
        let value = u32::try_from(number).map_err(|_| wrong())?;
        let (year, month, day) = (value / 10_000, value / 100 % 100, value % 100);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err(wrong()),
        };
        if (1970..=9999).contains(&year) && (1..=days).contains(&day) {
            Ok(Self(value))
        } else {
            Err(wrong())
        }
    }

    /// The number, such as 20230124.
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A recording: one minute of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute {
    /// The day.
    pub day: Day,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

impl Minute {
    /// A minute that a clock can show.
    pub fn new(day: Day, hour: i64, minute: i64) -> Result<Self, Error> {
        let within = |number: i64, below: u8| u8::try_from(number).ok().filter(|n| *n < below);
        match (within(hour, 24), within(minute, 60)) {
            (Some(hour), Some(minute)) => Ok(Self { day, hour, minute }),
            _ => Err(Error::Minute {
                found: format!("{day} {hour}:{minute}"),
            }),
        }
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02}-{:02}", self.day, self.hour, self.minute)
    }
}

/// The recordings of a day, as a camera lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The day.
    pub day: Day,
    hours: Vec<(u8, u64)>,
}

impl Index {
    /// An index of these minutes; those of other days are left out.
    pub fn new(day: Day, minutes: &[Minute]) -> Self {
        let mut hours = [0_u64; 24];
        for minute in minutes.iter().filter(|minute| minute.day == day) {
            if let Some(bits) = hours.get_mut(usize::from(minute.hour)) {
                *bits |= 1 << (minute.minute % 60);
            }
        }
        let hours = (0..).zip(hours).filter(|(_, bits)| *bits != 0).collect();
        Self { day, hours }
    }

    /// Every recording, oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = Minute> {
        self.hours.iter().flat_map(move |&(hour, bits)| {
            (0..60)
                .filter(move |minute| bits >> minute & 1 != 0)
                .map(move |minute| Minute {
                    day: self.day,
                    hour,
                    minute,
                })
        })
    }

    /// The text as cameras write it (serial log).
    pub fn text(&self) -> String {
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<video>\n");
        let (day, count) = (self.day, self.hours.len());
        let _ = writeln!(text, "    <catalogue date=\"{day}\" hNumb=\"{count}\">");
        for (hour, bits) in &self.hours {
            let _ = writeln!(text, "        <option hours=\"{hour}\" minBin=\"{bits}\"/>");
        }
        text.push_str("    </catalogue>\n</video>");
        text
    }

    /// Reads the text: only these two elements and their attributes are looked for. No entities, no document
    /// types; an hour named twice counts once, the first.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_INDEX {
            return Err(Error::Index("it is too long"));
        }
        let text = String::from_utf8_lossy(bytes);
        if text.contains("<!") {
            return Err(Error::Index("it declares a document type"));
        }
        let mut day = None;
        let mut hours: Vec<(u8, u64)> = Vec::new();
        for element in text.split('<') {
            let element = element.split('>').next().unwrap_or_default();
            if element.starts_with("catalogue") {
                let number = attribute(element, "date").and_then(|date| date.parse().ok());
                day = day.or(Some(Day::from_number(number.unwrap_or(-1))?));
            } else if element.starts_with("option") {
                let hour = attribute(element, "hours").and_then(|hour| hour.parse::<u8>().ok());
                let bits = attribute(element, "minBin").and_then(|bits| bits.parse::<u64>().ok());
                let (Some(hour @ 0..24), Some(bits)) = (hour, bits) else {
                    return Err(Error::Index("an hour or its minutes cannot be read"));
                };
                if bits >> 60 != 0 {
                    return Err(Error::Index("an hour has more than 60 minutes"));
                }
                if !hours.iter().any(|(known, _)| *known == hour) && bits != 0 {
                    hours.push((hour, bits));
                }
            }
        }
        hours.sort_unstable();
        let day = day.ok_or(Error::Index("it names no day"))?;
        Ok(Self { day, hours })
    }
}

/// The value of an attribute, between either kind of quotes.
fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = element.split_once(&format!("{name}="))?;
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    rest.get(1..)?.split(quote).next()
}
