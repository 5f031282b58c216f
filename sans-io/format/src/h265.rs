//! H.265: what hvcC and a viewer must know of the parameter sets (ITU-T H.265 section 7.3.2).
//! Slices, reference picture sets and the VUI are not read.

use bytes::Bytes;
use media::NalUnits;

use crate::bits::Bits;
use crate::{Error, MAX_PICTURE_SIDE};

/// Kind of a NAL unit (table 7-1), as far as Eyelet tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice of a picture that needs others.
    Slice,
    /// A slice of a picture where decoding may start: IDR, CRA, BLA.
    RandomAccess,
    /// Video parameter set.
    Vps,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// Access unit delimiter.
    Delimiter,
    /// Supplemental information.
    Sei,
    /// Any other.
    Other(u8),
}

impl NalType {
    /// The kind of `nal`; `None` if it is empty.
    #[must_use]
    pub fn of(nal: &[u8]) -> Option<Self> {
        Some(match nal.first()? >> 1 & 0x3f {
            0..=15 => Self::Slice,
            16..=23 => Self::RandomAccess,
            32 => Self::Vps,
            33 => Self::Sps,
            34 => Self::Pps,
            35 => Self::Delimiter,
            39 | 40 => Self::Sei,
            other => Self::Other(other),
        })
    }
}

/// Whether a decoder may start at this access unit (NAL units behind 4-byte lengths).
#[must_use]
pub fn is_keyframe(payload: &Bytes) -> bool {
    NalUnits::new(payload).any(|nal| NalType::of(&nal) == Some(NalType::RandomAccess))
}

/// The general part of `profile_tier_level` (section 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProfileTierLevel {
    /// `general_profile_space`.
    pub profile_space: u8,
    /// `general_tier_flag`: true is the high tier.
    pub is_high_tier: bool,
    /// `general_profile_idc`: 1 is Main, 2 Main 10.
    pub profile: u8,
    /// `general_profile_compatibility_flag`, flag 0 in the top bit.
    pub compatibility: u32,
    /// The 48 bits of constraint flags.
    pub constraints: [u8; 6],
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
}

impl ProfileTierLevel {
    /// The 12 bytes as they stand in parameter sets and in hvcC.
    #[must_use]
    pub fn encode(&self) -> [u8; 12] {
        let [c0, c1, c2, c3] = self.compatibility.to_be_bytes();
        let [k0, k1, k2, k3, k4, k5] = self.constraints;
        let head = self.profile_space << 6 | u8::from(self.is_high_tier) << 5 | self.profile;
        [head, c0, c1, c2, c3, k0, k1, k2, k3, k4, k5, self.level]
    }

    fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let profile_space = bits.u8(2)?;
        let is_high_tier = bits.flag()?;
        let profile = bits.u8(5)?;
        let compatibility = bits.u32(32)?;
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = bits.u8(8)?;
        }
        let level = bits.u8(8)?;
        Ok(Self {
            profile_space,
            is_high_tier,
            profile,
            compatibility,
            constraints,
            level,
        })
    }
}

/// The fields of a sequence parameter set that others need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Profile, tier and level.
    pub profile_tier_level: ProfileTierLevel,
    /// `sps_max_sub_layers_minus1` + 1.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub is_temporal_id_nested: bool,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub luma_depth: u8,
    /// Bits of a chroma sample.
    pub chroma_depth: u8,
    /// Picture width in pixels inside the conformance window.
    pub width: u32,
    /// Picture height in pixels inside the conformance window.
    pub height: u32,
}

impl Sps {
    /// Reads a sequence parameter set: the NAL unit, its two header bytes included.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits::nal("H.265 SPS", nal)?;
        let kind = bits.u32(16)? >> 9 & 0x3f;
        if kind != 33 {
            return Err(bits.invalid("nal_unit_type", kind.into(), "33"));
        }
        bits.skip(4)?; // sps_video_parameter_set_id
        let sub_layers = bits.u8(3)?;
        if sub_layers > 6 {
            let found = sub_layers.into();
            return Err(bits.invalid("sps_max_sub_layers_minus1", found, "at most 6"));
        }
        let is_temporal_id_nested = bits.flag()?;
        let profile_tier_level = ProfileTierLevel::read(&mut bits)?;
        skip_sub_layers(&mut bits, sub_layers)?;

        bits.ue_max("sps_seq_parameter_set_id", 15, "at most 15")?;
        let chroma_format = small(bits.ue_max("chroma_format_idc", 3, "at most 3")?);
        let separate_planes = chroma_format == 3 && bits.flag()?;
        let full_width = side(&mut bits, "pic_width_in_luma_samples")?;
        let full_height = side(&mut bits, "pic_height_in_luma_samples")?;
        let (mut width, mut height) = (full_width, full_height);
        if bits.flag()? {
            let (unit_x, unit_y) = match chroma_format {
                _ if separate_planes => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut crop =
                || bits.ue_max("conf_win_offset", MAX_PICTURE_SIDE, "inside the picture");
            let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
            width = cropped(&bits, full_width, (left + right) * unit_x)?;
            height = cropped(&bits, full_height, (top + bottom) * unit_y)?;
        }
        let luma_depth = 8 + small(bits.ue_max("bit_depth_luma_minus8", 8, "at most 8")?);
        let chroma_depth = 8 + small(bits.ue_max("bit_depth_chroma_minus8", 8, "at most 8")?);
        Ok(Self {
            profile_tier_level,
            temporal_layers: sub_layers + 1,
            is_temporal_id_nested,
            chroma_format,
            luma_depth,
            chroma_depth,
            width,
            height,
        })
    }

