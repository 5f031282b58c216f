//! The client: finds a camera, opens a session, keeps it (sections 9.2, 9.4 and 10).

mod finding;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::finding::Finding;
use super::Transmit;
use super::discovery::{Conn, Discovery};
use super::packet::Datagram;
use super::stream::{Stream, StreamConfig, StreamStats};
use crate::Error;

/// Heartbeats (section 9.4).
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence that means that the camera is gone (section 9.4).
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// Goodbyes, because each may get lost (section 9.4).
const GOODBYES: usize = 2;

/// A way to find a camera, and what it tells to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// Hellos to the camera's address or into the LAN; tells nobody else.
    Local,
    /// The vendor's servers tell the camera's address; they learn UID and addresses.
    Remote,
    /// The vendor's relay carries everything, media too.
    Relay,
}

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// The camera's UID. Empty: whoever answers at [`Self::hellos`] first, which tells its UID.
    pub uid: String,
    /// Where hellos go: the camera's address or broadcast addresses, with each port of [`super::HELLO_PORTS`]. Empty:
    /// no local search.
    pub hellos: Vec<SocketAddr>,
    /// Look-up servers with port [`super::LOOKUP_PORT`]. Empty: none is asked.
    pub servers: Vec<SocketAddr>,
    /// The farthest that the user allows.
    pub method: Method,
    /// Our socket's address as the camera may see it; the port has to be right.
    pub local: SocketAddr,
    /// Random: numbers of session and transaction come from it.
    pub seed: u64,
    /// How long to search; waking a battery camera may take 15 to 25 s.
    pub patience: Duration,
}

/// Why a session ended, or never began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UdpClose {
    /// We closed it.
    Closed,
    /// Nobody answered.
    NotFound {
        /// Whether look-up servers were to be asked and answered.
        servers_answered: bool,
    },
    /// The servers know no such camera, or it is not connected to them.
    Unknown {
        /// Their code.
        rsp: i32,
    },
    /// The camera answered that it will not.
    Refused {
        /// Its code.
        rsp: i32,
    },
    /// The camera or the relay ended it: a battery camera goes to sleep so.
    Ended,
    /// Nothing came for ten seconds.
    Silent,
    /// What came makes no sense.
    Broken(Error),
}

/// What a client tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpEvent {
    /// A session is open: begin with a [`crate::Session`].
    Connected {
        /// Where the camera, or the relay, is.
        peer: SocketAddr,
        /// How it was found.
        method: Method,
        /// The camera's UID, which was perhaps not known.
        uid: String,
        /// Whether the device says that it is bound to an account (section 4.5): the login may be refused.
        is_account_bound: bool,
    },
    /// The end; nothing follows.
    Closed(UdpClose),
}

#[derive(Debug)]
struct Open {
    peer: SocketAddr,
    tid: u32,
    did: u32,
    stream: Stream,
    last_received: Instant,
    heartbeat_at: Instant,
}

#[derive(Debug)]
enum State {
    Finding(Box<Finding>),
    Open(Box<Open>),
    Closed,
}

/// One session over one UDP socket, from the search to the end.
///
/// After every call drain [`Self::poll_transmit`], [`Self::poll_event`] and [`Self::poll_input`], then wait until
/// [`Self::poll_timeout`].
#[derive(Debug)]
pub struct UdpClient {
    state: State,
    cid: i32,
    transmits: VecDeque<Transmit>,
    events: VecDeque<UdpEvent>,
}

