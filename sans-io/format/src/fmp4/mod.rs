//! Fragmented MP4 (ISO/IEC 14496-12) as browsers play it: one init segment, then one fragment per
//! access unit, so that nothing waits for the next picture.
//!
//! Written only, never read. Track ids count from 1 in the order of the init segment's tracks.

mod boxes;
mod fragment;
mod init;

pub use fragment::Fragment;
pub use init::{codec_string, init_segment, is_carried, mime};
