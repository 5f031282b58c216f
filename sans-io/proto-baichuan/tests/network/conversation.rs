//! The whole stack: login, a stream, goodbye.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_baichuan::bcudp::{
    CameraPort, Method, Timers, UdpCamera, UdpCameraConfig, UdpCameraEvent, UdpClient, UdpClose,
    UdpConfig, UdpEvent,
};
use proto_baichuan::{
    CloseReason, Device, DeviceConfig, DeviceEvent, DeviceStream, Encryption, MediaInfo,
    MediaPacket, Session, SessionConfig, SessionEvent, StreamKind, Video, VideoCodec,
};

use crate::seeds;
use crate::wire::{ALL, FINE, Random, Weather, Wire};

const UID: &str = "95270000ABCDEFGH";
const PICTURES: usize = 40;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A camera with one device, a client with one session, and what lies between.
struct World {
    now: Instant,
    wire: Wire,
    here: SocketAddr,
    hello: SocketAddr,
    there: SocketAddr,
    client: UdpClient,
    session: Option<Session>,
    camera: UdpCamera,
    device: Option<(u32, Device)>,
    watched: Option<DeviceStream>,
    pictures: Vec<MediaPacket>,
    sent: usize,
    next_picture: Instant,
    seen: Vec<MediaPacket>,
    closed: Option<UdpClose>,
    found: Option<UdpEvent>,
    logged_out: bool,
    /// The session ended by itself.
    lost: Option<CloseReason>,
}

impl World {
    fn new(weather: Weather, seed: u64) -> Self {
        let now = Instant::now();
        let mut random = Random(seed);
        let (here, hello, there) = (
            address("10.0.0.2:50001"),
            address("10.0.0.9:2015"),
            address("10.0.0.9:40000"),
        );
        let config = UdpConfig {
            uid: if seed.is_multiple_of(2) {
                UID.to_owned()
            } else {
                String::new()
            },
            hellos: vec![hello],
            servers: Vec::new(),
            method: Method::Local,
            local: here,
            seed: random.next(),
            patience: Duration::from_secs(15),
        };
        let camera = UdpCameraConfig {
            uid: UID.to_owned(),
            timers: Timers::default(),
            first_did: 80,
        };
        Self {
            now,
            wire: Wire::new(weather, seed),
            here,
            hello,
            there,
            client: UdpClient::new(config, now),
            session: None,
            camera: UdpCamera::new(camera, now),
            device: None,
            watched: None,
            pictures: (0..PICTURES).map(|at| picture(at, &mut random)).collect(),
            sent: 0,
            next_picture: now,
            seen: Vec::new(),
            closed: None,
            found: None,
            logged_out: false,
            lost: None,
        }
    }

