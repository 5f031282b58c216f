//! From decoded planes to a JPEG picture.

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

/// Quality of the JPEG pictures: the step above shows no difference on camera pictures and costs a
/// third more bytes.
const QUALITY: u8 = 80;

/// How samples become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    /// Samples use all 256 values, not 16 to 235 (240).
    pub(crate) is_full_range: bool,
    /// The matrix is that of ITU-R BT.709, not BT.601.
    pub(crate) is_bt709: bool,
}

impl Colour {
    /// By what the stream says (`matrix_coefficients` of ITU-T H.273), or, where it says nothing,
    /// as players guess: high definition is BT.709.
    pub(crate) fn guess(is_full_range: Option<bool>, matrix: Option<u8>, height: u32) -> Self {
        const BT709: u8 = 1;
        const UNSPECIFIED: u8 = 2;
        let is_bt709 = match matrix {
            None | Some(UNSPECIFIED) => height >= 720,
            Some(matrix) => matrix == BT709,
        };
        Self {
            is_full_range: is_full_range.unwrap_or(false),
            is_bt709,
        }
    }

    /// Rows of the conversion to what JFIF wants, full range and BT.601, in 1/65536: how much of
    /// luma, Cb and Cr goes into each.
    fn matrix(self) -> [[i32; 3]; 3] {
        const ONE: f64 = 65_536.0;
        let (luma, chroma) = if self.is_full_range {
            (ONE, ONE)
        } else {
            (ONE * 255.0 / 219.0, ONE * 255.0 / 224.0)
        };
        // BT.709 to R'G'B' and back by BT.601.
        let rows = if self.is_bt709 {
            [
                [1.0, 0.101_6, 0.196_1],
                [0.0, 0.989_9, -0.110_7],
                [0.0, -0.072_5, 0.983_4],
            ]
        } else {
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
        };
        rows.map(|[y, cb, cr]| {
            [
                (y * luma).round() as i32,
                (cb * chroma).round() as i32,
                (cr * chroma).round() as i32,
            ]
        })
    }
}

/// One plane of samples.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a, T> {
    pub(crate) samples: &'a [T],
    pub(crate) stride: usize,
}

impl<T> Plane<'_, T> {
    fn row(&self, y: usize) -> &[T] {
        let start = y.saturating_mul(self.stride);
        self.samples.get(start..).unwrap_or_default()
    }
}

/// A decoded picture, 4:2:0, cropped by whoever made it.
pub(crate) struct Picture<'a, T> {
    pub(crate) width: u16,
    pub(crate) height: u16,
    /// Luma, Cb, Cr.
    pub(crate) planes: [Plane<'a, T>; 3],
    pub(crate) depth: u8,
    pub(crate) colour: Colour,
}

impl<T: Copy + Into<i32>> Picture<'_, T> {
    /// The picture as JPEG.
    pub(crate) fn encode(self) -> Result<Vec<u8>, String> {
        let mut jpeg = Vec::with_capacity(usize::from(self.width) * usize::from(self.height) / 6);
        let mut encoder = Encoder::new(&mut jpeg, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        let matrix = self.colour.matrix();
        let encoded = encoder.encode_image(Converted {
            picture: self,
            matrix,
        });
        encoded.map_err(|error| error.to_string())?;
        Ok(jpeg)
    }
}

struct Converted<'a, T> {
    picture: Picture<'a, T>,
    matrix: [[i32; 3]; 3],
}

impl<T: Copy + Into<i32>> ImageBuffer for Converted<'_, T> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.picture.width
    }

    fn height(&self) -> u16 {
        self.picture.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let y = usize::from(y);
        let [luma, cb, cr] = &self.picture.planes;
        let (luma, cb, cr) = (luma.row(y), cb.row(y / 2), cr.row(y / 2));
        let shift = self.picture.depth.saturating_sub(8);
        let black = if self.picture.colour.is_full_range {
            0
        } else {
            16
        };
        let [to_luma, to_cb, to_cr] = self.matrix;
        let mix = |row: [i32; 3], y: i32, cb: i32, cr: i32, base: i32| {
            let sum = row[0] * y + row[1] * cb + row[2] * cr;
            (base + ((sum + 0x8000) >> 16)).clamp(0, 255) as u8
        };
        let [out_luma, out_cb, out_cr, _] = buffers;
        // A plane that a damaged picture left short is filled up with grey.
        let sample = |row: &[T], x: usize| row.get(x).map_or(128, |&s| s.into() >> shift);
        for x in 0..usize::from(self.picture.width) {
            let y = sample(luma, x) - black;
            let cb = sample(cb, x / 2) - 128;
            let cr = sample(cr, x / 2) - 128;
            out_luma.push(mix(to_luma, y, cb, cr, 0));
            out_cb.push(mix(to_cb, 0, cb, cr, 128));
            out_cr.push(mix(to_cr, 0, cb, cr, 128));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(colour: Colour, samples: [u8; 3]) -> [u8; 3] {
        let [y, cb, cr] = &samples;
        let plane = |sample| Plane {
            samples: std::slice::from_ref(sample),
            stride: 1,
        };
        let picture = Picture {
            width: 1,
            height: 1,
            planes: [plane(y), plane(cb), plane(cr)],
            depth: 8,
            colour,
        };
        let matrix = colour.matrix();
        let mut buffers = [const { Vec::new() }; 4];
        Converted { picture, matrix }.fill_buffers(0, &mut buffers);
        [buffers[0][0], buffers[1][0], buffers[2][0]]
    }

    #[test]
    fn video_range_is_stretched_and_full_range_is_left_alone() {
        let video = Colour::guess(None, None, 360);
        assert_eq!(converted(video, [16, 128, 128]), [0, 128, 128]);
        assert_eq!(converted(video, [235, 240, 16]), [255, 255, 0]);
        let full = Colour::guess(Some(true), None, 360);
        assert_eq!(converted(full, [16, 90, 200]), [16, 90, 200]);
    }

    #[test]
    fn pure_red_of_high_definition_is_pure_red_in_jpeg() {
        // BT.709, full range: Y 54, Cb 99, Cr 255 is (255, 0, 0); in BT.601 that is 76, 85, 255.
        let hd = Colour::guess(Some(true), None, 1080);
        let [y, cb, cr] = converted(hd, [54, 99, 255]);
        assert!(
            y.abs_diff(76) <= 1 && cb.abs_diff(85) <= 1 && cr >= 254,
            "{y} {cb} {cr}"
        );
        let named = Colour::guess(Some(true), Some(6), 1080);
        assert!(!named.is_bt709, "what the stream says counts");
    }
}
