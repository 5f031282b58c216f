//! Pictures in byte streams, in multipart bodies, in datagrams.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto_jpeg::{
    DATAGRAM_HEADER, Losses, MAX_PENDING_BYTES, Multipart, Reassembler, Scanner, encode_datagram,
};

/// Largest picture in these runs, small enough for a fuzzer to reach it.
const MAX: usize = 600;

/// However a stream is cut, the same pictures come out; every byte is a picture's or skipped.
pub fn jpeg_scanner(data: &[u8]) {
    let (&cut, data) = data.split_first().unwrap_or((&1, data));
    let whole = scan(data, data.len().max(1));
    assert_eq!(whole, scan(data, usize::from(cut).max(1)));
    let (pictures, losses) = whole;
    let taken: usize = pictures.iter().map(Bytes::len).sum();
    assert_eq!(taken as u64 + losses.skipped, data.len() as u64);
    for picture in pictures {
        assert!(picture.len() <= MAX);
        assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
        assert_eq!(scan(&picture, MAX).0, [picture]);
    }
}

/// However a body is cut, the same pictures come out, each of them whole.
pub fn jpeg_multipart(data: &[u8]) {
    let (&cut, data) = data.split_first().unwrap_or((&1, data));
    let read = |len: usize| {
        let mut parser = Multipart::new();
        let mut pictures = Vec::new();
        for piece in data.chunks(len.max(1)) {
            parser.feed(piece);
            pictures.extend(std::iter::from_fn(|| parser.poll()));
        }
        (pictures, parser.reads_by_markers(), parser.losses())
    };
    let whole = read(data.len());
    assert_eq!(whole, read(usize::from(cut)));
    for picture in whole.0 {
        let mut scanner = Scanner::default();
        scanner.feed(&picture);
        assert_eq!(scanner.poll(), Some(picture));
    }
}

/// Datagrams, each behind its length, from a few senders: memory stays bounded, pictures are whole.
pub fn jpeg_udp(data: &[u8]) {
    let start = Instant::now();
    let mut reassembler = Reassembler::new(None);
    let mut rest = data;
    let mut step = 0_u32;
    while let Some((&len, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(len).min(tail.len()));
        rest = tail;
        step += 1;
        let port = datagram.first().map_or(1, |byte| 1 + u16::from(byte % 4));
        let now = start + Duration::from_millis(20) * step;
        if let Ok(Some(picture)) =
            reassembler.handle_datagram(([10, 0, 0, 1], port).into(), datagram, now)
        {
            assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
        }
        assert!(reassembler.pending_bytes() <= MAX_PENDING_BYTES);
    }
    if let Some(at) = reassembler.poll_timeout() {
        assert!(at > start);
        reassembler.handle_timeout(at + Duration::from_secs(1));
    }
    assert_eq!(reassembler.pending_bytes(), 0);
    assert_eq!(
        encode_datagram(1, 0, 1, 1, data).len(),
        DATAGRAM_HEADER + data.len()
    );
}

fn scan(data: &[u8], len: usize) -> (Vec<Bytes>, Losses) {
    let mut scanner = Scanner::with_limit(MAX);
    let mut pictures = Vec::new();
    for piece in data.chunks(len) {
        scanner.feed(piece);
        pictures.extend(std::iter::from_fn(|| scanner.poll()));
    }
    scanner.finish();
    (pictures, scanner.losses())
}