    /// Carries, wakes and waits until `done` says so; panics when the time is over.
    fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        let mut turns_at_once = 0;
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let streaming = self.watched.is_some() && self.sent < self.pictures.len();
            let next = [
                self.wire.next_at(),
                self.client.poll_timeout(),
                self.camera.poll_timeout(),
                self.session.as_ref().and_then(Session::poll_timeout),
                self.device
                    .as_ref()
                    .and_then(|(_, device)| device.poll_timeout()),
                streaming.then_some(self.next_picture),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            assert!(
                next < end,
                "not done after {limit:?}: {:?} {}",
                self.closed,
                self.seen.len()
            );
            // Whoever wants to be woken at once, again and again, is busy without need.
            turns_at_once = if next <= self.now {
                turns_at_once + 1
            } else {
                0
            };
            assert!(turns_at_once < 3000, "busy without end");
            self.now = self.now.max(next);
            self.wake();
        }
    }

    /// Whether it ended and said so: whoever watches begins anew.
    fn is_lost(&self) -> bool {
        self.lost.is_some() || matches!(self.closed, Some(UdpClose::Ended | UdpClose::Silent))
    }

    fn wake(&mut self) {
        let now = self.now;
        while let Some((from, to, bytes)) = self.wire.arrive(now) {
            if to == self.here {
                self.client.handle_datagram(from, &bytes, now);
            } else if to == self.hello {
                self.camera
                    .handle_datagram(CameraPort::Hello, from, &bytes, now);
            } else if to == self.there {
                self.camera
                    .handle_datagram(CameraPort::Session, from, &bytes, now);
            }
        }
        if self.client.poll_timeout().is_some_and(|at| now >= at) {
            self.client.handle_timeout(now);
        }
        if self.camera.poll_timeout().is_some_and(|at| now >= at) {
            self.camera.handle_timeout(now);
        }
        if let Some(session) = &mut self.session
            && session.poll_timeout().is_some_and(|at| now >= at)
        {
            session.handle_timeout(now);
        }
        if let Some((_, device)) = &mut self.device {
            device.handle_timeout(now);
        }
        if let (Some(stream), Some((_, device))) = (self.watched, &mut self.device)
            && now >= self.next_picture
            && let Some(picture) = self.pictures.get(self.sent)
        {
            device.send_media(stream, picture).unwrap();
            self.sent += 1;
            self.next_picture = now + Duration::from_millis(40);
        }
    }

    fn settle(&mut self) {
        let now = self.now;
        loop {
            let mut moved = false;
            while let Some(transmit) = self.client.poll_transmit() {
                self.wire
                    .carry(self.here, transmit.to, &transmit.payload, now);
            }
            while let Some(transmit) = self.camera.poll_transmit() {
                self.wire
                    .carry(self.there, transmit.to, &transmit.payload, now);
            }
            while let Some(event) = self.client.poll_event() {
                moved = true;
                match event {
                    UdpEvent::Connected { .. } => {
                        let config = SessionConfig {
                            nonce_timeout: Duration::from_secs(10),
                            ..SessionConfig::new("admin", "123456")
                        };
                        self.session = Some(Session::new(config, now));
                        self.found = Some(event);
                    }
                    UdpEvent::Closed(reason) => {
                        self.closed = Some(reason);
                        self.session = None;
                    }
                }
            }
            while let Some(bytes) = self.client.poll_input() {
                moved = true;
                self.session.as_mut().unwrap().handle_input(&bytes, now);
            }
            moved |= self.settle_session() | self.settle_camera();
            if !moved {
                return;
            }
        }
    }

    fn settle_session(&mut self) -> bool {
        let (now, mut moved) = (self.now, false);
        let Some(session) = &mut self.session else {
            return false;
        };
        while let Some(event) = session.poll_event() {
            moved = true;
            match event {
                SessionEvent::Ready { .. } => {
                    session.start_stream(0, StreamKind::Main, now).unwrap();
                }
                SessionEvent::Media { packet, .. } => self.seen.push(packet),
                SessionEvent::Closed(CloseReason::LoggedOut) => self.logged_out = true,
                SessionEvent::Closed(reason) => self.lost = Some(reason),
                SessionEvent::StreamStarted(_) | SessionEvent::Push(_) => {}
                // Once in thousands of seeds everything gets lost for ten seconds: what a viewer does is ask again.
                SessionEvent::StreamRefused { status: 0, .. } => {
                    session.start_stream(0, StreamKind::Main, now).unwrap();
                }
                event => panic!("{event:?}"),
            }
        }
        while let Some(bytes) = session.poll_transmit() {
            moved = true;
            self.client.send(&bytes, now).unwrap();
        }
        moved
    }

    fn settle_camera(&mut self) -> bool {
        let (now, mut moved) = (self.now, false);
        while let Some(event) = self.camera.poll_event() {
            moved = true;
            match event {
                UdpCameraEvent::Opened { .. } => {}
                UdpCameraEvent::Closed { did } => {
                    if self.device.as_ref().is_some_and(|(it, _)| *it == did) {
                        self.device = None;
                    }
                }
                UdpCameraEvent::Input { did, bytes } => {
                    let config = DeviceConfig::new(
                        "admin",
                        "123456",
                        Encryption::Aes,
                        "0-AhnEZyUg6eKrJFIWgXPF",
                    );
                    let (_, device) = self
                        .device
                        .get_or_insert_with(|| (did, Device::new(config, now)));
                    device.handle_input(&bytes, now);
                }
            }
        }
        let Some((did, device)) = &mut self.device else {
            return moved;
        };
        while let Some(event) = device.poll_event() {
            moved = true;
            match event {
                DeviceEvent::StreamWanted { stream, .. } => {
                    device.accept(stream, INFO).unwrap();
                    self.watched = Some(stream);
                    // A viewer who had to ask again is shown everything from the start.
                    self.sent = 0;
                    self.next_picture = now;
                }
                DeviceEvent::StreamStopped(stream) => {
                    self.watched = self.watched.filter(|watched| *watched != stream);
                }
                DeviceEvent::LoggedIn(_) | DeviceEvent::Closed(None) => {}
                event => panic!("{event:?}"),
            }
        }
        while let Some(bytes) = device.poll_transmit() {
            moved = true;
            assert!(self.camera.send(*did, &bytes, now), "the queue overflows");
        }
        moved
    }
}

