//! What an A9 camera sees: a yard at night, drawn live.

use std::time::Duration;

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::font;

/// All cameras of this family send this size (facts, section 7.1).
const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// Makes pictures of about 15 to 25 KB, as real ones are.
const QUALITY: u8 = 75;

const SKY: [i32; 3] = [18, 26, 48];
const HORIZON: [i32; 3] = [58, 74, 110];
const GROUND: [u8; 3] = [30, 42, 34];
const FENCE: [u8; 3] = [64, 56, 48];
const LAMP: [u8; 3] = [255, 214, 138];
const CAT: [u8; 3] = [12, 12, 14];
const INK: [u8; 3] = [245, 245, 240];

/// The picture of the moment `wall` since 1970, with a name in its corner, as baseline JPEG in 4:2:0.
#[must_use]
pub fn picture(wall: Duration, name: &str) -> Bytes {
    let mut canvas = vec![0_u8; WIDTH * HEIGHT * 3];
    sky(&mut canvas);
    fill(&mut canvas, 0, 300, WIDTH, 180, GROUND);
    for post in 0..16 {
        fill(&mut canvas, post * 40 + 12, 250, 16, 70, FENCE);
    }
    fill(&mut canvas, 0, 270, WIDTH, 8, FENCE);
    // A lamp that breathes, so that a still picture is told from a moving one.
    let breath = (wall.as_millis() % 2_000) as i32 - 1_000;
    let radius = 16 + breath.abs() / 100;
    disc(&mut canvas, 520, 120, radius, LAMP);
    // A cat walks along the fence, across in eight seconds.
    let at = (wall.as_millis() % 8_000) as usize * (WIDTH - 80) / 8_000;
    fill(&mut canvas, at, 232, 56, 20, CAT);
    fill(&mut canvas, at + 50, 216, 22, 22, CAT);
    fill(&mut canvas, at + 52, 208, 6, 10, CAT);
    fill(&mut canvas, at + 64, 208, 6, 10, CAT);
    let step = if (wall.as_millis() / 200).is_multiple_of(2) {
        0
    } else {
        7
    };
    for leg in [4, 16, 36, 46] {
        fill(&mut canvas, at + leg + step, 250, 5, 20, CAT);
    }
    let (seconds, tenths) = (wall.as_secs() % 86_400, wall.subsec_millis() / 100);
    let clock = format!(
        "{:02}:{:02}:{:02}.{tenths}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    text(&mut canvas, 24, 400, 5, &clock, INK);
    text(&mut canvas, 24, 454, 2, &name.to_ascii_uppercase(), INK);
    encode(&canvas)
}

fn sky(canvas: &mut [u8]) {
    for (row, line) in canvas.chunks_exact_mut(WIDTH * 3).take(300).enumerate() {
        let share = row as i32;
        let mix = |at: usize| {
            let (from, to) = (SKY.get(at), HORIZON.get(at));
            let (from, to) = (from.copied().unwrap_or(0), to.copied().unwrap_or(0));
            (from + (to - from) * share / 300) as u8
        };
        let colour = [mix(0), mix(1), mix(2)];
        for dot in line.chunks_exact_mut(3) {
            dot.copy_from_slice(&colour);
        }
    }
}

fn fill(canvas: &mut [u8], x: usize, y: usize, width: usize, height: usize, colour: [u8; 3]) {
    let right = (x + width).min(WIDTH);
    for row in y..(y + height).min(HEIGHT) {
        let from = (row * WIDTH + x.min(right)) * 3;
        let Some(line) = canvas.get_mut(from..(row * WIDTH + right) * 3) else {
            return;
        };
        for dot in line.chunks_exact_mut(3) {
            dot.copy_from_slice(&colour);
        }
    }
}

fn disc(canvas: &mut [u8], x: i32, y: i32, radius: i32, colour: [u8; 3]) {
    for row in -radius..=radius {
        let half = f64::from(radius * radius - row * row).sqrt() as i32;
        let (left, width) = ((x - half).max(0) as usize, (2 * half) as usize);
        fill(canvas, left, (y + row).max(0) as usize, width, 1, colour);
    }
}

fn text(canvas: &mut [u8], mut x: usize, y: usize, scale: usize, text: &str, colour: [u8; 3]) {
    for character in text.chars() {
        for (row, dots) in font::glyph(character).into_iter().enumerate() {
            for column in (0..font::WIDTH).filter(|at| dots & 0x10 >> at != 0) {
                let (left, top) = (x + column * scale, y + row * scale);
                fill(canvas, left, top, scale, scale, colour);
            }
        }
        x += (font::WIDTH + 1) * scale;
    }
}

fn encode(canvas: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(32 << 10);
    let mut encoder = Encoder::new(&mut out, QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(canvas, WIDTH as u16, HEIGHT as u16, ColorType::Rgb)
        .expect("a picture of a fixed size always encodes");
    out.into()
}
