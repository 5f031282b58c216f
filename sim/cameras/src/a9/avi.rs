//! The files on a simulated camera's SD card: short AVI with JPEG pictures.

use std::time::Duration;

use bytes::Bytes;
use proto_naxclow::recordings::{Day, Minute};

use super::scene;

/// Pictures in a recording: two seconds, where a real minute has 600.
const PICTURES: u32 = 20;

/// Two minutes of one day, one of the next.
pub(super) fn recordings() -> Vec<(Minute, Bytes)> {
    let times = [
        (20_230_123, 23, 10),
        (20_230_123, 23, 11),
        (20_230_124, 2, 10),
    ];
    let recording = |(at, (day, hour, minute))| {
        let minute = Minute::new(Day::from_number(day).ok()?, hour, minute).ok()?;
        Some((minute, file(at)))
    };
    (0..).zip(times).filter_map(recording).collect()
}

/// A file whose pictures differ from those of other numbers.
fn file(number: u32) -> Bytes {
    let pictures: Vec<Bytes> = (0..PICTURES)
        .map(|at| {
            let wall = Duration::from_millis(u64::from(number) * 60_000 + u64::from(at) * 100);
            scene::picture(wall, "SD CARD")
        })
        .collect();
    let mut movi = b"movi".to_vec();
    let mut index = Vec::new();
    for picture in &pictures {
        let at = movi.len() as u32;
        index.extend_from_slice(b"00dc");
        for number in [0x10, at, picture.len() as u32] {
            index.extend_from_slice(&number.to_le_bytes());
        }
        chunk(&mut movi, b"00dc", picture);
    }
    let mut header = b"hdrl".to_vec();
    // Microseconds a picture, rates and flags (index), pictures, streams, sizes.
    let avih = [
        100_000, 250_000, 0, 0x10, PICTURES, 0, 1, 32_768, 640, 480, 0, 0, 0, 0,
    ];
    chunk(&mut header, b"avih", &words(&avih));
    let mut stream = b"strl".to_vec();
    let mut strh = b"vidsMJPG".to_vec();
    strh.extend(words(&[
        0,
        0,
        0,
        1,
        10,
        0,
        PICTURES,
        32_768,
        u32::MAX,
        0,
        0,
        640 | 480 << 16,
    ]));
    chunk(&mut stream, b"strh", &strh);
    let mut strf = words(&[40, 640, 480, 1 | 24 << 16]);
    strf.extend_from_slice(b"MJPG");
    strf.extend(words(&[640 * 480 * 3, 0, 0, 0, 0]));
    chunk(&mut stream, b"strf", &strf);
    chunk(&mut header, b"LIST", &stream);
    let mut file = b"AVI ".to_vec();
    chunk(&mut file, b"LIST", &header);
    chunk(&mut file, b"LIST", &movi);
    chunk(&mut file, b"idx1", &index);
    let mut out = Vec::new();
    chunk(&mut out, b"RIFF", &file);
    out.into()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn chunk(out: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out.extend_from_slice(data);
    // Chunks begin at even places.
    out.extend(std::iter::repeat_n(0, data.len() % 2));
}
