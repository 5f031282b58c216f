use proptest::prelude::*;

use super::*;
use crate::CameraReport;

fn text(max: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::char::range('!', '~'), 0..max.min(80))
        .prop_map(|chars| chars.into_iter().collect())
}

fn hello() -> impl Strategy<Value = Hello> {
    let addresses = prop::collection::vec(any::<IpAddr>(), 0..=MAX_LOCAL_ADDRESSES);
    let secrets = (any::<[u8; 32]>(), any::<Option<[u8; 32]>>());
    (
        any::<u16>(),
        "[a-z0-9][a-z0-9._-]{0,62}",
        secrets,
        text(MAX_PROGRAM),
        text(MAX_HOST_NAME),
        addresses,
        (any::<u64>(), any::<u32>(), any::<Option<([u8; 32], u64)>>()),
    )
        .prop_map(
            |(version, name, (token, secret), program, host_name, local_addresses, place)| Hello {
                version,
                name: name.parse().unwrap(),
                token: Secret::new(token),
                join_secret: secret.map(Secret::new),
                program: program.chars().take(MAX_PROGRAM).collect(),
                host_name: host_name.chars().take(MAX_HOST_NAME).collect(),
                local_addresses,
                instance: place.0,
                attempt: place.1,
                resume: place.2.map(|(ticket, consumed)| Resume {
                    ticket: Secret::new(ticket),
                    consumed,
                }),
            },
        )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        hello().prop_map(Message::Hello),
        (
            any::<u16>(),
            text(60),
            any::<[u8; 32]>(),
            any::<Option<u64>>(),
            prop_oneof![
                Just(QuicOffer::None),
                Just(QuicOffer::SamePort),
                any::<u16>().prop_map(QuicOffer::Port)
            ],
        )
            .prop_map(
                |(version, program, ticket, resumed, quic)| Message::Welcome(Welcome {
                    version,
                    program,
                    ticket: Secret::new(ticket),
                    resumed,
                    quic,
                })
            ),
        (any::<u8>(), text(MAX_TEXT)).prop_map(|(n, text)| Message::Refused(Refused {
            reason: Refusal::from_number(n),
            text
        })),
        ("[a-z0-9:.]{1,60}", 1u16..).prop_map(|(host, port)| Message::Open(Open { host, port })),
        Just(Message::Opened),
        (any::<IpAddr>(), 1u16..).prop_map(|(address, port)| {
            let towards = SocketAddr::new(address, port);
            Message::OpenDatagrams(OpenDatagrams { towards })
        }),
        any::<u16>().prop_map(|port| Message::OpenedDatagrams(OpenedDatagrams { port })),
        (any::<u8>(), text(MAX_TEXT)).prop_map(|(n, text)| Message::OpenFailed(OpenFailed {
            kind: OpenFailure::from_number(n),
            text
        })),
        (any::<u8>(), text(MAX_TEXT)).prop_map(|(n, text)| Message::Bye(Bye {
            reason: ByeReason::from_number(n),
            text
        })),
        any::<u8>().prop_map(|n| Message::Command(Command::from_number(n))),
        report().prop_map(Message::Report),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    let camera = (
        "[a-z0-9:.]{0,60}",
        any::<u16>(),
        any::<Option<IpAddr>>(),
        any::<Option<bool>>(),
        any::<bool>(),
        any::<Option<bool>>(),
    );
    let camera =
        camera.prop_map(
            |(host, port, address, is_dhcp, is_detected, is_reached)| CameraReport {
                host,
                port,
                address,
                is_dhcp,
                is_detected,
                is_reached,
            },
        );
    let words = ("[ -~]{0,64}", "[ -~]{0,256}", "[a-z]{0,16}");
    (any::<[u64; 6]>(), prop::option::of(camera), words).prop_map(
        |([instance, uptime_ms, sessions, opened, failed, memory], camera, words)| Report {
            instance,
            uptime_ms,
            sessions,
            opened,
            failed,
            memory,
            camera,
            model: words.0,
            path: words.1,
            quality: words.2,
        },
    )
}

