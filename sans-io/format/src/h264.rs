//! H.264: what a container and a viewer must know of the sequence parameter set (ITU-T H.264
//! section 7.3.2.1), and NAL unit types. Slices are not read.

use bytes::Bytes;
use media::NalUnits;

use crate::bits::Bits;
use crate::{Error, MAX_PICTURE_SIDE};

/// Kind of a NAL unit (table 7-1), as far as Eyelet tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalType {
    /// A slice of a picture that needs others.
    Slice,
    /// A slice of a picture where decoding may start.
    Idr,
    /// Supplemental information.
    Sei,
    /// Sequence parameter set.
    Sps,
    /// Picture parameter set.
    Pps,
    /// Access unit delimiter.
    Delimiter,
    /// Any other.
    Other(u8),
}

impl NalType {
    /// The kind of `nal`; `None` if it is empty.
    #[must_use]
    pub fn of(nal: &[u8]) -> Option<Self> {
        Some(match nal.first()? & 0x1f {
            1..=4 => Self::Slice,
            5 => Self::Idr,
            6 => Self::Sei,
            7 => Self::Sps,
            8 => Self::Pps,
            9 => Self::Delimiter,
            other => Self::Other(other),
        })
    }
}

/// Whether a decoder may start at this access unit (NAL units behind 4-byte lengths).
#[must_use]
pub fn is_keyframe(payload: &Bytes) -> bool {
    NalUnits::new(payload).any(|nal| NalType::of(&nal) == Some(NalType::Idr))
}

/// The fields of a sequence parameter set that others need.
#[derive(Clone, Debug, PartialEq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of `constraint_set` flags.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u8,
    /// Bits of a luma sample.
    pub luma_depth: u8,
    /// Bits of a chroma sample.
    pub chroma_depth: u8,
    /// Picture width in pixels after cropping.
    pub width: u32,
    /// Picture height in pixels after cropping.
    pub height: u32,
    /// Whether pictures may be coded as fields (`frame_mbs_only_flag` is 0).
    pub is_interlaced: bool,
    /// Pictures a second, where the camera says it.
    pub frame_rate: Option<f64>,
    /// Whether samples use all their values (`video_full_range_flag`), where the camera says it.
    pub is_full_range: Option<bool>,
    /// `matrix_coefficients` (ITU-T H.273), where the camera says it.
    pub matrix: Option<u8>,
}

