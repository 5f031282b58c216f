//! The table, and which promises it keeps.
use crate::bench::options as bench;
use crate::bench::rows::exceeds;
use crate::bench::throughput::{MAX_OTHERS, Run, median};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A new connection reaches the target in this, in microseconds: a tenth of what rathole needed when it was first
/// measured.
const MAX_OPEN: f64 = 120.0;

/// Of what a saturated stream adds to a small request with rathole.
const MAX_ADDED: f64 = 0.5;

/// As much as went through in a while.
#[derive(Clone, Debug)]
pub(super) struct Bulk {
    pub(super) gbit_per_second: f64,
    /// Of both ends together.
    pub(super) seconds_per_gigabyte: f64,
    /// Of one processor.
    pub(super) others_share: f64,
}

impl Bulk {
    pub(super) fn is_disturbed(&self) -> bool {
        self.others_share > MAX_OTHERS
    }
}

/// One tunnel, once.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) bulk: Vec<(&'static str, Bulk)>,
    pub(super) rtsp: Option<Run>,
    pub(super) half_close: Option<bool>,
    /// Times in microseconds, sizes in bytes.
    numbers: BTreeMap<&'static str, f64>,
}

impl Found {
    pub(super) fn set(&mut self, name: &'static str, value: f64) {
        self.numbers.insert(name, value);
    }

    fn bulk(&self, part: &str) -> Option<&Bulk> {
        let (_, bulk) = self.bulk.iter().find(|(name, _)| *name == part)?;
        Some(bulk)
    }
}

/// The runs of one tunnel.
struct Row {
    name: &'static str,
    runs: Vec<Found>,
}

impl Row {
    fn median(&self, of: impl Fn(&Found) -> Option<f64>) -> f64 {
        median(self.runs.iter().filter_map(of))
    }

    fn number(&self, name: &str) -> f64 {
        self.median(|found| found.numbers.get(name).copied())
    }

    fn gbit(&self, part: &str) -> f64 {
        self.median(|found| Some(found.bulk(part)?.gbit_per_second))
    }

    fn cost(&self, part: &str) -> f64 {
        self.median(|found| Some(found.bulk(part)?.seconds_per_gigabyte))
    }

    fn rtsp(&self) -> f64 {
        self.median(|found| Some(found.rtsp.as_ref()?.seconds_per_gigabit()))
    }

    fn lost(&self) -> u64 {
        let runs = self.runs.iter().filter_map(|found| found.rtsp.as_ref());
        runs.map(|run| run.lost + run.failed).sum()
    }

    fn others(&self) -> f64 {
        let bulk = self.runs.iter().flat_map(|found| &found.bulk);
        let rtsp = self.runs.iter().filter_map(|found| found.rtsp.as_ref());
        bulk.map(|(_, bulk)| bulk.others_share)
            .chain(rtsp.map(|run| run.others_share))
            .fold(0.0, f64::max)
    }

    fn half_close(&self) -> Option<bool> {
        let mut all = self.runs.iter().filter_map(|found| found.half_close);
        let first = all.next()?;
        Some(all.fold(first, |all, one| all && one))
    }
}

pub(crate) struct Report {
    rows: Vec<Row>,
    readers: usize,
}

impl Report {
    pub(super) fn new(names: impl Iterator<Item = &'static str>, readers: usize) -> Self {
        let rows = names.map(|name| Row {
            name,
            runs: Vec::new(),
        });
        Self {
            rows: rows.collect(),
            readers,
        }
    }

