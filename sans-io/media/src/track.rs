use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Pictures or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
}

/// How a track's access units are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// ITU-T H.264, AVC.
    H264,
    /// ITU-T H.265, HEVC.
    H265,
    /// Baseline JPEG pictures, as in motion JPEG.
    Jpeg,
    /// MPEG-4 AAC.
    Aac,
    /// G.711 A-law.
    Pcma,
    /// G.711 mu-law.
    Pcmu,
}

impl Codec {
    /// Whether the codec carries pictures or sound.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::H264 | Self::H265 | Self::Jpeg => Kind::Video,
            Self::Aac | Self::Pcma | Self::Pcmu => Kind::Audio,
        }
    }

    /// The name people and the API use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::H265 => "H.265",
            Self::Jpeg => "JPEG",
            Self::Aac => "AAC",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a decoder needs before the first access unit. NAL units stand here without start code or length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodecParameters {
    /// H.264 sequence and picture parameter set.
    H264 {
        /// Sequence parameter set.
        sps: Bytes,
        /// Picture parameter set.
        pps: Bytes,
    },
    /// H.265 parameter sets.
    H265 {
        /// Video parameter set.
        vps: Bytes,
        /// Sequence parameter set.
        sps: Bytes,
        /// Picture parameter set.
        pps: Bytes,
    },
    /// Each JPEG picture carries its own tables.
    Jpeg,
    /// AAC's AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1).
    Aac {
        /// The AudioSpecificConfig.
        config: Bytes,
    },
    /// G.711 needs nothing.
    G711,
}

/// One elementary stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// How its access units are coded.
    pub codec: Codec,
    /// Ticks a second of its media time: 90,000 for video, the sample rate for audio.
    pub clock_rate: u32,
    /// What a decoder needs first.
    pub parameters: CodecParameters,
    /// Picture size in pixels, where it is known.
    pub size: Option<(u32, u32)>,
    /// Sound channels; 0 for video.
    pub channels: u16,
}

impl Track {
    /// An H.264 track on the usual 90 kHz clock.
    #[must_use]
    pub fn h264(sps: Bytes, pps: Bytes, width: u32, height: u32) -> Self {
        let parameters = CodecParameters::H264 { sps, pps };
        Self {
            codec: Codec::H264,
            clock_rate: 90_000,
            parameters,
            size: Some((width, height)),
            channels: 0,
        }
    }

    /// An H.265 track on the usual 90 kHz clock.
    #[must_use]
    pub fn h265(vps: Bytes, sps: Bytes, pps: Bytes, width: u32, height: u32) -> Self {
        let parameters = CodecParameters::H265 { vps, sps, pps };
        Self {
            codec: Codec::H265,
            clock_rate: 90_000,
            parameters,
            size: Some((width, height)),
            channels: 0,
        }
    }

    /// A JPEG track on the usual 90 kHz clock; the size may be learnt from the pictures.
    #[must_use]
    pub fn jpeg(size: Option<(u32, u32)>) -> Self {
        Self {
            codec: Codec::Jpeg,
            clock_rate: 90_000,
            parameters: CodecParameters::Jpeg,
            size,
            channels: 0,
        }
    }

    /// An AAC track; its clock is its sample rate.
    #[must_use]
    pub fn aac(config: Bytes, sample_rate: u32, channels: u16) -> Self {
        let parameters = CodecParameters::Aac { config };
        Self {
            codec: Codec::Aac,
            clock_rate: sample_rate,
            parameters,
            size: None,
            channels,
        }
    }

    /// A G.711 track: `codec` is [`Codec::Pcma`] or [`Codec::Pcmu`].
    #[must_use]
    pub fn g711(codec: Codec, sample_rate: u32, channels: u16) -> Self {
        Self {
            codec,
            clock_rate: sample_rate,
            parameters: CodecParameters::G711,
            size: None,
            channels,
        }
    }

    /// Whether the track carries pictures or sound.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.codec.kind()
    }
}

/// The tracks of a stream, in the publisher's order, shared by everyone who reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracks(Arc<[Track]>);

impl Tracks {
    /// Takes the publisher's tracks; an access unit's `track` indexes them.
    #[must_use]
    pub fn new(tracks: Vec<Track>) -> Self {
        Self(tracks.into())
    }

    /// The track that decides where a reader may start: the first with pictures, else none.
    #[must_use]
    pub fn video(&self) -> Option<usize> {
        self.0.iter().position(|track| track.kind() == Kind::Video)
    }

    /// Whether `other` has the same codecs and clocks in the same order, whatever the parameters.
    #[must_use]
    pub fn same_layout(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(other.0.iter()).all(|(a, b)| {
                a.codec == b.codec && a.clock_rate == b.clock_rate && a.channels == b.channels
            })
    }
}

impl std::ops::Deref for Tracks {
    type Target = [Track];

    fn deref(&self) -> &[Track] {
        &self.0
    }
}
