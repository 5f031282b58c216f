//! Bitstream and container formats, a module each.
//!
//! Reads what a container has to repeat about a codec (picture size, profile, sample rate) and
//! writes fragmented MP4. It decodes no picture and no sound, and keeps no state between calls.
//!
//! ```
//! let config = format::aac::AudioSpecificConfig::parse(&[0x12, 0x10]).unwrap();
//! assert_eq!((config.sample_rate, config.channels), (44_100, 2));
//! assert_eq!(config.codec_string(), "mp4a.40.2");
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod aac;
mod bits;
mod error;
pub mod fmp4;
pub mod h264;
pub mod h265;
pub mod jpeg;

pub use error::Error;

/// Largest parameter set that is read, in bytes. Real ones stay below 200; what is larger is a
/// fault or an attack.
pub const MAX_PARAMETER_SET: usize = 4096;

/// Largest picture side that is believed, in pixels: level 6.2 of both video codecs ends at 16,888.
pub const MAX_PICTURE_SIDE: u32 = 16_888;