    /// The codec string of ISO/IEC 14496-15 annex E.3: `hvc1.1.6.L93.B0`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        let general = &self.profile_tier_level;
        let space = match general.profile_space {
            1 => "A",
            2 => "B",
            3 => "C",
            _ => "",
        };
        let tier = if general.is_high_tier { 'H' } else { 'L' };
        let mut text = format!(
            "hvc1.{space}{}.{:X}.{tier}{}",
            general.profile,
            general.compatibility.reverse_bits(),
            general.level
        );
        let used = general
            .constraints
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1);
        for byte in general.constraints.iter().take(used) {
            text.push_str(&format!(".{byte:X}"));
        }
        text
    }
}

/// Fields that `ue_max` has limited to a few bits.
fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn side(bits: &mut Bits<'_>, field: &'static str) -> Result<u32, Error> {
    match bits.ue_max(field, MAX_PICTURE_SIDE, "at most 16888")? {
        0 => Err(bits.invalid(field, 0, "at least 1")),
        side => Ok(side),
    }
}

fn cropped(bits: &Bits<'_>, side: u32, crop: u32) -> Result<u32, Error> {
    match side.checked_sub(crop) {
        Some(left) if left > 0 => Ok(left),
        _ => Err(bits.invalid("conf_win_offset", crop.into(), "inside the picture")),
    }
}

/// The sub-layers' own profiles and levels (section 7.3.3), behind the general ones.
fn skip_sub_layers(bits: &mut Bits<'_>, sub_layers: u8) -> Result<(), Error> {
    const PROFILE_BITS: usize = 88;
    const LEVEL_BITS: usize = 8;
    if sub_layers == 0 {
        return Ok(());
    }
    let mut to_skip = 0;
    for _ in 0..sub_layers {
        to_skip += if bits.flag()? { PROFILE_BITS } else { 0 };
        to_skip += if bits.flag()? { LEVEL_BITS } else { 0 };
    }
    bits.skip(2 * usize::from(8 - sub_layers))?; // reserved_zero_2bits, up to eight layers
    bits.skip(to_skip)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 322x182, Main, level 2.0, as x265 writes it.
    const MAIN: &[u8] = &[
        0x42, 0x01, 0x01, 0x01, 0x60, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x48, 0x0b, 0x9c, 0x95, 0x96, 0x56, 0x49, 0x24, 0xca, 0xf0,
        0x16, 0x80, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x0c, 0x84,
    ];

    /// The same in Main 10.
    const MAIN_10: &[u8] = &[
        0x42, 0x01, 0x01, 0x02, 0x20, 0x00, 0x00, 0x03, 0x00, 0x90, 0x00, 0x00, 0x03, 0x00, 0x00,
        0x03, 0x00, 0x3c, 0xa0, 0x0a, 0x48, 0x0b, 0x9c, 0x94, 0xd9, 0x65, 0x66, 0x92, 0x4c, 0xaf,
        0x01, 0x68, 0x08, 0x00, 0x00, 0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x40,
    ];

    #[test]
    fn size_inside_the_window_and_codec_string_are_read() {
        let sps = Sps::parse(MAIN).unwrap();
        assert_eq!((sps.width, sps.height), (322, 182));
        assert_eq!(
            (sps.chroma_format, sps.luma_depth, sps.chroma_depth),
            (1, 8, 8)
        );
        assert_eq!(sps.codec_string(), "hvc1.1.6.L60.90");
        assert_eq!((sps.temporal_layers, sps.is_temporal_id_nested), (1, true));
    }

    #[test]
    fn ten_bits_are_told_apart_from_eight() {
        let sps = Sps::parse(MAIN_10).unwrap();
        assert_eq!((sps.luma_depth, sps.chroma_depth), (10, 10));
        assert_eq!(sps.codec_string(), "hvc1.2.4.L60.90");
    }

    #[test]
    fn profile_tier_level_is_written_as_it_was_read() {
        let sps = Sps::parse(MAIN).unwrap();
        let expected = [0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x3c];
        assert_eq!(sps.profile_tier_level.encode(), expected);
    }

    #[test]
    fn no_flipped_bit_leads_to_an_impossible_size() {
        let mut any_refused = false;
        for bit in 0..MAIN.len() * 8 {
            let mut broken = MAIN.to_vec();
            broken[bit / 8] ^= 0x80 >> (bit % 8);
            match Sps::parse(&broken) {
                Ok(sps) => assert!(sps.width > 0 && sps.width <= MAX_PICTURE_SIDE),
                Err(_) => any_refused = true,
            }
        }
        assert!(any_refused);
    }

    #[test]
    fn keyframe_is_told_by_its_slices() {
        let cra = media::length_prefixed([[0x2a, 0x01, 0x80].as_slice()]);
        let trail = media::length_prefixed([[0x02, 0x01, 0x80].as_slice()]);
        assert!(is_keyframe(&cra));
        assert!(!is_keyframe(&trail));
    }
}
