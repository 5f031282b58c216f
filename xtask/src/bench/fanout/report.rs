//! The table, and which promises it keeps.
use super::first_picture::FirstPicture;
use super::latency::Latency;
use crate::bench::options as bench;
use crate::bench::rows::{Promises, Rows, exceeds};
use crate::bench::throughput::median;
use serde_json::{Value, json};
use std::fmt::Write;

/// Promises.
const PROMISES: Promises = Promises {
    ratio: (200, 1.25),
    memory: Some((500, 40_000_000)),
};

/// Median time to the first decodable picture.
const MAX_FIRST_MS: f64 = 50.0;

/// What the start with a cached GOP may cost in latency: not two pictures.
const MAX_PENALTY_MS: f64 = 80.0;

#[derive(Default)]
pub(crate) struct Report {
    pub(super) rows: Rows,
    pub(super) first: Vec<(String, FirstPicture)>,
    pub(super) latency: Vec<(String, Latency)>,
    pub(super) notes: Vec<String>,
}

impl bench::Report for Report {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.rows.write_table(out)?;
        for (name, first) in &self.first {
            let decoded = match first.decoded {
                Some(count) => format!("{count} of {} decoded by ffmpeg", first.milliseconds.len()),
                None => "not decoded, no ffmpeg".to_owned(),
            };
            writeln!(
                out,
                "\nfirst decodable picture, GOP 4 s, {name}: median {:.1} ms, max {:.1} ms ({decoded}, {} failed)",
                first.median(),
                first.max(),
                first.failed,
            )?;
            for error in &first.errors {
                writeln!(out, "  {name}: {error}")?;
            }
        }
        for (name, latency) in &self.latency {
            writeln!(out, "\nbehind live after 10 s, {name}:")?;
            for (kind, late) in &latency.0 {
                writeln!(out, "- {kind}: {}", milliseconds(late))?;
            }
        }
        for note in &self.notes {
            writeln!(out, "\n{note}")?;
        }
        Ok(())
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = self.rows.missed(&PROMISES);
        for (_, first) in self.first.iter().filter(|(name, _)| name == "eyelet") {
            let median = first.median();
            if exceeds(median, MAX_FIRST_MS) {
                missed.push(format!(
                    "first picture after {median:.1} ms, below {MAX_FIRST_MS} ms"
                ));
            }
            let undecoded = first
                .decoded
                .map_or(0, |decoded| first.milliseconds.len() - decoded);
            if undecoded > 0 || first.failed > 0 {
                missed.push(format!(
                    "{undecoded} first pictures not decodable, {} readers failed",
                    first.failed
                ));
            }
        }
        for (_, latency) in self.latency.iter().filter(|(name, _)| name == "eyelet") {
            let penalty = latency.penalty();
            if exceeds(penalty, MAX_PENALTY_MS) {
                missed.push(format!(
                    "the cached GOP costs {penalty:.0} ms of latency, below {MAX_PENALTY_MS} ms"
                ));
            }
        }
        missed
    }

    fn to_json(&self) -> Value {
        let first = self
            .first
            .iter()
            .map(|(name, first)| (name.clone(), first.to_json()));
        let latency = self
            .latency
            .iter()
            .map(|(name, latency)| (name.clone(), latency.to_json()));
        json!({
            "fanout": self.rows.to_json(),
            "first_picture": first.collect::<serde_json::Map<_, _>>(),
            "latency": latency.collect::<serde_json::Map<_, _>>(),
            "missed": self.missed(),
        })
    }
}

fn milliseconds(values: &[f64]) -> String {
    let (least, most) = values
        .iter()
        .fold((f64::NAN, f64::NAN), |(least, most), &value| {
            (value.min(least), value.max(most))
        });
    format!(
        "{:.0} ms ({least:.0}–{most:.0})",
        median(values.iter().copied())
    )
}
