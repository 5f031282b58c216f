//! Pictures drawn live: colour bars, a running mark, the time of day.

use std::time::Duration;

use bytes::Bytes;
use jpeg_encoder::SamplingFactor;

use crate::canvas::{Canvas, Colour};
use crate::font;

pub(crate) const WIDTH: u16 = 640;
pub(crate) const HEIGHT: u16 = 360;
/// The quality of a cheap camera.
const QUALITY: u8 = 70;
/// Muted bars, easier on the eye than a test signal's.
pub(crate) const BARS: [Colour; 8] = [
    [0xe8, 0xe4, 0xda],
    [0xe9, 0xc4, 0x6a],
    [0x6f, 0xb7, 0xb5],
    [0x8a, 0xb1, 0x7d],
    [0xb5, 0x83, 0xa8],
    [0xe7, 0x6f, 0x51],
    [0x45, 0x7b, 0x9d],
    [0x26, 0x46, 0x53],
];
const BAND: Colour = [0x14, 0x18, 0x20];
const INK: Colour = [0xff, 0xf3, 0xcf];
const FAINT: Colour = [0x8d, 0x97, 0xa5];

/// The picture of the moment `wall` since 1970, as baseline JPEG in 4:2:0.
pub(crate) fn picture(wall: Duration) -> Bytes {
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    let width = usize::from(WIDTH);
    for (at, colour) in BARS.into_iter().enumerate() {
        canvas.fill(at * width / 8, 0, width / 8, 240, colour);
    }
    canvas.fill(0, 240, width, 120, BAND);
    // Once across in four seconds: a stutter shows at once.
    let at = (wall.as_millis() % 4_000) as usize * (width - 24) / 4_000;
    canvas.fill(at, 200, 24, 24, INK);

    let (seconds, tenths) = (wall.as_secs() % 86_400, wall.subsec_millis() / 100);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let clock = format!("{hours:02}:{minutes:02}:{:02}.{tenths}", seconds % 60);
    canvas.text(32, 266, 8, &clock, INK);
    canvas.text(560, 266, 2, "UTC", FAINT);
    canvas.text(560, 300, 2, "JPEG", FAINT);
    canvas.text(560, 316, 2, "CAMERA", FAINT);
    canvas.encode(QUALITY, SamplingFactor::F_2_2)
}

const _: () = assert!(font::HEIGHT * 8 + 266 <= HEIGHT as usize);
