use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use crate::metrics::{self, Metric};

/// The `Content-Type` of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes metrics in the Prometheus text format. Samples may come in any order; those of one metric
/// are written together, in the order of [`metrics::ALL`].
#[derive(Debug, Default)]
pub struct MetricsText {
    /// Samples by the metric's place in the list.
    samples: Vec<String>,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Whole(u64),
    /// A measure.
    Real(f64),
}

impl MetricsText {
    /// An empty text.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a sample; `labels` are the values for the metric's labels, in their order.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], value: impl Into<Value>) {
        debug_assert_eq!(
            labels.len(),
            metric.labels.len(),
            "labels of {}",
            metric.name
        );
        let place = metrics::ALL.iter().position(|known| *known == metric);
        let Some(place) = place else {
            debug_assert!(false, "{} is not in the list of metrics", metric.name);
            return;
        };
        if self.samples.len() <= place {
            self.samples.resize(place + 1, String::new());
        }
        let out = &mut self.samples[place];
        // Writing to a string cannot fail.
        let _ = write!(out, "eyelet_{}", metric.name);
        for (index, (name, value)) in metric.labels.iter().zip(labels).enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(out, "{before}{name}=\"{}\"", Escaped(value));
        }
        let after = if metric.labels.is_empty() { "" } else { "}" };
        let _ = writeln!(out, "{after} {}", value.into());
    }

    /// Adds the two metrics that every program has: its version, and when it started.
    pub fn add_process(&mut self, version: &str, started: SystemTime) {
        let started = started
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        self.add(&metrics::BUILD_INFO, &[version], 1_u64);
        self.add(&metrics::PROCESS_START, &[], started);
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        let mut out = String::new();
        for (metric, samples) in metrics::ALL
            .iter()
            .zip(&self.samples)
            .filter(|(_, samples)| !samples.is_empty())
        {
            let Metric {
                name, kind, help, ..
            } = metric;
            let kind = kind.as_str();
            let _ = write!(
                out,
                "# HELP eyelet_{name} {help}\n# TYPE eyelet_{name} {kind}\n{samples}"
            );
        }
        out
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Real(value.as_secs_f64())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => {
                f.write_str(if *value > 0.0 { "+Inf" } else { "-Inf" })
            }
            Self::Real(value) => value.fmt(f),
        }
    }
}

/// A label's value with `\`, `"` and line breaks escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_stand_together_under_one_heading() {
        let mut text = MetricsText::new();
        for camera in ["a", "b"] {
            text.add(&metrics::STREAM_FPS, &[camera], 12.5);
            text.add(&metrics::STREAM_UP, &[camera], true);
        }
        assert_eq!(
            text.finish(),
            format!(
                "# HELP eyelet_stream_up {}\n# TYPE eyelet_stream_up gauge\n\
                 eyelet_stream_up{{camera=\"a\"}} 1\neyelet_stream_up{{camera=\"b\"}} 1\n\
                 # HELP eyelet_stream_fps {}\n# TYPE eyelet_stream_fps gauge\n\
                 eyelet_stream_fps{{camera=\"a\"}} 12.5\neyelet_stream_fps{{camera=\"b\"}} 12.5\n",
                metrics::STREAM_UP.help,
                metrics::STREAM_FPS.help,
            )
        );
    }

    #[test]
    fn labels_cannot_break_out_of_their_quotes() {
        let mut text = MetricsText::new();
        text.add(&metrics::UPSTREAM_RECONNECTS, &["a", "x\"} 1\n\\"], 3_u64);
        let text = text.finish();
        assert!(
            text.ends_with("{camera=\"a\",reason=\"x\\\"} 1\\n\\\\\"} 3\n"),
            "{text}"
        );
    }

    #[test]
    fn odd_numbers_are_written_as_the_format_wants() {
        let shown = |value: f64| Value::from(value).to_string();
        assert_eq!(
            [
                shown(f64::NAN),
                shown(f64::INFINITY),
                shown(f64::NEG_INFINITY),
                shown(0.04)
            ],
            ["NaN", "+Inf", "-Inf", "0.04"]
        );
        assert_eq!(Value::from(Duration::from_millis(1500)).to_string(), "1.5");
    }

    #[test]
    fn a_metric_without_labels_has_no_braces() {
        let mut text = MetricsText::new();
        text.add_process("0.1.0", SystemTime::UNIX_EPOCH + Duration::from_secs(5));
        assert!(
            text.finish()
                .ends_with("\neyelet_process_start_time_seconds 5\n")
        );
    }
}
