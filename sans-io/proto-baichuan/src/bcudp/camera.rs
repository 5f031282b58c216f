//! The camera's half, for simulators and tests: hello ports, sessions, and meeting clients through servers.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Transmit;
use super::discovery::{Conn, Discovery, Timers};
use super::packet::Datagram;
use super::stream::{Stream, StreamConfig, StreamStats};
use crate::Error;

/// Most sessions at a time, half-open ones included: one client opens several and uses one (section 9.2).
pub const MAX_UDP_SESSIONS: usize = 24;
/// Hellos of one address that are answered in a second (section 12).
const MAX_HELLOS: u32 = 10;
/// Addresses whose hellos are counted; the oldest gives way.
const MAX_COUNTED: usize = 64;
/// Times that an accepted session is offered again while the client says nothing (section 9.2).
const OFFERS: u32 = 3;

/// What a camera on UDP is.
#[derive(Clone, Debug)]
pub struct UdpCameraConfig {
    /// Its UID.
    pub uid: String,
    /// What it tells of its timers, and keeps to: `def` between offers, `hbt` of silence ends a session.
    pub timers: Timers,
    /// The first session's number; each further one has the next.
    pub first_did: u32,
}

/// Which of the camera's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CameraPort {
    /// Those that wait for hellos ([`super::HELLO_PORTS`]).
    Hello,
    /// The one that sessions run on. It has to be another (section 9.2).
    Session,
}

/// A client that the servers want the camera to meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The servers' number.
    pub sid: u32,
    /// The client's number.
    pub cid: i32,
    /// The client's address at its home.
    pub local: SocketAddr,
    /// Its address outside.
    pub mapped: SocketAddr,
}

/// What a camera tells its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpCameraEvent {
    /// A client found it: begin with a [`crate::Device`] when input comes.
    Opened {
        /// The session.
        did: u32,
        /// The client.
        peer: SocketAddr,
    },
    /// Bytes of a session, in order.
    Input {
        /// The session.
        did: u32,
        /// The bytes.
        bytes: Bytes,
    },
    /// A session ended.
    Closed {
        /// The session.
        did: u32,
    },
}

#[derive(Debug)]
struct Session {
    did: u32,
    cid: i32,
    tid: u32,
    peer: SocketAddr,
    stream: Stream,
    last_received: Instant,
    /// None once the client has said something in the session.
    offer: Option<(u32, Instant)>,
}

/// A camera on UDP with all its sessions.
#[derive(Debug)]
pub struct UdpCamera {
    config: UdpCameraConfig,
    sessions: Vec<Session>,
    next_did: u32,
    hellos: VecDeque<(IpAddr, u32)>,
    hellos_until: Instant,
    transmits: VecDeque<Transmit>,
    events: VecDeque<UdpCameraEvent>,
}

