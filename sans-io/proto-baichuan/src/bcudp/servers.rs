//! A stand-in for the vendor's look-up, register and relay servers, for simulators and tests (section 10).
//!
//! How cameras themselves talk to the servers is not known; here the owner tells the servers where a camera is
//! ([`P2pServers::register`]) and the camera whom to meet ([`ServersEvent::Introduced`]).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Transmit;
use super::camera::Introduction;
use super::discovery::Discovery;
use super::packet::Datagram;

/// Most introductions that the relay remembers; the oldest gives way.
pub const MAX_INTRODUCTIONS: usize = 64;
/// Most cameras that are registered.
const MAX_CAMERAS: usize = 256;
/// "No such camera is connected."
const UNKNOWN: i32 = -3;

/// Where the servers are, as clients see them.
#[derive(Clone, Copy, Debug)]
pub struct ServersConfig {
    /// The register server.
    pub register: SocketAddr,
    /// The relay.
    pub relay: SocketAddr,
    /// Whether direct ways are told: without, all that is left is the relay.
    pub is_direct_told: bool,
}

/// Which of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerPort {
    /// Knows who registers whom.
    Lookup,
    /// Introduces clients to cameras.
    Register,
    /// Carries what cannot go directly.
    Relay,
}

/// What the servers tell their owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServersEvent {
    /// Tell this camera ([`super::UdpCamera::meet`]).
    Introduced {
        /// Which.
        uid: String,
        /// Whom.
        client: Introduction,
    },
}

#[derive(Debug)]
struct Meeting {
    sid: u32,
    cid: i32,
    camera: SocketAddr,
    /// Where the client talks to the relay, once it did.
    client: Option<SocketAddr>,
    /// The camera's number of the session, once it told.
    did: Option<u32>,
}

/// All three servers.
#[derive(Debug)]
pub struct P2pServers {
    config: ServersConfig,
    cameras: Vec<(String, SocketAddr)>,
    meetings: VecDeque<Meeting>,
    next_sid: u32,
    relayed: u64,
    transmits: VecDeque<(ServerPort, Transmit)>,
    events: VecDeque<ServersEvent>,
}

