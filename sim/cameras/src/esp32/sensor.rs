//! What the camera sees: drawn pictures with a running number, or pictures that it was given.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use jpeg_encoder::SamplingFactor;

use crate::bars::BARS;
use crate::canvas::{Canvas, Colour};

/// The drawn number begins anew after so many pictures, and the drawings with it: drawn once, they
/// cost a camera without pauses nothing.
const ROUND: u64 = 100;

const BAND: Colour = [0x14, 0x18, 0x20];
const INK: Colour = [0xff, 0xf3, 0xcf];

/// Settings of the sensor in the order of `/status`, with what they are after a start; names and
/// ranges as in Espressif's CameraWebServer.
const SETTINGS: [(&str, i32, std::ops::RangeInclusive<i32>); 25] = [
    ("framesize", 8, 0..=13),
    ("quality", 12, 4..=63),
    ("brightness", 0, -2..=2),
    ("contrast", 0, -2..=2),
    ("saturation", 0, -2..=2),
    ("sharpness", 0, -2..=2),
    ("special_effect", 0, 0..=6),
    ("wb_mode", 0, 0..=4),
    ("awb", 1, 0..=1),
    ("awb_gain", 1, 0..=1),
    ("aec", 1, 0..=1),
    ("aec2", 0, 0..=1),
    ("ae_level", 0, -2..=2),
    ("aec_value", 204, 0..=1200),
    ("agc", 1, 0..=1),
    ("agc_gain", 5, 0..=30),
    ("gainceiling", 0, 0..=6),
    ("bpc", 0, 0..=1),
    ("wpc", 1, 0..=1),
    ("raw_gma", 1, 0..=1),
    ("lenc", 1, 0..=1),
    ("hmirror", 0, 0..=1),
    ("vflip", 0, 0..=1),
    ("colorbar", 0, 0..=1),
    ("led_intensity", 0, 0..=255),
];

/// Widths and heights by `framesize`, as the newer cores number them.
const SIZES: [(u16, u16); 14] = [
    (96, 96),
    (160, 120),
    (176, 144),
    (240, 176),
    (240, 240),
    (320, 240),
    (400, 296),
    (480, 320),
    (640, 480),
    (800, 600),
    (1024, 768),
    (1280, 720),
    (1280, 1024),
    (1600, 1200),
];

/// The camera's eye.
#[derive(Debug)]
pub(super) struct Sensor {
    /// Pictures to show instead of drawn ones.
    given: Vec<Bytes>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Vec<i32>,
    drawn: HashMap<u64, Bytes>,
}

impl Sensor {
    pub(super) fn new(given: Vec<Bytes>, framesize: i32) -> Self {
        let mut settings: Vec<i32> = SETTINGS.iter().map(|(_, value, _)| *value).collect();
        if let Some(size) = settings.first_mut() {
            *size = framesize;
        }
        let drawn = HashMap::new();
        let state = Mutex::new(State { settings, drawn });
        Self { given, state }
    }

    /// The picture with this number.
    pub(super) fn picture(&self, number: u64) -> Bytes {
        if let Some(last) = self.given.len().checked_sub(1) {
            let at = usize::try_from(number).unwrap_or(0) % (last + 1);
            return self.given.get(at).cloned().unwrap_or_default();
        }
        let number = number % ROUND;
        let mut state = self.lock();
        if let Some(picture) = state.drawn.get(&number) {
            return picture.clone();
        }
        let picture = state.draw(number);
        state.drawn.insert(number, picture.clone());
        picture
    }

    /// Changes a setting; false if there is none of that name. Values out of range change nothing,
    /// as on the device.
    pub(super) fn set(&self, name: &str, value: i32) -> bool {
        let Some(at) = SETTINGS.iter().position(|(known, ..)| *known == name) else {
            return false;
        };
        let mut state = self.lock();
        if let (Some(setting), Some((.., range))) = (state.settings.get_mut(at), SETTINGS.get(at))
            && range.contains(&value)
        {
            *setting = value;
            state.drawn.clear();
        }
        true
    }

