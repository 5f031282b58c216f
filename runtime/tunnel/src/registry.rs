//! Which agents have a live session. The newest session of an agent wins, and the end of an older one does not
//! touch it: a session is removed only by its own id.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use link::{Counter, Mux, Transport};
use proto_tunnel::{Bye, ByeReason, Hello, Report, Secret};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// One accepted session. It may outlive several connections.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) mux: Mux,
    /// What the agent must show to go on with it.
    pub(crate) ticket: Secret,
    pub(crate) since: SystemTime,
    /// The newest that it told of itself.
    pub(crate) report: Mutex<Option<Report>>,
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) lost: Counter,
    pub(crate) said_goodbye: AtomicBool,
    newest: Mutex<Newest>,
    leave: watch::Sender<Option<Bye>>,
}

/// Of the newest connection.
#[derive(Debug)]
struct Newest {
    hello: Hello,
    peer: SocketAddr,
}

impl Session {
    pub(crate) fn new(id: u64, mux: Mux, hello: Hello, ticket: Secret, peer: SocketAddr) -> Self {
        Self {
            id,
            mux,
            ticket,
            since: SystemTime::now(),
            report: Mutex::new(None),
            opened: Counter::default(),
            failed: Counter::default(),
            lost: Counter::default(),
            said_goodbye: AtomicBool::new(false),
            newest: Mutex::new(Newest { hello, peer }),
            leave: watch::Sender::new(None),
        }
    }

    fn newest(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the agent said with its newest connection.
    pub(crate) fn hello(&self) -> Hello {
        self.newest().hello.clone()
    }

    /// Where its newest connection comes from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.mux.peer().unwrap_or_else(|| self.newest().peer)
    }

    /// Compares in constant time.
    pub(crate) fn is_ticket(&self, shown: &Secret) -> bool {
        self.ticket.as_bytes().ct_eq(shown.as_bytes()).into()
    }

    /// Whether this session's agent has said a later hello than this one already.
    pub(crate) fn is_overtaking(&self, hello: &Hello) -> bool {
        let newest = &self.newest().hello;
        newest.instance == hello.instance && hello.attempt <= newest.attempt
    }

    /// Takes the session's connection away for the one that says this hello, and tells how far the gateway got.
    /// Nothing if a later one has come already.
    pub(crate) fn claim(&self, hello: &Hello) -> Option<u64> {
        let mut newest = self.newest();
        let was = &newest.hello;
        if was.instance != hello.instance || hello.attempt <= was.attempt {
            return None;
        }
        let line = self.mux.line()?;
        newest.hello = hello.clone();
        Some(line.detach())
    }

    /// Gives the session the connection that claimed it, unless a later one has. Its number.
    pub(crate) fn attach(
        &self,
        transport: impl Transport,
        hello: &Hello,
        peer: SocketAddr,
    ) -> Result<Option<u64>, link::Error> {
        let mut newest = self.newest();
        let (Some(resume), Some(line)) = (&hello.resume, self.mux.line()) else {
            return Ok(None);
        };
        if newest.hello.attempt != hello.attempt {
            return Ok(None);
        }
        newest.peer = peer;
        line.attach(transport, resume.consumed).map(Some)
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
    pub(crate) connections: u64,
    pub(crate) replayed: u64,
    pub(crate) lost: u64,
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

    /// Wakes those who wait for a session or its connection.
    pub(crate) fn note_change(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Makes `session` the live one and sends the one before away.
    pub(crate) fn enter(&self, session: &Arc<Session>) {
        let older = {
            let mut slots = self.slots();
            let slot = slots.entry(session.hello().name.to_string()).or_default();
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
        self.note_change();
    }

    /// Takes `session` out, if it still is the live one.
    pub(crate) fn exit(&self, session: &Session) {
        {
            let mut slots = self.slots();
            let Some(slot) = slots.get_mut(session.hello().name.as_str()) else {
                return;
            };
            if slot.live.as_ref().is_none_or(|live| live.id != session.id) {
                return;
            }
            slot.live = None;
            slot.past.add(session);
        }
        self.note_change();
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
        let name = session.hello().name;
        while self
            .live(name.as_str())
            .is_some_and(|live| live.id == session.id)
        {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// The live session if it has a connection, or the next one that has. Waits for ever; cancel-safe.
    pub(crate) async fn wait_live(&self, name: &str) -> Arc<Session> {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(session) = self.live(name).filter(|live| live.mux.is_attached()) {
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
        let stats = session.mux.stats();
        self.connections += stats.connections;
        self.replayed += stats.replayed;
        self.lost += session.lost.value();
        self.last_seen = Some(SystemTime::now());
        self.said_goodbye = session.said_goodbye.load(Ordering::Relaxed);
    }
}