impl UdpCamera {
    /// Awake and alone.
    #[must_use]
    pub fn new(config: UdpCameraConfig, now: Instant) -> Self {
        Self {
            sessions: Vec::new(),
            next_did: config.first_did,
            hellos: VecDeque::new(),
            hellos_until: now,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Sessions, half-open ones included.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Counters of a session.
    #[must_use]
    pub fn stats(&self, did: u32) -> Option<StreamStats> {
        let session = self.sessions.iter().find(|it| it.did == did)?;
        Some(session.stream.stats())
    }

    /// Packets of a session that wait for their turn: whoever sends media drops some when there are many.
    #[must_use]
    pub fn unsent(&self, did: u32) -> usize {
        let session = self.sessions.iter().find(|it| it.did == did);
        session.map_or(0, |it| it.stream.unsent())
    }

    /// Takes a datagram. All answers leave from the session socket.
    pub fn handle_datagram(
        &mut self,
        port: CameraPort,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) {
        match (Datagram::decode(bytes), port) {
            (Ok(Some(Datagram::Discovery { tid, message })), CameraPort::Hello) => {
                self.handle_hello(from, tid, &message, now);
            }
            (Ok(Some(Datagram::Discovery { tid, message })), CameraPort::Session) => {
                self.handle_control(from, tid, &message, now);
            }
            (
                Ok(Some(Datagram::Data {
                    to,
                    packet,
                    payload,
                })),
                CameraPort::Session,
            ) => {
                self.with_session(to, from, now, |stream| {
                    stream.handle_data(packet, payload, now)
                });
            }
            (Ok(Some(Datagram::Ack { to, ack })), CameraPort::Session) => {
                self.with_session(to, from, now, |stream| stream.handle_ack(&ack, now));
            }
            (Ok(_) | Err(_), _) => {}
        }
        self.drive(now);
    }

    /// Time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let silence = Duration::from_millis(u64::from(self.config.timers.hbt));
        let def = Duration::from_millis(u64::from(self.config.timers.def));
        let mut gone = Vec::new();
        let mut offers = Vec::new();
        for session in &mut self.sessions {
            if now >= session.last_received + silence {
                gone.push(session.did);
            }
            let Some((count, _)) = session.offer.filter(|(_, at)| now >= *at) else {
                continue;
            };
            if count >= OFFERS {
                gone.push(session.did);
            } else {
                session.offer = Some((count + 1, now + def));
                offers.push((session.peer, session.tid, session.cid, session.did));
            }
        }
        for (peer, tid, cid, did) in offers {
            let message = self.accept(cid, did);
            self.transmit(peer, tid, message);
        }
        for did in gone {
            self.close(did);
        }
        self.drive(now);
    }

    /// Queues one message of [`crate::Device::poll_transmit`]. False: too much waits, and nothing was taken.
    pub fn send(&mut self, did: u32, message: &Bytes, now: Instant) -> bool {
        let Some(session) = self.sessions.iter_mut().find(|it| it.did == did) else {
            return false;
        };
        let is_taken = session.stream.send(message);
        self.drive(now);
        is_taken
    }

    /// Ends a session and says so.
    pub fn close(&mut self, did: u32) {
        if let Some((peer, tid, cid)) = self.forget(did) {
            self.transmit(peer, tid, Discovery::D2cDisc { cid, did });
        }
    }

    /// Forgets every session without a word, as a camera that falls asleep.
    pub fn fall_silent(&mut self) {
        while let Some(did) = self.sessions.first().map(|it| it.did) {
            self.forget(did);
        }
        self.transmits.clear();
    }

    /// The servers told of a client: it is called where it lives and where its router is (section 10).
    pub fn meet(&mut self, client: Introduction, now: Instant) {
        let Introduction {
            sid,
            cid,
            local,
            mapped,
        } = client;
        for (conn, to) in [(Conn::Local, local), (Conn::Map, mapped)] {
            let tid = sid.rotate_left(7) ^ self.next_did;
            let Some(did) = self.open(to, cid, tid, now) else {
                return;
            };
            self.transmit(
                to,
                tid,
                Discovery::D2cT {
                    sid,
                    conn,
                    cid,
                    did,
                },
            );
        }
    }

    /// The next datagram, from the session socket.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<UdpCameraEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; None while nobody is here.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let silence = Duration::from_millis(u64::from(self.config.timers.hbt));
        let sessions = self.sessions.iter();
        sessions
            .map(|it| {
                let next = match it.offer {
                    Some((_, at)) => at,
                    None => it.stream.poll_timeout(),
                };
                next.min(it.last_received + silence)
            })
            .min()
    }

    fn handle_hello(&mut self, from: SocketAddr, tid: u32, message: &Discovery, now: Instant) {
        if !self.may_answer(from.ip(), now) {
            return;
        }
        match message {
            Discovery::C2dS { port } => {
                let to = SocketAddr::new(from.ip(), *port);
                let uid = self.config.uid.clone();
                self.transmit(to, tid, Discovery::D2cSr { uid });
            }
            Discovery::C2dC { uid, port, cid } if *uid == self.config.uid => {
                let to = SocketAddr::new(from.ip(), *port);
                let Some(did) = self.open(to, *cid, tid, now) else {
                    return;
                };
                let answer = self.accept(*cid, did);
                self.transmit(to, tid, answer);
            }
            _ => {}
        }
    }

    fn handle_control(&mut self, from: SocketAddr, tid: u32, message: &Discovery, now: Instant) {
        match *message {
            // Cameras pass over heartbeats of another transaction (section 9.2).
            Discovery::C2dHb { did, .. } => {
                let known = |it: &&mut Session| it.did == did && it.tid == tid;
                if let Some(session) = self.sessions.iter_mut().find(known) {
                    session.last_received = now;
                    session.peer = from;
                }
            }
            Discovery::C2dDisc { did, .. } => {
                self.forget(did);
            }
            Discovery::C2dT { sid, conn, cid } => {
                if let Some(did) = self.open(from, cid, tid, now) {
                    self.confirm(from, tid, (sid, conn, cid, did));
                }
            }
            Discovery::C2dA {
                sid,
                conn,
                cid,
                did,
            } => {
                if let Some(session) = self.sessions.iter_mut().find(|it| it.did == did) {
                    session.peer = from;
                    session.last_received = now;
                    self.confirm(from, tid, (sid, conn, cid, did));
                }
            }
            _ => {}
        }
    }

