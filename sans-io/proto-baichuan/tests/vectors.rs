//! The byte vectors of the protocol notes (section 13).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use proptest::prelude::*;
use proto_baichuan::{
    Class, Codec, Element, Encryption, FrameDecoder, MediaInfo, MediaPacket, MediaParser, Message,
    Payload, Preview, Role, StreamKind, Tag, Video, VideoCodec, extension, login_hash,
};

const NONCE: &str = "9E6D1FCB9E69846D";

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

fn codec(role: Role, encryption: Encryption) -> Codec {
    let mut codec = Codec::new(role);
    codec.set_encryption(encryption, NONCE, "123456");
    codec
}

fn decode(codec: &mut Codec, bytes: &[u8]) -> Message {
    let mut decoder = FrameDecoder::default();
    decoder.push(bytes);
    let message = codec.decode(decoder.poll().unwrap().unwrap()).unwrap();
    assert_eq!(decoder.poll(), Ok(None));
    message
}

fn number(number: u16) -> Tag {
    Tag {
        number,
        ..Tag::default()
    }
}

fn client(id: u32, tag: Tag) -> Message {
    Message {
        id,
        tag,
        status: 0,
        class: Class::CLIENT,
        extension: None,
        payload: Payload::None,
    }
}

/// Encoding gives the vector, decoding the message.
fn check(role: Role, encryption: Encryption, message: &Message, hex: &str) {
    let other = match role {
        Role::Client => Role::Device,
        Role::Device => Role::Client,
    };
    let bytes = codec(role, encryption).encode(message).unwrap();
    assert_eq!(bytes, unhex(hex));
    assert_eq!(decode(&mut codec(other, encryption), &bytes), *message);
}

#[test]
fn the_nonce_request_is_a_header_alone() {
    let request = Message {
        status: 0xdc12,
        class: Class::LEGACY,
        ..client(1, Tag::default())
    };
    check(
        Role::Client,
        Encryption::None,
        &request,
        "f0debc0a01000000000000000000000012dc1465",
    );
}

#[test]
fn the_nonce_reply_is_what_a_real_camera_sent() {
    let reply = Message {
        status: 0xdd02,
        class: Class::NONCE_REPLY,
        payload: Payload::of(
            Element::versioned("Encryption")
                .with("type", "md5")
                .with("nonce", NONCE),
        ),
        ..client(1, Tag::default())
    };
    let hex = "f0debc0a01000000910000000000000002dd1466
        2312442636490e9a6d5e552434545ace311d1e6b3f071b907b44522c674b2dab590004697a5646f5
        234f532f235772c35a435f3923190c9670431c3d3f1b0b96704301696b4749dd2127003f23191dc1
        72490977751d018f7a1336773406169c7a13050e6c2d49b95c6f050e6c5040cb296900643406169c
        7a133677752c169c6d544c3f330616c115111329350d01c115";
    check(Role::Device, Encryption::Aes, &reply, hex);
    // The client reads it before it knows any cipher.
    let mut fresh = Codec::new(Role::Client);
    assert_eq!(decode(&mut fresh, &unhex(hex)), reply);
}

#[test]
fn the_login_request_has_the_known_hash() {
    let user = Element::versioned("LoginUser")
        .with("userName", login_hash("admin", NONCE))
        .with("password", login_hash("123456", NONCE))
        .with("userVer", 1);
    let net = Element::versioned("LoginNet")
        .with("type", "LAN")
        .with("udpPort", 0);
    let body = Element::new("body").containing(user).containing(net);
    let request = Message {
        payload: Payload::Xml(body),
        ..client(1, number(0x0100))
    };
    let bytes = codec(Role::Client, Encryption::Aes)
        .encode(&request)
        .unwrap();
    let header = unhex("f0debc0a0100000028010000000000010000146400000000");
    assert_eq!(bytes[..24], header);
    let md5 = <md5::Md5 as md5::Digest>::digest(&bytes);
    assert_eq!(md5[..], unhex("685d61360e4a43e14c468a1de76e8a3d"));
}

#[test]
fn the_battery_request_is_an_extension_alone() {
    let request = Message {
        extension: Some(extension(&[("channelId", "0")])),
        ..client(253, number(0x0200))
    };
    check(
        Role::Client,
        Encryption::Aes,
        &request,
        "f0debc0afd00000068000000000000020000146468000000
        c640e9ad98c8769f3cdb1a55cfd4985710bee2e828f6d0d6cd7b76bc8c7cc3fe19a62165915a813b
        8fd3982c5f89c2af15522d4636680f88be315457a82b18b6034d190760fec619ab8d824daab3da39
        e7dcf0a523ad946e48a5b2790364a09674269354f447f534",
    );
}