/// `profile_idc` values whose parameter set describes the chroma format (section 7.3.2.1.1).
const PROFILES_WITH_CHROMA: [u8; 13] =
    [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

impl Sps {
    /// Reads a sequence parameter set: the NAL unit, its header byte included.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits::nal("H.264 SPS", nal)?;
        let header = bits.u8(8)?;
        if header & 0x1f != 7 {
            let found = u64::from(header & 0x1f);
            return Err(bits.invalid("nal_unit_type", found, "7"));
        }
        let profile = bits.u8(8)?;
        let constraints = bits.u8(8)?;
        let level = bits.u8(8)?;
        bits.ue_max("seq_parameter_set_id", 31, "at most 31")?;

        let (mut chroma_format, mut luma_depth, mut chroma_depth) = (1, 8, 8);
        let mut separate_planes = false;
        if PROFILES_WITH_CHROMA.contains(&profile) {
            chroma_format = small(bits.ue_max("chroma_format_idc", 3, "at most 3")?);
            if chroma_format == 3 {
                separate_planes = bits.flag()?;
            }
            luma_depth = 8 + small(bits.ue_max("bit_depth_luma_minus8", 6, "at most 6")?);
            chroma_depth = 8 + small(bits.ue_max("bit_depth_chroma_minus8", 6, "at most 6")?);
            bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                let lists = if chroma_format == 3 { 12 } else { 8 };
                for list in 0..lists {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }

        bits.ue()?; // log2_max_frame_num_minus4
        match bits.ue_max("pic_order_cnt_type", 2, "at most 2")? {
            0 => {
                bits.ue()?; // log2_max_pic_order_cnt_lsb_minus4
            }
            1 => {
                bits.skip(1)?; // delta_pic_order_always_zero_flag
                bits.se()?; // offset_for_non_ref_pic
                bits.se()?; // offset_for_top_to_bottom_field
                let field = "num_ref_frames_in_pic_order_cnt_cycle";
                for _ in 0..bits.ue_max(field, 255, "at most 255")? {
                    bits.se()?;
                }
            }
            _ => {}
        }
        bits.ue()?; // max_num_ref_frames
        bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag

        let max_macroblocks = MAX_PICTURE_SIDE / 16;
        let width_mbs = bits.ue_max("pic_width_in_mbs_minus1", max_macroblocks, "a real width")?;
        let height_units = bits.ue_max(
            "pic_height_in_map_units_minus1",
            max_macroblocks,
            "a real height",
        )?;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.skip(1)?; // mb_adaptive_frame_field_flag
        }
        bits.skip(1)?; // direct_8x8_inference_flag
        let fields = if frames_only { 1 } else { 2 };
        let mut width = (width_mbs + 1) * 16;
        let mut height = (height_units + 1) * 16 * fields;
        if bits.flag()? {
            // Cropping counts in chroma samples (section 7.4.2.1.1, CropUnitX and CropUnitY).
            let (unit_x, unit_y) = match chroma_format {
                _ if separate_planes => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut crop =
                || bits.ue_max("frame_crop_offset", MAX_PICTURE_SIDE, "inside the picture");
            let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
            width = cropped(&bits, width, (left + right) * unit_x)?;
            height = cropped(&bits, height, (top + bottom) * unit_y * fields)?;
        }
        // A camera that cuts off the VUI still has a size worth knowing.
        let mut usability = Usability::default();
        if bits.flag()? {
            let _ = usability.read(&mut bits);
        }
        Ok(Self {
            profile,
            constraints,
            level,
            chroma_format,
            luma_depth,
            chroma_depth,
            width,
            height,
            is_interlaced: !frames_only,
            frame_rate: usability.frame_rate,
            is_full_range: usability.is_full_range,
            matrix: usability.matrix,
        })
    }

    /// The codec string of RFC 6381: `avc1.42C01E`.
    #[must_use]
    pub fn codec_string(&self) -> String {
        format!(
            "avc1.{:02X}{:02X}{:02X}",
            self.profile, self.constraints, self.level
        )
    }

    /// Whether the profile is one whose avcC ends with chroma format and bit depths
    /// (ISO/IEC 14496-15 section 5.3.3.1.2).
    pub(crate) fn has_high_fields(&self) -> bool {
        !matches!(self.profile, 66 | 77 | 88)
    }
}

/// Fields that `ue_max` has limited to a few bits.
fn small(value: u32) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

fn cropped(bits: &Bits<'_>, side: u32, crop: u32) -> Result<u32, Error> {
    match side.checked_sub(crop) {
        Some(left) if left > 0 => Ok(left),
        _ => Err(bits.invalid("frame_crop_offset", crop.into(), "inside the picture")),
    }
}

fn skip_scaling_list(bits: &mut Bits<'_>, len: usize) -> Result<(), Error> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..len {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

/// What is read of the VUI (annex E.1.1): all up to its timing.
#[derive(Default)]
struct Usability {
    is_full_range: Option<bool>,
    matrix: Option<u8>,
    frame_rate: Option<f64>,
}

impl Usability {
    /// Reads as far as it gets; what it read before an error counts.
    fn read(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        const EXTENDED_SAR: u8 = 255;
        if bits.flag()? && bits.u8(8)? == EXTENDED_SAR {
            bits.skip(32)?;
        }
        if bits.flag()? {
            bits.skip(1)?; // overscan_appropriate_flag
        }
        if bits.flag()? {
            bits.skip(3)?; // video_format
            self.is_full_range = Some(bits.flag()?);
            if bits.flag()? {
                bits.skip(16)?; // colour_primaries, transfer_characteristics
                self.matrix = Some(bits.u8(8)?);
            }
        }
        if bits.flag()? {
            bits.ue()?; // chroma_sample_loc_type_top_field
            bits.ue()?; // chroma_sample_loc_type_bottom_field
        }
        if bits.flag()? {
            let units_in_tick = bits.u32(32)?;
            let time_scale = bits.u32(32)?;
            // A tick is a field: two of them make a picture.
            let rate = f64::from(time_scale) / (2.0 * f64::from(units_in_tick));
            let is_sane = units_in_tick > 0 && rate > 0.0 && rate <= 1_000.0;
            self.frame_rate = is_sane.then_some(rate);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 640x360 constrained baseline, level 3.0, 25 pictures a second.
    const BASELINE: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00,
        0x01, 0x00, 0x00, 0x03, 0x00, 0x32, 0x0f, 0x16, 0x2e, 0x48,
    ];

    #[test]
    fn size_rate_and_codec_string_are_read_from_a_parameter_set() {
        let sps = Sps::parse(BASELINE).unwrap();
        assert_eq!((sps.width, sps.height), (640, 360));
        assert_eq!(sps.frame_rate, Some(25.0));
        assert_eq!(sps.codec_string(), "avc1.42C01E");
    }

    #[test]
    fn every_shortened_parameter_set_is_an_error_or_loses_only_its_rate() {
        for len in 0..BASELINE.len() {
            if let Ok(sps) = Sps::parse(&BASELINE[..len]) {
                assert_eq!((sps.width, sps.height), (640, 360), "cut to {len}");
            }
        }
    }

    #[test]
    fn a_picture_parameter_set_is_refused_by_name() {
        let error = Sps::parse(&[0x68, 0xce, 0x3c, 0x80]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "H.264 SPS: nal_unit_type is 8, expected 7"
        );
    }

    #[test]
    fn keyframe_is_told_by_its_slices() {
        let idr = media::length_prefixed([b"\x06sei".as_slice(), b"\x65slice"]);
        let other = media::length_prefixed([b"\x06sei".as_slice(), b"\x41slice"]);
        assert!(is_keyframe(&idr));
        assert!(!is_keyframe(&other));
    }
}
