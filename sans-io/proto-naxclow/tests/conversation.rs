//! Cloud and camera, connected by a network that loses, doubles and reorders, on a clock of its own.

#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::picture;
use proptest::prelude::*;
use proto_naxclow::audio::AudioCodec;
use proto_naxclow::{
    Channel, CloseReason, CloudConfig, CloudEvent, CloudSession, Command, Device, DeviceEvent,
    Frame, LiveFailure, Media, Message, Profile, Side, Uid,
};

fn uid() -> Uid {
    "0800c00128F8".parse().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// How bad the network is, per datagram.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    loss: f64,
    twice: f64,
    late: f64,
    seed: u64,
}

struct World {
    now: Instant,
    cloud: CloudSession,
    device: Device,
    weather: Weather,
    /// Datagrams on their way: when they arrive, whether to the cloud, the bytes.
    flying: Vec<(Instant, bool, Vec<u8>)>,
    wants: Media,
    number: usize,
    next_media: Instant,
    muted: bool,
    pictures: Vec<Vec<u8>>,
    sounds: Vec<(AudioCodec, usize)>,
    events: Vec<CloudEvent>,
}

impl World {
    fn new(profile: Profile, weather: Weather) -> Self {
        let now = Instant::now();
        let (cloud_at, camera_at) = (address("10.42.0.1:6123"), address("10.42.0.28:29291"));
        let config = CloudConfig::new(cloud_at, camera_at.ip(), Duration::from_secs(1_677_886_134));
        Self {
            now,
            cloud: CloudSession::new(config, now),
            device: Device::station(profile.config(uid(), camera_at, cloud_at)),
            weather: Weather {
                seed: weather.seed * 2 + 1,
                ..weather
            },
            flying: Vec::new(),
            wants: Media::default(),
            number: 0,
            next_media: now,
            muted: false,
            pictures: Vec::new(),
            sounds: Vec::new(),
            events: Vec::new(),
        }
    }

    fn falls(&mut self, rate: f64) -> bool {
        let seed = &mut self.weather.seed;
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        ((*seed >> 11) as f64) < rate * (1_u64 << 53) as f64
    }

    fn fly(&mut self, to_cloud: bool, bytes: &[u8]) {
        if self.falls(self.weather.loss) {
            return;
        }
        let copies = 1 + u32::from(self.falls(self.weather.twice));
        for copy in 0..copies {
            let late = if self.falls(self.weather.late) { 30 } else { 0 };
            let delay = Duration::from_millis(2 + late + u64::from(copy));
            self.flying
                .push((self.now + delay, to_cloud, bytes.to_vec()));
        }
    }

    fn exchange(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.cloud.poll_transmit() {
                idle = false;
                match transmit.channel {
                    Channel::Control => {
                        let _ =
                            self.device
                                .handle_input(Channel::Control, &transmit.bytes, self.now);
                    }
                    Channel::Datagram(_) => self.fly(false, &transmit.bytes),
                }
            }
            while let Some(transmit) = self.device.poll_transmit() {
                idle = false;
                match transmit.channel {
                    Channel::Control => {
                        let _ =
                            self.cloud
                                .handle_input(Channel::Control, &transmit.bytes, self.now);
                    }
                    Channel::Datagram(_) => self.fly(true, &transmit.bytes),
                }
            }
            while let Some(event) = self.device.poll_event() {
                match event {
                    DeviceEvent::Media(media) => self.wants = media,
                    DeviceEvent::Unconfirmed => self.wants = Media::default(),
                    _ => {}
                }
            }
            while let Some(event) = self.cloud.poll_event() {
                match event {
                    CloudEvent::Picture(jpeg) => self.pictures.push(jpeg.to_vec()),
                    CloudEvent::Audio(codec, block) => self.sounds.push((codec, block.len())),
                    other => self.events.push(other),
                }
            }
            if idle {
                return;
            }
        }
    }

    /// Lets time pass, a millisecond at a time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.exchange();
        while self.now < end {
            self.now += Duration::from_millis(1);
            let (due, flying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.flying)
                .into_iter()
                .partition(|(at, _, _)| *at <= self.now);
            self.flying = flying;
            for (_, to_cloud, bytes) in due {
                let (from_camera, from_cloud) =
                    (address("10.42.0.28:29291"), address("10.42.0.1:6123"));
                if to_cloud {
                    self.cloud
                        .handle_input(Channel::Datagram(from_camera), &bytes, self.now)
                        .unwrap();
                } else {
                    self.device
                        .handle_input(Channel::Datagram(from_cloud), &bytes, self.now)
                        .unwrap();
                }
            }
            if self.device.poll_timeout().is_some_and(|at| at <= self.now) {
                self.device.handle_timeout(self.now);
            }
            if self.cloud.poll_timeout().is_some_and(|at| at <= self.now) {
                self.cloud.handle_timeout(self.now);
            }
            if self.now >= self.next_media {
                self.next_media = self.now + Duration::from_millis(100);
                if self.wants.video && !self.muted {
                    self.device.send_picture(&numbered(self.number), self.now);
                    self.number += 1;
                }
                if self.wants.audio && !self.muted {
                    self.device.send_audio(vec![0xD5; 800].into(), self.now);
                }
            }
            self.exchange();
        }
    }

    fn saw(&self, wanted: &CloudEvent) -> bool {
        self.events.contains(wanted)
    }
}

