//! Log lines on stderr, one per event: level, text, fields. A subscriber library would cost more flash than the
//! rest of this program's logging; spans are not used by the agent and not shown.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use agent::LogTail;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What the gateway's operator may read, however quiet the terminal is.
const KEPT: Level = Level::INFO;

/// Longest line; a peer's text in it is bounded anyway.
const MAX_LINE: usize = 1024;

/// Lines go to stderr and, those of every day, into `tail`.
pub(crate) fn install(level: Level, tail: LogTail) {
    let _ = tracing::subscriber::set_global_default(Stderr {
        level,
        tail,
        next_span: AtomicUsize::new(1),
    });
}

struct Stderr {
    level: Level,
    tail: LogTail,
    next_span: AtomicUsize,
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level.max(KEPT) && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.max(KEPT).into())
    }

    fn event(&self, event: &Event<'_>) {
        let name = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            _ => "debug",
        };
        let mut line = Line {
            text: String::new(),
            fields: String::new(),
        };
        event.record(&mut line);
        let mut out = format!("{name}: {}{}", line.text, line.fields);
        while out.len() > MAX_LINE {
            out.pop();
        }
        if *event.metadata().level() <= KEPT {
            self.tail.push(&out);
        }
        if *event.metadata().level() > self.level {
            return;
        }
        // One write, so that lines of several threads stay whole. There is nobody to tell of a failure.
        out.push('\n');
        let _ = io::stderr().write_all(out.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(self.next_span.fetch_add(1, Ordering::Relaxed).max(1) as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line {
    text: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
