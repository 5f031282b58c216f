//! HTTP and MQTT vectors (facts, sections 2 and 14.2, 14.5), and hostile peers of both.

#![allow(clippy::unwrap_used)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to count from"
)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{crc32, hex};
use proptest::prelude::*;
use proto_naxclow::bootstrap::{
    Bootstrap, Configuration, MAX_HEAD, Reading, Request, device_info, envelope, read_reply, reply,
};
use proto_naxclow::mqtt::{
    Connect, INFO_TOPIC, MAX_PACKET, MqttEvent, MqttSession, Packet, PacketDecoder, STATUS_TOPIC,
    command_topic, status,
};
use proto_naxclow::{Command, Object, Uid, Value};

fn uid() -> Uid {
    "0800c00128F8".parse().unwrap()
}

#[test]
fn the_cameras_request_is_the_vector() {
    let text = Bootstrap::Configuration.request(
        "0800c00128F8",
        "OPQRST",
        "2d8c8b52f1",
        "v720.naxclow.com",
        "202212011602",
    );
    assert_eq!((text.len(), crc32(text.as_bytes())), (154, 0x23b4_da90));
    let (request, used) = Request::read(text.as_bytes()).unwrap().unwrap();
    assert_eq!(used, 154);
    assert_eq!(
        Bootstrap::from_path(&request.path),
        Some(Bootstrap::Configuration)
    );
    assert_eq!(request.device(), Some(uid()));
    assert_eq!(request.parameter("random"), Some("OPQRST"));
    assert_eq!(request.version.as_deref(), Some("202212011602"));
    assert!(!request.close);
}

fn configuration() -> Configuration {
    Configuration {
        tcp_port: 6123,
        uid: uid(),
        is_bind: "8".to_owned(),
        domain: "v720.naxclow.com".to_owned(),
        host: "10.42.0.1".to_owned(),
        unix_time: 1_676_097_689,
        pwd: "91edf41f".to_owned(),
    }
}

#[test]
fn the_configuration_is_the_vector() {
    let body = envelope(configuration().content());
    assert_eq!((body.len(), crc32(body.as_bytes())), (215, 0xb908_3d02));
    // The capture's server wrote no reason.
    let date = "Fri, 10 Feb 2023 22:29:57 GMT";
    let whole = reply("200", Some(date), &body);
    assert_eq!((whole.len(), crc32(&whole)), (376, 0x9bf9_c6a0));
    for status in ["200", "200 ", "200 OK"] {
        let whole = reply(status, Some(date), &body);
        for reading in [Reading::Strict, Reading::Lenient] {
            for cut in 0..whole.len() {
                assert_eq!(read_reply(&whole[..cut], reading).unwrap(), None, "{cut}");
            }
            let Some(Value::Object(data)) = read_reply(&whole, reading).unwrap() else {
                panic!("no object");
            };
            assert_eq!(Configuration::read(&data).unwrap(), configuration());
        }
    }
}

#[test]
fn the_other_answers_have_the_lengths_of_the_facts() {
    assert_eq!(envelope("0800c00128F8").len(), 59);
    assert_eq!(envelope(Value::Null).len(), 49);
    assert_eq!(device_info().len(), 65);
    let success = "\u{64cd}\u{4f5c}\u{6210}\u{529f}";
    assert_eq!(
        envelope(Value::Null),
        format!("{{\"code\":200,\"message\":\"{success}\",\"data\":null}}")
    );
}

#[test]
fn one_line_end_too_many_is_forgiven_by_old_cameras_only() {
    let body = envelope(configuration().content());
    let odd = format!("HTTP/1.1 200 OK\r\nContent-Length: 215\r\n\r\n\r\n{body}");
    assert!(
        read_reply(odd.as_bytes(), Reading::Lenient)
            .unwrap()
            .is_some()
    );
    assert!(read_reply(odd.as_bytes(), Reading::Strict).is_err());
    let missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}";
    assert!(read_reply(missing, Reading::Strict).is_err());
    assert!(read_reply(missing, Reading::Lenient).is_err());
}

