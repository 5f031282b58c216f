use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto_tunnel::MAX_FRAME_PAYLOAD;
use tokio::time::Instant;

/// Largest piece: a frame of a quick line.
const MAX_PIECE: usize = MAX_FRAME_PAYLOAD;
/// Smallest one: below, headers cost too much.
const MIN_PIECE: usize = 4 << 10;
/// What it begins with: a line that is not known yet may be slow.
const FIRST_PIECE: usize = 8 << 10;
/// How long a piece may hold the line: others wait as long.
const PIECE_TIME: Duration = Duration::from_millis(10);
/// What is looked at to know how quick the line is.
const LOOK: Duration = Duration::from_millis(100);

/// How much may go in one piece, by how quick the line is: what another stream has to say gets between two pieces.
#[derive(Debug)]
pub(crate) struct Pace {
    piece: AtomicUsize,
    look: Mutex<Look>,
}

/// What was seen since the last judgement.
#[derive(Debug)]
struct Look {
    since: Instant,
    bytes: usize,
    was_blocked: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            piece: AtomicUsize::new(FIRST_PIECE),
            look: Mutex::new(Look::new()),
        }
    }
}

impl Look {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            bytes: 0,
            was_blocked: false,
        }
    }
}

impl Pace {
    /// Bytes of one piece, with its headers.
    pub(crate) fn piece(&self) -> usize {
        self.piece.load(Ordering::Relaxed)
    }

    /// The line took so many bytes.
    pub(crate) fn note_sent(&self, bytes: usize) {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.bytes += bytes;
        let time = look.since.elapsed();
        if time < LOOK {
            return;
        }
        let share = PIECE_TIME.as_secs_f64() / time.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size"
        )]
        let piece = (look.bytes as f64 * share) as usize;
        let piece = piece.clamp(MIN_PIECE, MAX_PIECE);
        // A line that took all there was can do at least as much.
        let piece = match look.was_blocked {
            true => piece,
            false => piece.max(self.piece()),
        };
        self.piece.store(piece, Ordering::Relaxed);
        *look = Look::new();
    }

    /// The line took nothing more.
    pub(crate) fn note_blocked(&self) {
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.was_blocked = true;
    }

    /// Another transport is another line.
    pub(crate) fn forget(&self) {
        *self.look.lock().unwrap_or_else(PoisonError::into_inner) = Look::new();
        self.piece.store(FIRST_PIECE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_gets_small_pieces_and_a_quick_one_large() {
        let pace = Pace::default();
        let carry = async |bytes: usize| {
            for _ in 0..20 {
                pace.note_blocked();
                tokio::time::sleep(Duration::from_millis(10)).await;
                pace.note_sent(bytes);
            }
        };
        carry(1_250).await;
        assert_eq!(pace.piece(), MIN_PIECE, "1 Mbit/s");
        carry(12_500).await;
        assert!((10_000..20_000).contains(&pace.piece()), "10 Mbit/s");
        carry(1_250_000).await;
        assert_eq!(pace.piece(), MAX_PIECE, "1 Gbit/s");
    }
}
