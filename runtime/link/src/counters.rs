use std::fmt;
use std::sync::atomic::Ordering;

#[cfg(target_has_atomic = "64")]
type Cell = std::sync::atomic::AtomicU64;
// Old ARM and MIPS: the agent only compares counters, so a wrap after 4 GiB harms nothing.
#[cfg(not(target_has_atomic = "64"))]
type Cell = std::sync::atomic::AtomicUsize;

/// A counter that everybody may read while one side adds.
#[derive(Default)]
pub struct Counter(Cell);

impl Counter {
    /// Adds `n`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "wraps where the cell is narrow, see Cell"
    )]
    #[allow(trivial_numeric_casts, reason = "not trivial where the cell is narrow")]
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n as _, Ordering::Relaxed);
    }

    /// The sum so far.
    #[allow(
        clippy::unnecessary_cast,
        trivial_numeric_casts,
        reason = "not trivial where the cell is narrow"
    )]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed) as u64
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.value())
    }
}

/// Bytes in both directions.
#[derive(Debug, Default)]
pub struct Flow {
    /// Bytes that came in.
    pub received: Counter,
    /// Bytes that went out.
    pub sent: Counter,
}
