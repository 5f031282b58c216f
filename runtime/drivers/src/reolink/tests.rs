//! The driver against the crate's own device, in memory and in virtual time.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dialer::{BoxDatagrams, BoxIo, Dialer, Target};
use hub::{Event as HubEvent, Hub, State, Stream, StreamName};
use media::Codec;
use proto_baichuan::{
    Battery, Device as DeviceHalf, DeviceConfig, DeviceEvent, DeviceStream, Element, Encryption,
    MediaInfo, MediaPacket, Message, Payload, StreamKind, Video, VideoCodec, extension, id,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::air::{Air, UID};
use super::{Cause, Devices, Reolink};
use crate::{Camera, Driver, supervise};

const INFO: MediaInfo = MediaInfo {
    version: 1,
    width: 640,
    height: 360,
    unknown_0x10: 0,
    frame_rate: 25,
    start: [124, 5, 6, 7, 8, 9],
    end: [124, 5, 6, 7, 8, 9],
};

/// A camera behind a network of its own.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) config: DeviceConfig,
    pub(super) seen: Arc<Seen>,
    sound: FakeSound,
    answers: Answers,
}

/// How a request is answered: status and command.
type Answers = fn(&Message) -> (u16, Payload);

#[derive(Clone, Copy, PartialEq)]
enum FakeSound {
    None,
    Aac,
    Adpcm,
}

/// What the camera saw of us.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: AtomicU64,
    pub(super) datagrams: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) logins: AtomicU64,
    pub(super) last: Mutex<Option<Instant>>,
    pub(super) requests: Mutex<Vec<Message>>,
}

impl Seen {
    pub(super) fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }
}

impl Fake {
    pub(super) fn new(encryption: Encryption) -> Self {
        Self {
            config: DeviceConfig::new("admin", "Secret-1", encryption, "9E6D1FCB9E69846D"),
            seen: Arc::default(),
            sound: FakeSound::None,
            answers: |_| (400, Payload::None),
        }
    }

    fn on_battery(percent: u8) -> Self {
        let mut fake = Self::new(Encryption::FullAes);
        fake.config.info = Element::versioned("DeviceInfo")
            .with("type", "wifi_solo_ipc")
            .with("channelNum", 1);
        let battery = Battery {
            channel: 0,
            percent,
            charge_status: "none".to_owned(),
            adapter_status: "none".to_owned(),
            millivolts: Some(3_900),
            milliamperes: Some(-200),
            celsius: Some(21),
            is_low: false,
        };
        let list = Element::versioned("BatteryList").containing(battery.to_xml());
        fake.config.pushes.push((id::BATTERY_LIST, list));
        fake
    }

    /// One session, counted while it stands.
    pub(super) async fn counted(self, io: DuplexStream) {
        let seen = Arc::clone(&self.seen);
        seen.open.fetch_add(1, Ordering::Relaxed);
        self.serve(io).await;
        seen.open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn serve(self, mut io: DuplexStream) {
        let mut device = DeviceHalf::new(self.config.clone(), Instant::now().into_std());
        let mut streams: Vec<(DeviceStream, StreamKind)> = Vec::new();
        let mut at: u32 = 0;
        let mut buf = vec![0; 65_536];
        let mut tick = tokio::time::interval(Duration::from_millis(40));
        loop {
            while let Some(event) = device.poll_event() {
                match event {
                    DeviceEvent::StreamWanted { stream, kind, .. } => {
                        device.accept(stream, INFO).unwrap();
                        streams.push((stream, kind));
                        at = at.next_multiple_of(25);
                    }
                    DeviceEvent::StreamStopped(stream) => streams.retain(|it| it.0 != stream),
                    DeviceEvent::Request(message) => self.answer(&mut device, &message),
                    DeviceEvent::LoggedIn(_) => {
                        self.seen.logins.fetch_add(1, Ordering::Relaxed);
                    }
                    DeviceEvent::Closed(_) => {
                        while let Some(bytes) = device.poll_transmit() {
                            let _ = io.write_all(&bytes).await;
                        }
                        return;
                    }
                    _ => {}
                }
            }
            while let Some(bytes) = device.poll_transmit() {
                if io.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                read = io.read(&mut buf) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(len) => {
                        self.seen.bytes.fetch_add(len as u64, Ordering::Relaxed);
                        *self.seen.last.lock().unwrap() = Some(Instant::now());
                        device.handle_input(&buf[..len], Instant::now().into_std());
                    }
                },
                _ = tick.tick(), if !streams.is_empty() => {
                    for (stream, kind) in &streams {
                        device.send_media(*stream, &picture(*kind, at)).unwrap();
                        if let Some(sound) = self.sound() {
                            device.send_media(*stream, &sound).unwrap();
                        }
                    }
                    at += 1;
                }
            }
        }
    }

