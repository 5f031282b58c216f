//! The facts' vectors (section 14), byte for byte, both ways.

#![allow(clippy::unwrap_used)]

mod common;

use common::{TARGET, crc32, hex, picture};
use proto_naxclow::picture::{finish_picture, split_picture};
use proto_naxclow::recordings::{Day, Index, Minute};
use proto_naxclow::{
    BaseInfo, Cmd, Command, Endpoints, Flip, Frame, Media, Message, Object, RecordingRequest, Side,
    Style, Wifi, confirmations, confirmed, flag,
};

fn both_ways(frame: &Frame, bytes: &[u8]) {
    assert_eq!(frame.encode().unwrap(), bytes);
    assert_eq!(Frame::decode_datagram(bytes).as_ref(), Ok(frame));
}

#[test]
fn binary_messages_are_the_vectors() {
    let empty = |cmd, side| Frame::control(cmd, Vec::new(), side);
    let zeros = "00000000 {}000000 0000000000000000 00000000";
    let ascii = "00000000 {}000000 3030303030303030 00000000";
    for (cmd, side, number) in [
        (Cmd::Heartbeat, Side::Camera, "6400"),
        (Cmd::Heartbeat, Side::Cloud, "6400"),
        (Cmd::Ping, Side::Cloud, "6500"),
        (Cmd::Pong, Side::Camera, "6600"),
        (Cmd::Confirm, Side::Cloud, "5d02"),
        (Cmd::LiveMotion, Side::Cloud, "7300"),
        (Cmd::LiveMotion, Side::Camera, "7300"),
        (Cmd::DirectMotion, Side::Cloud, "7200"),
    ] {
        let form = if side == Side::Camera { zeros } else { ascii };
        // Command, then two flags of zero.
        let text = form.replace("{}000000", &format!("{number}0000"));
        both_ways(&empty(cmd, side), &hex(&text));
    }
}

#[test]
fn confirmations_are_the_vectors() {
    let one = &confirmations(&[2828].into(), Side::Cloud)[0];
    both_ways(
        one,
        &hex("040000005d0200003030303030303030000000000c0b0000"),
    );
    let none = &confirmations(&[].into(), Side::Cloud)[0];
    both_ways(none, &hex("000000005d020000303030303030303000000000"));
    let many = &confirmations(&(2802..=2827).collect(), Side::Cloud)[0];
    let mut bytes = hex("680000005d020000303030303030303000000000");
    bytes.extend((2802..=2827_u32).flat_map(u32::to_le_bytes));
    assert_eq!(bytes.len(), 124);
    both_ways(many, &bytes);
    let read: Vec<u32> = confirmed(&many.payload).unwrap().collect();
    assert_eq!(read, (2802..=2827).collect::<Vec<_>>());
}

/// One row of section 14.3: written exactly, read as the same message.
fn json(id: &str, message: &Message, side: Side, total: usize, crc: u32, text: &str) {
    let bytes = message.frame(side).encode().unwrap();
    assert_eq!(message.text(), text, "{id}");
    assert_eq!(bytes.len(), total, "{id}");
    assert_eq!(crc32(&bytes), crc, "{id}");
    assert_eq!(Message::read(text.as_bytes()).as_ref(), Ok(message), "{id}");
}

fn forward(command: &Command) -> Message {
    Message::Forward {
        target: TARGET.into(),
        content: command.content(),
    }
}

fn direct(command: &Command) -> Message {
    Message::Direct {
        target: None,
        content: command.content_for("deadbeef"),
    }
}

fn base_info() -> BaseInfo {
    BaseInfo {
        infrared_led: Some(true),
        power: Some(100),
        speed_grade: Some(1),
        motion_alert: Some(false),
        record_on_motion: Some(false),
        wifi_name: Some("intl-laptop".into()),
        instruction_led: Some(true),
        sd_status: Some(0),
        flip: Some(Flip::Reset),
        version: Some("202212011602".into()),
        udp_playback: None,
    }
}

