//! Something to draw on, and its JPEG.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::font;

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

/// A picture in the making.
pub(crate) struct Canvas {
    width: u16,
    height: u16,
    dots: Vec<u8>,
}

impl Canvas {
    pub(crate) fn new(width: u16, height: u16) -> Self {
        Self {
            width,
            height,
            dots: vec![0; usize::from(width) * usize::from(height) * 3],
        }
    }

    /// A rectangle; what lies outside is left out.
    pub(crate) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        let stride = usize::from(self.width);
        let right = (x + width).min(stride);
        for row in y..(y + height).min(usize::from(self.height)) {
            let Some(line) = self
                .dots
                .get_mut((row * stride + x) * 3..(row * stride + right) * 3)
            else {
                return;
            };
            for dot in line.chunks_exact_mut(3) {
                dot.copy_from_slice(&colour);
            }
        }
    }

    /// Letters of five by seven dots, each dot `scale` wide.
    pub(crate) fn text(
        &mut self,
        mut x: usize,
        y: usize,
        scale: usize,
        text: &str,
        colour: Colour,
    ) {
        for character in text.chars() {
            for (row, dots) in font::glyph(character).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|at| dots & 0x10 >> at != 0) {
                    self.fill(x + column * scale, y + row * scale, scale, scale, colour);
                }
            }
            x += (font::WIDTH + 1) * scale;
        }
    }

    /// The same, mirrored and turned over where that is asked for.
    pub(crate) fn mirrored(mut self, sideways: bool, upside_down: bool) -> Self {
        let stride = usize::from(self.width) * 3;
        if sideways {
            for line in self.dots.chunks_exact_mut(stride) {
                let mirrored: Vec<u8> = line.chunks_exact(3).rev().flatten().copied().collect();
                line.copy_from_slice(&mirrored);
            }
        }
        if upside_down {
            let lines = self.dots.chunks_exact(stride).rev();
            self.dots = lines.flatten().copied().collect();
        }
        self
    }

    /// Baseline JPEG of `quality` 1 to 100.
    pub(crate) fn encode(&self, quality: u8, sampling: SamplingFactor) -> Bytes {
        let mut out = Vec::with_capacity(32 << 10);
        let mut encoder = Encoder::new(&mut out, quality);
        encoder.set_sampling_factor(sampling);
        encoder
            .encode(&self.dots, self.width, self.height, ColorType::Rgb)
            .expect("a picture of its own size always encodes");
        out.into()
    }
}
