//! AAC: the AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1). Sound itself is not decoded.

use crate::Error;
use crate::bits::Bits;

/// What a decoder must know before the first access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// Audio object type as signalled first: 2 is AAC LC, 5 SBR, 29 parametric stereo.
    pub object_type: u8,
    /// Samples a second of the coded core.
    pub sample_rate: u32,
    /// Samples a second of the decoded sound where SBR doubles them.
    pub extension_sample_rate: Option<u32>,
    /// Sound channels; 0 if the stream itself describes them.
    pub channels: u16,
    /// Samples of one access unit on the core's clock.
    pub samples_per_access_unit: u32,
}

/// `samplingFrequencyIndex` (table 1.18).
const SAMPLE_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// `channelConfiguration` (table 1.19) to channels; 0 and the reserved ones describe themselves.
const CHANNELS: [u16; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

impl AudioSpecificConfig {
    /// Reads the configuration as far as it decides rate, channels and access unit length.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits::plain("AudioSpecificConfig", config);
        let object_type = read_object_type(&mut bits)?;
        let sample_rate = read_sample_rate(&mut bits)?;
        let channel_code = bits.u8(4)?;
        let mut core_type = object_type;
        let mut extension_sample_rate = None;
        if matches!(object_type, 5 | 29) {
            extension_sample_rate = Some(read_sample_rate(&mut bits)?);
            core_type = read_object_type(&mut bits)?;
        }
        if core_type == 0 {
            return Err(bits.invalid("audioObjectType", 0, "an AAC object type"));
        }
        // Only the general audio types have a frameLengthFlag here (section 4.4.1).
        let is_general_audio = matches!(core_type, 1..=4 | 6 | 7 | 17 | 19..=23);
        let is_short = is_general_audio && bits.flag()?;
        let samples_per_access_unit = match (core_type, is_short) {
            (23, false) => 512,
            (23, true) => 480,
            (_, true) => 960,
            (_, false) => 1024,
        };
        Ok(Self {
            object_type,
            sample_rate,
            extension_sample_rate,
            channels: CHANNELS
                .get(usize::from(channel_code))
                .copied()
                .unwrap_or(0),
            samples_per_access_unit,
        })
    }

    /// The codec string of RFC 6381: `mp4a.40.2`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

fn read_object_type(bits: &mut Bits<'_>) -> Result<u8, Error> {
    const ESCAPE: u8 = 31;
    match bits.u8(5)? {
        ESCAPE => Ok(32 + bits.u8(6)?),
        plain => Ok(plain),
    }
}

fn read_sample_rate(bits: &mut Bits<'_>) -> Result<u32, Error> {
    const ESCAPE: u8 = 15;
    let rate = match bits.u8(4)? {
        ESCAPE => bits.u32(24)?,
        index => match SAMPLE_RATES.get(usize::from(index)) {
            Some(&rate) => rate,
            None => {
                return Err(bits.invalid("samplingFrequencyIndex", index.into(), "0 to 12, or 15"));
            }
        },
    };
    if rate == 0 {
        return Err(bits.invalid("samplingFrequency", 0, "at least 1"));
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_complexity_stereo_is_read_from_two_bytes() {
        let config = AudioSpecificConfig::parse(&[0x11, 0x90]).unwrap();
        let expected = AudioSpecificConfig {
            object_type: 2,
            sample_rate: 48_000,
            extension_sample_rate: None,
            channels: 2,
            samples_per_access_unit: 1024,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn explicit_sbr_tells_both_rates() {
        // SBR (5), core at 24 kHz, stereo, doubled to 48 kHz, core AAC LC.
        let config = AudioSpecificConfig::parse(&[0x2b, 0x11, 0x88, 0x00]).unwrap();
        assert_eq!(config.codec_string(), "mp4a.40.5");
        assert_eq!(config.sample_rate, 24_000);
        assert_eq!(config.extension_sample_rate, Some(48_000));
    }

    #[test]
    fn a_rate_outside_the_table_may_be_written_out() {
        // AAC LC, escape, 24 bits of 11,000 Hz, mono.
        let config = AudioSpecificConfig::parse(&[0x17, 0x80, 0x15, 0x7c, 0x08]).unwrap();
        assert_eq!((config.sample_rate, config.channels), (11_000, 1));
    }

    #[test]
    fn reserved_rate_and_missing_bytes_are_told_apart() {
        let reserved = AudioSpecificConfig::parse(&[0x16, 0x90]).unwrap_err();
        assert!(matches!(reserved, Error::Invalid { found: 13, .. }));
        let cut = AudioSpecificConfig::parse(&[0x12]).unwrap_err();
        assert!(matches!(cut, Error::Truncated { len: 1, .. }));
    }
}
