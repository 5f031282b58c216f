//! Cameras that push datagrams: order, loss, restart, hostility.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cloned_ref_to_slice_refs
)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use proto_jpeg::{
    Error, MAX_PENDING_BYTES, MAX_SOURCES, PICTURE_LIFE, Reassembler, SOURCE_LIFE, encode_datagram,
};
use support::picture;

fn address(port: u16) -> SocketAddr {
    ([192, 168, 1, 7], port).into()
}

fn datagrams(number: u32, picture: &[u8], fragment: usize) -> Vec<Vec<u8>> {
    let count = u16::try_from(picture.len().div_ceil(fragment)).unwrap();
    let size = u32::try_from(picture.len()).unwrap();
    let encode = |(index, part): (usize, &[u8])| {
        encode_datagram(number, index.try_into().unwrap(), count, size, part)
    };
    picture.chunks(fragment).enumerate().map(encode).collect()
}

fn send(
    reassembler: &mut Reassembler,
    from: SocketAddr,
    datagrams: &[Vec<u8>],
    now: Instant,
) -> Vec<Bytes> {
    let take = |datagram: &Vec<u8>| reassembler.handle_datagram(from, datagram, now).unwrap();
    datagrams.iter().filter_map(take).collect()
}

#[test]
fn numbers_may_wrap_and_late_pictures_are_left_out() {
    let (mut reassembler, now, from) = (Reassembler::new(None), Instant::now(), address(1));
    let one = picture(&[7; 3000]);
    for number in [u32::MAX - 1, u32::MAX, 0, 1] {
        let sent = datagrams(number, &one, 1400);
        assert_eq!(
            send(&mut reassembler, from, &sent, now),
            [one.clone()],
            "{number}"
        );
    }
    assert!(
        send(
            &mut reassembler,
            from,
            &datagrams(u32::MAX, &one, 1400),
            now
        )
        .is_empty()
    );
}

#[test]
fn a_camera_that_begins_to_count_anew_is_seen_at_once() {
    let (mut reassembler, now, from) = (Reassembler::new(None), Instant::now(), address(1));
    let one = picture(&[7; 3000]);
    for number in [5000, 1, 2] {
        let sent = datagrams(number, &one, 1400);
        assert_eq!(
            send(&mut reassembler, from, &sent, now),
            [one.clone()],
            "{number}"
        );
    }
    // Within the window of late pictures only the handshake tells.
    reassembler
        .handle_datagram(from, b"HSESP32CAM", now)
        .unwrap();
    assert_eq!(
        send(&mut reassembler, from, &datagrams(1, &one, 1400), now),
        [one]
    );
}

#[test]
fn cameras_are_not_mixed() {
    let (mut reassembler, now) = (Reassembler::new(None), Instant::now());
    let (one, two) = (picture(&[1; 3000]), picture(&[2; 3000]));
    let mut found = Vec::new();
    for (a, b) in datagrams(1, &one, 1400)
        .iter()
        .zip(&datagrams(1, &two, 1400))
    {
        found.extend(reassembler.handle_datagram(address(1), a, now).unwrap());
        found.extend(reassembler.handle_datagram(address(2), b, now).unwrap());
    }
    assert_eq!(found, [one, two]);
}

#[test]
fn unfinished_pictures_expire_by_time_alone() {
    let (mut reassembler, now, from) = (Reassembler::new(None), Instant::now(), address(1));
    let sent = datagrams(1, &picture(&[7; 3000]), 1400);
    assert!(send(&mut reassembler, from, &sent[..2], now).is_empty());
    let at = reassembler.poll_timeout().unwrap();
    assert_eq!(at, now + PICTURE_LIFE);
    reassembler.handle_timeout(at);
    assert_eq!((reassembler.pending_bytes(), reassembler.expired()), (0, 1));
    assert_eq!(reassembler.poll_timeout(), None);
}

#[test]
fn an_unfinished_picture_that_a_newer_one_overtakes_counts_as_lost() {
    let (mut reassembler, now, from) = (Reassembler::new(None), Instant::now(), address(1));
    let one = picture(&[7; 3000]);
    for number in [1, 3, 5] {
        let cut = datagrams(number, &one, 1400);
        assert!(send(&mut reassembler, from, &cut[..2], now).is_empty());
        let next = datagrams(number + 1, &one, 1400);
        assert_eq!(send(&mut reassembler, from, &next, now), [one.clone()]);
    }
    assert_eq!((reassembler.pending_bytes(), reassembler.expired()), (0, 3));
}