/// A picture that tells its number, of a length of its own.
fn numbered(number: usize) -> Vec<u8> {
    let mut jpeg = picture(9_000 + number * 37 % 9_000);
    jpeg[2..10].copy_from_slice(&(number as u64).to_be_bytes());
    jpeg
}

/// Every picture is one that was sent, whole, and none comes twice or backwards.
fn check(pictures: &[Vec<u8>]) -> Vec<u64> {
    let number = |jpeg: &Vec<u8>| u64::from_be_bytes(jpeg[2..10].try_into().unwrap());
    let numbers: Vec<u64> = pictures.iter().map(number).collect();
    for (jpeg, number) in pictures.iter().zip(&numbers) {
        assert_eq!(
            *jpeg,
            numbered(*number as usize),
            "picture {number} is torn"
        );
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    numbers
}

const STREAMING: [Profile; 6] = [
    Profile::Classic,
    Profile::FirstBoot,
    Profile::DevInfo,
    Profile::Pcm,
    Profile::StrictAck,
    Profile::OddJson,
];

#[test]
fn every_profile_streams_every_picture_and_stops() {
    for profile in STREAMING {
        let mut world = World::new(profile, Weather::default());
        world.run(Duration::from_millis(50));
        assert!(
            matches!(world.events[..], [CloudEvent::Registered { .. }]),
            "{profile:?}"
        );
        world.cloud.start(Media::BOTH, world.now).unwrap();
        world.run(Duration::from_secs(30));
        let numbers = check(&world.pictures);
        assert_eq!(
            numbers,
            (0..numbers.len() as u64).collect::<Vec<_>>(),
            "{profile:?}"
        );
        assert!(numbers.len() > 290, "{profile:?}: {}", numbers.len());
        let codec = match profile {
            Profile::Pcm => AudioCodec::Pcm,
            _ => AudioCodec::ALaw,
        };
        assert!(
            world.sounds.len() > 290 && world.sounds.iter().all(|sound| *sound == (codec, 800))
        );
        assert!(world.saw(&CloudEvent::Live));
        let info = world.events.iter().find_map(|event| match event {
            CloudEvent::BaseInfo(info) => Some(info.clone()),
            _ => None,
        });
        assert!(info.unwrap().version.is_some(), "{profile:?}");
        world.cloud.stop();
        world.run(Duration::from_millis(100));
        assert_eq!(world.wants, Media::default(), "{profile:?}");
        let (seen, sent) = (world.pictures.len(), world.number);
        world.run(Duration::from_secs(3));
        assert_eq!((world.pictures.len(), world.number), (seen, sent));
        // Again, with the counter begun anew.
        world
            .cloud
            .start(
                Media {
                    video: true,
                    audio: false,
                },
                world.now,
            )
            .unwrap();
        world.run(Duration::from_secs(3));
        assert!(world.pictures.len() > seen + 25, "{profile:?}");
        check(&world.pictures);
    }
}

#[test]
fn a_camera_that_never_comes_over_udp_is_given_up() {
    let mut world = World::new(
        Profile::Classic,
        Weather {
            loss: 1.0,
            ..Weather::default()
        },
    );
    world.run(Duration::from_millis(50));
    world.cloud.start(Media::BOTH, world.now).unwrap();
    world.run(Duration::from_secs(7));
    assert!(world.saw(&CloudEvent::LiveFailed(LiveFailure::NoProbe)));
    assert!(world.cloud.uid().is_some(), "it is still registered");
}

#[test]
fn pictures_that_stop_are_started_once_more_and_then_given_up() {
    let mut world = World::new(Profile::Classic, Weather::default());
    world.run(Duration::from_millis(50));
    world.cloud.start(Media::BOTH, world.now).unwrap();
    world.run(Duration::from_secs(2));
    world.muted = true;
    world.run(Duration::from_secs(7));
    assert!(world.saw(&CloudEvent::Restarting));
    world.muted = false;
    let before = world.pictures.len();
    world.run(Duration::from_secs(3));
    assert!(
        world.pictures.len() > before,
        "the restart brought them back"
    );
    world.muted = true;
    world.run(Duration::from_secs(20));
    assert!(world.saw(&CloudEvent::LiveFailed(LiveFailure::Stalled)));
}

#[test]
fn silence_ends_a_session_and_heartbeats_keep_it() {
    let mut world = World::new(Profile::Classic, Weather::default());
    world.run(Duration::from_secs(120));
    let beats = world
        .events
        .iter()
        .filter(|event| **event == CloudEvent::Heartbeat)
        .count();
    assert!((22..=24).contains(&beats), "{beats}");
    let start = world.now;
    let mut cloud = world.cloud;
    cloud.handle_timeout(start + Duration::from_secs(25));
    assert_eq!(
        cloud.poll_event(),
        Some(CloudEvent::Closed(CloseReason::Silent))
    );
}

#[test]
fn commands_are_answered_or_their_silence_is_told() {
    let mut world = World::new(Profile::OddJson, Weather::default());
    world.run(Duration::from_millis(50));
    world
        .cloud
        .command(&Command::InfraredLed(true), world.now)
        .unwrap();
    world
        .cloud
        .command(&Command::Flip(proto_naxclow::Flip::UpsideDown), world.now)
        .unwrap();
    world.cloud.ask_base_info(world.now).unwrap();
    world.run(Duration::from_millis(50));
    let info = world.events.iter().rev().find_map(|event| match event {
        CloudEvent::BaseInfo(info) => Some(info.clone()),
        _ => None,
    });
    let info = info.unwrap();
    assert_eq!(info.infrared_led, Some(true));
    assert_eq!(info.flip, Some(proto_naxclow::Flip::UpsideDown));
    assert_eq!(info.wifi_name.as_deref(), Some("caf\u{e9} \u{1f4f7}"));
    world
        .cloud
        .command(&Command::Brightness(3), world.now)
        .unwrap();
    world.cloud.command(&Command::Reboot, world.now).unwrap();
    world.run(Duration::from_secs(3));
    let silent = CloudEvent::Answer {
        code: 299,
        content: None,
    };
    assert!(world.saw(&silent));
}

#[test]
fn nobody_else_moves_the_media_of_a_camera() {
    let mut world = World::new(Profile::Classic, Weather::default());
    world.run(Duration::from_millis(50));
    world.cloud.start(Media::BOTH, world.now).unwrap();
    world.run(Duration::from_secs(1));
    let endpoint = world.cloud.endpoint();
    assert_eq!(endpoint, Some(address("10.42.0.28:29291")));
    let answer = Message::ProbeAnswer {
        uid: uid(),
        status: 200,
    };
    let answer = answer.frame(Side::Camera).encode().unwrap();
    let mut id = 1_000_000;
    let forged: Vec<_> = proto_naxclow::picture::split_picture(&picture(5_000), &mut id)
        .iter()
        .map(|frame: &Frame| frame.encode().unwrap())
        .collect();
    // From another address, and from another port of the same.
    for from in ["10.42.0.66:29291", "10.42.0.28:4444"] {
        let from = Channel::Datagram(address(from));
        world.cloud.handle_input(from, &answer, world.now).unwrap();
        for piece in &forged {
            world.cloud.handle_input(from, piece, world.now).unwrap();
        }
        assert_eq!(world.cloud.endpoint(), endpoint);
    }
    world.run(Duration::from_secs(2));
    assert!(check(&world.pictures).len() > 25);
}

#[test]
fn what_is_no_camera_is_sent_away() {
    let start = Instant::now();
    let config = || {
        CloudConfig::new(
            address("10.42.0.1:6123"),
            address("10.42.0.28:1").ip(),
            Duration::ZERO,
        )
    };
    let closed = |session: &mut CloudSession| {
        std::iter::from_fn(|| session.poll_event())
            .any(|event| matches!(event, CloudEvent::Closed(_)))
    };
    // A length that no frame has, and not a byte of it kept.
    let mut session = CloudSession::new(config(), start);
    let mut header = [0; 20];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(
        session
            .handle_input(Channel::Control, &header, start)
            .is_err()
    );
    assert!(closed(&mut session));
    // JSON that never ends, again and again.
    let mut session = CloudSession::new(config(), start);
    let endless = Frame::control(proto_naxclow::Cmd::Json, "{".repeat(8000), Side::Camera)
        .encode()
        .unwrap();
    for _ in 0..16 {
        session
            .handle_input(Channel::Control, &endless, start)
            .unwrap();
    }
    assert!(closed(&mut session));
    // Never a word.
    let mut session = CloudSession::new(config(), start);
    session.handle_timeout(start + Duration::from_secs(10));
    assert_eq!(
        session.poll_event(),
        Some(CloudEvent::Closed(CloseReason::NotRegistered))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_bad_network_costs_pictures_and_tears_none(
        at in 0_usize..6,
        loss in 0.0..0.10_f64,
        twice in 0.0..0.10_f64,
        late in 0.0..0.10_f64,
        seed in 1_u64..1_000_000,
    ) {
        let weather = Weather { loss, twice, late, seed };
        let mut world = World::new(STREAMING[at], weather);
        world.run(Duration::from_millis(50));
        world.cloud.start(Media::BOTH, world.now).unwrap();
        world.run(Duration::from_secs(20));
        let numbers = check(&world.pictures);
        // Cameras repeat what is lost; a picture that is late for good is left out.
        prop_assert!(numbers.len() > 80, "{} pictures with {:?}", numbers.len(), weather);
    }
}
