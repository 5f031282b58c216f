//! JPEG: is this a whole picture, and how large is it (ITU-T T.81 annex B). It is not decoded.

use crate::Error;

/// What the head of a JPEG picture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Colour components: 1 grey, 3 colour.
    pub components: u8,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

impl Picture {
    /// Reads the size from the frame header of `jpeg`, which must begin with SOI.
    pub fn parse(jpeg: &[u8]) -> Result<Self, Error> {
        let mut rest = match jpeg {
            [0xff, SOI, rest @ ..] => rest,
            [first, second, ..] => {
                let found = u64::from(*first) << 8 | u64::from(*second);
                return Err(invalid("first marker", found, "SOI (65496)"));
            }
            _ => return Err(truncated(jpeg)),
        };
        loop {
            let (marker, segment, tail) = match rest {
                // Any number of fill bytes may stand before a marker.
                [0xff, 0xff, ..] => {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                [0xff, marker, tail @ ..] if is_alone(*marker) => (*marker, &[][..], tail),
                [0xff, marker, high, low, ..] => {
                    let len = usize::from(u16::from_be_bytes([*high, *low]));
                    if len < 2 {
                        return Err(invalid("segment length", len as u64, "at least 2"));
                    }
                    let segment = rest.get(4..2 + len).ok_or_else(|| truncated(jpeg))?;
                    (*marker, segment, rest.get(2 + len..).unwrap_or_default())
                }
                [0xff, ..] | [] => return Err(truncated(jpeg)),
                [other, ..] => return Err(invalid("marker", (*other).into(), "255")),
            };
            rest = tail;
            match marker {
                // SOF0 to SOF15, without DHT, JPG and DAC which share the range.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    return Self::read_frame_header(segment).ok_or_else(|| truncated(jpeg))?;
                }
                SOS | EOI => {
                    return Err(invalid("marker", marker.into(), "a frame header before it"));
                }
                _ => {}
            }
        }
    }

    fn read_frame_header(segment: &[u8]) -> Option<Result<Self, Error>> {
        let [_precision, h0, h1, w0, w1, components] = *segment.first_chunk::<6>()?;
        let height = u32::from(u16::from_be_bytes([h0, h1]));
        let width = u32::from(u16::from_be_bytes([w0, w1]));
        if width == 0 || height == 0 {
            // Zero lines mean "told after the first scan"; no camera does that.
            return Some(Err(invalid("picture side", 0, "at least 1")));
        }
        Some(Ok(Self {
            width,
            height,
            components,
        }))
    }
}

/// Whether `jpeg` begins with SOI and ends with EOI; zeros that pad the end do not count.
#[must_use]
pub fn is_whole(jpeg: &[u8]) -> bool {
    let end = jpeg
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let used = jpeg.get(..end).unwrap_or_default();
    used.len() >= 4 && used.starts_with(&[0xff, SOI]) && used.ends_with(&[0xff, EOI])
}

/// Markers without a segment behind them.
fn is_alone(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xd0..=0xd9)
}

fn invalid(field: &'static str, found: u64, expected: &'static str) -> Error {
    Error::Invalid {
        what: "JPEG",
        field,
        found,
        expected,
    }
}

fn truncated(jpeg: &[u8]) -> Error {
    Error::Truncated {
        what: "JPEG",
        len: jpeg.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, b'J', b'F', 0xff, 0xff, 0xc0, 0, 11, 8, 0x01, 0xe0, 0x02,
        0x80, 1, 1, 0x11, 0, 0xff, 0xda, 0, 2, 0x12, 0xff, 0xd9,
    ];

    #[test]
    fn size_is_read_past_other_segments_and_fill_bytes() {
        let picture = Picture::parse(HEAD).unwrap();
        assert_eq!((picture.width, picture.height), (640, 480));
        assert_eq!(picture.components, 1);
    }

    #[test]
    fn a_torn_picture_is_not_whole_and_padding_does_not_matter() {
        assert!(is_whole(HEAD));
        assert!(!is_whole(&HEAD[..HEAD.len() - 1]));
        assert!(!is_whole(&HEAD[2..]));
        assert!(is_whole(&[HEAD, &[0; 7]].concat()));
    }

    #[test]
    fn every_shortened_head_is_an_error() {
        for len in 0..20 {
            assert!(Picture::parse(&HEAD[..len]).is_err(), "cut to {len}");
        }
    }
}