#[test]
fn registration_and_nat_messages_are_the_vectors() {
    let register = Message::Register {
        uid: "0800c00128F8".parse().unwrap(),
        token: "91edf41f".into(),
        domain: "v720.naxclow.com".into(),
    };
    json(
        "R1",
        &register,
        Side::Camera,
        107,
        0x20b02101,
        r#"{"code": 100, "uid": "0800c00128F8", "token": "91edf41f" ,"domain": "v720.naxclow.com"}"#,
    );
    let full = hex(
        "57000000000000000000000000000000000000007b22636f6465223a20313030
        2c2022756964223a2022303830306330303132384638222c2022746f6b656e22
        3a2022393165646634316622202c22646f6d61696e223a2022763732302e6e61
        78636c6f772e636f6d227d",
    );
    both_ways(&register.frame(Side::Camera), &full);

    let registered = Message::Registered { status: 200 };
    json(
        "R2",
        &registered,
        Side::Cloud,
        48,
        0x35c352bf,
        r#"{"code": 101, "status": 200}"#,
    );
    both_ways(
        &registered.frame(Side::Cloud),
        &hex(
            "1c000000000000003030303030303030000000007b22636f6465223a20313031
        2c2022737461747573223a203230307d",
        ),
    );

    let text = registered.object().write(Style::Compact);
    let mut cloud = Frame::control(Cmd::Json, text, Side::Cloud);
    (cloud.flag, cloud.forward_id) = (255, [0xFF; 8]);
    let bytes = cloud.encode().unwrap();
    assert_eq!((bytes.len(), crc32(&bytes)), (45, 0xba495d10), "R2c");
    assert!(bytes.starts_with(&hex("190000000000ff00ffffffffffffffff")));
    assert_eq!(Message::read(&cloud.payload), Ok(registered));

    let nat = |token: &str, ip: &str, port, nat_port| Message::NatRequest {
        cli_target: TARGET.into(),
        cli_token: token.into(),
        client: Endpoints {
            ip: ip.into(),
            port,
            nat_ip: "10.42.0.1".into(),
            nat_port,
        },
    };
    json(
        "N11",
        &nat("deadc0de", "255.255.255.255", 0, 6123),
        Side::Cloud,
        192,
        0x391c3904,
        r#"{"code": 11, "cliTarget": "00112233445566778899aabbccddeeff", "cliToken": "deadc0de", "cliIp": "255.255.255.255", "cliPort": 0, "cliNatIp": "10.42.0.1", "cliNatPort": 6123}"#,
    );
    json(
        "N11b",
        &nat("55ABfb77", "10.42.0.1", 53221, 41234),
        Side::Cloud,
        191,
        0x8013230f,
        r#"{"code": 11, "cliTarget": "00112233445566778899aabbccddeeff", "cliToken": "55ABfb77", "cliIp": "10.42.0.1", "cliPort": 53221, "cliNatIp": "10.42.0.1", "cliNatPort": 41234}"#,
    );
    json(
        "N20",
        &Message::AddressQuery,
        Side::Camera,
        32,
        0xe343f592,
        r#"{"code": 20}"#,
    );
    let answer = Message::AddressAnswer {
        ip: "10.42.0.1".into(),
        port: 53221,
    };
    json(
        "N21",
        &answer,
        Side::Cloud,
        66,
        0xdefcb896,
        r#"{"code": 21, "ip": "10.42.0.1", "port": 53221}"#,
    );
    let result = Message::NatResult {
        status: 200,
        device: Endpoints {
            ip: "10.42.0.1".into(),
            port: 53221,
            nat_ip: "10.42.0.28".into(),
            nat_port: 29291,
        },
        cli_target: TARGET.into(),
        cli_token: "55ABfb77".into(),
    };
    json(
        "N12",
        &result,
        Side::Camera,
        207,
        0x5fa6de6d,
        r#"{"code": 12, "status": 200, "devIp": "10.42.0.1", "devPort": 53221, "devNatIp": "10.42.0.28", "devNatPort": 29291, "cliTarget": "00112233445566778899aabbccddeeff", "cliToken": "55ABfb77"}"#,
    );
    json(
        "N50",
        &Message::Probe,
        Side::Cloud,
        32,
        0x1c89fead,
        r#"{"code": 50}"#,
    );
    let probed = Message::ProbeAnswer {
        uid: "0800c00128F8".parse().unwrap(),
        status: 200,
    };
    json(
        "N51",
        &probed,
        Side::Camera,
        76,
        0x7853c9f6,
        r#"{"code": 51, "devTarget": "0800c00128F8", "status": 200}"#,
    );
    json(
        "N53",
        &Message::ClientOnline { status: 1 },
        Side::Cloud,
        45,
        0x6ee7c295,
        r#"{"code": 53, "status": 1}"#,
    );
    let stamp = Message::RoundTrip {
        stamp: "1677886134000".into(),
    };
    json(
        "T54",
        &stamp,
        Side::Cloud,
        63,
        0xf9d3fd18,
        r#"{"code": 54, "timerStamp": "1677886134000"}"#,
    );
}

