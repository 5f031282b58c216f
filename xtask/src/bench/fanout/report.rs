//! The table, and which promises it keeps.
use super::first_picture::FirstPicture;
use super::latency::Latency;
use super::throughput::{Run, median};
use serde_json::{Value, json};
use std::fmt::Write;

/// Promises. At this many readers the processor time is at most so many times the floor's.
const RATIO_READERS: usize = 200;
const MAX_RATIO: f64 = 1.25;

/// At this many readers the resident memory stays below so many bytes.
const MEMORY_READERS: usize = 500;
const MAX_MEMORY: u64 = 40_000_000;

/// Median time to the first decodable picture.
const MAX_FIRST_MS: f64 = 50.0;

/// What the start with a cached GOP may cost in latency: not two pictures.
const MAX_PENALTY_MS: f64 = 80.0;

/// The runs of one subject, bitrate and number of readers.
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) bitrate: usize,
    pub(super) readers: usize,
    pub(super) runs: Vec<Run>,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) first: Vec<(String, FirstPicture)>,
    pub(super) latency: Vec<(String, Latency)>,
    pub(super) notes: Vec<String>,
}

impl Row {
    fn cost(&self) -> f64 {
        median(self.runs.iter().map(Run::seconds_per_gigabit))
    }

    fn median(&self, of: impl Fn(&Run) -> f64) -> f64 {
        median(self.runs.iter().map(of))
    }

    fn resident(&self) -> u64 {
        self.runs.iter().map(|run| run.resident).max().unwrap_or(0)
    }

    /// Most that was ever resident, with all viewers' starts.
    fn peak(&self) -> u64 {
        self.runs.iter().map(|run| run.peak).max().unwrap_or(0)
    }

    fn lost(&self) -> u64 {
        self.runs.iter().map(|run| run.lost + run.failed).sum()
    }

    fn is_disturbed(&self) -> bool {
        self.runs.iter().any(Run::is_disturbed)
    }
}

impl Report {
    /// Cost of a row in floors; the floor's own is 1.
    fn ratio(&self, row: &Row) -> f64 {
        let floor = self.floor(row).map_or(f64::NAN, Row::cost);
        row.cost() / floor
    }

    fn floor(&self, row: &Row) -> Option<&Row> {
        self.rows.iter().find(|floor| {
            floor.subject == "floor" && (floor.bitrate, floor.readers) == (row.bitrate, row.readers)
        })
    }

    /// Least and largest ratio of a run and the floor's run beside it.
    fn spread(&self, row: &Row) -> (f64, f64) {
        let floors = self.floor(row).map_or(&[][..], |floor| &floor.runs);
        let ratios = row.runs.iter().zip(floors);
        ratios
            .map(|(run, floor)| run.seconds_per_gigabit() / floor.seconds_per_gigabit())
            .fold((f64::NAN, f64::NAN), |(least, most), ratio| {
                (ratio.min(least), ratio.max(most))
            })
    }

    /// For people. The first part is a Markdown table too.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_table(&mut out);
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        if !self.rows.is_empty() {
            writeln!(
                out,
                "| Mbit/s | readers | program | CPU s/Gbit | of it in the program | ratio to floor | runs | % of a core | RSS MB (peak) | lost | readers' CPU % | others' CPU % |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            )?;
        }
        for row in &self.rows {
            let (least, most) = self.spread(row);
            writeln!(
                out,
                "| {} | {} | {} | {:.4} | {:.4} | {:.2} | {:.2}–{:.2} | {:.1} | {:.1} ({:.1}) | {} | {:.0} | {:.0}{} |",
                row.bitrate / 1_000_000,
                row.readers,
                row.subject,
                row.cost(),
                row.median(|run| run.user / run.gigabits.max(1e-9)),
                self.ratio(row),
                least,
                most,
                row.median(|run| 100.0 * (run.user + run.system) / run.seconds),
                row.resident() as f64 / 1e6,
                row.peak() as f64 / 1e6,
                row.lost(),
                row.median(|run| 100.0 * run.readers_share),
                row.median(|run| 100.0 * run.others_share),
                if row.is_disturbed() { " (busy)" } else { "" },
            )?;
            for error in row.runs.iter().flat_map(|run| &run.errors) {
                writeln!(out, "  {}: {error}", row.subject)?;
            }
        }
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
        for note in self.notes.iter().chain(&self.missed()) {
            writeln!(out, "\n{note}")?;
        }
        Ok(())
    }

    /// The promises that Eyelet did not keep.
    pub(super) fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let ours = self.rows.iter().filter(|row| row.subject == "eyelet");
        for row in ours {
            let place = format!(
                "{} Mbit/s, {} readers",
                row.bitrate / 1_000_000,
                row.readers
            );
            if row.lost() > 0 {
                missed.push(format!(
                    "{place}: {} access units or readers lost",
                    row.lost()
                ));
            }
            let ratio = self.ratio(row);
            if row.readers == RATIO_READERS && exceeds(ratio, MAX_RATIO) {
                missed.push(format!(
                    "{place}: {ratio:.2} times the floor, at most {MAX_RATIO}"
                ));
            }
            if row.readers == MEMORY_READERS && row.resident() >= MAX_MEMORY {
                let resident = row.resident() as f64 / 1e6;
                missed.push(format!(
                    "{place}: {resident:.1} MB resident, below {} MB",
                    MAX_MEMORY / 1_000_000
                ));
            }
        }
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

    pub(super) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "program": row.subject,
                    "bitrate": row.bitrate,
                    "readers": row.readers,
                    "cpu_s_per_gbit": row.cost(),
                    "ratio": self.ratio(row),
                    "rss_bytes": row.resident(),
                    "lost": row.lost(),
                    "is_disturbed": row.is_disturbed(),
                    "runs": row.runs.iter().map(Run::to_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        let first = self
            .first
            .iter()
            .map(|(name, first)| (name.clone(), first.to_json()));
        let latency = self
            .latency
            .iter()
            .map(|(name, latency)| (name.clone(), latency.to_json()));
        json!({
            "fanout": rows,
            "first_picture": first.collect::<serde_json::Map<_, _>>(),
            "latency": latency.collect::<serde_json::Map<_, _>>(),
            "missed": self.missed(),
        })
    }
}

/// A number that could not be taken is no kept promise.
fn exceeds(value: f64, most: f64) -> bool {
    value.is_nan() || value > most
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
