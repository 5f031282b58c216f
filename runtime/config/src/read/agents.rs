//! What holds for single agents.

use super::{Reader, parse_agent, quoted};
use crate::tree::Node;
use crate::{Agent, Bitrate, keys};

/// Units of a rate, with the bits a second of each.
const UNITS: [(&str, f64); 3] = [("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
/// Least limit, in bits a second: below it not even a login gets through in time.
const MIN_RATE: f64 = 16e3;
/// Largest; more is a slip of the keyboard.
const MAX_RATE: f64 = 100e9;

impl Reader {
    pub(super) fn agents(&mut self, node: Option<&&Node>) -> Vec<Agent> {
        let entries = node.map_or(Vec::new(), |node| self.entries(node, "agents"));
        let mut agents = Vec::new();
        for entry in entries {
            let path = format!("agents.{}", quoted(&entry.key));
            let name = parse_agent(&entry.key);
            if let Err(error) = &name {
                self.problem(entry.key_at, format!("{path}: {error}"));
            }
            let Some(fields) = self.section(&entry.node, &path, &keys::AGENT) else {
                continue;
            };
            let limit = fields.get("limit");
            let limit =
                limit.and_then(|node| self.value(node, &format!("{path}.limit"), parse_rate));
            agents.extend(name.ok().map(|name| Agent { name, limit }));
        }
        agents
    }
}

fn parse_rate(text: &str) -> Result<Bitrate, String> {
    let refused = || {
        let hint = match text.parse::<f64>() {
            Ok(_) => "; the unit is missing",
            Err(_) => "",
        };
        format!(
            "expected bits a second such as \"4mbit\" or \"512kbit\", found \"{}\"{hint}",
            quoted(text)
        )
    };
    let unit = UNITS.iter().find(|(unit, _)| text.ends_with(unit));
    let (unit, factor) = unit.ok_or_else(refused)?;
    let number = text.strip_suffix(unit).unwrap_or_default();
    let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let rate = number.parse::<f64>().ok().filter(|_| is_plain);
    let rate = rate.ok_or_else(refused)? * factor;
    if !(MIN_RATE..=MAX_RATE).contains(&rate) {
        return Err(format!(
            "expected 16kbit to 100gbit, found \"{}\"",
            quoted(text)
        ));
    }
    Ok(Bitrate(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units_and_sense() {
        for (text, bytes) in [
            ("4mbit", 500_000),
            ("512kbit", 64_000),
            ("1.5mbit", 187_500),
            ("1gbit", 125_000_000),
        ] {
            assert_eq!(parse_rate(text).unwrap().bytes(), bytes, "{text}");
        }
        for text in [
            "", "4", "mbit", "4mbps", "-4mbit", "1e9kbit", "1kbit", "1000gbit", "nanmbit",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
