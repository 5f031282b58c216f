//! Pictures as cameras make them, with what trips naive readers inside.
#![allow(dead_code)]

use proptest::prelude::*;

/// A picture with `scan` as its entropy-coded data.
pub(crate) fn picture(scan: &[u8]) -> Vec<u8> {
    picture_with(&[], scan)
}

/// A picture with `extra` segments before its frame header.
pub(crate) fn picture_with(extra: &[u8], scan: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F'];
    out.extend_from_slice(extra);
    // A fill byte, a frame header of 640x480, a scan header.
    out.extend_from_slice(&[0xff, 0xff, 0xc0, 0, 11, 8, 1, 0xe0, 2, 0x80, 1, 1, 0x11, 0]);
    out.extend_from_slice(&[0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    out.extend_from_slice(scan);
    out.extend_from_slice(&[0xff, 0xd9]);
    out
}

/// An application segment that holds `inner`.
pub(crate) fn app1(inner: &[u8]) -> Vec<u8> {
    let len = u16::try_from(inner.len() + 2).unwrap();
    [&[0xff, 0xe1], &len.to_be_bytes()[..], inner].concat()
}

/// Entropy-coded data: stuffing, restart markers, anything else.
pub(crate) fn scan() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (0..=0xfe_u8).prop_map(|b| vec![b]),
        1 => Just(vec![0xff, 0]),
        1 => (0xd0..=0xd7_u8).prop_map(|b| vec![0xff, b]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A picture of a camera, at times with a thumbnail or a second scan.
pub(crate) fn any_picture() -> impl Strategy<Value = Vec<u8>> {
    (scan(), scan(), 0..4).prop_map(|(one, two, kind)| match kind {
        0 => picture_with(&app1(&picture(&two)), &one),
        1 => {
            let second = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
            picture(&[&one[..], &second, &two].concat())
        }
        _ => picture(&one),
    })
}

/// What stands between pictures: zeros, text, single markers, never a start of a picture.
pub(crate) fn junk() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(Vec::new()),
        2 => (0..40_usize).prop_map(|len| vec![0; len]),
        1 => Just(vec![0xff, 0xd9]),
        1 => Just(vec![0xff]),
        1 => Just(b"\r\n--frame\r\n".to_vec()),
        1 => prop::collection::vec(0..0xff_u8, 0..40),
    ]
}

/// Cuts `data` at these places, in thousandths of its length.
pub(crate) fn split<'a>(data: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut * data.len() / 1000).collect();
    places.sort_unstable();
    places.push(data.len());
    let mut from = 0;
    let mut out = Vec::new();
    for place in places {
        out.push(&data[from..place]);
        from = place;
    }
    out
}

pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..1000_usize, 0..12)
}