#[test]
fn the_preview_request_is_aes() {
    let preview = Preview {
        channel: 0,
        handle: 0,
        kind: Some(StreamKind::Main),
    };
    let request = Message {
        payload: Payload::of(preview.to_xml()),
        ..client(3, number(0x0300))
    };
    check(
        Role::Client,
        Encryption::Aes,
        &request,
        "f0debc0a03000000aa000000000000030000146400000000
        c640e9ad98c8769f3cdb1a55cfd4985710bee2e828f6d0d6cd7b76bc8c7cc3fe19a62165915a813b
        8ff48f3c43d9bbfadb0a11845d2aed96cde2d4f5f3734fb1cdad6e9dd0586f4dc07aedead2a170e3
        8783c659f67e7d456a9087b91827690cda0e65158d8c3515141ebb7b4bb536798a6a4600ce9db68c
        ebb5a8d1fafe260ce514608abbcb57fc75fdbfc5efba6f3bf8442ad5e902bb6cc8e369a9da0bed33
        4d453a5ac239bfdeb4e0",
    );
}

const INFO: &str = "31303031200000008002000068010000000a7c05060708097c05060708090000";

fn stream_start(extension: Element) -> Message {
    Message {
        status: 200,
        class: Class::DEVICE,
        extension: Some(extension),
        payload: Payload::Binary(unhex(INFO).into()),
        ..client(3, number(0x0300))
    }
}

#[test]
fn a_stream_starts_clear_or_partly_encrypted() {
    check(
        Role::Device,
        Encryption::Aes,
        &stream_start(extension(&[("binaryData", "1")])),
        "f0debc0a030000008a00000000000003c80000006a000000
        c640e9ad98c8769f3cdb1a55cfd4985710bee2e828f6d0d6cd7b76bc8c7cc3fe19a62165915a813b
        8fd3982c5f89c2af15522d4636680f88be315457a82b18b6034d190661f1c905b7a5aa5df5bdd72a
        fe56e622f46df9640e2546bd211810fefdfd4211a3f0f03c4e0e
        31303031200000008002000068010000000a7c05060708097c05060708090000",
    );
    check(
        Role::Device,
        Encryption::FullAes,
        &stream_start(extension(&[("encryptLen", "16"), ("binaryData", "1")])),
        "f0debc0a03000000a600000000000003c800000086000000
        c640e9ad98c8769f3cdb1a55cfd4985710bee2e828f6d0d6cd7b76bc8c7cc3fe19a62165915a813b
        8fd3982c5f89c2af15522d4636680f88be315457a82b18b6034d190166fcda0ebe95874cfabdd720
        3756ec3369173baec222bb909a7edc4ba7038104f3a5a8c8620c9432466f0e2b63f737fee9c6f501
        cad5293bc8332e26897d81b8691c
        cb4fa1f1d4e800faceaa733ac9e8ba66000a7c05060708097c05060708090000",
    );
}

#[test]
fn an_answer_under_another_cipher_than_agreed_is_read() {
    let reply = Message {
        status: 200,
        class: Class::DEVICE,
        payload: Payload::of(Element::versioned("LinkType").with("type", "LAN")),
        ..client(93, number(7))
    };
    for sent in [Encryption::None, Encryption::Xor, Encryption::Aes] {
        let bytes = codec(Role::Device, sent).encode(&reply).unwrap();
        for agreed in [Encryption::Aes, Encryption::FullAes] {
            assert_eq!(decode(&mut codec(Role::Client, agreed), &bytes), reply);
        }
    }
}

#[test]
fn a_message_too_long_for_a_camera_is_not_sent() {
    let message = Message {
        payload: Payload::Binary(vec![0; 38_000].into()),
        ..client(67, number(1))
    };
    assert!(
        codec(Role::Client, Encryption::Aes)
            .encode(&message)
            .is_err()
    );
}

