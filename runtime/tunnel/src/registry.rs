//! Which agents have a live session. The newest session of an agent wins, and the end of an older one does not
//! touch it: a session is removed only by its own id.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use link::{Counter, Mux};
use proto_tunnel::{Bye, ByeReason, Hello, Report};
use tokio::sync::watch;

/// One accepted session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) mux: Mux,
    pub(crate) hello: Hello,
    pub(crate) peer: SocketAddr,
    pub(crate) since: SystemTime,
    pub(crate) round_trip: Mutex<Option<Duration>>,
    /// When the agent answered a ping last.
    pub(crate) heard: Mutex<Option<SystemTime>>,
    /// The newest that it told of itself.
    pub(crate) report: Mutex<Option<Report>>,
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) said_goodbye: AtomicBool,
    leave: watch::Sender<Option<Bye>>,
}

impl Session {
    pub(crate) fn new(id: u64, mux: Mux, hello: Hello, peer: SocketAddr) -> Self {
        Self {
            id,
            mux,
            hello,
            peer,
            since: SystemTime::now(),
            round_trip: Mutex::new(None),
            heard: Mutex::new(None),
            report: Mutex::new(None),
            opened: Counter::default(),
            failed: Counter::default(),
            said_goodbye: AtomicBool::new(false),
            leave: watch::Sender::new(None),
        }
    }

    /// Notes that the agent answered a ping.
    pub(crate) fn note_trip(&self, trip: Duration) {
        *self
            .round_trip
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(trip);
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(SystemTime::now());
    }

    /// Asks the session to end with this reason.
    pub(crate) fn leave(&self, reason: ByeReason, text: &str) {
        self.leave.send_replace(Some(Bye {
            reason,
            text: text.to_owned(),
        }));
    }

    /// Resolves when somebody asked. Cancel-safe.
    pub(crate) async fn asked_to_leave(&self) -> Bye {
        let mut asked = self.leave.subscribe();
        let bye = asked
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|bye| bye.clone());
        bye.unwrap_or(Bye {
            reason: ByeReason::Shutdown,
            text: String::new(),
        })
    }
}

/// What is kept of an agent over its sessions.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) live: Option<Arc<Session>>,
    pub(crate) sessions: u64,
    pub(crate) past: Past,
}

/// Sums over ended sessions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    pub(crate) last_seen: Option<SystemTime>,
    /// Whether the newest of them ended with the agent's own goodbye.
    pub(crate) said_goodbye: bool,
}

/// All agents with a live or an ended session since the start.
#[derive(Debug)]
pub(crate) struct Registry {
    slots: Mutex<HashMap<String, Slot>>,
    changed: watch::Sender<u64>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            slots: Mutex::new(HashMap::new()),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `session` the live one and sends the one before away.
    pub(crate) fn enter(&self, session: &Arc<Session>) {
        let older = {
            let mut slots = self.slots();
            let slot = slots.entry(session.hello.name.to_string()).or_default();
            slot.sessions += 1;
            let older = slot.live.replace(Arc::clone(session));
            if let Some(older) = &older {
                slot.past.add(older);
            }
            older
        };
        if let Some(older) = older {
            older.leave(
                ByeReason::Replaced,
                "this agent connected again, its newest session wins",
            );
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Takes `session` out, if it still is the live one.
    pub(crate) fn exit(&self, session: &Session) {
        {
            let mut slots = self.slots();
            let Some(slot) = slots.get_mut(session.hello.name.as_str()) else {
                return;
            };
            if slot.live.as_ref().is_none_or(|live| live.id != session.id) {
                return;
            }
            slot.live = None;
            slot.past.add(session);
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Forgets an agent that was removed, so that names do not pile up.
    pub(crate) fn forget(&self, name: &str) {
        let mut slots = self.slots();
        if slots.get(name).is_some_and(|slot| slot.live.is_none()) {
            slots.remove(name);
        }
    }

    pub(crate) fn live(&self, name: &str) -> Option<Arc<Session>> {
        self.slots().get(name)?.live.clone()
    }

    pub(crate) fn all_live(&self) -> Vec<Arc<Session>> {
        self.slots()
            .values()
            .filter_map(|slot| slot.live.clone())
            .collect()
    }

    /// Resolves when `session` is not the live one any more. Cancel-safe.
    pub(crate) async fn wait_exit(&self, session: &Session) {
        let mut changed = self.changed.subscribe();
        while self
            .live(session.hello.name.as_str())
            .is_some_and(|live| live.id == session.id)
        {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The live session, or the next one. Waits for ever; cancel-safe.
    pub(crate) async fn wait_live(&self, name: &str) -> Arc<Session> {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(session) = self.live(name) {
                return session;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Past {
    fn add(&mut self, session: &Session) {
        self.received += session.mux.flow().received.value();
        self.sent += session.mux.flow().sent.value();
        self.opened += session.opened.value();
        self.failed += session.failed.value();
        self.last_seen = Some(SystemTime::now());
        self.said_goodbye = session.said_goodbye.load(Ordering::Relaxed);
    }
}
