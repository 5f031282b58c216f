//! Frames in any pieces, pictures through any network.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{hex, picture};
use proptest::prelude::*;
use proto_naxclow::audio::AudioCodec;
use proto_naxclow::picture::split_picture;
use proto_naxclow::{Cmd, Error, Frame, FrameDecoder, Item, Message, Object, Receiver, Side, flag};

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

const REGISTER: &str = "57000000000000000000000000000000000000007b22636f6465223a203130302c2022756964223a2022303830306330303132384638222c2022746f6b656e223a2022393165646634316622202c22646f6d61696e223a2022763732302e6e6178636c6f772e636f6d227d";

fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.feed(piece);
        while let Some(frame) = decoder.poll().unwrap() {
            frames.push(frame);
        }
    }
    assert_eq!(decoder.pending(), 0);
    frames
}

#[test]
fn a_stream_is_cut_into_frames_at_every_point_of_the_facts() {
    let register = hex(REGISTER);
    let heartbeat = hex("0000000064000000000000000000000000000000");
    for at in [1, 19, 20, 21, 106] {
        let (head, tail) = register.split_at(at);
        assert_eq!(frames(&[head, tail]).len(), 1, "cut after {at}");
    }
    let both = [register.clone(), heartbeat.clone()].concat();
    assert_eq!(both.len(), 127);
    assert_eq!(frames(&[&both]).len(), 2);
    assert_eq!(frames(&[&heartbeat.repeat(3)]).len(), 3);
}

#[test]
fn a_length_over_the_limit_ends_the_stream_and_takes_no_memory() {
    for len in [8073_u32, u32::MAX] {
        let mut decoder = FrameDecoder::default();
        decoder.feed(&[&len.to_le_bytes()[..], &[0; 16]].concat());
        for _ in 0..2 {
            let found = len as usize;
            assert_eq!(
                decoder.poll(),
                Err(Error::FrameTooLong { found, max: 8072 })
            );
            decoder.feed(&[0; 4096]);
        }
        assert_eq!(decoder.pending(), 0);
    }
    let mut longer = hex(REGISTER);
    longer[0] += 1;
    let mut decoder = FrameDecoder::default();
    decoder.feed(&longer);
    assert_eq!(decoder.poll(), Ok(None));
}