fn media_vectors() -> Vec<(MediaPacket, Vec<u8>)> {
    let time = [124, 5, 6, 7, 8, 9];
    vec![
        (
            MediaPacket::Info(MediaInfo {
                version: 1,
                width: 640,
                height: 360,
                unknown_0x10: 0,
                frame_rate: 10,
                start: time,
                end: time,
            }),
            unhex(INFO),
        ),
        (
            MediaPacket::Video(Video {
                channel: 0,
                is_keyframe: true,
                codec: VideoCodec::H264,
                microseconds: 1_000_000,
                unknown_0x14: 0,
                extra: unhex("d981386600000000").into(),
                data: unhex("0000000165888400010203").into(),
            }),
            unhex(
                "30306463483236340b0000000800000040420f0000000000d981386600000000
                00000001658884000102030000000000",
            ),
        ),
        (
            MediaPacket::Video(Video {
                channel: 0,
                is_keyframe: false,
                codec: VideoCodec::H265,
                microseconds: 1_040_000,
                unknown_0x14: 0,
                extra: Bytes::new(),
                data: unhex("000000010201").into(),
            }),
            unhex("3031646348323635060000000000000080de0f00000000000000000102010000"),
        ),
        (
            MediaPacket::Aac(unhex("fff15840013ffc0102").into()),
            unhex("3035776209000900fff15840013ffc010200000000000000"),
        ),
        (
            MediaPacket::Adpcm {
                half: 4,
                block: unhex("00000000077771abbbcbb433").into(),
            },
            unhex("30317762100010000001040000000000077771abbbcbb433"),
        ),
    ]
}

#[test]
fn media_packets_are_the_vectors() {
    for (packet, bytes) in media_vectors() {
        assert_eq!(packet.encode(), bytes);
        let mut parser = MediaParser::default();
        parser.push(&bytes);
        assert_eq!(parser.poll(), Some(packet));
        assert_eq!(parser.poll(), None);
        assert_eq!(parser.resyncs(), 0);
    }
}

#[test]
fn media_after_rubbish_and_lies_goes_on() {
    let mut stream = Vec::new();
    let mut expected = Vec::new();
    for (packet, bytes) in media_vectors() {
        // A magic with an endless length, one with another codec, and plain noise.
        stream.extend(b"00dcH264\xff\xff\xff\xff\x00\x00\x00\x0000dcVP80noise05wb\x01\x00\x02\x00");
        stream.extend(bytes);
        expected.push(packet);
    }
    let mut parser = MediaParser::default();
    parser.push(&stream);
    let packets: Vec<_> = std::iter::from_fn(|| parser.poll()).collect();
    assert_eq!(packets, expected);
    assert_eq!(parser.resyncs(), 5);
}

#[test]
fn sound_padded_by_another_rule_is_read() {
    let block = Bytes::from(vec![0; 513]);
    let packet = MediaPacket::Adpcm { half: 256, block };
    let mut stream = packet.encode().to_vec();
    // 517 bytes ask for three of padding; the other rule, over 513, would write seven, and no rule none.
    stream.truncate(stream.len() - 3);
    stream.extend(packet.encode());
    let mut parser = MediaParser::default();
    parser.push(&stream);
    assert_eq!(parser.poll(), Some(packet.clone()));
    assert_eq!(parser.poll(), Some(packet));
}

#[test]
fn the_media_clock_unwraps_and_never_jumps_back() {
    let mut clock = proto_baichuan::MediaClock::default();
    assert_eq!(clock.unwrap(u32::MAX - 10), 0);
    assert_eq!(clock.unwrap(29), 40);
    assert_eq!(clock.unwrap(20), 40);
    assert_eq!(clock.unwrap(69), 80);
    assert_eq!(clock.unwrap(3_000_000_000), 80);
    assert_eq!(clock.unwrap(3_000_000_040), 120);
}

proptest! {
    #[test]
    fn media_in_any_pieces_gives_the_same_packets(cuts in prop::collection::vec(1..40_usize, 1..60)) {
        let vectors = media_vectors();
        let stream: Vec<u8> = vectors.iter().chain(&vectors).flat_map(|(_, bytes)| bytes.clone()).collect();
        let mut parser = MediaParser::default();
        let mut packets = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            parser.push(piece);
            packets.extend(std::iter::from_fn(|| parser.poll()));
        }
        let expected: Vec<_> = vectors.iter().chain(&vectors).map(|(packet, _)| packet.clone()).collect();
        prop_assert_eq!(packets, expected);
    }

    #[test]
    fn frames_in_any_pieces_are_the_same(cuts in prop::collection::vec(1..50_usize, 1..60), lead in 0..20_usize) {
        let message = stream_start(extension(&[("binaryData", "1")]));
        let mut stream = vec![0x55; lead];
        for _ in 0..5 {
            stream.extend(codec(Role::Device, Encryption::Aes).encode(&message).unwrap());
        }
        let mut decoder = FrameDecoder::default();
        let mut codec = codec(Role::Client, Encryption::Aes);
        let mut count = 0;
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, tail) = rest.split_at((*cut).min(rest.len()));
            rest = tail;
            decoder.push(piece);
            while let Some(frame) = decoder.poll().unwrap() {
                prop_assert_eq!(&codec.decode(frame).unwrap(), &message);
                count += 1;
            }
        }
        prop_assert_eq!(count, 5);
    }
}
