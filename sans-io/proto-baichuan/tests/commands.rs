//! Every typed command from a session to a device, and every typed answer back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::time::Instant;

use proto_baichuan::{
    Abilities, Ability, Answer, Battery, CameraTime, Capabilities, ChannelStatus, Command, Device,
    DeviceConfig, DeviceEvent, Element, Encryption, Error, FloodlightTask, Infrared, Led,
    NibbleOrder, Pir, Preset, PtzMotion, Range, Session, SessionConfig, SessionEvent, Siren,
    StreamKind, StreamTable, Support, TalkAbility, TalkConfig, TalkEncoder, TalkFormat, Version,
    ZoomFocus,
};

struct Pair {
    session: Session,
    device: Device,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let now = Instant::now();
        let device = DeviceConfig::new("admin", "x", Encryption::Aes, "0123456789ABCDEF");
        let mut pair = Self {
            session: Session::new(SessionConfig::new("admin", "x"), now),
            device: Device::new(device, now),
            now,
        };
        pair.carry();
        assert!(pair.session.is_ready());
        while pair.session.poll_event().is_some() {}
        while pair.device.poll_event().is_some() {}
        pair
    }

    fn carry(&mut self) {
        for _ in 0..4 {
            while let Some(bytes) = self.session.poll_transmit() {
                self.device.handle_input(&bytes, self.now);
            }
            while let Some(bytes) = self.device.poll_transmit() {
                self.session.handle_input(&bytes, self.now);
            }
        }
    }

    /// What the device understood, and what the session made of its answer.
    fn ask(
        &mut self,
        command: &Command,
        answer: Result<&Answer, u16>,
    ) -> (Command, Result<Answer, Error>) {
        let asked = self.session.command(command, self.now).unwrap();
        self.carry();
        let Some(DeviceEvent::Request(request)) = self.device.poll_event() else {
            panic!("{command:?} did not arrive")
        };
        let understood =
            Command::read(&request).unwrap_or_else(|| panic!("{command:?} is not read"));
        let (status, payload) = match answer {
            Ok(answer) => (200, answer.to_payload()),
            Err(status) => (status, Answer::Done.to_payload()),
        };
        self.device
            .respond(&request, status, None, payload)
            .unwrap();
        self.carry();
        let Some(SessionEvent::Reply { request, message }) = self.session.poll_event() else {
            panic!("{command:?} was not answered")
        };
        assert_eq!(request, asked);
        (understood, Answer::read(command, &message))
    }
}

#[test]
fn every_question_and_its_answer_survive_the_wire() {
    let channel = 3;
    let ability = |name: &str, channel, is_writable| Ability {
        module: "PTZ".to_owned(),
        channel,
        name: name.to_owned(),
        is_writable,
    };
    let talk = TalkAbility {
        duplex: vec!["FDX".to_owned()],
        modes: vec!["followVideoStream".to_owned()],
        formats: vec![TalkFormat::default()],
    };
    let item = Element::new("item").with("chnID", 3).with("ledCtrl", 7);
    let support = Element::versioned("Support")
        .with("audioTalk", 1)
        .containing(item);
    let battery = Element::new("BatteryInfo")
        .with("batteryPercent", 5)
        .with("voltage", 1)
        .with("current", -2)
        .with("temperature", -3);
    let table = StreamTable {
        channel_bits: 1,
        kind: StreamKind::Sub,
        width: 640,
        height: 360,
        default_frame_rate: Some(10),
        default_bit_rate: Some(256),
        frame_rates: vec![10, 5],
        bit_rates: vec![256],
    };
    let mut pair = Pair::new();
    for (command, answer) in [
        (
            Command::Version { channel: None },
            Answer::Version(Box::new(Version {
                model: "RLC".to_owned(),
                ..Version::default()
            })),
        ),
        (
            Command::Version {
                channel: Some(channel),
            },
            Answer::Version(Box::default()),
        ),
        (Command::Uid, Answer::Uid("95270000ABCDEFGH".to_owned())),
        (Command::Streams, Answer::Streams(vec![table])),
        (
            Command::Abilities {
                user: "admin".to_owned(),
            },
            Answer::Abilities(Abilities {
                user: "admin".to_owned(),
                list: vec![
                    ability("control", Some(0), true),
                    ability("preset", Some(0), true),
                    ability("control", Some(1), false),
                ],
            }),
        ),
        (Command::Support, Answer::Support(Support(support))),
        (
            Command::Channels,
            Answer::Channels(vec![ChannelStatus {
                channel,
                ..ChannelStatus::default()
            }]),
        ),
        (Command::WifiSignal, Answer::WifiSignal(-60)),
        (
            Command::Battery { channel },
            Answer::Battery(Battery::from_xml(&battery).unwrap()),
        ),
        (
            Command::Time,
            Answer::Time(CameraTime::from_unix(1_700_000_000, -3600)),
        ),
        (
            Command::Led { channel },
            Answer::Led(Led::new(channel, Infrared::Auto, true)),
        ),
        (
            Command::Pir { channel },
            Answer::Pir(Pir::new(channel, true)),
        ),
        (
            Command::FloodlightTask { channel },
            Answer::FloodlightTask(FloodlightTask::new(channel, 40)),
        ),
        (
            Command::Presets { channel },
            Answer::Presets(vec![Preset {
                id: 9,
                name: "gate".to_owned(),
            }]),
        ),
        (
            Command::ZoomFocus { channel },
            Answer::ZoomFocus(ZoomFocus {
                channel,
                zoom: Some(Range {
                    min: 0,
                    max: 32,
                    current: 7,
                }),
                focus: None,
            }),
        ),
        (Command::TalkAbility { channel }, Answer::TalkAbility(talk)),
        (Command::SleepState, Answer::SleepState(true)),
    ] {
        let (understood, read) = pair.ask(&command, Ok(&answer));
        assert_eq!(understood, command);
        assert_eq!(read, Ok(answer), "{command:?}");
    }
}