#[test]
fn station_commands_are_the_vectors() {
    let prefix = r#"{"code": 301, "target": "00112233445566778899aabbccddeeff", "content": "#;
    let infrared = Command::InfraredLed(true);
    let wifi = Command::SetWifi(Wifi::new("mifi", "mifimifi").unwrap());
    let time = Command::BaseInfo {
        unix_time: 1677886134,
    };
    for (id, command, total, crc, content) in [
        (
            "C298",
            Command::Retransmission,
            105,
            0x232848db,
            r#"{"code": 298}"#,
        ),
        (
            "C4",
            time,
            128,
            0x932c49cf,
            r#"{"unixTimer": 1677886134, "code": 4}"#,
        ),
        (
            "C3",
            Command::Media(Media::BOTH),
            103,
            0x3fdc0350,
            r#"{"code": 3}"#,
        ),
        (
            "C0",
            Command::Media(Media::default()),
            103,
            0x3d9abd09,
            r#"{"code": 0}"#,
        ),
        (
            "C202",
            infrared,
            117,
            0x4cbeb882,
            r#"{"code": 202, "IrLed": 1}"#,
        ),
        (
            "C216",
            Command::Flip(Flip::UpsideDown),
            122,
            0x20d7c49a,
            r#"{"code": 216, "mirrorFlip": 4}"#,
        ),
        (
            "C204",
            wifi,
            135,
            0x9853db3a,
            r#"{"code": 204, "s": "mifi", "p": "mifimifi"}"#,
        ),
    ] {
        json(
            id,
            &forward(&command),
            Side::Cloud,
            total,
            crc,
            &format!("{prefix}{content}}}"),
        );
        assert_eq!(Command::read(&command.content()), Ok(command), "{id}");
    }
}

#[test]
fn base_information_is_the_vectors_of_old_and_new_firmware() {
    let message = Message::Forward {
        target: TARGET.into(),
        content: base_info().content(),
    };
    json(
        "C4r",
        &message,
        Side::Camera,
        285,
        0x3a23448b,
        r#"{"code": 301, "target": "00112233445566778899aabbccddeeff", "content": {"code": 4, "IrLed": 1, "devPower": 100, "speedGrade": 1, "moveAlert": 0, "sdMoveMode": 0, "wifiName": "intl-laptop", "instLed": 1, "sdDevStatus": 0, "mirrorFlip": 0, "version": "202212011602"}}"#,
    );
    assert_eq!(BaseInfo::read(&base_info().content()), base_info());

    let new = BaseInfo {
        udp_playback: Some(true),
        power: None,
        motion_alert: None,
        record_on_motion: Some(true),
        wifi_name: Some("lab".into()),
        version: Some("202412061749".into()),
        ..base_info()
    };
    let text = new.odd_text(TARGET);
    assert_eq!(
        text,
        r#"{"code": 301 , "target": "00112233445566778899aabbccddeeff", "content":  {"udpPlayBack": 1,"code": 4,"sdMoveMode": 1,"sdDevStatus": 0,"IrLed": 1,"instLed": 1,"speedGrade": 1,"mirrorFlip": 0,"wifiName":"lab","version":"202412061749"} }"#
    );
    let bytes = Frame::control(Cmd::Json, text.clone(), Side::Camera)
        .encode()
        .unwrap();
    assert_eq!((bytes.len(), crc32(&bytes)), (254, 0xa5ad48d5), "C4n");
    let Ok(Message::Forward { content, .. }) = Message::read(text.as_bytes()) else {
        panic!("C4n is an answer")
    };
    assert_eq!(BaseInfo::read(&content), new);
}

