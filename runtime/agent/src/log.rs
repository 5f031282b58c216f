use std::collections::VecDeque;
use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// Bytes of lines that are kept: some hundred lines, on a machine that shares 32 MiB with an encoder.
const MAX_KEPT: usize = 16 << 10;
/// Longest line.
const MAX_LINE: usize = 1024;

/// The newest log lines, in memory only: flash that is written to every minute does not last. Clones share them.
#[derive(Clone, Default)]
pub struct LogTail(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    lines: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl LogTail {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps one line; control characters in it become blanks.
    pub fn push(&self, line: &str) {
        let mut kept: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        while kept.len() > MAX_LINE {
            kept.pop();
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.bytes += kept.len();
        lines.lines.push_back((Instant::now(), kept));
        while lines.bytes > MAX_KEPT
            && let Some((_, oldest)) = lines.lines.pop_front()
        {
            lines.bytes -= oldest.len();
        }
    }

    /// All that is kept, oldest first, a line each: its age in milliseconds, a blank, its text.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        for (at, line) in &lines.lines {
            // A clock of the wall would say 1970 on many a camera.
            let _ = writeln!(text, "{} {line}", at.elapsed().as_millis());
        }
        text
    }
}

impl fmt::Debug for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogTail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_lines_stay_with_their_ages_and_memory_is_bounded() {
        let log = LogTail::new();
        log.push("first");
        tokio::time::advance(std::time::Duration::from_millis(1_500)).await;
        log.push("an odd\nline\u{1b}[31m");
        assert_eq!(log.text(), "1500 first\n0 an odd line [31m\n");
        for n in 0..10_000 {
            log.push(&format!("line {n} {}", "é".repeat(MAX_LINE)));
        }
        let text = log.text();
        assert!(text.len() < MAX_KEPT + 1_024, "{}", text.len());
        assert!(text.contains("line 9999") && !text.contains("first"));
    }
}
