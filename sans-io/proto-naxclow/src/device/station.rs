//! Registration, UDP and commands in station mode.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::{Device, DeviceEvent, HEARTBEAT_EVERY};
use crate::channel::Channel;
use crate::{BaseInfo, Cmd, Endpoints, Frame, Message, Object, Side};

/// How often questions and first probes are repeated (facts, section 6.1).
const AGAIN: Duration = Duration::from_millis(500);

/// How often an address is asked for.
const QUERIES: u32 = 6;

/// How often the first probe answer is sent while no probe comes.
const PROBES: u32 = 10;

#[derive(Debug)]
enum Step {
    /// Asks these for our address.
    Asking(Vec<SocketAddr>),
    /// Knows the client's end; a probe came or not.
    Found { endpoint: SocketAddr, probed: bool },
}

/// One round of opening UDP.
#[derive(Debug)]
pub(super) struct Nat {
    cli_target: String,
    cli_token: String,
    step: Step,
    tries: u32,
    again: Option<Instant>,
    fell_back: bool,
}

impl Nat {
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        match self.step {
            Step::Found { endpoint, .. } => Some(endpoint),
            Step::Asking(_) => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.again
    }
}

impl Device {
    pub(super) fn handle_cloud(&mut self, message: Message, now: Instant) {
        match message {
            Message::Registered { status: 200 } if !self.registered => {
                self.registered = true;
                self.heartbeat_at = Some(now + HEARTBEAT_EVERY);
                self.event(DeviceEvent::Registered);
            }
            Message::NatRequest {
                cli_target,
                cli_token,
                client,
            } => {
                let targets = targets(&client);
                self.nat = Some(Nat {
                    cli_target,
                    cli_token,
                    fell_back: targets.is_empty(),
                    step: Step::Asking(match targets.is_empty() {
                        true => vec![self.config.peer],
                        false => targets,
                    }),
                    tries: 0,
                    again: Some(now),
                });
                self.nat_timeout(now);
            }
            Message::ClientOnline { .. } => self.online = true,
            Message::Forward { target, content } if self.online || !self.config.needs_online => {
                if let Some(answer) = self.obey(&content, now) {
                    self.answer(target, answer);
                }
            }
            _ => {}
        }
    }

    fn answer(&mut self, target: String, content: Object) {
        if self.config.odd_json && content.integer("code") == Some(4) {
            let text = BaseInfo::odd_text(&self.config.base_info, &target) + "\0";
            let frame = Frame::control(Cmd::Json, text, Side::Camera);
            self.outbox.frame(Channel::Control, &frame);
        } else {
            let message = Message::Forward { target, content };
            self.outbox.message(Channel::Control, &message);
        }
    }

    pub(super) fn handle_datagram(&mut self, from: SocketAddr, frame: &Frame, now: Instant) {
        let here = Channel::Datagram(from);
        match frame.cmd {
            Cmd::Confirm => self.handle_confirm(&frame.payload, now),
            Cmd::Ping => self.outbox.empty(here, Cmd::Pong),
            Cmd::Json => match Message::read(&frame.payload) {
                Ok(Message::AddressAnswer { ip, port }) => self.found(from, ip, port, now),
                // Every one, for ever: servers differ in how many they want (facts, section 17, row 9).
                Ok(Message::Probe) => {
                    if let Some(nat) = &mut self.nat {
                        nat.step = Step::Found {
                            endpoint: from,
                            probed: true,
                        };
                        nat.again = None;
                        self.probe_answer(from);
                    }
                }
                Ok(Message::RoundTrip { stamp }) => {
                    let stamp = stamp.parse().unwrap_or_default();
                    self.outbox
                        .message(here, &Message::RoundTripAnswer { stamp });
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn probe_answer(&mut self, to: SocketAddr) {
        let message = Message::ProbeAnswer {
            uid: self.config.uid.clone(),
            status: 200,
        };
        self.outbox.message(Channel::Datagram(to), &message);
    }

    fn found(&mut self, from: SocketAddr, nat_ip: String, nat_port: u16, now: Instant) {
        let Some(nat) = &mut self.nat else {
            return;
        };
        if !matches!(&nat.step, Step::Asking(asked) if asked.contains(&from)) {
            return;
        }
        nat.step = Step::Found {
            endpoint: from,
            probed: false,
        };
        (nat.tries, nat.again) = (1, Some(now + AGAIN));
        self.nat_result(200, nat_ip, nat_port);
        self.probe_answer(from);
    }

    fn nat_result(&mut self, status: i64, nat_ip: String, nat_port: u16) {
        if let Some(nat) = &self.nat {
            let message = Message::NatResult {
                status,
                device: Endpoints {
                    ip: self.config.local.ip().to_string(),
                    port: self.config.local.port(),
                    nat_ip,
                    nat_port,
                },
                cli_target: nat.cli_target.clone(),
                cli_token: nat.cli_token.clone(),
            };
            self.outbox.message(Channel::Control, &message);
        }
    }

    pub(super) fn nat_timeout(&mut self, now: Instant) {
        let peer = self.config.peer;
        let Some(nat) = self.nat.as_mut() else {
            return;
        };
        if nat.again.is_none_or(|at| at > now) {
            return;
        }
        nat.again = Some(now + AGAIN);
        nat.tries += 1;
        match &mut nat.step {
            Step::Asking(targets) if nat.tries <= QUERIES => {
                for target in targets {
                    let here = Channel::Datagram(*target);
                    self.outbox.message(here, &Message::AddressQuery);
                }
            }
            Step::Asking(targets) if !nat.fell_back => {
                (nat.fell_back, nat.tries) = (true, 0);
                *targets = vec![peer];
            }
            Step::Asking(_) => {
                self.nat_result(500, String::new(), 0);
                self.nat = None;
            }
            Step::Found {
                endpoint,
                probed: false,
            } if nat.tries <= PROBES => {
                let endpoint = *endpoint;
                self.probe_answer(endpoint);
            }
            Step::Found { .. } => nat.again = None,
        }
    }
}

/// The addresses of a request that can be sent to.
fn targets(client: &Endpoints) -> Vec<SocketAddr> {
    let pairs = [(&client.ip, client.port), (&client.nat_ip, client.nat_port)];
    let usable = |(ip, port): (&String, u16)| {
        let ip: IpAddr = ip.parse().ok()?;
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        (port != 0 && !broadcast && !ip.is_unspecified()).then_some(SocketAddr::new(ip, port))
    };
    let mut targets: Vec<SocketAddr> = pairs.into_iter().filter_map(usable).collect();
    targets.dedup();
    targets
}