proptest! {
    #[test]
    fn any_messages_survive_any_split(messages in prop::collection::vec(message(), 1..6), cuts in prop::collection::vec(1usize..40, 1..50)) {
        let bytes: Vec<u8> = messages.iter().flat_map(|m| m.encode().unwrap()).collect();
        let mut decoder = MessageDecoder::new();
        let mut seen = Vec::new();
        let (mut rest, mut cuts) = (bytes.as_slice(), cuts.into_iter().cycle());
        while !rest.is_empty() {
            let (mut piece, tail) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            while let Some(message) = decoder.decode(&mut piece).unwrap() {
                seen.push(message);
            }
            prop_assert!(piece.is_empty());
            rest = tail;
        }
        prop_assert_eq!(seen, messages);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_panic(bytes: Vec<u8>) {
        if let Ok(message) = Message::decode(&bytes) {
            let again = message.encode().unwrap();
            prop_assert_eq!(Message::decode(&again[HEADER_LEN..]).unwrap(), message);
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_refused_by_field(message in message(), at in any::<prop::sample::Index>()) {
        let bytes = message.encode().unwrap();
        let body = &bytes[HEADER_LEN..];
        let cut = at.index(body.len());
        prop_assert!(Message::decode(&body[..cut]).is_err());
    }

    #[test]
    fn fields_that_a_newer_peer_appends_are_skipped(message in message(), tail: [u8; 5]) {
        let mut bytes = message.encode().unwrap();
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(Message::decode(&bytes[HEADER_LEN..]).unwrap(), message);
    }
}

#[test]
fn bytes_after_opened_are_left_for_the_camera() {
    let mut bytes = Message::Opened.encode().unwrap();
    bytes.extend_from_slice(b"RTSP/1.0 200 OK\r\n");
    let mut input = bytes.as_slice();
    assert_eq!(
        MessageDecoder::new().decode(&mut input),
        Ok(Some(Message::Opened))
    );
    assert_eq!(input, b"RTSP/1.0 200 OK\r\n");
}

#[test]
fn an_announced_length_beyond_the_limit_is_refused_before_a_byte_is_stored() {
    let mut decoder = MessageDecoder::new();
    let mut input: &[u8] = &[0xFF, 0xFF, 1, 2, 3];
    assert_eq!(
        decoder.decode(&mut input),
        Err(Error::MessageTooLong {
            found: 0xFFFF,
            max: MAX_MESSAGE
        })
    );
    assert_eq!(decoder.buffer.len(), HEADER_LEN);
}

#[test]
fn text_with_control_characters_is_refused_both_ways() {
    let evil = Message::Refused(Refused {
        reason: Refusal::Busy,
        text: "red \u{1b}[31m".into(),
    });
    assert!(evil.encode().is_err());
    let mut bytes = vec![REFUSED, 1, 0, 2];
    bytes.extend_from_slice(b"\x1b[");
    assert_eq!(
        Message::decode(&bytes),
        Err(Error::MessageField {
            message: "refused",
            field: "text"
        })
    );
}

#[test]
fn the_layout_on_the_wire_is_fixed() {
    let open = Message::Open(Open {
        host: "cam".into(),
        port: 554,
    });
    assert_eq!(
        open.encode().unwrap(),
        [0, 8, 4, 0, 3, b'c', b'a', b'm', 2, 42]
    );
    assert_eq!(
        Message::Bye(Bye {
            reason: ByeReason::Removed,
            text: "!".into()
        })
        .encode()
        .unwrap(),
        [0, 5, 9, 3, 0, 1, b'!']
    );
}

#[test]
fn secrets_do_not_print() {
    let hello = Hello {
        version: 1,
        name: "shed".parse().unwrap(),
        token: Secret::new([171; 32]),
        join_secret: Some(Secret::new([171; 32])),
        program: String::new(),
        host_name: String::new(),
        local_addresses: vec![],
        instance: 1,
        attempt: 1,
        resume: Some(Resume {
            ticket: Secret::new([171; 32]),
            consumed: 5,
        }),
    };
    assert!(!format!("{hello:?}").contains("171"));
}
