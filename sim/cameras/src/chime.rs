//! A soft door chime in G.711 mu-law, computed once.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use bytes::Bytes;

pub(crate) const SAMPLE_RATE: u32 = 8_000;
/// 20 ms, what telephones and cameras put into a packet.
pub(crate) const UNIT_SAMPLES: usize = 160;
/// One chime in five seconds: the clip's ten hold two.
const PERIOD_SECONDS: usize = 5;

static CHIME: LazyLock<Bytes> = LazyLock::new(|| {
    let count = SAMPLE_RATE as usize * PERIOD_SECONDS;
    (0..count)
        .map(|at| mu_law(sample(at as f64 / f64::from(SAMPLE_RATE))))
        .collect()
});

/// The unit at `index`, for ever.
pub(crate) fn unit(index: u64) -> Bytes {
    let units = (CHIME.len() / UNIT_SAMPLES) as u64;
    let start = (index % units) as usize * UNIT_SAMPLES;
    CHIME.slice(start..start + UNIT_SAMPLES)
}

/// So many samples from the one at `index` on, for ever.
pub(crate) fn samples(index: u64, count: usize) -> impl Iterator<Item = i16> {
    let period = (SAMPLE_RATE as usize * PERIOD_SECONDS) as u64;
    (index..index + count as u64)
        .map(move |at| sample((at % period) as f64 / f64::from(SAMPLE_RATE)))
}

/// Two notes, a third apart, each a sine that dies away.
fn sample(time: f64) -> i16 {
    let note = |start: f64, frequency: f64| {
        let t = time - start;
        if t < 0.0 {
            return 0.0;
        }
        let attack = (t / 0.01).min(1.0);
        let tone = (TAU * frequency * t).sin() + 0.25 * (TAU * 2.0 * frequency * t).sin();
        attack * (-2.5 * t).exp() * tone
    };
    ((note(0.2, 659.26) + note(0.7, 523.25)) * 4_000.0) as i16
}

/// ITU-T G.711 mu-law.
fn mu_law(sample: i16) -> u8 {
    const BIAS: u16 = 0x84;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs().min(32_635) + BIAS;
    let exponent = 8 - magnitude.leading_zeros() as u16;
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4 | mantissa) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mu_law_has_the_values_of_the_standard() {
        assert_eq!(mu_law(0), 0xff);
        assert_eq!(mu_law(32_767), 0x80);
        assert_eq!(mu_law(-32_768), 0x00);
        assert_eq!(mu_law(1_000), 0xce);
    }

    #[test]
    fn the_chime_goes_on_for_ever_without_a_click() {
        assert_eq!(unit(0), unit(250));
        assert_eq!(unit(249).last(), Some(&0xff));
    }
}