const INFO: MediaInfo = MediaInfo {
    version: 1,
    width: 640,
    height: 360,
    unknown_0x10: 0,
    frame_rate: 25,
    start: [124, 5, 6, 7, 8, 9],
    end: [124, 5, 6, 7, 8, 9],
};

/// A keyframe of 20 to 40 kB each second, else 1 to 5 kB: some 1.2 Mbit/s.
fn picture(at: usize, random: &mut Random) -> MediaPacket {
    let is_keyframe = at.is_multiple_of(25);
    let len = if is_keyframe {
        20_000 + random.below(20_000)
    } else {
        1000 + random.below(4000)
    };
    let data: Vec<u8> = (0..len)
        .map(|byte| (byte as usize * 7 + at) as u8)
        .collect();
    MediaPacket::Video(Video {
        channel: 0,
        is_keyframe,
        codec: VideoCodec::H264,
        microseconds: at as u32 * 40_000,
        unknown_0x14: 0,
        extra: Bytes::new(),
        data: data.into(),
    })
}

/// Far from the other seeds.
const AGAIN: u64 = 1 << 32;

/// Where a session may end: once in a thousand everything gets lost for as long as anybody waits.
fn is_worst(weather: &Weather) -> bool {
    weather.loss >= 200 && weather.delay >= Duration::from_millis(300)
}

#[test]
fn media_is_complete_and_in_order_in_any_weather() {
    for weather in ALL {
        let (mut sent, mut resent, mut duplicates, mut again) = (0, 0, 0, 0);
        for seed in seeds(250) {
            let mut world = World::new(weather, seed);
            let is_done = |world: &mut World| world.seen.len() > PICTURES || world.is_lost();
            world.run(Duration::from_secs(60), is_done);
            if world.is_lost() {
                // Nothing got through for ten seconds: what came until then was right, and a new session is as well.
                assert!(is_worst(&weather), "{} seed {seed}", weather.name);
                let pictures = world.seen.get(1..).unwrap_or_default();
                assert!(world.pictures.starts_with(pictures), "seed {seed}");
                again += 1;
                world = World::new(weather, seed + AGAIN);
                world.run(Duration::from_secs(60), |world| world.seen.len() > PICTURES);
            }
            assert_eq!(world.closed, None, "{} seed {seed}", weather.name);
            assert_eq!(world.seen[0], MediaPacket::Info(INFO));
            assert!(
                world.seen[1..] == world.pictures[..],
                "{} seed {seed}",
                weather.name
            );
            let stats = world
                .camera
                .stats(world.device.as_ref().unwrap().0)
                .unwrap();
            sent += stats.sent;
            resent += stats.resent;
            duplicates += world.client.stats().unwrap().duplicates;
        }
        let share = resent as f64 / sent as f64;
        eprintln!(
            "{}: {sent} packets, {:.1} % sent again, {duplicates} came twice, {again} sessions begun anew",
            weather.name,
            share * 100.0
        );
        assert!(again <= 1 + seeds(250).count() / 100, "{again} sessions");
        // Each loss costs one repetition and each repetition may get lost; what goes beyond is busy work. Where one
        // datagram takes several times as long as the next, some of the late ones are taken for lost.
        let loss = weather.loss as f64 / 1000.0;
        let needed = loss / (1.0 - loss);
        let mistaken = if weather.jitter.is_zero() { 0.01 } else { 0.06 };
        assert!(
            share <= needed * 1.4 + mistaken,
            "{}: {share:.3} sent again, {needed:.3} needed",
            weather.name
        );
    }
}