    fn sound(&self) -> Option<MediaPacket> {
        match self.sound {
            FakeSound::None => None,
            // AAC LC, 16 kHz, mono, an access unit of two bytes.
            FakeSound::Aac => Some(MediaPacket::Aac(Bytes::from_static(&[
                0xff, 0xf1, 0x60, 0x40, 0x01, 0x3f, 0xfc, 7, 8,
            ]))),
            FakeSound::Adpcm => Some(MediaPacket::Adpcm {
                half: 122,
                block: Bytes::from_static(&[0; 164]),
            }),
        }
    }

    fn answer(&self, device: &mut DeviceHalf, message: &Message) {
        self.seen.requests.lock().unwrap().push(message.clone());
        if message.id == id::SNAP {
            let snap = Element::versioned("Snap").with("pictureSize", 4);
            device
                .respond(message, 200, None, Payload::of(snap))
                .unwrap();
            let binary = || Some(extension(&[("binaryData", "1")]));
            let jpeg = Payload::Binary(Bytes::from_static(&[0xff, 0xd8, 0xff, 0xd9]));
            device.respond(message, 200, binary(), jpeg).unwrap();
            device
                .respond(message, 201, binary(), Payload::None)
                .unwrap();
            return;
        }
        let (status, payload) = (self.answers)(message);
        device.respond(message, status, None, payload).unwrap();
    }
}

impl Dialer for Fake {
    fn connect<'a>(
        &'a self,
        target: &'a Target,
    ) -> futures_util::future::BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            self.seen.connections.fetch_add(1, Ordering::Relaxed);
            if target.host != "camera" {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            tokio::spawn(self.clone().counted(theirs));
            Ok(Box::new(ours) as BoxIo)
        })
    }

    fn datagrams(
        &self,
        _towards: SocketAddr,
        _port: Option<u16>,
    ) -> futures_util::future::BoxFuture<'_, io::Result<BoxDatagrams>> {
        let socket = Box::new(Air::open(self.clone())) as BoxDatagrams;
        Box::pin(std::future::ready(Ok(socket)))
    }

    fn describe(&self) -> String {
        "in memory".to_owned()
    }
}

/// Picture `at` of a stream at 25 a second with a keyframe each second.
fn picture(kind: StreamKind, at: u32) -> MediaPacket {
    let is_keyframe = at.is_multiple_of(25);
    let mut data = Vec::new();
    if is_keyframe {
        data.extend_from_slice(b"\0\0\0\x01\x67\x42\0\x1e\x01\0\0\0\x01\x68\xce");
    }
    data.extend_from_slice(b"\0\0\0\x01");
    data.push(if is_keyframe { 0x65 } else { 0x41 });
    data.extend_from_slice(format!("{} {at:05}", kind.name()).as_bytes());
    MediaPacket::Video(Video {
        channel: 0,
        is_keyframe,
        codec: VideoCodec::H264,
        // It wraps while the tests watch.
        microseconds: (at * 40_000).wrapping_sub(1_000_000),
        unknown_0x14: 0,
        extra: Bytes::from_static(if is_keyframe { &[0; 8] } else { &[] }),
        data: data.into(),
    })
}

pub(super) fn camera(url: &str) -> Camera {
    Camera {
        name: StreamName::new("argus").unwrap(),
        user: Some("admin".to_owned()),
        password: Some("Secret-1".to_owned()),
        ..crate::testing::camera(url)
    }
}

/// A gateway with one camera and its substreams.
struct World {
    hub: Hub,
    devices: Devices,
    fake: Fake,
    shutdown: CancellationToken,
}

impl World {
    fn new(fake: Fake) -> Self {
        Self {
            hub: Hub::new(),
            devices: Devices::new(),
            fake,
            shutdown: CancellationToken::new(),
        }
    }

    fn supervise(&self, name: &str, url: &str) -> Arc<Stream> {
        let camera = Camera {
            name: StreamName::new(name).unwrap(),
            ..camera(url)
        };
        let stream = self.hub.add(camera.name.clone());
        let driver = Arc::new(Reolink::new(self.devices.clone()));
        let dialer = Arc::new(self.fake.clone());
        let task = supervise(
            driver,
            camera,
            dialer,
            Arc::clone(&stream),
            self.shutdown.clone(),
        );
        tokio::spawn(task);
        stream
    }

