//! By UID through look-up servers, directly and through the relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto_baichuan::bcudp::{
    CameraPort, Method, P2pServers, ServerPort, ServersConfig, ServersEvent, Timers, UdpCamera,
    UdpCameraConfig, UdpCameraEvent, UdpClient, UdpClose, UdpConfig, UdpEvent,
};

use crate::seeds;
use crate::wire::{ALL, FINE, Weather, Wire};

const UID: &str = "95270000ABCDEFGH";

struct World {
    now: Instant,
    wire: Wire,
    client: UdpClient,
    camera: UdpCamera,
    servers: P2pServers,
    heard: Vec<u8>,
    said: Vec<u8>,
    found: Option<UdpEvent>,
    closed: Option<UdpClose>,
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const CLIENT: &str = "192.168.7.2:50001";
const CAMERA: &str = "192.168.1.9:40000";
const LOOKUP: &str = "203.0.113.1:9999";
const REGISTER: &str = "203.0.113.1:58200";
const RELAY: &str = "203.0.113.1:58100";

impl World {
    fn new(weather: Weather, seed: u64, method: Method, is_direct_told: bool) -> Self {
        let now = Instant::now();
        let config = UdpConfig {
            uid: UID.to_owned(),
            hellos: Vec::new(),
            servers: vec![at("203.0.113.250:9999"), at(LOOKUP)],
            method,
            local: at(CLIENT),
            seed,
            patience: Duration::from_secs(20),
        };
        let camera = UdpCameraConfig {
            uid: UID.to_owned(),
            timers: Timers::default(),
            first_did: 80,
        };
        Self {
            now,
            wire: Wire::new(weather, seed),
            client: UdpClient::new(config, now),
            camera: UdpCamera::new(camera, now),
            servers: P2pServers::new(ServersConfig {
                register: at(REGISTER),
                relay: at(RELAY),
                is_direct_told,
            }),
            heard: Vec::new(),
            said: Vec::new(),
            found: None,
            closed: None,
        }
    }

    fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let next = [
                self.wire.next_at(),
                self.client.poll_timeout(),
                self.camera.poll_timeout(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            assert!(
                next < end,
                "not done after {limit:?}: {:?} {:?}",
                self.found,
                self.closed
            );
            self.now = self.now.max(next);
            let now = self.now;
            while let Some((from, to, bytes)) = self.wire.arrive(now) {
                let port = [
                    (LOOKUP, ServerPort::Lookup),
                    (REGISTER, ServerPort::Register),
                    (RELAY, ServerPort::Relay),
                ];
                if let Some((_, port)) = port.iter().find(|(address, _)| at(address) == to) {
                    self.servers.handle_datagram(*port, from, &bytes);
                } else if to == at(CLIENT) {
                    self.client.handle_datagram(from, &bytes, now);
                } else if to == at(CAMERA) {
                    self.camera
                        .handle_datagram(CameraPort::Session, from, &bytes, now);
                }
            }
            self.client.handle_timeout(now);
            self.camera.handle_timeout(now);
        }
    }

    fn settle(&mut self) {
        let now = self.now;
        while let Some(ServersEvent::Introduced { uid, client }) = self.servers.poll_event() {
            assert_eq!(uid, UID);
            self.camera.meet(client, now);
        }
        while let Some(event) = self.camera.poll_event() {
            if let UdpCameraEvent::Input { did, bytes } = event {
                self.heard.extend(&bytes);
                assert!(self.camera.send(did, &bytes, now));
            }
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                UdpEvent::Connected { .. } => self.found = Some(event),
                UdpEvent::Closed(reason) => self.closed = Some(reason),
            }
        }
        while let Some(bytes) = self.client.poll_input() {
            self.said.extend(&bytes);
        }
        while let Some(it) = self.client.poll_transmit() {
            self.wire.carry(at(CLIENT), it.to, &it.payload, now);
        }
        while let Some(it) = self.camera.poll_transmit() {
            self.wire.carry(at(CAMERA), it.to, &it.payload, now);
        }
        while let Some((port, it)) = self.servers.poll_transmit() {
            let from = match port {
                ServerPort::Lookup => LOOKUP,
                ServerPort::Register => REGISTER,
                ServerPort::Relay => RELAY,
            };
            self.wire.carry(at(from), it.to, &it.payload, now);
        }
    }
}

#[test]
fn a_camera_is_found_by_its_uid_and_talks_both_ways() {
    for weather in ALL {
        for seed in seeds(10) {
            for (method, is_direct_told) in [
                (Method::Remote, true),
                (Method::Relay, false),
                (Method::Relay, true),
            ] {
                let mut world = World::new(weather, seed, method, is_direct_told);
                world.servers.register(UID, at(CAMERA));
                world.run(Duration::from_secs(20), |world| {
                    world.found.is_some() || world.closed.is_some()
                });
                let Some(UdpEvent::Connected {
                    peer,
                    method: found,
                    ..
                }) = &world.found
                else {
                    panic!("{} seed {seed}: {:?}", weather.name, world.closed)
                };
                let is_relayed = *found == Method::Relay;
                assert!(is_relayed || is_direct_told);
                assert_eq!(*peer, if is_relayed { at(RELAY) } else { at(CAMERA) });
                let message: Vec<u8> = (0..30_000_usize).map(|at| (at * 31) as u8).collect();
                let now = world.now;
                world.client.send(&message.clone().into(), now).unwrap();
                world.run(Duration::from_secs(60), |world| {
                    world.said.len() >= message.len() || world.closed.is_some()
                });
                if world.closed.is_some() {
                    // Once in a thousand everything gets lost for as long as anybody waits.
                    assert!(
                        weather.loss >= 200 && seed > 0,
                        "{} seed {seed}",
                        weather.name
                    );
                    assert!(message.starts_with(&world.said));
                    continue;
                }
                assert_eq!(world.heard, message);
                assert_eq!(world.said, message);
                assert_eq!(world.servers.relayed() > 50, is_relayed);
            }
        }
    }
}

#[test]
fn a_relay_is_not_used_unless_it_is_allowed() {
    let mut world = World::new(FINE, 3, Method::Remote, false);
    world.servers.register(UID, at(CAMERA));
    world.run(Duration::from_secs(30), |world| world.closed.is_some());
    assert_eq!(
        world.closed,
        Some(UdpClose::NotFound {
            servers_answered: true
        })
    );
    assert_eq!(world.servers.relayed(), 0);
}

#[test]
fn a_uid_that_the_servers_do_not_know_is_told_as_such() {
    let mut world = World::new(FINE, 3, Method::Relay, true);
    world.run(Duration::from_secs(30), |world| world.closed.is_some());
    assert_eq!(
        world.closed,
        Some(UdpClose::NotFound {
            servers_answered: false
        })
    );
    // Known when it was looked up, gone when it was wanted.
    let mut world = World::new(FINE, 3, Method::Relay, true);
    world.servers.register(UID, at(CAMERA));
    world.run(Duration::from_secs(1), |world| world.wire.carried >= 3);
    world.servers.forget(UID);
    world.run(Duration::from_secs(30), |world| world.closed.is_some());
    assert_eq!(world.closed, Some(UdpClose::Unknown { rsp: -3 }));
}