    fn confirm(&mut self, to: SocketAddr, tid: u32, (sid, conn, cid, did): (u32, Conn, i32, u32)) {
        let rsp = 0;
        self.transmit(
            to,
            tid,
            Discovery::D2cCfm {
                sid,
                conn,
                rsp,
                cid,
                did,
            },
        );
    }

    /// One session for each client, number and transaction: a repeated hello finds the same (section 9.2).
    fn open(&mut self, peer: SocketAddr, cid: i32, tid: u32, now: Instant) -> Option<u32> {
        let known = |it: &&Session| it.peer.ip() == peer.ip() && (it.cid, it.tid) == (cid, tid);
        if let Some(session) = self.sessions.iter().find(known) {
            return Some(session.did);
        }
        if self.sessions.len() >= MAX_UDP_SESSIONS {
            return None;
        }
        let did = self.next_did;
        self.next_did = self.next_did.wrapping_add(1);
        let def = Duration::from_millis(u64::from(self.config.timers.def));
        self.sessions.push(Session {
            did,
            cid,
            tid,
            peer,
            stream: Stream::new(StreamConfig::CAMERA, cid.cast_unsigned(), now),
            last_received: now,
            offer: Some((0, now + def)),
        });
        self.events.push_back(UdpCameraEvent::Opened { did, peer });
        Some(did)
    }

    fn accept(&self, cid: i32, did: u32) -> Discovery {
        Discovery::D2cCr {
            rsp: 0,
            cid,
            did,
            timers: self.config.timers,
            account: false,
        }
    }

    fn with_session(
        &mut self,
        did: u32,
        from: SocketAddr,
        now: Instant,
        handle: impl FnOnce(&mut Stream) -> Result<(), Error>,
    ) {
        let Some(session) = self.sessions.iter_mut().find(|it| it.did == did) else {
            return;
        };
        if session.peer.ip() != from.ip() {
            return;
        }
        session.peer = from;
        session.last_received = now;
        session.offer = None;
        let outcome = handle(&mut session.stream);
        while let Some(bytes) = session.stream.poll_input() {
            self.events.push_back(UdpCameraEvent::Input { did, bytes });
        }
        if outcome.is_err() {
            self.close(did);
        }
    }

    fn drive(&mut self, now: Instant) {
        let mut broken = Vec::new();
        for session in &mut self.sessions {
            // Before the client has spoken there is nothing to send, and acknowledgements would only wake it.
            if session.offer.is_some() {
                continue;
            }
            loop {
                match session.stream.poll_datagram(now) {
                    Ok(None) => break,
                    Ok(Some(datagram)) => self.transmits.push_back(Transmit {
                        to: session.peer,
                        payload: datagram.encode(),
                    }),
                    Err(_) => {
                        broken.push(session.did);
                        break;
                    }
                }
            }
        }
        for did in broken {
            self.close(did);
        }
    }

    fn forget(&mut self, did: u32) -> Option<(SocketAddr, u32, i32)> {
        let at = self.sessions.iter().position(|it| it.did == did)?;
        let session = self.sessions.remove(at);
        self.events.push_back(UdpCameraEvent::Closed { did });
        Some((session.peer, session.tid, session.cid))
    }

    fn may_answer(&mut self, address: IpAddr, now: Instant) -> bool {
        if now >= self.hellos_until {
            self.hellos.clear();
            self.hellos_until = now + Duration::from_secs(1);
        }
        if let Some((_, count)) = self.hellos.iter_mut().find(|(it, _)| *it == address) {
            *count += 1;
            return *count <= MAX_HELLOS;
        }
        if self.hellos.len() == MAX_COUNTED {
            self.hellos.pop_front();
        }
        self.hellos.push_back((address, 1));
        true
    }

    fn transmit(&mut self, to: SocketAddr, tid: u32, message: Discovery) {
        let payload = Datagram::Discovery { tid, message }.encode();
        self.transmits.push_back(Transmit { to, payload });
    }
}
