use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Silence after which a place may go to a sender at another address.
const ANOTHER: Duration = Duration::from_secs(5);

/// Silence after which it may go to another port of the same address: a camera that starts anew
/// takes longer than that.
const AFRESH: Duration = Duration::from_secs(1);

/// Whose pictures a camera's stream shows. Two senders on one port are never mixed: the one that
/// has the turn keeps it for as long as its pictures come.
#[derive(Debug, Default)]
pub(super) struct Turn {
    holder: Option<(SocketAddr, Instant)>,
}

impl Turn {
    /// Whether a picture from `from` may be shown; if so, `from` has the turn.
    pub(super) fn take(&mut self, from: SocketAddr, now: Instant) -> bool {
        let is_free = match self.holder {
            None => true,
            Some((holder, _)) if holder == from => true,
            Some((holder, heard)) => {
                let silence = now.saturating_duration_since(heard);
                silence
                    >= if holder.ip() == from.ip() {
                        AFRESH
                    } else {
                        ANOTHER
                    }
            }
        };
        if is_free {
            self.holder = Some((from, now));
        }
        is_free
    }

    /// Whether a connection from `from` may have the place: a camera that sends one picture per
    /// connection comes from another port each time.
    pub(super) fn admits(&self, from: SocketAddr, now: Instant) -> bool {
        self.holder.is_none_or(|(holder, heard)| {
            holder.ip() == from.ip() || now.saturating_duration_since(heard) >= ANOTHER
        })
    }

    /// `from` was heard of.
    pub(super) fn hold(&mut self, from: SocketAddr, now: Instant) {
        self.holder = Some((from, now));
    }

    /// Who has the turn.
    pub(super) fn holder(&self) -> Option<SocketAddr> {
        self.holder.map(|(holder, _)| holder)
    }

    /// Why there are no pictures, for people: the holder's silence of `patience`, or that at `place`
    /// `nothing` yet from the camera that is awaited.
    pub(super) fn absence(
        &self,
        patience: Duration,
        place: impl Display,
        nothing: &str,
        from: Option<IpAddr>,
    ) -> String {
        match self.holder() {
            Some(holder) => format!(
                "{} has sent no picture for {} s or more",
                holder.ip(),
                patience.as_secs()
            ),
            None => {
                let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
                format!("listening on {place}, and {nothing}{from} yet")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8, port: u16) -> SocketAddr {
        ([192, 168, 1, host], port).into()
    }

    #[test]
    fn another_sender_waits_until_the_first_has_been_silent() {
        let start = Instant::now();
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut turn = Turn::default();
        assert!(turn.take(at(50, 1), start));
        assert!(!turn.take(at(51, 1), after(4.9)));
        assert!(turn.take(at(50, 1), after(4.9)));
        assert!(!turn.take(at(51, 1), after(9.0)));
        assert!(turn.take(at(51, 1), after(10.0)));
        assert_eq!(turn.holder(), Some(at(51, 1)));
    }

    #[test]
    fn a_camera_that_starts_anew_comes_back_from_another_port() {
        let start = Instant::now();
        let mut turn = Turn::default();
        assert!(turn.take(at(50, 1), start));
        assert!(!turn.take(at(50, 2), start + Duration::from_millis(500)));
        assert!(turn.take(at(50, 2), start + Duration::from_millis(1_100)));
    }
}
