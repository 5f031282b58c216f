use std::time::Instant;

use bytes::Bytes;

use crate::{MediaTime, WallTime};

/// One coded picture or audio unit: all its bytes, one timestamp.
///
/// The payload is shared: cloning an access unit copies no media.
///
/// | codec | payload |
/// |---|---|
/// | H.264, H.265 | NAL units in decoding order, each behind a 4-byte big-endian length; no start codes |
/// | AAC | one raw access unit, no ADTS header |
/// | G.711 | samples, one byte each |
/// | JPEG | one whole picture, SOI to EOI |
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// Index into [`crate::Tracks`].
    pub track: usize,
    /// Presentation time on the track's clock. Strictly within one stream's life it never jumps
    /// back by more than the reordering of B pictures.
    pub time: MediaTime,
    /// When the camera says it took this, if it says so.
    pub wall: Option<WallTime>,
    /// When it arrived here.
    pub received: Instant,
    /// True if a decoder can start here: IDR, CRA, BLA, any JPEG, any audio unit.
    pub is_keyframe: bool,
    /// The coded bytes, in the form of the table above.
    pub payload: Bytes,
}
