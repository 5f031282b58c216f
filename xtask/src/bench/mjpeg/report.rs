//! The table, and which promises it keeps.
use crate::bench::options as bench;
use crate::bench::rows::{Promises, Rows, exceeds};
use crate::bench::throughput::median;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Promises.
const PROMISES: Promises = Promises {
    ratio: (200, 1.2),
    memory: Some((500, 49_000_000)),
};

/// Median time to the first whole picture of a new viewer of a running stream.
const MAX_FIRST_MS: f64 = 20.0;

/// How long new viewers waited for the last byte of their first picture.
pub(super) struct FirstPicture {
    pub(super) milliseconds: Vec<f64>,
    pub(super) failed: u64,
    pub(super) errors: Vec<String>,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(super) rows: Rows,
    pub(super) first: Vec<(String, FirstPicture)>,
}

impl FirstPicture {
    fn median(&self) -> f64 {
        median(self.milliseconds.iter().copied())
    }

    fn max(&self) -> f64 {
        self.milliseconds.iter().copied().fold(f64::NAN, f64::max)
    }
}

impl bench::Report for Report {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        self.rows.write_table(out)?;
        for (name, first) in &self.first {
            writeln!(
                out,
                "\nfirst whole picture of {} new viewers, {name}: median {:.1} ms, max {:.1} ms ({} failed)",
                first.milliseconds.len(),
                first.median(),
                first.max(),
                first.failed,
            )?;
            for error in &first.errors {
                writeln!(out, "  {name}: {error}")?;
            }
        }
        Ok(())
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = self.rows.missed(&PROMISES);
        for (_, first) in self.first.iter().filter(|(name, _)| name == "eyelet") {
            let median = first.median();
            if exceeds(median, MAX_FIRST_MS) || first.failed > 0 {
                missed.push(format!(
                    "first picture after {median:.1} ms, below {MAX_FIRST_MS} ms; {} viewers failed",
                    first.failed
                ));
            }
        }
        missed
    }

    fn to_json(&self) -> Value {
        let first: Map<String, Value> = self
            .first
            .iter()
            .map(|(name, first)| {
                let found = json!({
                    "viewers": first.milliseconds.len(),
                    "median_ms": first.median(),
                    "max_ms": first.max(),
                    "failed": first.failed,
                    "errors": first.errors,
                });
                (name.clone(), found)
            })
            .collect();
        json!({
            "mjpeg": self.rows.to_json(),
            "first_picture": first,
            "missed": self.missed(),
        })
    }
}