impl P2pServers {
    /// Servers that know nobody.
    #[must_use]
    pub fn new(config: ServersConfig) -> Self {
        Self {
            config,
            cameras: Vec::new(),
            meetings: VecDeque::new(),
            next_sid: 0x4000_0001,
            relayed: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A camera is connected; `session` is its session socket.
    pub fn register(&mut self, uid: &str, session: SocketAddr) {
        self.cameras.retain(|(known, _)| known != uid);
        if self.cameras.len() < MAX_CAMERAS {
            self.cameras.push((uid.to_owned(), session));
        }
    }

    /// A camera is gone.
    pub fn forget(&mut self, uid: &str) {
        self.cameras.retain(|(known, _)| known != uid);
    }

    /// Datagrams that the relay carried.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.relayed
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, port: ServerPort, from: SocketAddr, bytes: &[u8]) {
        let Ok(Some(datagram)) = Datagram::decode(bytes) else {
            return;
        };
        match (port, &datagram) {
            (
                ServerPort::Lookup,
                Datagram::Discovery {
                    tid,
                    message: Discovery::C2mQ { uid },
                },
            ) => {
                let is_known = self.cameras.iter().any(|(known, _)| known == uid);
                let ServersConfig {
                    register, relay, ..
                } = self.config;
                let message = Discovery::M2cQr {
                    reg: is_known.then_some(register),
                    relay: is_known.then_some(relay),
                    rsp: if is_known { 0 } else { UNKNOWN },
                };
                self.transmit(port, from, *tid, message);
            }
            (
                ServerPort::Register,
                Datagram::Discovery {
                    tid,
                    message:
                        Discovery::C2rC {
                            uid, local, cid, ..
                        },
                },
            ) => {
                self.introduce(from, *tid, uid, *local, *cid);
            }
            (ServerPort::Relay, datagram) => self.relay(from, datagram, bytes),
            (ServerPort::Lookup | ServerPort::Register, _) => {}
        }
    }

    /// The next datagram, and from which socket.
    pub fn poll_transmit(&mut self) -> Option<(ServerPort, Transmit)> {
        self.transmits.pop_front()
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<ServersEvent> {
        self.events.pop_front()
    }

    fn introduce(&mut self, from: SocketAddr, tid: u32, uid: &str, local: SocketAddr, cid: i32) {
        let camera = self.cameras.iter().find(|(known, _)| known == uid);
        let Some(&(_, camera)) = camera else {
            let message = Discovery::R2cCr {
                dev: None,
                dmap: None,
                relay: None,
                sid: 0,
                rsp: UNKNOWN,
            };
            return self.transmit(ServerPort::Register, from, tid, message);
        };
        let known = self
            .meetings
            .iter()
            .find(|it| (it.cid, it.camera) == (cid, camera));
        let (sid, is_new) = match known {
            Some(meeting) => (meeting.sid, false),
            None => {
                let sid = self.next_sid;
                self.next_sid = self.next_sid.wrapping_add(1);
                if self.meetings.len() == MAX_INTRODUCTIONS {
                    self.meetings.pop_front();
                }
                self.meetings.push_back(Meeting {
                    sid,
                    cid,
                    camera,
                    client: None,
                    did: None,
                });
                (sid, true)
            }
        };
        let direct = self.config.is_direct_told.then_some(camera);
        let message = Discovery::R2cCr {
            dev: direct,
            dmap: direct,
            relay: Some(self.config.relay),
            sid,
            rsp: 0,
        };
        self.transmit(ServerPort::Register, from, tid, message);
        if is_new && self.config.is_direct_told {
            self.events.push_back(ServersEvent::Introduced {
                uid: uid.to_owned(),
                client: Introduction {
                    sid,
                    cid,
                    local,
                    mapped: from,
                },
            });
        }
    }

    /// Passes a datagram on unchanged, by the numbers in it.
    fn relay(&mut self, from: SocketAddr, datagram: &Datagram, bytes: &[u8]) {
        let to = match datagram {
            Datagram::Data { to, .. } | Datagram::Ack { to, .. } => self.by_number(from, *to),
            Datagram::Discovery { message, .. } => match *message {
                Discovery::C2dT { sid, .. } => {
                    let meeting = self.meetings.iter_mut().find(|it| it.sid == sid);
                    meeting.map(|meeting| {
                        meeting.client = Some(from);
                        meeting.camera
                    })
                }
                Discovery::D2cCfm { sid, did, .. } | Discovery::D2cT { sid, did, .. } => {
                    let meeting = self.meetings.iter_mut().find(|it| it.sid == sid);
                    meeting.and_then(|meeting| {
                        meeting.did = Some(did);
                        meeting.client
                    })
                }
                Discovery::C2dA { sid, .. } => {
                    let meeting = self.meetings.iter().find(|it| it.sid == sid);
                    meeting.map(|meeting| meeting.camera)
                }
                Discovery::C2dHb { did, .. } | Discovery::C2dDisc { did, .. } => {
                    self.by_number(from, did)
                }
                Discovery::D2cHb { cid, .. }
                | Discovery::D2cDisc { cid, .. }
                | Discovery::D2cCr { cid, .. } => self.by_number(from, cid.cast_unsigned()),
                _ => None,
            },
        };
        if let Some(to) = to {
            self.relayed += 1;
            let payload = bytes.to_vec().into();
            self.transmits
                .push_back((ServerPort::Relay, Transmit { to, payload }));
        }
    }

    /// Numbers of both sides may be equal, so it counts who sends.
    fn by_number(&self, from: SocketAddr, number: u32) -> Option<SocketAddr> {
        self.meetings.iter().find_map(|meeting| {
            if meeting.camera == from && meeting.cid.cast_unsigned() == number {
                return meeting.client;
            }
            let is_from_client = meeting.client.is_some_and(|it| it == from);
            (is_from_client && meeting.did == Some(number)).then_some(meeting.camera)
        })
    }

    fn transmit(&mut self, port: ServerPort, to: SocketAddr, tid: u32, message: Discovery) {
        let payload = Datagram::Discovery { tid, message }.encode();
        self.transmits.push_back((port, Transmit { to, payload }));
    }
}