#[test]
fn requests_of_other_people_are_read_and_bounded() {
    let read = |text: &str| Request::read(text.as_bytes());
    let (request, _) =
        read("GET /app/api/ApiServer/getA9ConfCheck?devices_code=0800c00128F8 HTTP/1.0\n\n")
            .unwrap()
            .unwrap();
    assert_eq!((request.device(), request.close), (Some(uid()), true));
    let (request, used) =
        read("POST /a%20b?x=1&x=2&y HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcNEXT")
            .unwrap()
            .unwrap();
    assert_eq!(request.path, "/a b");
    assert_eq!(
        (request.parameter("x"), request.parameter("y")),
        (Some("1"), Some(""))
    );
    assert_eq!(
        used,
        "POST /a%20b?x=1&x=2&y HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".len()
    );
    for bad in [
        "\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/2\r\n\r\n",
        "GET / HTTP/1.1\r\nbad\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
    assert!(read(&"x".repeat(2049)).is_err());
    assert!(
        read(&format!(
            "GET / HTTP/1.1\r\n{}",
            "a: b\r\n".repeat(MAX_HEAD / 6)
        ))
        .is_err()
    );
    let nobody = "POST /x?devicesCode=../../etc HTTP/1.1\r\n\r\n";
    assert_eq!(read(nobody).unwrap().unwrap().0.device(), None);
}

fn connect() -> Packet {
    Packet::Connect(Connect {
        client_id: uid().to_string(),
        keep_alive: 10,
        clean: true,
        will: Some((STATUS_TOPIC.to_owned(), Bytes::from(status(&uid(), 0)), 1)),
        user: Some(uid().to_string()),
        password: Some(Bytes::from_static(b"\"656f41d93b\"")),
    })
}

#[test]
fn mqtt_packets_are_the_vectors() {
    let publish = |topic: &str, text: &str| Packet::Publish {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(text.as_bytes()),
        id: None,
    };
    let rows = [
        (
            connect(),
            "108e0100044d51545404ce000a000c303830306330303132384638001f4e6178636c6f772f5032502f55736572732f4465766963652f53746174757300377b22646576696365223a22303830306330303132384638222c22746f6b656e223a224e4158434c4f57222c22737461747573223a20307d000c303830306330303132384638000c223635366634316439336222",
        ),
        (
            Packet::Subscribe(1, vec![(command_topic(&uid()), 1)]),
            "822e000100294e6178636c6f772f5032502f55736572732f4465766963652f7375622f30383030633030313238463801",
        ),
        (Packet::SubAck(1, vec![1]), "9003000101"),
        (Packet::ConnAck(0), "20020000"),
        (Packet::PingReq, "c000"),
        (
            publish(STATUS_TOPIC, &status(&uid(), 1)),
            "3058001f4e6178636c6f772f5032502f55736572732f4465766963652f5374617475737b22646576696365223a22303830306330303132384638222c22746f6b656e223a224e4158434c4f57222c22737461747573223a20317d",
        ),
    ];
    for (packet, text) in rows {
        assert_eq!(packet.encode(), hex(text));
        let mut decoder = PacketDecoder::default();
        decoder.feed(&hex(text));
        assert_eq!(decoder.poll().unwrap(), Some(packet));
    }
    let info = "{\"apStatus\": 0,\"devPower\": 100,\"sdCapacity\": 0,\"IrLed\": 0,\"SD_freeDisk\": -1,\"SD_blockDisk\": -1,\"cameraState\": 0,\"sd_State\": 0,\"sdMoveMode\": 0,\"sdCardReco\": 1,\"instLed\": 1,\"random\":\"BCDEFG\",\"token\":\"910d310434\",\"devicesCode\":\"0800c00128F8\",\"wifiName\":\"intl-laptop\",\"version\":\"202212011602\"}";
    let info = publish(INFO_TOPIC, info).encode();
    assert_eq!((info.len(), &info[..5]), (323, &hex("30c002001d")[..]));
}

fn drain(session: &mut MqttSession) -> (Vec<Packet>, Vec<MqttEvent>) {
    let mut decoder = PacketDecoder::default();
    while let Some(bytes) = session.poll_transmit() {
        decoder.feed(&bytes);
    }
    let packets = std::iter::from_fn(|| decoder.poll().unwrap()).collect();
    (
        packets,
        std::iter::from_fn(|| session.poll_event()).collect(),
    )
}

#[test]
fn a_camera_connects_hears_commands_and_is_missed() {
    let start = Instant::now();
    let mut session = MqttSession::new(start);
    session.handle_input(&connect().encode(), start);
    session.handle_input(
        &Packet::Subscribe(1, vec![(command_topic(&uid()), 1), ("#".to_owned(), 0)]).encode(),
        start,
    );
    let (packets, events) = drain(&mut session);
    assert_eq!(
        packets,
        [Packet::ConnAck(0), Packet::SubAck(1, vec![1, 0x80])]
    );
    assert_eq!(events, [MqttEvent::Connected(uid()), MqttEvent::Subscribed]);
    session.command(&Command::InfraredLed(true)).unwrap();
    let (packets, _) = drain(&mut session);
    let [
        Packet::Publish {
            topic,
            payload,
            id: Some(1),
        },
    ] = &packets[..]
    else {
        panic!("{packets:?}");
    };
    assert_eq!(*topic, command_topic(&uid()));
    assert_eq!(payload, "{\"code\": 202, \"IrLed\": 1}");
    // Ten seconds were promised, a half more is granted.
    let late = start + Duration::from_secs(15);
    assert_eq!(session.poll_timeout(), Some(late));
    session.handle_timeout(late);
    assert!(matches!(drain(&mut session).1[..], [MqttEvent::Closed(_)]));
    assert!(session.command(&Command::Reboot).is_err());
}

#[test]
fn who_is_no_camera_is_sent_away() {
    let start = Instant::now();
    for bytes in [&[0x10, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0xC0, 0], &[0xF0, 0]] {
        let mut session = MqttSession::new(start);
        session.handle_input(bytes, start);
        assert!(
            matches!(drain(&mut session).1[..], [MqttEvent::Closed(_)]),
            "{bytes:?}"
        );
    }
    let mut session = MqttSession::new(start);
    session.handle_timeout(start + Duration::from_secs(10));
    assert!(matches!(drain(&mut session).1[..], [MqttEvent::Closed(_)]));
}

proptest! {
    #[test]
    fn packets_survive_any_split(cuts in prop::collection::vec(1_usize..40, 1..60), texts in prop::collection::vec("[a-z]{0,300}", 1..6)) {
        let packets: Vec<Packet> = texts
            .iter()
            .zip(1..)
            .map(|(text, id)| Packet::Publish { topic: "t".to_owned(), payload: Bytes::copy_from_slice(text.as_bytes()), id: Some(id) })
            .collect();
        let bytes: Vec<u8> = packets.iter().flat_map(|packet| packet.encode().to_vec()).collect();
        let mut decoder = PacketDecoder::default();
        let (mut rest, mut read) = (&bytes[..], Vec::new());
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            decoder.feed(piece);
            rest = tail;
            read.extend(std::iter::from_fn(|| decoder.poll().unwrap()));
        }
        prop_assert_eq!(read, packets);
    }

    #[test]
    fn no_bytes_break_a_session(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let start = Instant::now();
        let mut session = MqttSession::new(start);
        session.handle_input(&connect().encode(), start);
        for piece in pieces {
            session.handle_input(&piece, start);
            while session.poll_transmit().is_some() {}
            while session.poll_event().is_some() {}
        }
        let _ = Request::read(&[0; 3]);
    }

    #[test]
    fn no_bytes_break_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..MAX_PACKET / 16)) {
        let _ = Request::read(&bytes);
        let _ = read_reply(&bytes, Reading::Lenient);
        let _ = read_reply(&bytes, Reading::Strict);
        let _ = proto_naxclow::dns::answer(&bytes, [10, 0, 0, 1].into());
        let _ = Object::read(&bytes);
    }
}
