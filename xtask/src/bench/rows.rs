//! Processor time and memory of each subject, beside the floor's.
use super::subject::Subject;
use super::throughput::{Load, Run, measure, median};
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// How much is measured.
#[derive(Debug)]
pub(super) struct Effort {
    pub(super) window: Duration,
    /// Runs of each subject, in turns.
    pub(super) repeat: usize,
    pub(super) retries: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            repeat: 3,
            retries: 3,
        }
    }
}

impl Effort {
    /// One short run of each.
    pub(super) fn quick() -> Self {
        Self {
            window: Duration::from_secs(4),
            repeat: 1,
            ..Self::default()
        }
    }
}

/// What Eyelet promises.
pub(super) struct Promises {
    /// At so many readers the processor time is at most so many times the floor's.
    pub(super) ratio: (usize, f64),
    /// At so many readers the resident memory stays below so many bytes.
    pub(super) memory: Option<(usize, u64)>,
}

/// The runs of one subject, bitrate and number of readers.
pub(super) struct Row {
    pub(super) subject: String,
    pub(super) bitrate: usize,
    pub(super) readers: usize,
    pub(super) runs: Vec<Run>,
}

#[derive(Default)]
pub(super) struct Rows(Vec<Row>);

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

    fn mbit(&self) -> f64 {
        self.bitrate as f64 / 1e6
    }
}

impl Rows {
    /// Measures the floor and all `subjects` in turns, so that a machine that grows slower or
    /// busier does so for all of them.
    pub(super) fn measure(
        &mut self,
        own: &Path,
        subjects: &[Subject],
        (load, bitrate): (&Load, usize),
        readers: usize,
        effort: &Effort,
    ) -> Result<()> {
        let floor = Subject::floor();
        let everyone: Vec<&Subject> = std::iter::once(&floor).chain(subjects).collect();
        let mut rows: Vec<Row> = everyone
            .iter()
            .map(|subject| Row {
                subject: subject.name.clone(),
                bitrate,
                readers,
                runs: Vec::new(),
            })
            .collect();
        for round in 1..=effort.repeat {
            for (subject, row) in everyone.iter().zip(&mut rows) {
                let run = measure(own, subject, load, readers, effort.window, effort.retries)?;
                eprintln!(
                    "── {} Mbit/s, {readers} readers, {}, run {round}: {:.4} s/Gbit, others {:.0} %",
                    row.mbit(),
                    subject.name,
                    run.seconds_per_gigabit(),
                    run.others_share * 100.0,
                );
                row.runs.push(run);
            }
        }
        self.0.extend(rows);
        Ok(())
    }

    /// Cost of a row in floors; the floor's own is 1.
    fn ratio(&self, row: &Row) -> f64 {
        let floor = self.floor(row).map_or(f64::NAN, Row::cost);
        row.cost() / floor
    }

    fn floor(&self, row: &Row) -> Option<&Row> {
        self.0.iter().find(|floor| {
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

    /// A table in Markdown.
    pub(super) fn write_table(&self, out: &mut String) -> std::fmt::Result {
        if !self.0.is_empty() {
            writeln!(
                out,
                "| Mbit/s | readers | program | CPU s/Gbit | of it in the program | ratio to floor | runs | % of a core | RSS MB (peak) | lost | readers' CPU % | others' CPU % |\n\
                 | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
            )?;
        }
        for row in &self.0 {
            let (least, most) = self.spread(row);
            writeln!(
                out,
                "| {} | {} | {} | {:.4} | {:.4} | {:.2} | {:.2}–{:.2} | {:.1} | {:.1} ({:.1}) | {} | {:.0} | {:.0}{} |",
                row.mbit(),
                row.readers,
                row.subject,
                row.cost(),
                row.median(|run| run.spent.user / run.gigabits.max(1e-9)),
                self.ratio(row),
                least,
                most,
                row.median(|run| 100.0 * run.spent.all / run.seconds),
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
        Ok(())
    }

    /// The promises that Eyelet did not keep.
    pub(super) fn missed(&self, promises: &Promises) -> Vec<String> {
        let mut missed = Vec::new();
        let ours = self.0.iter().filter(|row| row.subject == "eyelet");
        for row in ours {
            let place = format!("{} Mbit/s, {} readers", row.mbit(), row.readers);
            if row.lost() > 0 {
                missed.push(format!(
                    "{place}: {} access units or readers lost",
                    row.lost()
                ));
            }
            let (readers, most) = promises.ratio;
            let ratio = self.ratio(row);
            if row.readers == readers && exceeds(ratio, most) {
                missed.push(format!(
                    "{place}: {ratio:.2} times the floor, at most {most}"
                ));
            }
            let limit = promises
                .memory
                .filter(|(readers, _)| *readers == row.readers);
            if let Some((_, most)) = limit
                && row.resident() >= most
            {
                let resident = row.resident() as f64 / 1e6;
                missed.push(format!(
                    "{place}: {resident:.1} MB resident, below {} MB",
                    most / 1_000_000
                ));
            }
        }
        missed
    }

    pub(super) fn to_json(&self) -> Vec<Value> {
        self.0
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
            .collect()
    }
}

/// A number that could not be taken is no kept promise.
pub(super) fn exceeds(value: f64, most: f64) -> bool {
    value.is_nan() || value > most
}
