//! The dialects of multipart that cameras speak.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use proto_jpeg::{Losses, Multipart};
use support::{any_picture, cuts, picture, split};

const BOUNDARY: &str = "123456789000000000000987654321";

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, bool, Losses) {
    let mut parser = Multipart::new();
    let mut pictures = Vec::new();
    for piece in pieces {
        parser.feed(piece);
        pictures.extend(std::iter::from_fn(|| parser.poll()));
    }
    let by_markers = parser.reads_by_markers();
    parser.finish();
    pictures.extend(std::iter::from_fn(|| parser.poll()));
    (pictures, by_markers, parser.losses())
}

/// What is told about a part's length.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Length {
    Right,
    Missing,
    Short,
    Long,
}

fn part(picture: &[u8], length: Length) -> Vec<u8> {
    let len = match length {
        Length::Right => Some(picture.len()),
        Length::Missing => None,
        Length::Short => Some(picture.len() - 5),
        Length::Long => Some(picture.len() + 7),
    };
    let len = len.map_or(String::new(), |len| format!("Content-Length: {len}\r\n"));
    let head = format!("Content-Type: image/jpeg\r\n{len}X-Timestamp: 12.345678\r\n\r\n");
    [head.as_bytes(), picture].concat()
}

/// CameraWebServer of today: CRLF, boundary, CRLF before each part.
fn boundary_first(pictures: &[Vec<u8>], length: Length) -> Vec<u8> {
    let boundary = format!("\r\n--{BOUNDARY}\r\n");
    let part = |p: &Vec<u8>| [boundary.as_bytes(), &part(p, length)].concat();
    pictures.iter().flat_map(part).collect()
}

/// CameraWebServer of old: the boundary behind each part.
fn boundary_last(pictures: &[Vec<u8>], length: Length) -> Vec<u8> {
    let boundary = format!("\r\n--{BOUNDARY}\r\n");
    let part = |p: &Vec<u8>| [&part(p, length), boundary.as_bytes()].concat();
    pictures.iter().flat_map(part).collect()
}

#[test]
fn both_boundary_orders_give_all_pictures_by_their_lengths() {
    let pictures = [picture(&[1]), picture(&[2, 0xff, 0]), picture(&[3])];
    for stream in [
        boundary_first(&pictures, Length::Right),
        boundary_last(&pictures, Length::Right),
    ] {
        let (found, by_markers, losses) = read(stream.chunks(7));
        assert_eq!(found, pictures);
        assert!(!by_markers);
        assert_eq!(losses, Losses::default());
    }
}

#[test]
fn pictures_are_shown_without_waiting_for_the_next_boundary() {
    let one = picture(&[1]);
    let mut parser = Multipart::new();
    parser.feed(&boundary_first(std::slice::from_ref(&one), Length::Right));
    assert_eq!(parser.poll().unwrap(), one);
    let mut parser = Multipart::new();
    parser.feed(&boundary_first(std::slice::from_ref(&one), Length::Missing));
    assert_eq!(parser.poll().unwrap(), one);
}

#[test]
fn a_part_of_another_type_is_passed_over() {
    let one = picture(&[1]);
    let stream = [
        b"preamble of a proxy\r\n--b\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello\r\n--b\r\n",
        &part(&one, Length::Right)[..],
    ]
    .concat();
    let (found, by_markers, _) = read([&stream[..]]);
    assert_eq!(found, [one]);
    assert!(!by_markers);
}

#[test]
fn bare_line_feeds_and_odd_cases_are_understood() {
    let one = picture(&[1]);
    let head = format!("--x\ncontent-length : {}\n\n", one.len());
    let (found, by_markers, _) = read([head.as_bytes(), &one]);
    assert_eq!(found, [one]);
    assert!(!by_markers);
}

#[test]
fn a_giant_length_and_an_endless_line_are_not_waited_for() {
    let one = picture(&[1]);
    for head in [
        b"--x\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        b"--x\r\nContent-Length: 9999999999999999999999999\r\n\r\n".to_vec(),
        vec![b'a'; 5000],
        b"--x\r\n"
            .iter()
            .copied()
            .chain(*b"A: b\r\n".repeat(40).first_chunk::<240>().unwrap())
            .collect(),
    ] {
        let (found, by_markers, _) = read([&head[..], &one]);
        assert_eq!(found, std::slice::from_ref(&one));
        assert!(by_markers);
    }
}

fn length() -> impl Strategy<Value = Length> {
    prop_oneof![
        Just(Length::Right),
        Just(Length::Missing),
        Just(Length::Short),
        Just(Length::Long),
    ]
}

proptest! {
    #[test]
    fn every_dialect_cut_anywhere_gives_the_pictures(
        pictures in prop::collection::vec(any_picture(), 1..5),
        length in length(),
        is_first in any::<bool>(),
        cuts in cuts(),
    ) {
        let stream = if is_first { boundary_first(&pictures, length) } else { boundary_last(&pictures, length) };
        let (found, by_markers, _) = read(split(&stream, &cuts));
        // A length that is too long hides the next boundary, and never the next picture.
        prop_assert_eq!(found, pictures);
        prop_assert!(by_markers || length == Length::Right || length == Length::Long);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        pieces in prop::collection::vec(
            prop_oneof![
                any_picture(),
                any_picture().prop_map(|p| part(&p, Length::Right)),
                (any_picture(), 0..300_usize).prop_map(|(p, cut)| { let mut p = part(&p, Length::Right); p.truncate(cut); p }),
                Just(b"\r\n--b\r\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..20),
            ],
            0..8,
        ),
        cuts in cuts(),
    ) {
        let stream = pieces.concat();
        let whole = read([&stream[..]]);
        prop_assert_eq!(&whole, &read(split(&stream, &cuts)));
        prop_assert_eq!(&whole, &read(stream.chunks(1)));
    }
}
