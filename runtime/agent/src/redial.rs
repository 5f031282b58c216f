//! Dials the gateway until it is there: when, how often, and what to make of a refusal.

use std::time::Duration;

use link::{LineHandle, TransportKind};
use proto_tunnel::{Refusal, Resume, Secret};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::connect::{Caller, Connected, Reached, introduce, race};
use crate::identity::Identity;
use crate::known::Known;
use crate::network::Network;
use crate::prospect::{Prospect, Ways};
use crate::{AgentConfig, Error, State};

/// A connection shorter than this does not count as a success for the pauses between redials.
const STABLE: Duration = Duration::from_secs(30);
/// After a connection shorter than this even the first redial waits: one that breaks at once must not become a storm.
const BRIEF: Duration = Duration::from_secs(2);
/// Pause after a refusal or a replacement, which time alone rarely mends.
const LONG_PAUSE: Duration = Duration::from_secs(30);

/// All that dialing has to remember over connections and sessions.
pub(crate) struct Redial {
    pub(crate) network: Network,
    pub(crate) prospect: Prospect,
    pub(crate) known: Known,
    backoff: Backoff,
    instance: u64,
    attempt: u32,
    /// When to dial next.
    due: Instant,
    /// When the last welcome came.
    welcome: Option<Instant>,
}

impl Redial {
    pub(crate) fn new(config: &AgentConfig, prospect: Prospect) -> Self {
        let mut instance = [0; 8];
        // Without random bytes the number is 0: then only a restart while an old hello is under way could harm.
        let _ = getrandom::fill(&mut instance);
        Self {
            network: Network::new(config.watches_network),
            prospect,
            known: Known::load(&config.state_dir),
            backoff: Backoff::new(config.pace),
            instance: u64::from_ne_bytes(instance),
            attempt: 0,
            due: Instant::now(),
            welcome: None,
        }
    }

    /// The connection just broke: dial at once, unless it was too short.
    pub(crate) fn plan_at_once(&mut self) {
        let lasted = self.welcome.map(|welcome| welcome.elapsed());
        if lasted.is_some_and(|lasted| lasted >= STABLE) {
            self.backoff.reset();
        }
        self.due = Instant::now();
        if lasted.is_some_and(|lasted| lasted < BRIEF) {
            self.due += self.backoff.next();
        }
    }

    /// The session is over: dial soon.
    pub(crate) fn plan_soon(&mut self) {
        if self
            .welcome
            .is_some_and(|welcome| welcome.elapsed() >= STABLE)
        {
            self.backoff.reset();
        }
        self.due = Instant::now() + self.backoff.next();
    }

    /// The gateway does not want this agent: dial later.
    pub(crate) fn plan_late(&mut self) {
        self.due = Instant::now() + self.backoff.stretch(LONG_PAUSE);
    }

    /// Dials until a gateway says welcome, for a session to go on with or a new one.
    ///
    /// # Errors
    /// Only when the gateway refuses the very first join.
    pub(crate) async fn dial(
        &mut self,
        identity: &Identity,
        state: &watch::Sender<State>,
        session: Option<(&LineHandle, &Secret)>,
    ) -> Result<Connected, Error> {
        loop {
            self.pause(state).await;
            state.send_replace(State::Connecting);
            self.network.forget();
            // A session over a WebSocket goes on over nothing else.
            let ways = match session {
                Some(_) => Ways::websocket(),
                None => self.prospect.ways(),
            };
            let caller = self.caller(identity);
            let resume = || {
                let (line, ticket) = session?;
                Some(Resume {
                    ticket: ticket.clone(),
                    consumed: line.detach(),
                })
            };
            let reached = race(identity, &self.known, &ways).await;
            let by = reached.as_ref().ok().map(|reached| reached.socket.kind());
            let connected = match reached {
                Ok(reached) => introduce(&caller, &mut self.known, reached, resume).await,
                Err(error) => Err(error),
            };
            match connected {
                Ok(connected) => {
                    self.note_welcome(&ways, &connected);
                    return Ok(connected);
                }
                Err(Error::Refused { reason, text }) => {
                    error!(reason = ?reason, "the gateway refused this agent: {text}");
                    if identity.join_secret.is_some() && reason == Refusal::Unauthorized {
                        return Err(Error::Refused { reason, text });
                    }
                    match reason {
                        Refusal::Busy | Refusal::Stale => self.plan_next(),
                        Refusal::Unauthorized
                        | Refusal::Version
                        | Refusal::RateLimited
                        | Refusal::Malformed
                        | Refusal::Other(_) => self.plan_late(),
                    }
                }
                Err(error) => {
                    // It was reached, and then did not answer: not by the same way at once.
                    if by == Some(TransportKind::Quic) {
                        self.prospect.note_blocked();
                    }
                    self.plan_next();
                    let pause = self.due.saturating_duration_since(Instant::now());
                    warn!(retry_in = ?pause, "cannot reach the gateway: {}", error.chain());
                }
            }
        }
    }

    /// Tries QUIC beside a session that runs over a WebSocket.
    pub(crate) async fn try_quic(&mut self, identity: &Identity) -> Option<Connected> {
        let ways = self.prospect.quic_alone();
        let caller = self.caller(identity);
        let connected = match race(identity, &self.known, &ways).await {
            Ok(reached) => introduce(&caller, &mut self.known, reached, || None).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(connected) => {
                self.note_welcome(&ways, &connected);
                Some(connected)
            }
            Err(error) => {
                let pause = self.prospect.note_blocked();
                debug!(again_in = ?pause, "QUIC does not get through: {}", error.chain());
                None
            }
        }
    }

    /// Begins a session where a WebSocket has reached the gateway.
    pub(crate) async fn leave_quic(
        &mut self,
        identity: &Identity,
        reached: Reached,
    ) -> Result<Connected, Error> {
        self.prospect.note_blocked();
        let caller = self.caller(identity);
        let connected = introduce(&caller, &mut self.known, reached, || None).await?;
        self.note_welcome(&Ways::websocket(), &connected);
        Ok(connected)
    }

    /// A session over QUIC is over.
    pub(crate) fn note_quic_ended(&mut self) {
        if let Some(welcome) = self.welcome {
            self.prospect.note_lasted(welcome.elapsed());
        }
    }

    fn caller<'a>(&mut self, identity: &'a Identity) -> Caller<'a> {
        self.attempt = self.attempt.wrapping_add(1);
        Caller {
            identity,
            instance: self.instance,
            attempt: self.attempt,
        }
    }

    fn note_welcome(&mut self, ways: &Ways, connected: &Connected) {
        self.welcome = Some(Instant::now());
        if ways.has_quic() && connected.socket.kind() == TransportKind::WebSocket {
            let pause = self.prospect.note_blocked();
            info!(
                "QUIC does not get through to the gateway, a WebSocket does; trying again in {} min",
                pause.as_secs() / 60
            );
        }
        self.prospect.note_offer(connected.welcome.quic);
    }

    fn plan_next(&mut self) {
        self.due = Instant::now() + self.backoff.next();
    }

    /// Waits until the next dial is due; a change of the network makes it due.
    async fn pause(&mut self, state: &watch::Sender<State>) {
        if self.due <= Instant::now() {
            return;
        }
        state.send_replace(State::Waiting);
        loop {
            tokio::select! {
                () = sleep_until(self.due) => return,
                () = self.network.changed() => if self.network.is_told() {
                    return;
                },
            }
        }
    }
}
