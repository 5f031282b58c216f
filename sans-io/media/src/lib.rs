//! The vocabulary of video: tracks, codec parameters, access units, time.
//!
//! Every driver speaks these words to the hub, and the hub to every output. The crate holds values
//! only: no sockets, no clock, no codec logic (that is `format`).
//!
//! ```
//! use media::{Codec, Track};
//! let track = Track::h264(b"\x67\x42\x00\x1e".as_slice().into(), b"\x68\xce".as_slice().into(), 640, 360);
//! assert_eq!(track.codec, Codec::H264);
//! assert_eq!(track.clock_rate, 90_000);
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod access_unit;
mod nal;
mod time;
mod track;

pub use access_unit::AccessUnit;
pub use nal::{NalUnits, length_prefixed};
pub use time::{MediaTime, WallTime};
pub use track::{Codec, CodecParameters, Kind, Track, Tracks};

/// Largest access unit that Eyelet carries, in bytes. A 4K intra picture at high quality stays
/// below 4 MiB; what is larger is a fault or an attack.
pub const MAX_ACCESS_UNIT: usize = 8 << 20;

/// Most tracks that one stream may have: a camera offers one video, one or two audio, and metadata.
pub const MAX_TRACKS: usize = 8;