#[test]
fn goodbye_ends_both_sides_in_any_weather() {
    for weather in ALL {
        for seed in seeds(50) {
            let mut world = World::new(weather, seed);
            let is_done = |world: &mut World| world.seen.len() > 3 || world.is_lost();
            world.run(Duration::from_secs(60), is_done);
            if world.is_lost() {
                assert!(is_worst(&weather), "{} seed {seed}", weather.name);
                continue;
            }
            let now = world.now;
            world.session.as_mut().unwrap().close(now);
            world.run(Duration::from_secs(5), |world| world.logged_out);
            world.client.close();
            // A camera that hears neither goodbye notices the silence.
            world.run(Duration::from_secs(70), |world| {
                world.camera.sessions() == 0
            });
            assert_eq!(world.closed, Some(UdpClose::Closed));
            let carried = world.wire.carried;
            let end = world.now + Duration::from_secs(3600);
            while let Some(at) = world.wire.next_at() {
                world.now = at;
                world.wake();
                world.settle();
            }
            world.now = end;
            world.wake();
            world.settle();
            assert_eq!(
                world.wire.carried, carried,
                "nobody says anything after goodbye"
            );
        }
    }
}

#[test]
fn a_quiet_session_costs_a_heartbeat_and_an_acknowledgement_a_second() {
    let mut world = World::new(FINE, 2);
    world.pictures.clear();
    world.run(Duration::from_secs(10), |world| world.seen.len() == 1);
    let (start, carried) = (world.now, world.wire.carried);
    let end = start + Duration::from_secs(20);
    world.run(Duration::from_secs(30), |world| world.now >= end);
    let seconds = (world.now - start).as_secs();
    let datagrams = world.wire.carried - carried;
    // Client: heartbeat, acknowledgement, a ping each 5 s. Camera: acknowledgement, answers.
    assert!(
        datagrams <= seconds * 4 + 10,
        "{datagrams} datagrams in {seconds} s"
    );
}

#[test]
fn a_camera_that_falls_silent_is_noticed_in_ten_seconds() {
    let mut world = World::new(FINE, 4);
    world.run(Duration::from_secs(10), |world| world.seen.len() > 5);
    world.camera.fall_silent();
    world.watched = None;
    world.device = None;
    let start = world.now;
    world.run(Duration::from_secs(30), |world| world.closed.is_some());
    assert_eq!(world.closed, Some(UdpClose::Silent));
    assert!(world.now - start <= Duration::from_secs(11));
}

#[test]
fn a_camera_that_says_goodbye_ends_the_session_at_once() {
    let mut world = World::new(FINE, 4);
    world.run(Duration::from_secs(10), |world| world.seen.len() > 5);
    let did = world.device.as_ref().unwrap().0;
    world.camera.close(did);
    world.watched = None;
    world.run(Duration::from_secs(1), |world| world.closed.is_some());
    assert_eq!(world.closed, Some(UdpClose::Ended));
}

#[test]
fn another_uid_stays_unanswered_and_the_search_ends() {
    let mut world = World::new(FINE, 4);
    let config = UdpConfig {
        uid: "95270000XXXXXXXX".to_owned(),
        hellos: vec![world.hello],
        servers: Vec::new(),
        method: Method::Local,
        local: world.here,
        seed: 1,
        patience: Duration::from_secs(15),
    };
    world.client = UdpClient::new(config, world.now);
    world.run(Duration::from_secs(16), |world| world.closed.is_some());
    assert_eq!(
        world.closed,
        Some(UdpClose::NotFound {
            servers_answered: false
        })
    );
    assert_eq!(world.camera.sessions(), 0);
    assert_eq!(
        world.wire.carried, 30,
        "a hello each half second, and no answer"
    );
}
