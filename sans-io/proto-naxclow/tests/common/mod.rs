//! What several tests need.
#![allow(dead_code)]

/// CRC-32 of IEEE 802.3, as the facts' vectors give it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// The facts' test picture P(n).
pub(crate) fn picture(n: usize) -> Vec<u8> {
    let body = (0..n - 4).map(|i| (i % 251) as u8);
    [0xFF, 0xD8]
        .into_iter()
        .chain(body)
        .chain([0xFF, 0xD9])
        .collect()
}

pub(crate) const TARGET: &str = "00112233445566778899aabbccddeeff";
