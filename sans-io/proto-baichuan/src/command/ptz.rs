//! Moving, zooming and places to go to, section 7.8.

use super::Command;
use crate::xml::Element;

/// Most presets of a list: numbers are one byte (section 7.8), and devices have 64.
pub const MAX_PRESETS: usize = 256;

/// A movement that runs until [`Self::Stop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PtzMotion {
    /// Stand still.
    Stop,
    /// Turn left.
    Left,
    /// Turn right.
    Right,
    /// Look up.
    Up,
    /// Look down.
    Down,
    /// Two at once.
    LeftUp,
    /// Two at once.
    LeftDown,
    /// Two at once.
    RightUp,
    /// Two at once.
    RightDown,
    /// Nearer.
    ZoomIn,
    /// Wider.
    ZoomOut,
    /// Focus on what is farther.
    FocusFar,
    /// Focus on what is nearer.
    FocusNear,
    /// Look around.
    Auto,
}

impl PtzMotion {
    /// Every motion.
    pub const ALL: [Self; 14] = [
        Self::Stop,
        Self::Left,
        Self::Right,
        Self::Up,
        Self::Down,
        Self::LeftUp,
        Self::LeftDown,
        Self::RightUp,
        Self::RightDown,
        Self::ZoomIn,
        Self::ZoomOut,
        Self::FocusFar,
        Self::FocusNear,
        Self::Auto,
    ];

    /// The vendor's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
            Self::LeftUp => "leftUp",
            Self::LeftDown => "leftDown",
            Self::RightUp => "rightUp",
            Self::RightDown => "rightDown",
            Self::ZoomIn => "zoomInc",
            Self::ZoomOut => "zoomDec",
            Self::FocusFar => "focusInc",
            Self::FocusNear => "focusDec",
            Self::Auto => "auto",
        }
    }

    /// By the vendor's word; firmware does not tell upper from lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|motion| motion.name().eq_ignore_ascii_case(name))
    }
}

/// A place to go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its number.
    pub id: u8,
    /// Its name, for people.
    pub name: String,
}

impl Preset {
    pub(super) fn from_list(element: &Element) -> Vec<Self> {
        let Some(list) = element.child("presetList") else {
            return Vec::new();
        };
        list.all("preset")
            .take(MAX_PRESETS)
            .filter_map(|preset| {
                Some(Self {
                    id: preset.number("id")?,
                    name: preset.value("name").unwrap_or_default().to_owned(),
                })
            })
            .collect()
    }

    pub(super) fn to_list(presets: &[Self]) -> Element {
        let list = presets
            .iter()
            .fold(Element::new("presetList"), |list, preset| {
                // One client insists on a command; empty is good enough (section 7.8).
                list.containing(
                    Element::new("preset")
                        .with("id", preset.id)
                        .with("command", "")
                        .with("name", &preset.name)
                        .with("imageName", ""),
                )
            });
        Element::versioned("PtzPreset")
            .with("channelId", 0)
            .with("maxPresetNum", 64)
            .with("maxPresetPicNum", 64)
            .containing(list)
    }
}

pub(super) fn preset_command(
    channel: u8,
    preset: u8,
    command: &str,
    name: Option<&str>,
) -> Element {
    let preset = Element::new("preset")
        .with("id", preset)
        .with("command", command)
        .with_some("name", name);
    Element::versioned("PtzPreset")
        .with("channelId", channel)
        .containing(Element::new("presetList").containing(preset))
}

pub(super) fn read_preset_command(element: &Element) -> Option<Command> {
    let channel = element.number("channelId").unwrap_or(0);
    let entry = element.child("presetList")?.child("preset")?;
    let preset = entry.number("id")?;
    Some(match entry.value("command")? {
        "toPos" => Command::GoToPreset { channel, preset },
        "delPos" => Command::DeletePreset { channel, preset },
        "setPos" => Command::SavePreset {
            channel,
            preset: Preset {
                id: preset,
                name: entry.value("name").unwrap_or_default().to_owned(),
            },
        },
        _ => return None,
    })
}

/// Where something is, and where it can go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Lowest position.
    pub min: u32,
    /// Highest position.
    pub max: u32,
    /// Position at this moment.
    pub current: u32,
}

impl Range {
    fn from_xml(element: &Element) -> Self {
        let number = |name| element.number(name).unwrap_or(0);
        Self {
            min: number("minPos"),
            max: number("maxPos"),
            current: number("curPos"),
        }
    }

    fn to_xml(self, name: &str) -> Element {
        Element::new(name)
            .with("maxPos", self.max)
            .with("minPos", self.min)
            .with("curPos", self.current)
    }
}

/// `PtzZoomFocus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoomFocus {
    /// Which channel.
    pub channel: u8,
    /// The zoom, if there is one.
    pub zoom: Option<Range>,
    /// The focus, if it can be set.
    pub focus: Option<Range>,
}

impl ZoomFocus {
    pub(super) fn from_xml(element: &Element) -> Self {
        Self {
            channel: element.number("channelId").unwrap_or(0),
            zoom: element.child("zoom").map(Range::from_xml),
            focus: element.child("focus").map(Range::from_xml),
        }
    }

    pub(super) fn to_xml(self) -> Element {
        let mut element = Element::versioned("PtzZoomFocus").with("channelId", self.channel);
        for (name, range) in [("zoom", self.zoom), ("focus", self.focus)] {
            if let Some(range) = range {
                element = element.containing(range.to_xml(name));
            }
        }
        element
    }
}

pub(super) fn start_zoom_focus(channel: u8, command: &str, position: u32) -> Element {
    Element::versioned("StartZoomFocus")
        .with("channelId", channel)
        .with("command", command)
        .with("movePos", position)
}

pub(super) fn read_zoom_focus(element: &Element) -> Option<Command> {
    let channel = element.number("channelId").unwrap_or(0);
    let position = element.number("movePos")?;
    match element.value("command")? {
        "zoomPos" => Some(Command::SetZoom { channel, position }),
        "focusPos" => Some(Command::SetFocus { channel, position }),
        _ => None,
    }
}
