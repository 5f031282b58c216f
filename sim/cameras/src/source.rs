//! What a simulated camera sees and hears: units at a steady pace, for ever.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use media::{Codec, Track, Tracks};

use crate::{bars, chime, clip::CLIP};

/// Where a camera's media comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The committed H.264 clip in a loop, and a chime.
    Porch,
    /// JPEG pictures drawn live, no sound.
    Bars,
}

/// A steady series of access units.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    /// The newest drawn picture: all who watch see the same.
    drawn: Mutex<Option<(u64, Bytes)>>,
}

impl Source {
    pub(crate) fn new(kind: Kind) -> Self {
        let drawn = Mutex::new(None);
        Self { kind, drawn }
    }

    pub(crate) fn tracks(&self) -> Tracks {
        Tracks::new(match self.kind {
            Kind::Porch => vec![
                Track::h264(CLIP.sps.clone(), CLIP.pps.clone(), 640, 360),
                Track::g711(Codec::Pcmu, chime::SAMPLE_RATE, 1),
            ],
            Kind::Bars => {
                let size = (u32::from(bars::WIDTH), u32::from(bars::HEIGHT));
                vec![Track::jpeg(Some(size))]
            }
        })
    }

    /// Time from one unit of `track` to the next.
    pub(crate) fn period(&self, track: usize) -> Duration {
        Duration::from_millis(match (self.kind, track) {
            (Kind::Porch, 0) => 40,
            (Kind::Porch, _) => 20,
            (Kind::Bars, _) => 100,
        })
    }

    /// The unit at `index`: payload, and whether a decoder can start there.
    pub(crate) fn unit(&self, track: usize, index: u64) -> (Bytes, bool) {
        match (self.kind, track) {
            (Kind::Porch, 0) => {
                let at = index % CLIP.units.len().max(1) as u64;
                CLIP.units.get(at as usize).cloned().unwrap_or_default()
            }
            (Kind::Porch, _) => (chime::unit(index), true),
            (Kind::Bars, _) => (self.drawn(index), true),
        }
    }

    fn drawn(&self, index: u64) -> Bytes {
        let mut drawn = self.drawn.lock().unwrap_or_else(|e| e.into_inner());
        match &*drawn {
            Some((at, picture)) if *at == index => picture.clone(),
            _ => {
                let picture = bars::picture(wall_time());
                *drawn = Some((index, picture.clone()));
                picture
            }
        }
    }
}

/// Time since 1970.
pub(crate) fn wall_time() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
