//! The search for a camera: hellos, look-up, registration, and the race of the ways to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::Transmit;
use super::super::discovery::{Conn, Discovery};
use super::super::packet::Datagram;
use super::{Method, UdpClose, UdpConfig, method_of};

/// Hellos and questions are repeated so often (sections 9.2 and 10).
const REPEAT: Duration = Duration::from_millis(500);
/// "Unknown" is asked again so often, and so many times: servers learn lazily, and wake cameras (section 10).
const UNKNOWN_AGAIN: Duration = Duration::from_secs(1);
const MAX_UNKNOWN: u32 = 10;
/// Direct ways get a lead over the hole through the NATs and over the relay (section 10).
const MAP_LATER: Duration = Duration::from_millis(250);
const RELAY_LATER: Duration = Duration::from_millis(500);
/// The register server hears so many times that we have met (section 10).
const CONFIRMATIONS: usize = 3;

#[derive(Debug)]
pub(super) struct Found {
    pub(super) peer: SocketAddr,
    pub(super) tid: u32,
    pub(super) did: u32,
    pub(super) method: Method,
    pub(super) uid: String,
    pub(super) is_account_bound: bool,
}

/// How far the servers have brought us.
#[derive(Debug)]
enum Servers {
    Unasked,
    Asking,
    Registering {
        reg: SocketAddr,
        relay: SocketAddr,
    },
    Meeting {
        reg: SocketAddr,
        dev: Option<SocketAddr>,
        dmap: Option<SocketAddr>,
        relay: Option<SocketAddr>,
        sid: u32,
        since: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Finding {
    config: UdpConfig,
    cid: i32,
    tid: u32,
    servers: Servers,
    unknown: u32,
    last_rsp: i32,
    hello_at: Instant,
    server_at: Instant,
    give_up_at: Instant,
    transmits: Vec<Transmit>,
}

impl Finding {
    pub(super) fn new(config: UdpConfig, cid: i32, tid: u32, now: Instant) -> Self {
        let is_asking = config.method >= Method::Remote && !config.servers.is_empty();
        Self {
            cid,
            tid,
            servers: if is_asking {
                Servers::Asking
            } else {
                Servers::Unasked
            },
            unknown: 0,
            last_rsp: 0,
            hello_at: now,
            server_at: now,
            give_up_at: now + config.patience,
            transmits: Vec::new(),
            config,
        }
    }

    pub(super) fn poll_transmits(&mut self) -> Vec<Transmit> {
        std::mem::take(&mut self.transmits)
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        let hello = (!self.config.hellos.is_empty()).then_some(self.hello_at);
        let server = (!matches!(self.servers, Servers::Unasked)).then_some(self.server_at);
        [hello, server]
            .into_iter()
            .flatten()
            .fold(self.give_up_at, Instant::min)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<UdpClose> {
        if now >= self.give_up_at {
            return Some(if self.unknown > 0 {
                UdpClose::Unknown { rsp: self.last_rsp }
            } else {
                UdpClose::NotFound {
                    servers_answered: matches!(
                        self.servers,
                        Servers::Registering { .. } | Servers::Meeting { .. }
                    ),
                }
            });
        }
        if now >= self.hello_at {
            self.hello_at = now + REPEAT;
            self.say_hello();
        }
        if now >= self.server_at {
            self.server_at = now + REPEAT;
            self.ask_servers(now);
        }
        None
    }

    fn say_hello(&mut self) {
        let port = self.config.local.port();
        let hello = if self.config.uid.is_empty() {
            Discovery::C2dS { port }
        } else {
            Discovery::C2dC {
                uid: self.config.uid.clone(),
                port,
                cid: self.cid,
            }
        };
        for to in self.config.hellos.clone() {
            self.transmit(to, self.tid, hello.clone());
        }
    }

    fn ask_servers(&mut self, now: Instant) {
        let (uid, cid, tid) = (self.config.uid.clone(), self.cid, self.tid);
        match self.servers {
            Servers::Unasked => {}
            Servers::Asking => {
                // Without a UID there is nothing to ask for until a camera has told its own.
                if !uid.is_empty() {
                    for to in self.config.servers.clone() {
                        self.transmit(to, tid, Discovery::C2mQ { uid: uid.clone() });
                    }
                }
            }
            Servers::Registering { reg, relay } => {
                let local = self.config.local;
                let message = Discovery::C2rC {
                    uid,
                    local,
                    relay,
                    cid,
                };
                self.transmit(reg, tid, message);
            }
            Servers::Meeting {
                dev,
                dmap,
                relay,
                sid,
                since,
                ..
            } => {
                let ways = [
                    (Conn::Local, dev, Duration::ZERO),
                    (Conn::Map, dmap, MAP_LATER),
                    (Conn::Relay, relay, RELAY_LATER),
                ];
                for (conn, to, later) in ways {
                    let is_allowed = method_of(conn) <= self.config.method;
                    let is_time = now >= since + later;
                    if let Some(to) = to.filter(|_| is_allowed && is_time) {
                        self.transmit(to, tid, Discovery::C2dT { sid, conn, cid });
                    }
                }
            }
        }
    }

    pub(super) fn handle(
        &mut self,
        from: SocketAddr,
        tid: u32,
        message: Discovery,
        now: Instant,
    ) -> Option<Result<Found, UdpClose>> {
        match message {
            Discovery::D2cSr { uid } if self.config.uid.is_empty() && !uid.is_empty() => {
                self.config.uid = uid;
                self.hello_at = now;
                self.handle_timeout(now).map(Err)
            }
            Discovery::D2cCr {
                rsp,
                cid,
                did,
                account,
                ..
            } if cid == self.cid => {
                if rsp != 0 {
                    return Some(Err(UdpClose::Refused { rsp }));
                }
                // Whoever has not heard us confirm offers the session anew in this way, through a relay too.
                let method = match self.servers {
                    Servers::Meeting { relay, .. } if relay == Some(from) => Method::Relay,
                    Servers::Meeting { dev, dmap, .. }
                        if dev == Some(from) || dmap == Some(from) =>
                    {
                        Method::Remote
                    }
                    _ => Method::Local,
                };
                Some(Ok(self.found(from, tid, did, method, account)))
            }
            Discovery::M2cQr {
                reg: Some(reg),
                relay: Some(relay),
                ..
            } if matches!(self.servers, Servers::Asking) && self.is_server(from) => {
                self.servers = Servers::Registering { reg, relay };
                self.server_at = now;
                self.handle_timeout(now).map(Err)
            }
            Discovery::R2cCr {
                dev,
                dmap,
                relay,
                sid,
                rsp,
            } => {
                let Servers::Registering { reg, relay: known } = self.servers else {
                    return None;
                };
                if rsp < 0 {
                    self.unknown += 1;
                    self.last_rsp = rsp;
                    self.server_at = now + UNKNOWN_AGAIN;
                    let is_alone = self.config.hellos.is_empty();
                    return (self.unknown >= MAX_UNKNOWN && is_alone)
                        .then_some(Err(UdpClose::Unknown { rsp }));
                }
                self.meet(reg, (dev, dmap, relay.or(Some(known))), sid, now)
            }
            Discovery::R2cT {
                dev,
                dmap,
                sid,
                cid,
            } if cid == self.cid => {
                let Servers::Registering { reg, relay } = self.servers else {
                    return None;
                };
                self.meet(reg, (dev, dmap, Some(relay)), sid, now)
            }
            Discovery::D2cT {
                sid,
                conn,
                cid,
                did,
            } if cid == self.cid && method_of(conn) <= self.config.method => {
                let answer = Discovery::C2dA {
                    sid,
                    conn,
                    cid,
                    did,
                };
                self.transmit(from, tid, answer);
                None
            }
            Discovery::D2cCfm {
                sid,
                conn,
                rsp,
                cid,
                did,
            } if cid == self.cid && method_of(conn) <= self.config.method => {
                if rsp < 0 {
                    return Some(Err(UdpClose::Refused { rsp }));
                }
                if let Servers::Meeting { reg, .. } = self.servers {
                    for _ in 0..CONFIRMATIONS {
                        let message = Discovery::C2rCfm {
                            sid,
                            conn,
                            cid,
                            did,
                        };
                        self.transmit(reg, tid, message);
                    }
                }
                Some(Ok(self.found(from, tid, did, method_of(conn), false)))
            }
            _ => None,
        }
    }

    fn meet(
        &mut self,
        reg: SocketAddr,
        (dev, dmap, relay): (Option<SocketAddr>, Option<SocketAddr>, Option<SocketAddr>),
        sid: u32,
        now: Instant,
    ) -> Option<Result<Found, UdpClose>> {
        self.unknown = 0;
        self.servers = Servers::Meeting {
            reg,
            dev,
            dmap,
            relay,
            sid,
            since: now,
        };
        self.server_at = now;
        self.handle_timeout(now).map(Err)
    }

    /// Whoever else answers a look-up could send us anywhere.
    fn is_server(&self, from: SocketAddr) -> bool {
        self.config.servers.iter().any(|it| it.ip() == from.ip())
    }

    fn found(
        &self,
        peer: SocketAddr,
        tid: u32,
        did: u32,
        method: Method,
        is_account_bound: bool,
    ) -> Found {
        Found {
            peer,
            tid,
            did,
            method,
            uid: self.config.uid.clone(),
            is_account_bound,
        }
    }

    fn transmit(&mut self, to: SocketAddr, tid: u32, message: Discovery) {
        let payload = Datagram::Discovery { tid, message }.encode();
        self.transmits.push(Transmit { to, payload });
    }
}
