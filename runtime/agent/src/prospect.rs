//! Which transport to take next, from what became of the last ones. It never goes to and fro: QUIC that did not get
//! through is not tried again for minutes, and a session that runs over a WebSocket is only left while it carries nothing.

use std::str::FromStr;
use std::time::Duration;

use proto_tunnel::{QuicOffer, ResumeConfig};
use tokio::time::{Instant, sleep_until};

/// First pause after QUIC did not get through; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// Longest pause: networks change, and a handshake an hour costs nobody anything.
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A session of this length shows that QUIC gets through.
const LASTING: Duration = Duration::from_secs(10 * 60);
/// How long to wait for a moment at which a session carries nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// After the gateway has said where it takes QUIC.
const SOON: Duration = Duration::from_secs(10);

/// Which transport an agent may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// QUIC where it gets through, else a WebSocket.
    #[default]
    Auto,
    /// A WebSocket only.
    WebSocket,
    /// QUIC only.
    Quic,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "websocket" => Ok(Self::WebSocket),
            "quic" if cfg!(feature = "quic") => Ok(Self::Quic),
            "quic" => Err("this program was built without QUIC".to_owned()),
            _ => Err(format!("expected auto, websocket or quic, found {text:?}")),
        }
    }
}

/// What may be tried in one dial.
pub(crate) struct Ways {
    pub(crate) websocket: bool,
    /// Where, and with what times.
    pub(crate) quic: Option<(QuicOffer, ResumeConfig)>,
    #[cfg(feature = "quic")]
    pub(crate) dialer: link::quic::QuicDialer,
}

impl Ways {
    pub(crate) fn websocket() -> Self {
        Self {
            websocket: true,
            quic: None,
            #[cfg(feature = "quic")]
            dialer: link::quic::QuicDialer::default(),
        }
    }

    pub(crate) fn has_quic(&self) -> bool {
        self.quic.is_some()
    }
}

/// What is known of QUIC to this gateway.
pub(crate) struct Prospect {
    wish: Transport,
    resume: ResumeConfig,
    offer: QuicOffer,
    pause: Duration,
    pace: f32,
    next: Instant,
    #[cfg(feature = "quic")]
    dialer: link::quic::QuicDialer,
}

impl Prospect {
    /// `pace` is a factor on all pauses.
    pub(crate) fn new(wish: Transport, resume: ResumeConfig, pace: f32) -> Self {
        let wish = if cfg!(feature = "quic") {
            wish
        } else {
            Transport::WebSocket
        };
        Self {
            wish,
            resume,
            offer: QuicOffer::SamePort,
            pause: FIRST_PAUSE,
            pace,
            next: Instant::now(),
            #[cfg(feature = "quic")]
            dialer: link::quic::QuicDialer::default(),
        }
    }

    /// Whether there is a choice.
    pub(crate) fn is_auto(&self) -> bool {
        self.wish == Transport::Auto
    }

    /// What to try in a dial for a new session.
    pub(crate) fn ways(&self) -> Ways {
        match self.wish {
            Transport::WebSocket => Ways::websocket(),
            Transport::Quic => self.quic_alone(),
            Transport::Auto if self.is_offered() && self.next <= Instant::now() => Ways {
                websocket: true,
                ..self.quic_alone()
            },
            Transport::Auto => Ways::websocket(),
        }
    }

    /// QUIC alone, beside a session that runs over a WebSocket.
    pub(crate) fn quic_alone(&self) -> Ways {
        Ways {
            websocket: false,
            quic: Some((self.offer, self.resume)),
            #[cfg(feature = "quic")]
            dialer: self.dialer.clone(),
        }
    }

    fn is_offered(&self) -> bool {
        self.offer != QuicOffer::None
    }

    /// Resolves when QUIC may be tried beside a session that runs over a WebSocket. Cancel-safe.
    pub(crate) async fn due(&self) {
        if !self.is_auto() || !self.is_offered() {
            return std::future::pending().await;
        }
        sleep_until(self.next).await;
    }

    /// The session carries something: not now.
    pub(crate) fn postpone(&mut self) {
        self.next = Instant::now() + LOOK_AGAIN.mul_f32(self.pace);
    }

    /// QUIC did not get through, or does no more: the pause before it is tried again.
    pub(crate) fn note_blocked(&mut self) -> Duration {
        let pause = self.pause;
        self.next = Instant::now() + pause.mul_f32(self.pace);
        self.pause = (pause * 2).min(MAX_PAUSE);
        pause
    }

    /// A session over QUIC has lasted so long.
    pub(crate) fn note_lasted(&mut self, length: Duration) {
        if length >= LASTING {
            self.pause = FIRST_PAUSE;
        }
    }

    /// What the gateway says of itself.
    pub(crate) fn note_offer(&mut self, offer: QuicOffer) {
        if offer != self.offer && offer != QuicOffer::None {
            self.pause = FIRST_PAUSE;
            self.next = Instant::now() + SOON.mul_f32(self.pace);
        }
        self.offer = offer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prospect(wish: Transport) -> Prospect {
        Prospect::new(wish, ResumeConfig::default(), 1.0)
    }

    #[tokio::test(start_paused = true)]
    #[cfg(feature = "quic")]
    async fn quic_that_is_blocked_is_tried_again_after_ever_longer_pauses() {
        let mut prospect = prospect(Transport::Auto);
        assert!(prospect.ways().has_quic() && prospect.ways().websocket);
        for minutes in [5, 10, 20, 40, 60, 60] {
            let begin = Instant::now();
            assert_eq!(prospect.note_blocked(), Duration::from_secs(minutes * 60));
            assert!(!prospect.ways().has_quic());
            prospect.due().await;
            assert_eq!(begin.elapsed().as_secs() / 60, minutes);
            assert!(prospect.ways().has_quic());
        }
        prospect.note_lasted(Duration::from_secs(3600));
        assert_eq!(prospect.note_blocked(), FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    #[cfg(feature = "quic")]
    async fn a_gateway_that_offers_no_quic_is_not_asked_for_it() {
        let mut prospect = prospect(Transport::Auto);
        prospect.note_offer(QuicOffer::None);
        assert!(!prospect.ways().has_quic());
        let due = tokio::time::timeout(Duration::from_secs(1_000_000), prospect.due());
        assert!(due.await.is_err());
        prospect.note_offer(QuicOffer::Port(8443));
        prospect.due().await;
        assert_eq!(
            prospect.ways().quic.map(|(offer, _)| offer),
            Some(QuicOffer::Port(8443))
        );
    }

    #[tokio::test]
    #[cfg(feature = "quic")]
    async fn a_forced_transport_is_the_only_one() {
        let mut quic = prospect(Transport::Quic);
        quic.note_blocked();
        assert!(quic.ways().has_quic() && !quic.ways().websocket);
        let websocket = prospect("websocket".parse().unwrap());
        assert!(!websocket.ways().has_quic() && websocket.ways().websocket);
        assert!("udp".parse::<Transport>().is_err());
    }
}
