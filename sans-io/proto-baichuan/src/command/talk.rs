//! Talking through a camera, section 7.10.

use std::time::Duration;

use crate::adpcm::{AdpcmState, NibbleOrder};
use crate::media::MediaPacket;
use crate::xml::Element;

/// Most formats read of a camera's list; known ones name one or two.
pub const MAX_TALK_FORMATS: usize = 16;
/// Blocks longer than this are not believed; 1024 samples are usual.
const MAX_BLOCK_SAMPLES: u32 = 16_384;

/// A form of sound that a camera plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkFormat {
    /// `adpcm` is the one that everybody speaks.
    pub audio_type: String,
    /// Samples a second: 8000 or 16000.
    pub sample_rate: u32,
    /// Bits of a sample: 16.
    pub precision: u32,
    /// Samples of a block: 1024.
    pub block_samples: u32,
    /// `mono`.
    pub sound_track: String,
}

impl Default for TalkFormat {
    fn default() -> Self {
        Self {
            audio_type: "adpcm".to_owned(),
            sample_rate: 16_000,
            precision: 16,
            block_samples: 1024,
            sound_track: "mono".to_owned(),
        }
    }
}

impl TalkFormat {
    /// Reads an `audioConfig`; what it lacks or lies about is the usual.
    fn from_xml(element: &Element) -> Self {
        let usual = Self::default();
        let number = |name, usual: u32, max| {
            let number = element.number(name).filter(|&it| (1..=max).contains(&it));
            number.unwrap_or(usual)
        };
        let text = |name, usual| element.value(name).unwrap_or(usual).to_owned();
        Self {
            audio_type: text("audioType", "adpcm"),
            sample_rate: number("sampleRate", usual.sample_rate, 48_000),
            precision: number("samplePrecision", usual.precision, 32),
            block_samples: number("lengthPerEncoder", usual.block_samples, MAX_BLOCK_SAMPLES),
            sound_track: text("soundTrack", "mono"),
        }
    }

    fn to_xml(&self) -> Element {
        Element::new("audioConfig")
            .with("audioType", &self.audio_type)
            .with("sampleRate", self.sample_rate)
            .with("samplePrecision", self.precision)
            .with("lengthPerEncoder", self.block_samples)
            .with("soundTrack", &self.sound_track)
    }

    /// How long a block sounds: send one each so often.
    #[must_use]
    pub fn block_duration(&self) -> Duration {
        Duration::from_secs(1) * self.block_samples / self.sample_rate.max(1)
    }
}

/// How one can talk through a camera.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TalkAbility {
    /// `FDX` both ways at once, `HDX` in turns.
    pub duplex: Vec<String>,
    /// `followVideoStream`, `onlyAudioStream`, `mixAudioStream`.
    pub modes: Vec<String>,
    /// What it plays.
    pub formats: Vec<TalkFormat>,
}

impl TalkAbility {
    pub(super) fn from_xml(element: &Element) -> Self {
        let words = |list, name: &str| {
            let rows = element.all(list).take(MAX_TALK_FORMATS);
            let words = rows.filter_map(|row| row.value(name));
            words.map(str::to_owned).collect()
        };
        Self {
            duplex: words("duplexList", "duplex"),
            modes: words("audioStreamModeList", "audioStreamMode"),
            formats: element
                .all("audioConfigList")
                .take(MAX_TALK_FORMATS)
                .filter_map(|row| row.child("audioConfig"))
                .map(TalkFormat::from_xml)
                .collect(),
        }
    }

    pub(super) fn to_xml(&self) -> Element {
        let mut element = Element::versioned("TalkAbility");
        for duplex in &self.duplex {
            element = element.containing(Element::new("duplexList").with("duplex", duplex));
        }
        for mode in &self.modes {
            let row = Element::new("audioStreamModeList").with("audioStreamMode", mode);
            element = element.containing(row);
        }
        for format in &self.formats {
            let mut config = format.to_xml();
            config.children.insert(
                0,
                Element {
                    text: "0".to_owned(),
                    ..Element::new("priority")
                },
            );
            element = element.containing(Element::new("audioConfigList").containing(config));
        }
        element
    }
}

/// What a talk is begun with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkConfig {
    /// Which channel.
    pub channel: u8,
    /// One of the ability's.
    pub duplex: String,
    /// One of the ability's.
    pub mode: String,
    /// One of the ability's.
    pub format: TalkFormat,
}

impl TalkConfig {
    /// The first ADPCM format of the ability. None: the camera speaks no ADPCM, hence not with us.
    #[must_use]
    pub fn choose(channel: u8, ability: &TalkAbility) -> Option<Self> {
        let first = |words: &[String], usual: &str| {
            let word = words.first().map(String::as_str);
            word.unwrap_or(usual).to_owned()
        };
        Some(Self {
            channel,
            duplex: first(&ability.duplex, "FDX"),
            mode: first(&ability.modes, "followVideoStream"),
            format: ability
                .formats
                .iter()
                .find(|format| format.audio_type == "adpcm")?
                .clone(),
        })
    }

    pub(super) fn to_xml(&self) -> Element {
        Element::versioned("TalkConfig")
            .with("channelId", self.channel)
            .with("duplex", &self.duplex)
            .with("audioStreamMode", &self.mode)
            .containing(self.format.to_xml())
    }

    pub(super) fn from_xml(element: &Element) -> Self {
        let text = |name| element.value(name).unwrap_or_default().to_owned();
        Self {
            channel: element.number("channelId").unwrap_or(0),
            duplex: text("duplex"),
            mode: text("audioStreamMode"),
            format: element
                .child("audioConfig")
                .map(TalkFormat::from_xml)
                .unwrap_or_default(),
        }
    }
}

/// Cuts samples into the blocks that a camera wants, for [`crate::Session::talk`]. Who sends them keeps the pace of
/// [`TalkFormat::block_duration`]: bursts overrun the camera.
#[derive(Clone, Debug)]
pub struct TalkEncoder {
    state: AdpcmState,
    order: NibbleOrder,
    block_samples: usize,
    samples: Vec<i16>,
}

impl TalkEncoder {
    /// For a talk that the camera agreed to; mono samples at the format's rate.
    #[must_use]
    pub fn new(format: &TalkFormat, order: NibbleOrder) -> Self {
        Self {
            state: AdpcmState::default(),
            order,
            block_samples: usize::try_from(format.block_samples).unwrap_or(1024).max(2),
            samples: Vec::new(),
        }
    }

    /// Takes samples, gives as many packets as are full.
    pub fn push(&mut self, samples: &[i16]) -> Vec<MediaPacket> {
        self.samples.extend_from_slice(samples);
        let whole = self.samples.len() - self.samples.len() % self.block_samples;
        let rest = self.samples.split_off(whole);
        let full = std::mem::replace(&mut self.samples, rest);
        full.chunks(self.block_samples)
            .map(|block| self.packet(block))
            .collect()
    }

    /// The last packet, filled up with silence; None if nothing is left.
    pub fn finish(&mut self) -> Option<MediaPacket> {
        let mut rest = std::mem::take(&mut self.samples);
        if rest.is_empty() {
            return None;
        }
        rest.resize(self.block_samples, 0);
        Some(self.packet(&rest))
    }

    fn packet(&mut self, samples: &[i16]) -> MediaPacket {
        let block = self.state.encode(samples, self.order);
        let half = u16::try_from(block.len().saturating_sub(4) / 2).unwrap_or(u16::MAX);
        MediaPacket::Adpcm {
            half,
            block: block.into(),
        }
    }
}
