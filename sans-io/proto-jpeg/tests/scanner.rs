//! Every way of cutting a stream gives the same pictures.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use proto_jpeg::{Losses, Scanner};
use support::{any_picture, app1, cuts, junk, picture, picture_with, split};

fn scan_pieces<'a>(max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Bytes>, Losses) {
    let mut scanner = Scanner::with_limit(max);
    let mut pictures = Vec::new();
    for piece in pieces {
        scanner.feed(piece);
        pictures.extend(std::iter::from_fn(|| scanner.poll()));
    }
    scanner.finish();
    (pictures, scanner.losses())
}

fn scan(data: &[u8]) -> (Vec<Bytes>, Losses) {
    scan_pieces(1 << 20, [data])
}

#[test]
fn every_single_cut_gives_both_pictures_whole() {
    let (one, two) = (picture(&[1, 0xff, 0, 2, 0xff, 0xd3, 3]), picture(&[9]));
    let stream = [&one[..], &two[..]].concat();
    for cut in 0..stream.len() {
        let (head, tail) = stream.split_at(cut);
        let (pictures, losses) = scan_pieces(1 << 20, [head, tail]);
        assert_eq!(pictures, [one.clone(), two.clone()], "cut at {cut}");
        assert_eq!(losses, Losses::default());
    }
}

#[test]
fn a_thumbnail_ends_nothing() {
    let whole = picture_with(&app1(&picture(&[1, 2, 3])), &[4, 5, 6]);
    assert_eq!(scan(&whole).0, [whole]);
}

#[test]
fn padding_and_junk_between_pictures_are_skipped() {
    let one = picture(&[1]);
    let stream = [&[0; 300], &one[..], &[0xff; 16], &[0; 9], b"hello", &one].concat();
    let (pictures, losses) = scan(&stream);
    assert_eq!(pictures, [one.clone(), one]);
    assert_eq!((losses.torn, losses.skipped), (0, 330));
}

#[test]
fn a_picture_cut_in_its_scan_costs_no_other_picture() {
    let scan_data = [1, 0xff, 0, 2, 3];
    let whole = picture_with(&app1(b"Exif"), &scan_data);
    let head = whole.len() - scan_data.len() - 2;
    for cut in 3..whole.len() {
        // A length that was cut may reach over all that follows; more has to come to disprove it.
        let stream = [&whole[..cut], &whole, &whole, &[0; 70_000]].concat();
        let (pictures, losses) = scan(&stream);
        assert_eq!(
            pictures.last(),
            Some(&Bytes::from(whole.clone())),
            "cut at {cut}"
        );
        // A cut in the head can leave something that is a picture by its structure.
        if cut >= head {
            assert_eq!(pictures, [whole.clone(), whole.clone()], "cut at {cut}");
            assert_eq!(losses.torn, 1, "cut at {cut}");
        }
    }
}

#[test]
fn a_picture_cut_after_its_thumbnail_does_not_give_the_thumbnail() {
    let whole = picture_with(&app1(&picture(&[1, 2, 3])), &[4, 5, 6]);
    let stream = [&whole[..whole.len() - 4], &whole].concat();
    assert_eq!(scan(&stream).0, [whole]);
}

#[test]
fn an_endless_picture_is_given_up_and_the_next_one_found() {
    let one = picture(&[1]);
    let mut stream = picture(&[7; 5000]);
    stream.truncate(5000);
    stream.extend_from_slice(&one);
    let (pictures, losses) = scan_pieces(1000, stream.chunks(100));
    assert_eq!(pictures, [one]);
    assert_eq!((losses.oversized, losses.torn), (1, 0));
}

#[test]
fn memory_stays_near_the_cap_whatever_comes() {
    let mut scanner = Scanner::with_limit(1000);
    scanner.feed(&picture(&[7; 100])[..90]);
    for _ in 0..1000 {
        scanner.feed(&[7; 100]);
        assert_eq!(scanner.poll(), None);
        assert!(scanner.buffered() < 1200);
    }
    // Segments that announce the most they can.
    for _ in 0..1000 {
        scanner.feed(&[0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff]);
        scanner.feed(&[0; 200]);
        while scanner.poll().is_some() {}
        assert!(scanner.buffered() < 70_000);
    }
}

#[test]
fn an_end_without_frame_or_scan_is_no_picture() {
    let (pictures, losses) = scan(&[0xff, 0xd8, 0xff, 0xd9]);
    assert!(pictures.is_empty());
    assert_eq!(losses.torn, 1);
}

proptest! {
    #[test]
    fn pictures_come_back_from_any_stream_cut_anywhere(
        parts in prop::collection::vec((junk(), any_picture()), 0..6),
        cuts in cuts(),
    ) {
        let stream: Vec<u8> = parts.iter().flat_map(|(junk, picture)| [&junk[..], picture].concat()).collect();
        let (pictures, losses) = scan_pieces(1 << 20, split(&stream, &cuts));
        let expected: Vec<&[u8]> = parts.iter().map(|(_, picture)| &picture[..]).collect();
        prop_assert_eq!(pictures, expected);
        prop_assert_eq!(losses.torn, 0);
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        pieces in prop::collection::vec(
            prop_oneof![
                any_picture(),
                junk(),
                (any_picture(), 0..200_usize).prop_map(|(mut picture, cut)| { picture.truncate(cut); picture }),
                Just(vec![0xff, 0xd8, 0xff]),
                Just(vec![0xff, 0xe1, 0, 40]),
                prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0xd8), Just(0xd9), Just(0xda), any::<u8>()], 0..30),
            ],
            0..10,
        ),
        cuts in cuts(),
        max in 20..400_usize,
    ) {
        let stream = pieces.concat();
        let whole = scan_pieces(max, [&stream[..]]);
        let cut = scan_pieces(max, split(&stream, &cuts));
        let single = scan_pieces(max, stream.chunks(1));
        prop_assert_eq!(&whole, &cut);
        prop_assert_eq!(&whole, &single);
        let (pictures, losses) = whole;
        let taken: usize = pictures.iter().map(Bytes::len).sum();
        prop_assert_eq!(taken as u64 + losses.skipped, stream.len() as u64);
        for picture in pictures {
            prop_assert!(picture.len() <= max);
            prop_assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
            // What it gave once it gives again, and nothing else.
            prop_assert_eq!(scan(&picture).0, [picture]);
        }
    }
}