    pub(super) fn add(&mut self, at: usize, found: Found) {
        if let Some(row) = self.rows.get_mut(at) {
            row.runs.push(found);
        }
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

/// A figure, or a dash where there is none.
fn figure(value: f64, digits: usize) -> String {
    if value.is_nan() {
        "–".to_owned()
    } else {
        format!("{value:.digits$}")
    }
}

impl bench::Report for Report {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| tunnel | down, up, 8 down: Gbit/s | CPU s/GB, both ends | {} RTSP readers: CPU s/Gbit | lost | RSS MB | others' CPU % |\n\
             | --- | --- | --- | --- | --- | --- | --- |",
            self.readers
        )?;
        let three = |of: &dyn Fn(&str) -> f64| {
            ["down", "up", "down8"]
                .map(|part| figure(of(part), 2))
                .join(" / ")
        };
        for row in &self.rows {
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {:.0}{} |",
                row.name,
                three(&|part| row.gbit(part)),
                three(&|part| row.cost(part)),
                figure(row.rtsp(), 3),
                row.lost(),
                figure(row.number("resident") / 1e6, 1),
                row.others() * 100.0,
                if row.others() > MAX_OTHERS {
                    " (busy)"
                } else {
                    ""
                },
            )?;
        }
        writeln!(
            out,
            "\n| tunnel | request alone, µs p50 (p99) | beside a saturated stream, µs p50 (p99) | added at p99, µs | \
             the stream beside, Gbit/s | connect until accepted, µs p50 (p99) | until the first byte is back | half-close |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- |"
        )?;
        for row in &self.rows {
            let pair = |name: &str| {
                let of = |percent: &str| figure(row.number(&format!("{name}_{percent}")), 0);
                format!("{} ({})", of("p50"), of("p99"))
            };
            let half_close = match row.half_close() {
                Some(true) => "kept",
                Some(false) => "lost",
                None => "–",
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {half_close} |",
                row.name,
                pair("echo"),
                pair("beside"),
                figure(row.number("added_p99"), 0),
                figure(row.number("beside_gbit"), 2),
                pair("accepted"),
                pair("answered"),
            )?;
        }
        Ok(())
    }

    fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let Some(ours) = self.row("eyelet") else {
            return missed;
        };
        let mut at_most = |what: &str, found: f64, most: f64| {
            if !most.is_nan() && exceeds(found, most) {
                missed.push(format!("{what}: {found:.3}, at most {most:.3}"));
            }
        };
        if let Some(theirs) = self.row("rathole") {
            for part in ["down", "up", "down8"] {
                at_most(
                    &format!("{part}, seconds for a gigabit"),
                    1.0 / ours.gbit(part),
                    1.0 / theirs.gbit(part),
                );
                at_most(
                    &format!("{part}, CPU s/GB"),
                    ours.cost(part),
                    theirs.cost(part),
                );
            }
            at_most("RTSP readers, CPU s/Gbit", ours.rtsp(), theirs.rtsp());
            at_most(
                "added to a request beside a saturated stream, µs at p99",
                ours.number("added_p99"),
                theirs.number("added_p99") * MAX_ADDED,
            );
        }
        if ours.runs.iter().any(|found| found.half_close.is_some()) {
            at_most(
                "connect until accepted, µs",
                ours.number("accepted_p50"),
                MAX_OPEN,
            );
        }
        if ours.half_close() == Some(false) {
            missed.push("a half-close was lost".to_owned());
        }
        if ours.lost() > 0 {
            missed.push(format!("{} access units or readers lost", ours.lost()));
        }
        missed
    }

    fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let runs = row.runs.iter().map(|found| {
                let bulk = found.bulk.iter().map(|(part, bulk)| {
                    let bulk = json!({
                        "gbit_s": bulk.gbit_per_second,
                        "cpu_s_per_gbyte": bulk.seconds_per_gigabyte,
                        "other_cpu_pct": bulk.others_share * 100.0,
                    });
                    ((*part).to_owned(), bulk)
                });
                json!({
                    "bulk": bulk.collect::<Map<_, _>>(),
                    "rtsp": found.rtsp.as_ref().map(Run::to_json),
                    "half_close": found.half_close,
                    "numbers": found.numbers,
                })
            });
            json!({ "tunnel": row.name, "runs": runs.collect::<Vec<_>>() })
        });
        json!({ "tunnels": rows.collect::<Vec<_>>(), "missed": self.missed() })
    }
}