    /// The settings as JSON, as `/status` tells them.
    pub(super) fn status(&self) -> String {
        let state = self.lock();
        let settings = SETTINGS.iter().zip(&state.settings);
        let settings = settings.map(|((name, ..), value)| format!("\"{name}\":{value}"));
        let settings: Vec<String> = settings.collect();
        format!("{{\"xclk\":20,\"pixformat\":4,{}}}", settings.join(","))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn setting(&self, name: &str) -> i32 {
        let found = SETTINGS.iter().zip(&self.settings);
        let found = found.into_iter().find(|((known, ..), _)| *known == name);
        found.map_or(0, |(_, value)| *value)
    }

    /// Bars, a mark that runs across, the number; in 4:2:2 as the sensor sends.
    fn draw(&self, number: u64) -> Bytes {
        let size = usize::try_from(self.setting("framesize")).unwrap_or(0);
        let (width, height) = SIZES.get(size).copied().unwrap_or((640, 480));
        let mut canvas = Canvas::new(width, height);
        let (w, h) = (usize::from(width), usize::from(height));
        for (at, colour) in BARS.into_iter().rev().enumerate() {
            canvas.fill(0, at * h / 8, w, h / 8, colour);
        }
        let lamp = self.setting("led_intensity") > 0;
        canvas.fill(0, h * 3 / 8, w, h / 4, if lamp { INK } else { BAND });
        let at = usize::try_from(number).unwrap_or(0) * (w - w / 20) / ROUND as usize;
        canvas.fill(at, h / 4, w / 20, h / 10, INK);
        let scale = (h / 60).max(1);
        canvas.text(w / 16, h * 2 / 5, scale, "ESP32", INK);
        let digits = format!("{number:02}");
        canvas.text(w * 3 / 4, h * 2 / 5, scale, &digits, INK);
        let quality = (100 - self.setting("quality")).clamp(20, 95);
        canvas
            .mirrored(self.setting("hmirror") == 1, self.setting("vflip") == 1)
            .encode(u8::try_from(quality).unwrap_or(80), SamplingFactor::F_2_1)
    }
}

/// `picture` with a smaller one in an application segment behind its start, its own end marker
/// included.
pub(super) fn with_thumbnail(picture: &[u8]) -> Vec<u8> {
    let mut thumbnail = Canvas::new(32, 24);
    thumbnail.fill(8, 8, 16, 8, INK);
    let thumbnail = thumbnail.encode(50, SamplingFactor::F_1_1);
    let segment = [b"Exif\0\0".as_slice(), &thumbnail].concat();
    let len = u16::try_from(segment.len() + 2).unwrap_or(u16::MAX);
    let (start, rest) = picture.split_at(picture.len().min(2));
    [start, &[0xff, 0xe1], &len.to_be_bytes(), &segment, rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_the_picture() {
        let sensor = Sensor::new(Vec::new(), 5);
        let first = sensor.picture(7);
        assert_eq!(first, sensor.picture(107), "the number goes round");
        assert_ne!(first, sensor.picture(8));
        assert!(sensor.set("hmirror", 1));
        assert_ne!(first, sensor.picture(7));
        assert!(!sensor.set("zoom", 1));
        assert!(sensor.set("framesize", 99), "known, and out of range");
        assert!(sensor.status().contains("\"framesize\":5,"));
        assert!(sensor.status().contains("\"hmirror\":1,"));
    }

    #[test]
    fn a_thumbnail_stands_whole_inside_its_picture() {
        let sensor = Sensor::new(Vec::new(), 5);
        let picture = sensor.picture(0);
        let with = with_thumbnail(&picture);
        let ends = with.windows(2).filter(|pair| *pair == [0xff, 0xd9]).count();
        assert_eq!(ends, 2);
        assert!(with.ends_with(&picture[2..]));
    }
}
