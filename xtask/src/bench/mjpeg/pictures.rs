//! Pictures of exact sizes: every byte that a relay looks at is right, no decoder could show them.

/// Pictures a second.
pub(super) const FPS: u32 = 25;

/// Bytes of a picture: ffmpeg's testsrc2 at 640x480 with `-q:v 6` gave 23.7 kB.
pub(super) const SIZE: usize = 24_000;

/// Pictures that are shown over and over.
const COUNT: usize = 50;

/// SOI, and a comment of four bytes for the picture's number.
const START: [u8; 10] = [0xff, 0xd8, 0xff, 0xfe, 0, 6, 0, 0, 0, 0];

/// Where the number stands in a picture.
pub(super) const NUMBER: std::ops::Range<usize> = 6..10;

/// Frame and scan headers of 640x480 in 4:2:2, as cheap sensors send it.
const FRAME: [u8; 19] = [
    0xff, 0xc0, 0, 17, 8, 0x01, 0xe0, 0x02, 0x80, 3, 1, 0x21, 0, 2, 0x11, 1, 3, 0x11, 1,
];
const SCAN: [u8; 14] = [0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0];
const END: [u8; 2] = [0xff, 0xd9];

/// Pictures of `size` bytes, some a fifth larger and some a fifth smaller.
pub(super) fn pictures(size: usize) -> Vec<Vec<u8>> {
    let sizes = (0..COUNT).map(|number| size * (80 + number * 37 % 41) / 100);
    sizes.map(picture).collect()
}

fn picture(size: usize) -> Vec<u8> {
    let mut picture = START.to_vec();
    for (id, table) in [(0_u8, 16_u8), (1, 17)] {
        picture.extend_from_slice(&[0xff, 0xdb, 0, 67, id]);
        picture.extend_from_slice(&[table; 64]);
    }
    picture.extend_from_slice(&FRAME);
    picture.extend_from_slice(&SCAN);
    let end = size.max(picture.len() + END.len()) - END.len();
    // Never 255, so no byte needs stuffing.
    let noise = (picture.len()..end).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8 & 0x7f);
    let noise: Vec<u8> = noise.collect();
    picture.extend_from_slice(&noise);
    picture.extend_from_slice(&END);
    picture
}

/// The number in a picture's first bytes, if it is one of ours.
pub(super) fn number(start: &[u8]) -> Option<u32> {
    let bytes = start.get(NUMBER)?.try_into().ok()?;
    start
        .starts_with(&START[..NUMBER.start])
        .then(|| u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_have_the_asked_mean_size_and_are_whole() {
        let pictures = pictures(SIZE);
        let mean = pictures.iter().map(Vec::len).sum::<usize>() / pictures.len();
        assert!(
            (SIZE * 98 / 100..SIZE * 102 / 100).contains(&mean),
            "{mean}"
        );
        for picture in pictures {
            assert!(picture.ends_with(&END));
            assert_eq!(number(&picture), Some(0));
        }
    }
}
