//! Our session against our device, through every encryption mode and any cut of the bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proto_baichuan::{
    CloseReason, Device, DeviceConfig, DeviceEvent, DeviceStream, Element, Encryption, Error,
    Hello, MediaInfo, MediaPacket, Payload, Session, SessionConfig, SessionEvent, StreamId,
    StreamKind, Video, VideoCodec, extension, id,
};

const MODES: [Encryption; 5] = [
    Encryption::None,
    Encryption::Xor,
    Encryption::Aes,
    Encryption::AesArgus,
    Encryption::FullAes,
];
const INFO: MediaInfo = MediaInfo {
    version: 1,
    width: 640,
    height: 360,
    unknown_0x10: 0,
    frame_rate: 10,
    start: [124, 5, 6, 7, 8, 9],
    end: [124, 5, 6, 7, 8, 9],
};

struct Pair {
    session: Session,
    device: Device,
    now: Instant,
    piece: usize,
    told: Vec<SessionEvent>,
    asked: Vec<DeviceEvent>,
}

impl Pair {
    fn new(session: SessionConfig, device: DeviceConfig, piece: usize) -> Self {
        let now = Instant::now();
        Self {
            session: Session::new(session, now),
            device: Device::new(device, now),
            now,
            piece,
            told: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn of(offered: Encryption, able: Encryption) -> Self {
        let session = SessionConfig {
            encryption: offered,
            ..SessionConfig::new("admin", "123456")
        };
        let device = DeviceConfig::new("admin", "123456", able, "9E6D1FCB9E69846D");
        Self::new(session, device, usize::MAX)
    }

    /// Carries bytes both ways until neither side has any.
    fn run(&mut self) {
        loop {
            let mut moved = false;
            while let Some(bytes) = self.session.poll_transmit() {
                for piece in bytes.chunks(self.piece) {
                    self.device.handle_input(piece, self.now);
                }
                moved = true;
            }
            while let Some(bytes) = self.device.poll_transmit() {
                for piece in bytes.chunks(self.piece) {
                    self.session.handle_input(piece, self.now);
                }
                moved = true;
            }
            self.told
                .extend(std::iter::from_fn(|| self.session.poll_event()));
            self.asked
                .extend(std::iter::from_fn(|| self.device.poll_event()));
            if !moved {
                return;
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "time runs backwards");
            self.now = at;
            self.session.handle_timeout(at);
            self.run();
        }
        self.now = end;
    }

    fn told(&mut self) -> Vec<SessionEvent> {
        std::mem::take(&mut self.told)
    }

    fn asked(&mut self) -> Vec<DeviceEvent> {
        std::mem::take(&mut self.asked)
    }

    fn log_in(&mut self) {
        self.run();
        assert!(self.session.is_ready(), "{:?}", self.told);
        self.told();
        self.asked();
    }

    fn watch(&mut self) -> (StreamId, DeviceStream) {
        let stream = self
            .session
            .start_stream(0, StreamKind::Sub, self.now)
            .unwrap();
        self.run();
        let asked = self.asked();
        let [
            DeviceEvent::StreamWanted {
                stream: wanted,
                kind: StreamKind::Sub,
                ..
            },
        ] = asked[..]
        else {
            panic!("{asked:?}")
        };
        self.device.accept(wanted, INFO).unwrap();
        self.run();
        assert_eq!(
            self.told(),
            [
                SessionEvent::StreamStarted(stream),
                SessionEvent::Media {
                    stream,
                    packet: MediaPacket::Info(INFO)
                }
            ]
        );
        (stream, wanted)
    }
}

fn picture(len: usize) -> MediaPacket {
    MediaPacket::Video(Video {
        channel: 0,
        is_keyframe: true,
        codec: VideoCodec::H265,
        microseconds: 7,
        unknown_0x14: 0,
        extra: Bytes::from_static(&[1, 2, 3, 4, 0, 0, 0, 0]),
        data: (0..len).map(|at| (at % 251) as u8).collect(),
    })
}

#[test]
fn every_mode_logs_in_as_the_table_says() {
    for offered in MODES {
        for able in MODES {
            let mut pair = Pair::of(offered, able);
            pair.run();
            let told = pair.told();
            let [
                SessionEvent::Ready {
                    device, encryption, ..
                },
                SessionEvent::Push(push),
            ] = &told[..]
            else {
                panic!("{offered:?} {able:?}: {told:?}")
            };
            assert_eq!(*encryption, able.answer(offered.code()));
            assert_eq!(device.kind, "ipc");
            assert_eq!(push.id, id::VIDEO_INPUT);
            assert_eq!(pair.asked(), [DeviceEvent::LoggedIn("admin".to_owned())]);
        }
    }
}

#[test]
fn a_legacy_opening_logs_in_too() {
    let session = SessionConfig {
        hello: Hello::Legacy,
        encryption: Encryption::Xor,
        ..SessionConfig::new("admin", "")
    };
    let device = DeviceConfig::new("admin", "", Encryption::Aes, "0-AhnEZyUg6eKrJFIWgXPF");
    Pair::new(session, device, 7).log_in();
}

#[test]
fn a_wrong_password_ends_the_session_and_says_so() {
    let session = SessionConfig::new("admin", "wrong");
    let device = DeviceConfig::new("admin", "123456", Encryption::Aes, "9E6D1FCB9E69846D");
    let mut pair = Pair::new(session, device, usize::MAX);
    pair.run();
    let [SessionEvent::Closed(CloseReason::WrongPassword { .. })] = pair.told()[..] else {
        panic!("no refusal")
    };
    assert_eq!(pair.asked(), [DeviceEvent::LoginFailed]);
    assert_eq!(pair.session.poll_timeout(), None);
}

#[test]
fn silence_is_told_apart_from_refusal() {
    let now = Instant::now();
    let mut session = Session::new(SessionConfig::new("admin", "x"), now);
    let at = session.poll_timeout().unwrap();
    assert_eq!(at, now + Duration::from_secs(3));
    session.handle_timeout(at);
    assert_eq!(
        session.poll_event(),
        Some(SessionEvent::Closed(CloseReason::NoNonce))
    );
}

#[test]
fn an_unknown_mode_and_a_foreign_protocol_are_named() {
    let now = Instant::now();
    let mut session = Session::new(SessionConfig::new("admin", "x"), now);
    let mut reply = b"\xf0\xde\xbc\x0a\x01\0\0\0\x28\0\0\0\0\0\0\0\x07\xdd\x14\x66".to_vec();
    reply.extend(b"<body><Encryption><nonce>A</nonce></Encry");
    reply.truncate(20);
    let body = b"<body><Encryption><nonce>A</nonce></Encryption></body>";
    reply[8] = body.len() as u8;
    reply.extend(body);
    session.handle_input(&reply, now);
    let lost = CloseReason::Lost(Error::UnknownEncryption(7));
    assert_eq!(session.poll_event(), Some(SessionEvent::Closed(lost)));
    let mut session = Session::new(SessionConfig::new("admin", "x"), now);
    session.handle_input(&[b'H'; 1_100_000], now);
    assert!(matches!(
        session.poll_event(),
        Some(SessionEvent::Closed(CloseReason::Lost(
            Error::NotBaichuan { .. }
        )))
    ));
}

#[test]
fn streams_flow_and_stop_in_every_mode() {
    for mode in MODES {
        for encrypt_len in [None, Some(16), Some(1_000_000)] {
            let mut pair = Pair::of(mode, mode);
            let config = DeviceConfig {
                encrypt_len,
                ..DeviceConfig::new("admin", "123456", mode, "9E6D1FCB9E69846D")
            };
            pair.device = Device::new(config, pair.now);
            pair.log_in();
            let (stream, wanted) = pair.watch();
            for len in [1, 100, 100_000] {
                pair.device.send_media(wanted, &picture(len)).unwrap();
                pair.run();
                let packet = picture(len);
                assert_eq!(
                    pair.told(),
                    [SessionEvent::Media { stream, packet }],
                    "{mode:?}"
                );
            }
            pair.session.stop_stream(stream, pair.now).unwrap();
            pair.run();
            assert_eq!(pair.asked(), [DeviceEvent::StreamStopped(wanted)]);
            pair.device.send_media(wanted, &picture(9)).unwrap();
            pair.run();
            assert_eq!(pair.told(), []);
        }
    }
}

#[test]
fn a_stream_not_ready_is_asked_for_six_times() {
    let mut pair = Pair::of(Encryption::Aes, Encryption::Aes);
    pair.log_in();
    let stream = pair
        .session
        .start_stream(0, StreamKind::Main, pair.now)
        .unwrap();
    pair.run();
    let mut tries = 0;
    loop {
        let Some(DeviceEvent::StreamWanted { stream: wanted, .. }) = pair.asked().pop() else {
            break;
        };
        tries += 1;
        pair.device.refuse(wanted, 400).unwrap();
        pair.run();
        pair.wait(Duration::from_millis(500));
    }
    assert_eq!(tries, 6);
    assert_eq!(
        pair.told(),
        [SessionEvent::StreamRefused {
            stream,
            status: 400
        }]
    );
}

#[test]
fn requests_are_answered_refused_or_time_out() {
    let mut pair = Pair::of(Encryption::Aes, Encryption::Aes);
    pair.log_in();
    let now = pair.now;
    let asked = pair
        .session
        .request(id::VERSION_INFO, Some(3), None, Payload::None, now)
        .unwrap();
    pair.run();
    let [DeviceEvent::Request(request)] = &pair.asked()[..] else {
        panic!("no request")
    };
    assert_eq!(
        request
            .extension
            .as_ref()
            .unwrap()
            .number::<u8>("channelId"),
        Some(3)
    );
    let version = Payload::of(Element::versioned("VersionInfo").with("name", "Porch & <yard>"));
    pair.device.respond(request, 200, None, version).unwrap();
    pair.run();
    let told = pair.told();
    let [SessionEvent::Reply { request, message }] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*request, asked);
    let name = message.command("VersionInfo").unwrap().value("name");
    assert_eq!(name, Some("Porch & <yard>"));

    let slow = pair
        .session
        .request(id::UID, None, None, Payload::None, now)
        .unwrap();
    let set = pair
        .session
        .request(id::LED_STATE_SET, Some(0), None, Payload::None, now)
        .unwrap();
    pair.run();
    pair.wait(Duration::from_secs(11));
    assert_eq!(
        pair.told(),
        [SessionEvent::Silence(set), SessionEvent::TimedOut(slow)]
    );
}

#[test]
fn a_snapshot_comes_in_chunks_of_any_kind_of_end() {
    for end in 0..3 {
        let mut pair = Pair::of(Encryption::FullAes, Encryption::FullAes);
        pair.log_in();
        let asked = pair
            .session
            .snapshot(0, StreamKind::Main, pair.now)
            .unwrap();
        pair.run();
        let [DeviceEvent::Request(request)] = &pair.asked()[..] else {
            panic!("no request")
        };
        let jpeg = vec![9; 50_000];
        let size = if end == 0 { 50_000 } else { 999_999 };
        let snap = Payload::of(Element::versioned("Snap").with("pictureSize", size));
        pair.device.respond(request, 200, None, snap).unwrap();
        let binary = || Some(extension(&[("binaryData", "1")]));
        for chunk in jpeg.chunks(20_000) {
            let chunk = Payload::Binary(chunk.to_vec().into());
            pair.device.respond(request, 200, binary(), chunk).unwrap();
        }
        match end {
            1 => pair
                .device
                .respond(request, 201, binary(), Payload::None)
                .unwrap(),
            2 => pair
                .device
                .respond(request, 200, binary(), Payload::None)
                .unwrap(),
            _ => {}
        }
        pair.run();
        let jpeg = jpeg.into();
        assert_eq!(
            pair.told(),
            [SessionEvent::Snapshot {
                request: asked,
                jpeg
            }]
        );
    }
}

#[test]
fn pings_keep_a_quiet_session_and_find_a_dead_one() {
    let mut pair = Pair::of(Encryption::Aes, Encryption::Aes);
    pair.log_in();
    pair.wait(Duration::from_secs(100));
    assert!(pair.session.is_ready());
    assert_eq!(pair.told(), []);
    // From here on nothing comes back.
    let mut pings = 0;
    while let Some(at) = pair.session.poll_timeout() {
        pair.session.handle_timeout(at);
        pings += std::iter::from_fn(|| pair.session.poll_transmit()).count();
        assert!(pings < 10, "pings without end");
    }
    assert_eq!(pings, 6);
    assert_eq!(
        pair.session.poll_event(),
        Some(SessionEvent::Closed(CloseReason::Silent))
    );
}

#[test]
fn keep_alives_of_the_camera_are_answered_once() {
    let mut pair = Pair::of(Encryption::Aes, Encryption::Aes);
    pair.log_in();
    pair.device.keep_alive().unwrap();
    let bytes = pair.device.poll_transmit().unwrap();
    pair.session.handle_input(&bytes, pair.now);
    let answer = pair.session.poll_transmit().unwrap();
    assert_eq!(answer[..4], bytes[..4]);
    assert_eq!(answer[16..18], [200, 0]);
    // Our own answer thrown back at us stays unanswered.
    pair.session.handle_input(&answer, pair.now);
    assert_eq!(pair.session.poll_transmit(), None);
}

#[test]
fn a_camera_that_only_sends_hears_of_us_often_enough() {
    let mut pair = Pair::of(Encryption::FullAes, Encryption::FullAes);
    pair.log_in();
    let (_, wanted) = pair.watch();
    for second in 0..600 {
        let video = MediaPacket::Video(Video {
            channel: 0,
            is_keyframe: true,
            codec: VideoCodec::H264,
            microseconds: second * 1_000_000,
            unknown_0x14: 0,
            extra: Bytes::new(),
            data: Bytes::from_static(b"picture"),
        });
        pair.device.send_media(wanted, &video).unwrap();
        pair.run();
        pair.wait(Duration::from_secs(1));
        pair.device.handle_timeout(pair.now);
        pair.run();
    }
    let closed = |event: &DeviceEvent| matches!(event, DeviceEvent::Closed(_));
    assert!(
        !pair.asked().iter().any(closed),
        "a minute of silence ends it"
    );
    let pictures = |event: &SessionEvent| matches!(event, SessionEvent::Media { .. });
    // And the camera's information before them.
    assert_eq!(pair.told().into_iter().filter(pictures).count(), 600);
}

#[test]
fn a_start_that_is_not_answered_is_taken_back() {
    let mut pair = Pair::of(Encryption::FullAes, Encryption::FullAes);
    pair.log_in();
    let stream = pair
        .session
        .start_stream(0, StreamKind::Main, pair.now)
        .unwrap();
    pair.run();
    let asked = pair.asked();
    let [DeviceEvent::StreamWanted { stream: wanted, .. }] = asked[..] else {
        panic!("{asked:?}")
    };
    pair.wait(Duration::from_secs(11));
    let refused = SessionEvent::StreamRefused { stream, status: 0 };
    assert!(pair.told().contains(&refused));
    let stopped = DeviceEvent::StreamStopped(wanted);
    assert!(pair.asked().contains(&stopped), "it would send to nobody");
}

#[test]
fn closing_logs_out_and_stops_the_streams() {
    let mut pair = Pair::of(Encryption::Aes, Encryption::Aes);
    pair.log_in();
    let (_, wanted) = pair.watch();
    pair.session.close(pair.now);
    pair.run();
    assert_eq!(pair.told(), [SessionEvent::Closed(CloseReason::LoggedOut)]);
    let asked = pair.asked();
    assert_eq!(
        asked,
        [
            DeviceEvent::StreamStopped(wanted),
            DeviceEvent::Closed(None)
        ]
    );
}

#[test]
fn before_a_login_nothing_else_is_answered() {
    let now = Instant::now();
    let config = DeviceConfig::new("admin", "x", Encryption::Aes, "0123456789ABCDEF");
    let mut device = Device::new(config, now);
    device.handle_input(
        b"\xf0\xde\xbc\x0a\x17\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\x64\0\0\0\0",
        now,
    );
    let reply = device.poll_transmit().unwrap();
    assert_eq!(reply[16..18], 401_u16.to_le_bytes());
    assert_eq!(device.poll_event(), None);
    device.handle_timeout(now + Duration::from_secs(60));
    assert_eq!(device.poll_event(), Some(DeviceEvent::Closed(None)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_conversation(
        piece in 1..200_usize, mode in 0..5_usize, len in 1..5000_usize, encrypt in prop::option::of(0..6000_u32),
    ) {
        let mut pair = Pair::of(MODES[mode], MODES[mode]);
        pair.piece = piece;
        let config = DeviceConfig::new("admin", "123456", MODES[mode], "9E6D1FCB9E69846D");
        pair.device = Device::new(DeviceConfig { encrypt_len: encrypt, ..config }, pair.now);
        pair.log_in();
        let (stream, wanted) = pair.watch();
        pair.device.send_media(wanted, &picture(len)).unwrap();
        pair.run();
        prop_assert_eq!(pair.told(), vec![SessionEvent::Media { stream, packet: picture(len) }]);
    }
}
