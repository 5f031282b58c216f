//! Log set-up and the list of metrics.
//!
//! Logs go to standard error; [`init`] is called once by a program. Metrics are text that is written
//! when somebody asks ([`MetricsText`]): the counters live where they count, and there is no global
//! registry. [`metrics`] is the one list of every name, unit and meaning.
//!
//! ```
//! use telemetry::{MetricsText, metrics};
//! let mut text = MetricsText::new();
//! text.add(&metrics::STREAM_VIEWERS, &["porch", "rtsp"], 3_u64);
//! assert!(text.finish().ends_with("eyelet_stream_viewers{camera=\"porch\",output=\"rtsp\"} 3\n"));
//! ```
#![warn(missing_docs)]

mod log;
pub mod metrics;
mod text;

pub use log::{LOG_VARIABLE, Verbosity, init};
pub use text::{CONTENT_TYPE, MetricsText, Value};
