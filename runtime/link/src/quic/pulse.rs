//! Signs of life of a QUIC connection, and what follows when they cease.
//!
//! Each is a datagram of nine bytes, with the kinds of the resumable pipe: 3 ping, 4 pong, then a stamp of eight bytes that a pong
//! repeats. Others are ignored. Whatever arrives counts as a sign of life, as it does there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_tunnel::{Beat, Heartbeat, ResumeConfig, ResumeStats};
use quinn::{Connection, VarInt};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};

use super::connection::Caller;
use super::listener::DONE;
use crate::LineState;

const PING: u8 = 3;
const PONG: u8 = 4;
const LENGTH: usize = 9;

/// Between calls while the peer is silent.
const CALL_EVERY: Duration = Duration::from_secs(1);
/// How long a goodbye may take to leave.
const GOODBYE: Duration = Duration::from_millis(500);
/// Says that the peer was away for too long.
const EXPIRED: VarInt = VarInt::from_u32(2);

/// Keeps one connection alive, and knows whether it is.
#[derive(Debug)]
pub(crate) struct Pulse {
    pub(super) connection: Connection,
    caller: Option<Caller>,
    resume: ResumeConfig,
    state: watch::Sender<LineState>,
    known: Mutex<Known>,
    doubted: Notify,
}

#[derive(Debug)]
struct Known {
    attached: u64,
    round_trip: Option<Duration>,
    heard: Option<Instant>,
    /// Why it was lost last.
    lost: String,
    /// Why it is over, if that was this end's verdict.
    failure: Option<String>,
}

impl Pulse {
    pub(super) fn new(
        connection: Connection,
        caller: Option<Caller>,
        resume: ResumeConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            caller,
            resume,
            state: watch::Sender::new(LineState::Attached(1)),
            known: Mutex::new(Known {
                attached: 1,
                round_trip: None,
                heard: None,
                lost: String::new(),
                failure: None,
            }),
            doubted: Notify::new(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> watch::Receiver<LineState> {
        self.state.subscribe()
    }

    pub(crate) fn lost(&self) -> String {
        self.known().lost.clone()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.known().round_trip
    }

    pub(crate) fn heard(&self) -> Option<Instant> {
        self.known().heard
    }

    pub(super) fn failure(&self) -> Option<String> {
        self.known().failure.clone()
    }

    pub(crate) fn stats(&self) -> ResumeStats {
        ResumeStats {
            connections: self.known().attached,
            replayed: self.connection.stats().path.lost_bytes,
        }
    }

    /// The network has changed: call from a new socket now, and be quick to think the peer gone.
    pub(crate) fn doubt(&self) {
        self.call();
        self.doubted.notify_one();
    }

    /// Says goodbye, and waits a little for it to leave.
    pub(super) async fn close(&self) {
        self.connection.close(DONE, b"");
        if let Some(caller) = &self.caller {
            let _ = timeout(GOODBYE, caller.endpoint.wait_idle()).await;
        }
    }

    /// Watches over the connection until it is over.
    pub(super) async fn run(&self) {
        let mut beat = self.fresh();
        // Since when it is silent, and how many bytes had come by then.
        let mut silent: Option<(Instant, u64)> = None;
        loop {
            let due = match silent {
                None => beat.poll_timeout(),
                Some(_) => Instant::now() + self.call_every(),
            };
            tokio::select! {
                error = self.connection.closed() => {
                    self.known().lost = error.to_string();
                    self.state.send_replace(LineState::Ended);
                    return;
                }
                datagram = self.connection.read_datagram() => if let Ok(datagram) = datagram {
                    self.take(&datagram, &mut beat);
                },
                () = self.doubted.notified() => beat.doubt(self.received()),
                () = sleep_until(due.into()) => {}
            }
            let now = Instant::now();
            match silent {
                None => {
                    if self.is_silent(&mut beat, now) {
                        silent = Some((now, self.received()));
                        self.known().lost = "no sign of life".to_owned();
                        self.state.send_replace(LineState::Detached);
                        self.call();
                    }
                }
                Some((since, received)) => {
                    if self.received() > received {
                        silent = None;
                        beat = self.fresh();
                        self.attach();
                    } else if now.duration_since(since) >= self.resume.patience {
                        let text = "the tunnel had no connection for too long";
                        self.known().failure = Some(text.to_owned());
                        self.connection.close(EXPIRED, text.as_bytes());
                    } else if now >= due {
                        self.call();
                    }
                }
            }
        }
    }

    fn fresh(&self) -> Heartbeat {
        Heartbeat::new(self.resume.heartbeat, Instant::now())
    }

    fn call_every(&self) -> Duration {
        self.resume.heartbeat.busy.min(CALL_EVERY)
    }

    fn received(&self) -> u64 {
        self.connection.stats().udp_rx.bytes
    }

    /// Does what time asks for: whether the peer is gone.
    fn is_silent(&self, beat: &mut Heartbeat, now: Instant) -> bool {
        if now < beat.poll_timeout() {
            return false;
        }
        let stats = self.connection.stats();
        match beat.handle_timeout(stats.udp_rx.bytes, stats.udp_tx.bytes, now) {
            Beat::Wait => false,
            Beat::Ping(stamp) => {
                // The question before this one had no answer: the way may be gone, and another costs nothing.
                if beat.unanswered() > 1 {
                    self.call();
                }
                self.say(PING, stamp);
                false
            }
            Beat::Dead => true,
        }
    }

    fn attach(&self) {
        if let Some(caller) = &self.caller {
            caller.allowance.end();
        }
        let attached = {
            let mut known = self.known();
            known.attached += 1;
            known.attached
        };
        self.state.send_replace(LineState::Attached(attached));
    }

    /// The dialing end takes a new socket; the other has to wait.
    fn call(&self) {
        if let Some(caller) = &self.caller {
            // Without a socket now there may be one in a second.
            let _ = caller.call_again(self.connection.remote_address());
            self.say(PING, u64::MAX);
        }
    }

    fn take(&self, datagram: &Bytes, beat: &mut Heartbeat) {
        let Ok(bytes) = <[u8; LENGTH]>::try_from(&datagram[..]) else {
            return;
        };
        let [kind, stamp @ ..] = bytes;
        let stamp = u64::from_be_bytes(stamp);
        match kind {
            PING => self.say(PONG, stamp),
            PONG => {
                let now = Instant::now();
                beat.handle_pong(stamp, now);
                let mut known = self.known();
                known.heard = Some(now);
                known.round_trip = beat.round_trip().or(known.round_trip);
            }
            _ => {}
        }
    }

    fn say(&self, kind: u8, stamp: u64) {
        let mut bytes = [kind; LENGTH];
        bytes[1..].copy_from_slice(&stamp.to_be_bytes());
        // One that is lost, or has no room, is missed like any other.
        let _ = self
            .connection
            .send_datagram(Bytes::copy_from_slice(&bytes));
    }
}