#[test]
fn a_wanted_password_must_be_given() {
    let (mut reassembler, now, from) = (
        Reassembler::new(Some("ESP32CAM")),
        Instant::now(),
        address(1),
    );
    let one = picture(&[7]);
    let sent = datagrams(1, &one, 1400);
    let refused = Err(Error::Password { from });
    assert_eq!(reassembler.handle_datagram(from, &sent[0], now), refused);
    assert_eq!(
        reassembler.handle_datagram(from, b"HSESP32CAN", now),
        refused
    );
    assert_eq!(reassembler.handle_datagram(from, &sent[0], now), refused);
    reassembler
        .handle_datagram(from, b"HSESP32CAM", now)
        .unwrap();
    assert_eq!(send(&mut reassembler, from, &sent, now), [one]);
    let other = reassembler.handle_datagram(address(2), &sent[0], now);
    assert_eq!(other, Err(Error::Password { from: address(2) }));
}

#[test]
fn liars_about_sizes_are_refused() {
    let (mut reassembler, now, from) = (Reassembler::new(None), Instant::now(), address(1));
    for (datagram, part) in [
        (vec![0; 3], "too short"),
        (encode_datagram(1, 0, 1, 0, b""), "too short"),
        (encode_datagram(1, 3, 3, 9000, b"x"), "beyond the number"),
        (
            encode_datagram(1, 0, 65_535, u32::MAX, b"x"),
            "larger than any",
        ),
        (encode_datagram(1, 0, 2, 1, b"x"), "does not fit"),
        (encode_datagram(1, 0, 2, 90_000, b"x"), "does not fit"),
        (encode_datagram(1, 0, 1, 3, b"four"), "does not fit"),
        (vec![0; 1501], "longer than any"),
    ] {
        let error = reassembler
            .handle_datagram(from, &datagram, now)
            .unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    let torn = reassembler.handle_datagram(from, &encode_datagram(1, 0, 1, 4, b"abcd"), now);
    assert!(matches!(torn, Err(Error::Torn { len: 4, .. })));
}

#[test]
fn memory_is_bounded_whatever_is_announced() {
    let (mut reassembler, now) = (Reassembler::new(None), Instant::now());
    let part = vec![7; 1400];
    for port in 0..u16::try_from(MAX_SOURCES).unwrap() {
        for index in 0..2000 {
            for number in 0..2 {
                let datagram = encode_datagram(number, index, 5000, 6_000_000, &part);
                reassembler
                    .handle_datagram(address(port), &datagram, now)
                    .unwrap();
            }
        }
        assert!(reassembler.pending_bytes() <= MAX_PENDING_BYTES);
    }
    assert!(reassembler.expired() > 0);
    let one_more = encode_datagram(1, 0, 2, 2000, &part);
    let refused = reassembler.handle_datagram(address(999), &one_more, now);
    assert_eq!(refused, Err(Error::TooManySources { from: address(999) }));
    let later = now + SOURCE_LIFE + Duration::from_secs(1);
    reassembler
        .handle_datagram(address(999), &one_more, later)
        .unwrap();
}

proptest! {
    #[test]
    fn any_order_and_any_doubling_gives_each_picture_once(
        len in 1..5000_usize,
        fragment in 200..1400_usize,
        order in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(),
        doubled in prop::collection::vec(0..40_usize, 0..5),
    ) {
        let one = picture(&vec![7; len]);
        let sent = datagrams(9, &one, fragment);
        let mut reassembler = Reassembler::new(None);
        let now = Instant::now();
        let mut found = Vec::new();
        for index in doubled.into_iter().chain(order) {
            if let Some(datagram) = sent.get(index) {
                found.extend(reassembler.handle_datagram(address(1), datagram, now).unwrap());
            }
        }
        prop_assert_eq!(found, [one]);
        prop_assert_eq!(reassembler.pending_bytes(), 0);
    }
}