#[test]
fn odd_json_is_read_and_worse_is_refused() {
    let read = |text: &[u8]| Object::read(text);
    let object =
        read(b"\0\n { \"code\" :4 ,\"wifiName\":\"caf\xE9\", \"n\":\"7\",} garbage\0\0").unwrap();
    assert_eq!(object.integer("code"), Some(4));
    assert_eq!(object.text("wifiName"), Some("caf\u{FFFD}"));
    assert_eq!(object.integer("n"), Some(7));
    let deep = |levels: usize| "{\"a\":".repeat(levels - 1) + "{}" + &"}".repeat(levels - 1);
    assert!(read(deep(8).as_bytes()).is_ok());
    assert!(read(deep(9).as_bytes()).is_err());
    assert!(
        read(format!("{{\"a\":{}1{}}}", "[".repeat(2000), "]".repeat(2000)).as_bytes()).is_err()
    );
    assert!(read(format!("{{\"a\":\"{}\"}}", "x".repeat(257)).as_bytes()).is_err());
    assert!(read(&b" ".repeat(4097)).is_err());
    for bad in [
        "",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":nope}",
        "[1]",
        "{\"a\":\"\\u12",
        "{,}",
    ] {
        assert!(read(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(matches!(
        Message::read(b"{}"),
        Err(Error::Member { member: "code", .. })
    ));
    assert_eq!(
        read(br#"{"a":"\ud83d\ude00\u00e9\n\/"}"#)
            .unwrap()
            .text("a"),
        Some("\u{1F600}é\n/")
    );
}

#[test]
fn a_picture_may_have_sound_within_and_arrive_backwards() {
    let (mut receiver, start) = (Receiver::default(), now());
    let jpeg = picture(2100);
    let mut id = u32::MAX;
    let mut packets = split_picture(&jpeg, &mut id);
    // The second number is the sound's.
    for packet in &mut packets[1..] {
        packet.id = packet.id.wrapping_add(1);
    }
    packets.insert(
        1,
        Frame::media(Cmd::ALaw, flag::WHOLE, 0, vec![0xD5; 800], Side::Camera),
    );
    for packet in packets.iter().rev() {
        receiver.handle_frame(packet, start);
    }
    let items: Vec<Item> = std::iter::from_fn(|| receiver.poll_item()).collect();
    assert_eq!(items.len(), 2);
    assert!(items.contains(&Item::Picture(jpeg.into())));
    assert!(items.contains(&Item::Audio(AudioCodec::ALaw, Bytes::from(vec![0xD5; 800]))));
    let confirmed = receiver.handle_timeout(start + Duration::from_millis(100));
    assert_eq!(confirmed[0].payload.len(), 4 * packets.len());
}

#[test]
fn a_counter_that_starts_anew_mixes_no_two_pictures() {
    let (mut receiver, start) = (Receiver::default(), now());
    let (old, new) = (picture(3000), picture(2500));
    for packet in split_picture(&old, &mut 2).iter().take(2) {
        receiver.handle_frame(packet, start);
    }
    for mut id in [1, 4, 7] {
        for packet in &split_picture(&new, &mut id) {
            receiver.handle_frame(packet, start);
        }
    }
    let items: Vec<Item> = std::iter::from_fn(|| receiver.poll_item()).collect();
    assert!(!items.is_empty());
    assert!(
        items
            .iter()
            .all(|item| *item == Item::Picture(new.clone().into()))
    );
}

#[test]
fn floods_of_fragments_stay_within_bounds() {
    let (mut receiver, start) = (proto_naxclow::picture::Reassembler::default(), now());
    for id in 0..20_000 {
        let flag = if id == 0 { flag::FIRST } else { flag::MIDDLE };
        let packet = Frame::media(Cmd::Jpeg, flag, id, vec![0; 8072], Side::Camera);
        receiver.picture_packet(&packet, start);
        assert!(receiver.buffered() <= 2 << 20);
    }
    receiver.handle_timeout(start + Duration::from_millis(500));
    assert_eq!(receiver.buffered(), 0);
    assert_eq!(receiver.poll_timeout(), None);
}

#[test]
fn what_a_tail_says_decides_and_damage_is_dropped() {
    use proto_naxclow::picture::finish_picture;
    let jpeg = picture(50);
    assert_eq!(finish_picture(jpeg.clone()).unwrap(), jpeg);
    assert_eq!(
        finish_picture([&jpeg[..], &[0, 1, 2]].concat()).unwrap(),
        jpeg
    );
    assert_eq!(
        finish_picture([&jpeg[..], &[0, 9, 9, 9, 9]].concat()).unwrap(),
        jpeg
    );
    assert_eq!(
        finish_picture(vec![0xFF, 0xD8, 1, 2, 3, 4, 5, 6, 7, 8]),
        None
    );
    assert_eq!(finish_picture(vec![]), None);
    assert_eq!(finish_picture(vec![0, 0xFF, 0xD9]), None);
}

/// A picture that no mixture of two can equal: each byte of it says which it is.
fn marked(number: u8, len: usize) -> Vec<u8> {
    [&[0xFF, 0xD8][..], &vec![number; len], &[0xFF, 0xD9]].concat()
}

proptest! {
    #[test]
    fn frames_survive_any_split(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 1..8),
        cuts in prop::collection::vec(1_usize..700, 1..40),
    ) {
        let sent: Vec<Frame> = (0..).zip(payloads)
            .map(|(id, payload)| Frame::media(Cmd::Other(id as u16 + 700), 7, id, payload, Side::Cloud))
            .collect();
        let stream: Vec<u8> = sent.iter().flat_map(|frame| frame.encode().unwrap()).collect();
        let (mut rest, mut pieces) = (stream.as_slice(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(frames(&pieces), sent);
    }

    #[test]
    fn no_network_tears_a_picture(
        first in any::<u32>(),
        lens in prop::collection::vec(1_usize..9000, 2..12),
        fate in prop::collection::vec((0_u8..100, 0_usize..12, 0_u64..80), 200),
    ) {
        let mut id = first;
        let pictures: Vec<Vec<u8>> = (0..).zip(&lens).map(|(number, len)| marked(number, *len)).collect();
        let mut packets = Vec::new();
        for picture in &pictures {
            packets.extend(split_picture(picture, &mut id));
            packets.push(Frame::media(Cmd::ALaw, flag::WHOLE, id, vec![0xD5; 80], Side::Camera));
            id = id.wrapping_add(1);
        }
        // Lost, doubled, late by some places; and time passes.
        let mut arrivals = Vec::new();
        for (place, (packet, (luck, late, _))) in packets.iter().zip(fate.iter().cycle()).enumerate() {
            match luck {
                0..10 => {}
                10..20 => arrivals.extend([(place, packet), (place + late, packet)]),
                20..40 => arrivals.push((place + late, packet)),
                _ => arrivals.push((place, packet)),
            }
        }
        arrivals.sort_by_key(|(place, _)| *place);
        let (mut receiver, mut clock) = (Receiver::default(), now());
        let mut shown = Vec::new();
        for ((_, packet), (_, _, wait)) in arrivals.iter().zip(fate.iter().cycle()) {
            clock += Duration::from_millis(*wait);
            receiver.handle_timeout(clock);
            receiver.handle_frame(packet, clock);
            while let Some(item) = receiver.poll_item() {
                if let Item::Picture(data) = item {
                    let number = pictures.iter().position(|picture| *picture == data);
                    prop_assert!(number.is_some(), "a torn picture came out");
                    shown.push(number);
                }
            }
        }
        prop_assert!(shown.is_sorted_by(|a, b| a < b), "no picture twice, none backwards");
    }

    #[test]
    fn every_picture_comes_out_of_a_good_network(first in any::<u32>(), lens in prop::collection::vec(1_usize..9000, 1..8)) {
        let (mut receiver, start, mut id) = (Receiver::default(), now(), first);
        for len in lens {
            let jpeg = marked(3, len);
            for packet in split_picture(&jpeg, &mut id) {
                let packet = Frame::decode_datagram(&packet.encode().unwrap()).unwrap();
                receiver.handle_frame(&packet, start);
            }
            prop_assert_eq!(receiver.poll_item(), Some(Item::Picture(jpeg.into())));
        }
        prop_assert_eq!(receiver.dropped(), 0);
    }

    #[test]
    fn any_object_that_is_read_can_be_written_and_read_again(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for input in [format!("{{\"a\": \"{text}\", \"b\": [1, {{}}]}}").into_bytes(), bytes] {
            if let Ok(object) = Object::read(&input) {
                let again = object.write(proto_naxclow::Style::Compact);
                prop_assert_eq!(Object::read(again.as_bytes()), Ok(object));
            }
        }
    }
}
