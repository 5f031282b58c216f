use std::fmt::Write;
use std::time::Duration;

/// Longest duration that a configuration may name. More is a slip of the keyboard, and no clock
/// overflows below it.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Milliseconds of each unit, longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads `"10s"`, `"500ms"`, `"1m30s"`. The error says what was expected.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || {
        let hint = match text.parse::<f64>() {
            Ok(_) => "; the unit is missing",
            Err(_) => "",
        };
        format!(r#"expected a duration such as "10s", "500ms" or "2m", found {text:?}{hint}"#)
    };
    let mut total: u64 = 0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(refused());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let millis = UNITS.iter().find(|(name, _)| *name == unit).map(|u| u.1);
        let part = number
            .parse::<u64>()
            .ok()
            .zip(millis)
            .and_then(|(number, millis)| number.checked_mul(millis));
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(refused)?;
        rest = after;
    }
    let duration = Duration::from_millis(total);
    if duration > MAX_DURATION {
        return Err(format!(
            "expected a duration of at most 365d, found {text:?}"
        ));
    }
    Ok(duration)
}

/// Writes a duration as the configuration has it: `1m30s`.
pub(crate) fn format(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}{unit}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
            assert_eq!(
                parse(&format(Duration::from_millis(millis))).unwrap(),
                Duration::from_millis(millis)
            );
        }
    }

    #[test]
    fn a_number_alone_is_told_that_its_unit_is_missing() {
        assert!(
            parse("10")
                .unwrap_err()
                .ends_with(r#"found "10"; the unit is missing"#)
        );
        for bad in [
            "",
            "s",
            "10 s",
            "-1s",
            "1.5s",
            "10x",
            "99999999999999999999s",
            "1000d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
