//! Sound: G.711 A-law or signed 16-bit samples, 8000 a second, one channel (facts, section 7.3).

use bytes::Bytes;

/// Samples a second, in either form.
pub const SAMPLE_RATE: u32 = 8000;

/// How a block of sound is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// G.711 A-law, one byte a sample.
    ALaw,
    /// Signed 16 bits, little-endian: firmware from about 202312.
    Pcm,
}

/// The sound in a packet: all of it, unless it ends in the tail that pictures have. Whether any camera adds that
/// is disputed (facts, section 17, row 11), so the length in the tail decides.
pub fn without_tail(payload: &Bytes) -> Bytes {
    let tail = payload.last_chunk().map(|tail| u32::from_le_bytes(*tail));
    match (tail, payload.len().checked_sub(5)) {
        (Some(length), Some(len)) if u32::try_from(len) == Ok(length) => payload.slice(..len),
        _ => payload.clone(),
    }
}

/// The code word of a sample.
pub fn alaw(sample: i16) -> u8 {
    let positive = if sample >= 0 { 0x80 } else { 0 };
    // Negative samples are counted from -1: the code words of both signs are mirror images.
    let magnitude = u16::from_ne_bytes((if sample >= 0 { sample } else { !sample }).to_ne_bytes());
    let exponent = (16 - (magnitude >> 8).leading_zeros()).min(7);
    let mantissa = match exponent {
        0 => magnitude >> 4,
        _ => magnitude >> (exponent + 3),
    } & 0x0F;
    let word = mantissa | u16::try_from(exponent << 4).unwrap_or_default();
    let [low, _] = word.to_le_bytes();
    (low | positive) ^ 0x55
}

/// The sample of a code word.
pub fn from_alaw(word: u8) -> i16 {
    let word = word ^ 0x55;
    let (exponent, mantissa) = (word >> 4 & 7, i16::from(word & 0x0F));
    let magnitude = match exponent {
        0 => 16 * mantissa + 8,
        _ => (16 * mantissa + 264) << (exponent - 1),
    };
    if word & 0x80 != 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The samples of a block of [`AudioCodec::Pcm`]; half a sample at the end is left out.
pub fn samples(pcm: &[u8]) -> impl Iterator<Item = i16> {
    let (pairs, _) = pcm.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_samples_and_code_words_translate_as_the_facts_say() {
        let words: [(i16, u8); 9] = [
            (0, 0xD5),
            (-8, 0x55),
            (100, 0xD3),
            (-100, 0x53),
            (1000, 0xFA),
            (-1000, 0x7A),
            (10000, 0xB6),
            (32767, 0xAA),
            (-32768, 0x2A),
        ];
        for (sample, word) in words {
            assert_eq!(alaw(sample), word, "{sample}");
        }
        for (word, sample) in [(0xD5, 8), (0xFA, 1008), (0xB6, 9984), (0xAA, 32256)] {
            assert_eq!(from_alaw(word), sample);
        }
    }

    #[test]
    fn every_code_word_survives_decoding() {
        for word in 0..=u8::MAX {
            assert_eq!(alaw(from_alaw(word)), word);
        }
    }

    #[test]
    fn a_tail_is_cut_only_when_its_length_fits() {
        let plain = Bytes::from(vec![0xD5; 800]);
        assert_eq!(without_tail(&plain), plain);
        let tailed: Bytes = [vec![0xD5; 800], vec![0], 800_u32.to_le_bytes().to_vec()]
            .concat()
            .into();
        assert_eq!(without_tail(&tailed), plain);
        assert_eq!(without_tail(&Bytes::from_static(b"ab")), &b"ab"[..]);
    }
}