#[test]
fn every_order_survives_the_wire_and_is_done() {
    let channel = 1;
    let preset = Preset {
        id: 2,
        name: "porch & gate".to_owned(),
    };
    let mut led = Led::new(channel, Infrared::Auto, true);
    led.0.set("IRLedBrightness", 70);
    led.set_infrared(Infrared::Off);
    led.set_status_light(false);
    assert_eq!(
        (led.infrared(), led.status_light()),
        (Some(Infrared::Off), Some(false))
    );
    assert_eq!(
        led.0.value("IRLedBrightness"),
        Some("70"),
        "what is not known stays"
    );
    let mut pir = Pir::new(channel, true);
    pir.set_enabled(false);
    pir.set_sensitivity(101);
    assert_eq!((pir.is_enabled(), pir.sensitivity()), (false, Some(100)));
    let mut light = FloodlightTask::new(channel, 10);
    light.set_brightness(90);
    light.set_automatic(false);
    assert_eq!(
        (light.brightness(), light.is_automatic()),
        (Some(90), false)
    );
    let ability = TalkAbility {
        formats: vec![TalkFormat::default()],
        ..TalkAbility::default()
    };
    let talk = TalkConfig::choose(channel, &ability).unwrap();
    let mut orders = vec![
        Command::SetTime(CameraTime::from_unix(1_709_249_405, 3600)),
        Command::Reboot,
        Command::SetLed(led),
        Command::SetPir(pir),
        Command::Floodlight {
            channel,
            is_on: true,
            seconds: 180,
        },
        Command::SetFloodlightTask(light),
        Command::GoToPreset { channel, preset: 2 },
        Command::SavePreset { channel, preset },
        Command::DeletePreset { channel, preset: 2 },
        Command::SetZoom {
            channel,
            position: 12,
        },
        Command::SetFocus {
            channel,
            position: 13,
        },
        Command::StartAlarms,
        Command::StartTalk(talk),
        Command::StopTalk { channel },
        Command::SetSleepState { is_asleep: true },
        Command::ContinuePreview {
            channel,
            kind: StreamKind::Sub,
        },
    ];
    orders.extend(
        [Siren::Times(3), Siren::On, Siren::Off].map(|siren| Command::Siren { channel, siren }),
    );
    orders.extend(PtzMotion::ALL.map(|motion| Command::Ptz {
        channel,
        motion,
        speed: 32,
    }));
    let mut pair = Pair::new();
    for command in orders {
        let (understood, read) = pair.ask(&command, Ok(&Answer::Done));
        assert_eq!(understood, command);
        assert_eq!(read, Ok(Answer::Done));
    }
}

#[test]
fn a_refusal_names_the_command_and_what_the_status_means() {
    let mut pair = Pair::new();
    let (_, read) = pair.ask(&Command::Battery { channel: 0 }, Err(400));
    let text = read.unwrap_err().to_string();
    assert_eq!(
        text,
        "the camera answered the battery request with status 400: this model does not do it, or it is not ready yet"
    );
}

#[test]
fn talk_is_cut_into_blocks_that_decode_to_what_was_said() {
    let format = TalkFormat {
        block_samples: 64,
        ..TalkFormat::default()
    };
    assert_eq!(format.block_duration().as_millis(), 4);
    let mut encoder = TalkEncoder::new(&format, NibbleOrder::HighFirst);
    let said: Vec<i16> = (0..200)
        .map(|at| (f64::from(at) / 10.0).sin() * 8000.0)
        .map(|it| it as i16)
        .collect();
    let mut packets = Vec::new();
    for piece in said.chunks(33) {
        packets.extend(encoder.push(piece));
    }
    packets.extend(encoder.finish());
    assert_eq!(packets.len(), 4);
    let mut heard = Vec::new();
    for packet in packets {
        let proto_baichuan::MediaPacket::Adpcm { block, .. } = packet else {
            panic!("no ADPCM")
        };
        assert_eq!(block.len(), 4 + 32);
        let (samples, _) =
            proto_baichuan::AdpcmState::decode(&block, NibbleOrder::HighFirst).unwrap();
        heard.extend(samples);
    }
    let error = said
        .iter()
        .zip(&heard)
        .skip(32)
        .map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs())
        .max();
    assert!(error < Some(1500), "{error:?}");
}

#[test]
fn the_support_numbers_tell_what_a_channel_can_do() {
    let item = |channel: u8, fields: &[(&str, u32)]| {
        let item = Element::new("item").with("chnID", channel);
        fields
            .iter()
            .fold(item, |item, (name, value)| item.with(name, value))
    };
    let first = item(
        0,
        &[
            ("ptzType", 2),
            ("ptzPreset", 1),
            ("ledCtrl", 7),
            ("audioVersion", 4),
            ("motion", 1),
            ("aitype", 2),
        ],
    );
    let second = item(1, &[("battery", 1), ("motion", 0), ("doorbellVersion", 1)]);
    let support = Support(
        Element::versioned("Support")
            .with("audioTalk", 1)
            .containing(first)
            .containing(second),
    );
    assert_eq!(
        support.capabilities(0),
        Capabilities {
            pan_tilt: true,
            presets: true,
            zoom: true,
            lights: true,
            floodlight: true,
            siren: true,
            talk: true,
            person: true,
            ..Capabilities::default()
        }
    );
    assert_eq!(
        support.capabilities(1),
        Capabilities {
            battery: true,
            pir: true,
            talk: true,
            doorbell: true,
            ..Capabilities::default()
        }
    );
}
