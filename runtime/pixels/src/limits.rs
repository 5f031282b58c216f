//! What a camera may make a decoder do.

use std::fmt;

use format::{h264, h265};
use media::CodecParameters;

/// Longest side of a picture.
const MAX_SIDE: u32 = 8_192;

/// Most pixels of a picture: 16 megapixels, more than any camera streams. A decoder holds up to 17
/// of them at 1.5 or 3 bytes a pixel.
const MAX_PIXELS: u32 = 16 << 20;

/// Whether the built-in decoders take this video; the error says why not.
pub(crate) fn check(parameters: &CodecParameters) -> Result<(), Refusal> {
    match parameters {
        CodecParameters::H264 { sps, .. } => check_h264(sps),
        CodecParameters::H265 { sps, .. } => check_h265(sps),
        CodecParameters::Jpeg | CodecParameters::Aac { .. } | CodecParameters::G711 => {
            Err(Refusal::Malformed("it is no coded video".to_owned()))
        }
    }
}

/// Why a sequence parameter set is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another decoder may know it.
    Unsupported(String),
    /// No decoder should see it.
    Malformed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(reason) | Self::Malformed(reason) => f.write_str(reason),
        }
    }
}

pub(crate) fn check_h264(sps: &[u8]) -> Result<(), Refusal> {
    let sps = h264::Sps::parse(sps).map_err(|error| Refusal::Malformed(error.to_string()))?;
    check_size(sps.width, sps.height)?;
    check_samples(sps.chroma_format, sps.luma_depth, sps.chroma_depth, 8)?;
    if sps.is_interlaced {
        return Err(Refusal::Unsupported("interlaced".to_owned()));
    }
    // Baseline, Main, High: what openh264 decodes.
    if !matches!(sps.profile, 66 | 77 | 100) {
        let profile = format!("profile {}", sps.profile);
        return Err(Refusal::Unsupported(profile));
    }
    Ok(())
}

pub(crate) fn check_h265(sps: &[u8]) -> Result<(), Refusal> {
    let sps = h265::Sps::parse(sps).map_err(|error| Refusal::Malformed(error.to_string()))?;
    check_size(sps.width, sps.height)?;
    check_samples(sps.chroma_format, sps.luma_depth, sps.chroma_depth, 10)
}

fn check_size(width: u32, height: u32) -> Result<(), Refusal> {
    if width > MAX_SIDE || height > MAX_SIDE || width.saturating_mul(height) > MAX_PIXELS {
        let text = format!("{width}x{height} pixels; at most {MAX_PIXELS} are decoded");
        return Err(Refusal::Malformed(text));
    }
    Ok(())
}

fn check_samples(chroma_format: u8, luma: u8, chroma: u8, max: u8) -> Result<(), Refusal> {
    let chroma_name = match chroma_format {
        0 => "4:0:0",
        1 => "4:2:0",
        2 => "4:2:2",
        _ => "4:4:4",
    };
    if chroma_format != 1 {
        return Err(Refusal::Unsupported(format!("{chroma_name} chroma")));
    }
    if luma != chroma || luma > max {
        let text = format!("{luma}-bit luma and {chroma}-bit chroma");
        return Err(Refusal::Unsupported(text));
    }
    Ok(())
}
