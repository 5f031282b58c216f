//! Processor time for each delivered gigabit, and memory.
use super::process::{Cost, Process, Spent, machine_busy};
use super::subject::{Protocol, Subject};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Time between the last reader's first keyframe and the measured window.
const WARM_UP: Duration = Duration::from_secs(2);

/// Share of one processor that others may take before a run is taken again.
pub(super) const MAX_OTHERS: f64 = 0.25;

/// What is sent, and who counts it.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) protocol: Protocol,
    /// Arguments of the camera's process, which says where it listens.
    pub(super) source: Vec<String>,
    /// Name of the readers' process.
    pub(super) readers: &'static str,
    /// Pictures a second.
    pub(super) fps: u32,
}

/// One subject, one bitrate, one number of readers, once.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) gigabits: f64,
    pub(super) seconds: f64,
    /// The subject's processor time.
    pub(super) spent: Spent,
    pub(super) resident: u64,
    pub(super) peak: u64,
    /// Access units missing and gaps in the numbering, over all readers.
    pub(super) lost: u64,
    pub(super) failed: u64,
    pub(super) worst_gap_ms: u64,
    pub(super) first_keyframe_ms: Vec<f64>,
    /// Shares of one processor: the readers', and that of everything but subject, camera and readers.
    pub(super) readers_share: f64,
    pub(super) others_share: f64,
    pub(super) errors: Vec<String>,
}

impl Run {
    pub(super) fn seconds_per_gigabit(&self) -> f64 {
        self.spent.all / self.gigabits.max(1e-9)
    }

    pub(super) fn is_disturbed(&self) -> bool {
        self.others_share > MAX_OTHERS
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "gigabits": self.gigabits,
            "seconds": self.seconds,
            "cpu_s": self.spent.all,
            "cpu_user_s": self.spent.user,
            "cpu_s_per_gbit": self.seconds_per_gigabit(),
            "rss_bytes": self.resident,
            "peak_rss_bytes": self.peak,
            "lost": self.lost,
            "failed": self.failed,
            "worst_gap_ms": self.worst_gap_ms,
            "first_keyframe_median_ms": median(self.first_keyframe_ms.iter().copied()),
            "readers_cpu_pct": self.readers_share * 100.0,
            "other_cpu_pct": self.others_share * 100.0,
            "errors": self.errors,
        })
    }
}

/// Measures, and again if the machine was busy with something else.
pub(super) fn measure(
    own: &Path,
    subject: &Subject,
    load: &Load,
    readers: usize,
    window: Duration,
    retries: usize,
) -> Result<Run> {
    let mut best = once(own, subject, load, readers, window)?;
    for _ in 0..retries {
        if !best.is_disturbed() {
            break;
        }
        eprintln!(
            "   others took {:.0} % of a processor: once more",
            best.others_share * 100.0
        );
        let next = once(own, subject, load, readers, window)?;
        if next.others_share < best.others_share {
            best = next;
        }
    }
    Ok(best)
}

fn once(
    own: &Path,
    subject: &Subject,
    load: &Load,
    readers: usize,
    window: Duration,
) -> Result<Run> {
    let (camera, port) = load.camera(own)?;
    let running = subject.start(load.protocol, port)?;
    match &running.process {
        Some(process) => observe(
            own,
            &[process],
            Some(&camera),
            &running.url,
            load,
            readers,
            window,
        ),
        // There the camera itself is measured.
        None => observe(own, &[&camera], None, &running.url, load, readers, window),
    }
}

impl Load {
    /// Starts the camera: its process and its port.
    pub(super) fn camera(&self, own: &Path) -> Result<(Process, u16)> {
        let mut camera = Process::own(own, &self.source)?;
        let port = camera.answer()?["listening"].as_u64().context("no port")?;
        Ok((camera, u16::try_from(port)?))
    }
}

/// Lets readers play `url` and measures the processes that bring it to them. The camera's time is known apart from
/// that of strangers.
pub(super) fn observe(
    own: &Path,
    measured: &[&Process],
    camera: Option<&Process>,
    url: &str,
    load: &Load,
    readers: usize,
    window: Duration,
) -> Result<Run> {
    // Few readers take little of the processor: they need a longer look.
    let window = if readers < 10 { window * 3 } else { window };
    let count = readers.to_string();
    let args = [load.readers, "--url", url, "--count", &count].map(str::to_owned);
    let mut harness = Process::own(own, &args)?;
    harness.answer()?;
    std::thread::sleep(WARM_UP);

    let look = |harness: &Process| -> Result<([Cost; 3], f64)> {
        let camera = camera.map_or(Ok(Cost::default()), Process::cost)?;
        let costs = [Cost::sum(measured)?, camera, harness.cost()?];
        Ok((costs, machine_busy()?))
    };
    let (before, busy_before) = look(&harness)?;
    harness.tell("start")?;
    std::thread::sleep(window);
    let (after, busy_after) = look(&harness)?;
    harness.tell("end")?;
    let report = harness.answer()?;

    let seconds = report["seconds"].as_f64().context("no seconds")?;
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let [spent, camera, readers_spent] = std::array::from_fn(|at| after[at].since(&before[at]));
    let others = busy_after - busy_before - spent.all - readers_spent.all - camera.all;
    // A picture may fall on either side of each end of the window.
    let expected = ((seconds * f64::from(load.fps)) as u64).saturating_sub(1) * readers as u64;
    let missing = expected.saturating_sub(number("units"));
    Ok(Run {
        gigabits: number("bytes") as f64 * 8.0 / 1e9,
        seconds,
        spent,
        resident: after[0].resident,
        peak: after[0].peak,
        lost: number("gaps").max(missing),
        failed: number("failed"),
        worst_gap_ms: number("worst_gap_ms"),
        first_keyframe_ms: floats(&report["first_keyframe_ms"]),
        readers_share: readers_spent.all / seconds,
        others_share: (others / seconds).max(0.0),
        errors: strings(&report["errors"]),
    })
}

pub(super) fn floats(value: &Value) -> Vec<f64> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_f64).collect()
}

pub(super) fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items
        .filter_map(|item| Some(item.as_str()?.to_owned()))
        .collect()
}

/// The middle of some numbers; the mean of the two in the middle if there are two.
pub(super) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match (numbers.get(middle.wrapping_sub(1)), numbers.get(middle)) {
        (Some(low), Some(high)) if numbers.len().is_multiple_of(2) => (low + high) / 2.0,
        (_, Some(high)) => *high,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([7.0]), 7.0);
        assert!(median([]).is_nan());
    }
}