    fn device(&self, url: &str) -> Arc<super::Device> {
        let dialer: Arc<dyn Dialer> = Arc::new(self.fake.clone());
        self.devices.device(&camera(url), &dialer).unwrap()
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Track, time and payload of each unit.
type Units = Vec<(usize, i64, Bytes)>;

/// What a viewer gets within some seconds.
async fn watch(stream: &Arc<Stream>, seconds: u64) -> Units {
    let _lease = stream.lease();
    let mut cursor = stream.ring().start_oldest();
    let mut units = Vec::new();
    let end = tokio::time::sleep(Duration::from_secs(seconds));
    tokio::pin!(end);
    loop {
        while let Some(event) = cursor.poll(stream.ring()) {
            if let HubEvent::AccessUnit(unit, _) = &*event {
                units.push((unit.track, unit.time.0, unit.payload.clone()));
            }
        }
        tokio::select! {
            () = stream.ring().wait(cursor.next()) => {}
            () = &mut end => return units,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pictures_come_whole_and_in_time_in_every_encryption_mode() {
    for (mode, encrypt_len) in [
        (Encryption::None, None),
        (Encryption::Xor, None),
        (Encryption::Aes, None),
        (Encryption::AesArgus, None),
        (Encryption::FullAes, None),
        (Encryption::FullAes, Some(16)),
        (Encryption::FullAes, Some(1024)),
    ] {
        let mut fake = Fake::new(mode);
        fake.config.encrypt_len = encrypt_len;
        let world = World::new(fake);
        let stream = world.supervise("argus", "reolink://camera");
        let units = watch(&stream, 3).await;
        assert!(units.len() > 60, "{mode:?}: {} pictures", units.len());
        for (at, (_, time, payload)) in units.iter().enumerate() {
            let nal = &payload[4..];
            let text = format!("mainStream {at:05}");
            assert_eq!(&nal[1..], text.as_bytes(), "{mode:?}");
            let expected = units[0].1 + 3_600 * at as i64;
            assert!((time - expected).abs() <= 1, "picture {at} at {time}");
        }
        let tracks = stream.tracks().unwrap();
        assert_eq!((tracks.len(), tracks[0].codec), (1, Codec::H264));
    }
}

#[tokio::test(start_paused = true)]
async fn sound_runs_beside_the_pictures() {
    for (sound, codec, rate, per_picture) in [
        (FakeSound::Aac, Codec::Aac, 16_000, 1_024),
        (FakeSound::Adpcm, Codec::Pcmu, 8_000, 320),
    ] {
        let mut fake = Fake::new(Encryption::Aes);
        fake.sound = sound;
        let world = World::new(fake);
        let stream = world.supervise("argus", "reolink://camera");
        let units = watch(&stream, 2).await;
        let tracks = stream.tracks().unwrap();
        assert_eq!((tracks[1].codec, tracks[1].clock_rate), (codec, rate));
        let sounds: Vec<i64> = units
            .into_iter()
            .filter(|unit| unit.0 == 1)
            .map(|unit| unit.1)
            .collect();
        assert!(sounds.len() > 20, "{} pieces", sounds.len());
        assert!(
            sounds
                .windows(2)
                .all(|pair| pair[1] - pair[0] == per_picture)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn streams_and_snapshots_share_one_login() {
    let world = World::new(Fake::new(Encryption::FullAes));
    let main = world.supervise("argus", "reolink://camera");
    let sub = world.supervise("argus/sub", "reolink://camera?stream=sub");
    let _leases = (main.lease(), sub.lease());
    let (main, sub) = tokio::join!(watch(&main, 2), watch(&sub, 2));
    let device = world.device("reolink://camera");
    let jpeg = device.snapshot(0, StreamKind::Main).await.unwrap();
    assert_eq!(&jpeg[..], [0xff, 0xd8, 0xff, 0xd9]);
    for (units, name) in [(&main, "mainStream"), (&sub, "subStream")] {
        assert!(units.len() > 20);
        assert!(
            units
                .iter()
                .all(|unit| unit.2[5..].starts_with(name.as_bytes()))
        );
    }
    assert_eq!(Seen::of(&world.fake.seen.logins), 1);
    assert_eq!(Seen::of(&world.fake.seen.connections), 1);
}

#[tokio::test(start_paused = true)]
async fn a_day_without_viewers_costs_no_packet_and_a_view_costs_one_wake() {
    let world = World::new(Fake::on_battery(87));
    let stream = world.supervise("argus", "reolink://camera");
    let _sub = world.supervise("argus/sub", "reolink://camera?stream=sub");
    let device = world.device("reolink://camera");
    seconds(86_400).await;
    let seen = &world.fake.seen;
    assert_eq!(Seen::of(&seen.connections), 0);
    assert_eq!(Seen::of(&seen.bytes), 0);

    let lease = stream.lease();
    seconds(30).await;
    assert_eq!(stream.status().state, State::Live);
    assert_eq!(device.facts().batteries[&0].0.percent, 87);
    drop(lease);
    let left = Instant::now();
    seconds(86_400).await;
    assert_eq!(Seen::of(&seen.connections), 1);
    assert_eq!(device.wakes()[&Cause::View], 1);
    assert_eq!(Seen::of(&seen.open), 0, "the connection is closed");
    let last = seen.last.lock().unwrap().unwrap();
    let after = last.saturating_duration_since(left);
    // The camera's idle time, and the second in which another stream might have been wanted.
    assert!(after <= Duration::from_secs(12), "a packet after {after:?}");
}

#[tokio::test(start_paused = true)]
async fn over_udp_a_day_without_viewers_costs_no_datagram_and_a_view_costs_one_wake() {
    let world = World::new(Fake::on_battery(87));
    let url = format!("reolink+uid://{UID}");
    let stream = world.supervise("argus", &url);
    let _sub = world.supervise("argus/sub", &format!("{url}?stream=sub"));
    let device = world.device(&url);
    let seen = &world.fake.seen;
    seconds(86_400).await;
    assert_eq!(Seen::of(&seen.datagrams), 0);

    let lease = stream.lease();
    seconds(30).await;
    assert_eq!(stream.status().state, State::Live);
    assert_eq!(Seen::of(&seen.logins), 1);
    drop(lease);
    let left = Instant::now();
    seconds(86_400).await;
    assert_eq!(device.wakes()[&Cause::View], 1);
    assert_eq!(Seen::of(&seen.logins), 1);
    assert_eq!(Seen::of(&seen.open), 0, "the session is closed");
    let last = seen.last.lock().unwrap().unwrap();
    let after = last.saturating_duration_since(left);
    assert!(
        after <= Duration::from_secs(12),
        "a datagram after {after:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_leaves_the_camera_alone() {
    let world = World::new(Fake::on_battery(20));
    let stream = world.supervise("argus", "reolink://camera?wakes_per_day=2");
    for _ in 0..4 {
        let lease = stream.lease();
        seconds(5).await;
        drop(lease);
        seconds(60).await;
    }
    assert_eq!(Seen::of(&world.fake.seen.connections), 2);
    let lease = stream.lease();
    seconds(1).await;
    let status = stream.status();
    assert!(status.error.unwrap().contains("budget"));
    drop(lease);
    seconds(86_400).await;
    let _lease = stream.lease();
    seconds(5).await;
    assert_eq!(stream.status().state, State::Live);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_said_and_not_tried_again() {
    let mut fake = Fake::new(Encryption::FullAes);
    fake.config.users = vec![("admin".to_owned(), "another".to_owned())];
    let world = World::new(fake);
    let stream = world.supervise("argus", "reolink://camera");
    let _lease = stream.lease();
    seconds(40).await;
    assert_eq!(Seen::of(&world.fake.seen.connections), 1);
    let error = stream.status().error.unwrap();
    assert!(error.contains("check user and password"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_said_with_what_to_try() {
    let world = World::new(Fake::new(Encryption::FullAes));
    let stream = world.supervise("argus", "reolink://nobody");
    let _lease = stream.lease();
    seconds(1).await;
    let error = stream.status().error.unwrap();
    assert!(
        error.contains("nobody:9000") && error.contains("reolink+uid"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_gateway_logs_out() {
    let world = World::new(Fake::new(Encryption::Aes));
    let stream = world.supervise("argus", "reolink://camera");
    let _lease = stream.lease();
    seconds(2).await;
    world.shutdown.cancel();
    world.devices.close().await;
    seconds(1).await;
    assert_eq!(Seen::of(&world.fake.seen.open), 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_without_a_stream_has_its_substreams_beside_it() {
    let driver = Reolink::new(Devices::new());
    let names = |url: &str| -> Vec<String> {
        let streams = driver.substreams(&camera(url));
        streams
            .into_iter()
            .map(|(_, url)| url.to_string())
            .collect()
    };
    assert_eq!(
        names("reolink://camera?channel=2"),
        [
            "reolink://camera?channel=2&stream=sub",
            "reolink://camera?channel=2&stream=extern"
        ]
    );
    assert!(names("reolink://camera?stream=main").is_empty());
}