impl UdpClient {
    /// Begins to search.
    #[must_use]
    pub fn new(config: UdpConfig, now: Instant) -> Self {
        let mut seed = config.seed;
        let cid = random(&mut seed).cast_signed();
        let tid = random(&mut seed);
        let mut client = Self {
            state: State::Closed,
            cid,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        let finding = Finding::new(config, cid, tid, now);
        client.state = State::Finding(Box::new(finding));
        client.handle_timeout(now);
        client
    }

    /// Whether a session is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Counters of the session, if it is open.
    #[must_use]
    pub fn stats(&self) -> Option<StreamStats> {
        match &self.state {
            State::Open(open) => Some(open.stream.stats()),
            State::Finding(_) | State::Closed => None,
        }
    }

    /// Takes a datagram. What is none of ours is passed over: a socket hears all sorts of things.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        let Ok(Some(datagram)) = Datagram::decode(bytes) else {
            return;
        };
        match &mut self.state {
            State::Closed => {}
            State::Finding(finding) => {
                let Datagram::Discovery { tid, message } = datagram else {
                    return;
                };
                let found = finding.handle(from, tid, message, now);
                self.transmits.extend(finding.poll_transmits());
                match found {
                    None => {}
                    Some(Err(reason)) => self.end(reason),
                    Some(Ok(found)) => {
                        self.events.push_back(UdpEvent::Connected {
                            peer: found.peer,
                            method: found.method,
                            uid: found.uid,
                            is_account_bound: found.is_account_bound,
                        });
                        self.state = State::Open(Box::new(Open {
                            peer: found.peer,
                            tid: found.tid,
                            did: found.did,
                            stream: Stream::new(StreamConfig::CLIENT, found.did, now),
                            last_received: now,
                            heartbeat_at: now,
                        }));
                    }
                }
            }
            State::Open(_) => self.handle_open(from, datagram, now),
        }
        self.drive(now);
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Closed => {}
            State::Finding(finding) => {
                let gave_up = finding.handle_timeout(now);
                self.transmits.extend(finding.poll_transmits());
                if let Some(reason) = gave_up {
                    self.end(reason);
                }
            }
            State::Open(open) if now >= open.last_received + DEAD_AFTER => {
                self.end(UdpClose::Silent);
            }
            State::Open(_) => {}
        }
        self.drive(now);
    }

    /// Queues one message of [`crate::Session::poll_transmit`].
    pub fn send(&mut self, message: &Bytes, now: Instant) -> Result<(), Error> {
        let State::Open(open) = &mut self.state else {
            return Err(Error::Misuse("a message without an open session"));
        };
        if !open.stream.send(message) {
            return Err(Error::Misuse("too much waits to be sent to the camera"));
        }
        self.drive(now);
        Ok(())
    }

    /// Packets that wait for their turn: who sends much, talk for one, looks at this first.
    #[must_use]
    pub fn unsent(&self) -> usize {
        match &self.state {
            State::Open(open) => open.stream.unsent(),
            State::Finding(_) | State::Closed => 0,
        }
    }

    /// Says goodbye. Log out first ([`crate::Session::close`]).
    pub fn close(&mut self) {
        self.end(UdpClose::Closed);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next bytes for [`crate::Session::handle_input`].
    pub fn poll_input(&mut self) -> Option<Bytes> {
        match &mut self.state {
            State::Open(open) => open.stream.poll_input(),
            State::Finding(_) | State::Closed => None,
        }
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<UdpEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Closed => None,
            State::Finding(finding) => Some(finding.poll_timeout()),
            State::Open(open) => Some(
                open.stream
                    .poll_timeout()
                    .min(open.heartbeat_at)
                    .min(open.last_received + DEAD_AFTER),
            ),
        }
    }

    fn handle_open(&mut self, from: SocketAddr, datagram: Datagram, now: Instant) {
        let State::Open(open) = &mut self.state else {
            return;
        };
        // By address and number, not by port: some cameras change it (section 9.2).
        if from.ip() != open.peer.ip() {
            return;
        }
        let cid = self.cid;
        let outcome = match datagram {
            Datagram::Data {
                to,
                packet,
                payload,
            } if to == cid.cast_unsigned() => {
                open.last_received = now;
                open.stream.handle_data(packet, payload, now)
            }
            Datagram::Ack { to, ack } if to == cid.cast_unsigned() => {
                open.last_received = now;
                open.stream.handle_ack(&ack, now)
            }
            Datagram::Data { .. } | Datagram::Ack { .. } => Ok(()),
            Datagram::Discovery { tid, message } => {
                return self.handle_control(from, tid, &message, now);
            }
        };
        if let Err(error) = outcome {
            self.end(UdpClose::Broken(error));
        }
    }

    fn handle_control(&mut self, from: SocketAddr, tid: u32, message: &Discovery, now: Instant) {
        let State::Open(open) = &mut self.state else {
            return;
        };
        let (cid, did) = (self.cid, open.did);
        match *message {
            Discovery::D2cDisc {
                cid: theirs,
                did: ended,
            } if (theirs, ended) == (cid, did) => {
                self.end(UdpClose::Ended);
            }
            Discovery::R2cDisc { .. } => self.end(UdpClose::Ended),
            Discovery::D2cHb { cid: theirs, .. } if theirs == cid => open.last_received = now,
            // The camera answered a second hello with another session: one is enough.
            Discovery::D2cCr {
                rsp: 0,
                cid: theirs,
                did: other,
                ..
            } if theirs == cid => {
                open.last_received = now;
                if other != did {
                    let message = Discovery::C2dDisc { cid, did: other };
                    self.transmit(from, tid, message);
                } else {
                    open.heartbeat_at = now;
                }
            }
            // Left unanswered, some cameras close the session (section 9.2).
            Discovery::D2cT {
                sid,
                conn,
                cid: theirs,
                did,
            } if theirs == cid => {
                open.last_received = now;
                let message = Discovery::C2dA {
                    sid,
                    conn,
                    cid,
                    did,
                };
                self.transmit(from, tid, message);
            }
            _ => {}
        }
    }

    /// Sends what is due.
    fn drive(&mut self, now: Instant) {
        let State::Open(open) = &mut self.state else {
            return;
        };
        let (peer, tid, did) = (open.peer, open.tid, open.did);
        if now >= open.heartbeat_at {
            open.heartbeat_at = now + HEARTBEAT;
            let message = Discovery::C2dHb { cid: self.cid, did };
            self.transmit(peer, tid, message);
        }
        loop {
            let State::Open(open) = &mut self.state else {
                return;
            };
            match open.stream.poll_datagram(now) {
                Ok(None) => return,
                Ok(Some(datagram)) => self.transmits.push_back(Transmit {
                    to: peer,
                    payload: datagram.encode(),
                }),
                Err(error) => self.end(UdpClose::Broken(error)),
            }
        }
    }

    fn transmit(&mut self, to: SocketAddr, tid: u32, message: Discovery) {
        let payload = Datagram::Discovery { tid, message }.encode();
        self.transmits.push_back(Transmit { to, payload });
    }

    fn end(&mut self, reason: UdpClose) {
        if let State::Open(open) = &self.state {
            let (peer, tid, did) = (open.peer, open.tid, open.did);
            let is_needed = !matches!(reason, UdpClose::Ended);
            for _ in 0..if is_needed { GOODBYES } else { 0 } {
                let message = Discovery::C2dDisc { cid: self.cid, did };
                self.transmit(peer, tid, message);
            }
        }
        if !self.is_closed() {
            self.state = State::Closed;
            self.events.push_back(UdpEvent::Closed(reason));
        }
    }
}

/// The connection that a method leads to, as the wire calls it.
fn method_of(conn: Conn) -> Method {
    match conn {
        Conn::Local | Conn::Map => Method::Remote,
        Conn::Relay => Method::Relay,
    }
}

/// One step of SplitMix64, without the highest bit: one client's text has it as a sign.
fn random(state: &mut u64) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from((z ^ (z >> 31)) >> 33).unwrap_or(1)
}