#[test]
fn access_point_messages_are_the_vectors() {
    let hello = Message::Hello {
        target: "deadbeef".into(),
        token: "This is TEST token".into(),
        unix_time: 1675206015,
    };
    json(
        "AP501",
        &hello,
        Side::Cloud,
        111,
        0xdbbb96b4,
        r#"{"code": 501, "target": "deadbeef", "token": "This is TEST token", "unixTimer": 1675206015}"#,
    );
    let answer = Message::HelloAnswer {
        target: "deadbeef".into(),
        status: 200,
    };
    json(
        "AP501r",
        &answer,
        Side::Camera,
        67,
        0x70f84d62,
        r#"{ "code":501, "target":"deadbeef","status":200}"#,
    );
    let time = Command::BaseInfo {
        unix_time: 1675206015,
    };
    let wifi = Command::SetWifi(Wifi::new("mifi", "mifimifi").unwrap());
    for (command, total, crc, content) in [
        (
            time,
            107,
            0xc59d9b73,
            r#"{"code": 4, "devTarget": "deadbeef", "unixTimer": 1675206015}"#,
        ),
        (
            Command::Media(Media::BOTH),
            82,
            0x98aa66be,
            r#"{"code": 3, "devTarget": "deadbeef"}"#,
        ),
        (
            Command::Media(Media::default()),
            82,
            0x9a746199,
            r#"{"code": 0, "devTarget": "deadbeef"}"#,
        ),
        (
            Command::InfraredLed(true),
            96,
            0x838a1c5b,
            r#"{"code": 202, "devTarget": "deadbeef", "IrLed": 1}"#,
        ),
        (
            Command::Flip(Flip::UpsideDown),
            101,
            0xecd4acb1,
            r#"{"code": 216, "devTarget": "deadbeef", "mirrorFlip": 4}"#,
        ),
        (
            Command::SdStatus,
            84,
            0x8a4ce401,
            r#"{"code": 218, "devTarget": "deadbeef"}"#,
        ),
        (
            wifi,
            114,
            0x9ba42dbd,
            r#"{"code": 204, "devTarget": "deadbeef", "s": "mifi", "p": "mifimifi"}"#,
        ),
        (
            Command::Reboot,
            84,
            0x2525dcbe,
            r#"{"code": 299, "devTarget": "deadbeef"}"#,
        ),
    ] {
        json(
            &format!("AP502/{}", command.code()),
            &direct(&command),
            Side::Cloud,
            total,
            crc,
            &format!(r#"{{"code": 502, "content": {content}}}"#),
        );
    }
    let day = Day::from_number(20230124).unwrap();
    let minute = Minute::new(day, 2, 10).unwrap();
    for (request, total, crc, rest) in [
        (RecordingRequest::Days, 58, 0x670eafaa, ""),
        (
            RecordingRequest::Index(day),
            76,
            0xc820fc39,
            r#", "date": 20230124"#,
        ),
        (
            RecordingRequest::Size(minute),
            102,
            0x663c353f,
            r#", "date": 20230124, "hours": 2, "minute": 10"#,
        ),
        (
            RecordingRequest::Download(minute),
            102,
            0x093e8eae,
            r#", "date": 20230124, "hours": 2, "minute": 10"#,
        ),
        (RecordingRequest::Stop, 58, 0xa58c7920, ""),
    ] {
        let message = Message::Recordings {
            dev_target: "deadbeef".into(),
            request,
        };
        let text = format!(
            r#"{{"code": {}, "devTarget": "deadbeef"{rest}}}"#,
            request.code()
        );
        json(
            &format!("AP{}", request.code()),
            &message,
            Side::Cloud,
            total,
            crc,
            &text,
        );
    }
}

#[test]
fn the_index_of_recordings_is_the_vector() {
    let day = Day::from_number(20230123).unwrap();
    let minutes = [10, 11].map(|minute| Minute::new(day, 23, minute).unwrap());
    let index = Index::new(day, &minutes);
    let frame = Frame::media(Cmd::Xml, flag::WHOLE, 1, index.text(), Side::Camera);
    let bytes = frame.encode().unwrap();
    assert!(bytes.starts_with(&hex("9d0000000800ff00000000000000000001000000")));
    assert_eq!((bytes.len(), crc32(&bytes)), (177, 0xbc00ff5d));
    let read = Index::read(&frame.payload).unwrap();
    assert_eq!(read.minutes().collect::<Vec<_>>(), minutes);
    assert_eq!(read, index);
}

#[test]
fn pictures_are_cut_and_joined_as_the_vectors_are() {
    type Packet = (&'static str, usize, &'static str, u32);
    let cases: [(usize, u32, u32, &[Packet]); 5] = [
        (
            2100,
            0x8f9b33e2,
            2802,
            &[
                (
                    "ec0300000100fa000000000000000000f20a0000",
                    1024,
                    "f1f2f3f4f5f6f7f8",
                    0xf61e4f10,
                ),
                (
                    "ec0300000100fb000000000000000000f30a0000",
                    1024,
                    "f1f2f3f4f5f6f7f8",
                    0x2bbba7d3,
                ),
                (
                    "610000000100fc000000000000000000f40a0000",
                    117,
                    "57ffd90034080000",
                    0x78972ce6,
                ),
            ],
        ),
        (
            1002,
            0x8a4e3770,
            2900,
            &[
                (
                    "ec0300000100fa000000000000000000540b0000",
                    1024,
                    "f1f2f3f4ffd900ea",
                    0x3d78c3af,
                ),
                (
                    "030000000100fc000000000000000000550b0000",
                    23,
                    "00550b0000030000",
                    0x81eb7861,
                ),
            ],
        ),
        (
            100,
            0x9a19e990,
            3000,
            &[(
                "690000000100ff000000000000000000b80b0000",
                125,
                "5fffd90064000000",
                0xa5798551,
            )],
        ),
        (
            999,
            0x2b316a75,
            3001,
            &[(
                "ec0300000100ff000000000000000000b90b0000",
                1024,
                "f1ffd900e7030000",
                0xdd159d3e,
            )],
        ),
        (
            1000,
            0xc64f2153,
            3002,
            &[
                (
                    "ec0300000100fa000000000000000000ba0b0000",
                    1024,
                    "f1f2ffd900e80300",
                    0x7e613109,
                ),
                (
                    "010000000100fc000000000000000000bb0b0000",
                    21,
                    "000000bb0b000000",
                    0xe440b0a1,
                ),
            ],
        ),
    ];
    for (n, crc, mut id, packets) in cases {
        let jpeg = picture(n);
        assert_eq!(crc32(&jpeg), crc, "P({n})");
        let frames = split_picture(&jpeg, &mut id);
        assert_eq!(frames.len(), packets.len(), "P({n})");
        let mut joined = Vec::new();
        for (frame, (header, total, end, crc)) in frames.iter().zip(packets) {
            let bytes = frame.encode().unwrap();
            assert_eq!(bytes[..20], hex(header));
            assert_eq!(bytes.len(), *total);
            assert!(bytes.ends_with(&hex(end)));
            assert_eq!(crc32(&bytes), *crc);
            joined.extend_from_slice(&frame.payload);
        }
        assert_eq!(finish_picture(joined).unwrap(), jpeg);
    }
}

#[test]
fn sound_is_the_vector() {
    let frame = Frame::media(Cmd::ALaw, flag::WHOLE, 3001, vec![0xD5; 800], Side::Camera);
    let bytes = frame.encode().unwrap();
    assert!(bytes.starts_with(&hex("200300000400ff000000000000000000b90b0000")));
    assert_eq!((bytes.len(), crc32(&bytes)), (820, 0xcadc653c));
}

#[test]
fn headers_of_real_fragments_are_read() {
    for (header, len, flag, id) in [
        (
            "ec0300000100fb000000000000000000f30a0000",
            1004,
            flag::MIDDLE,
            2803,
        ),
        (
            "a80200000100fc0000000000000000000b0b0000",
            680,
            flag::LAST,
            2827,
        ),
    ] {
        let datagram = [hex(header), vec![0; len]].concat();
        let frame = Frame::decode_datagram(&datagram).unwrap();
        assert_eq!((frame.cmd, frame.flag, frame.id), (Cmd::Jpeg, flag, id));
    }
}

#[test]
fn answers_about_recordings_are_read_as_they_come() {
    let text = br#"{ "code":401 , "status": 200, "dateNum": 3,"devId": "22000022A2AA","forwardId": "00000000","dates":[20230123,20230124,20230125]}"#;
    let Ok(Message::Other(object)) = Message::read(text) else {
        panic!("401 is an answer")
    };
    assert_eq!(object.integer("dateNum"), Some(3));
    assert_eq!(Object::read(text), Ok(object));
}
