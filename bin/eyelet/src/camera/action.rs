//! Everything that a camera can be asked and told: the words of the command line and of the API.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;

/// On or off.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::On
    }
}

/// What the infrared light does.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InfraredMode {
    Auto,
    On,
    Off,
}

/// Which of a camera's pictures.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Quality {
    #[default]
    Main,
    Sub,
}

/// Where to turn, or what to do with the lens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    Stop,
    Left,
    Right,
    Up,
    Down,
    LeftUp,
    LeftDown,
    RightUp,
    RightDown,
    ZoomIn,
    ZoomOut,
    FocusFar,
    FocusNear,
}

/// One command. The API takes the name in the path and the rest as an object.
#[derive(Clone, Debug, Deserialize, Subcommand)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Action {
    /// Model, firmware, streams, abilities, Wi-Fi.
    Info {},
    /// Charge, temperature, what feeds the battery.
    Battery {},
    /// The stream table: sizes, frame rates, bit rates.
    Streams {},
    /// The camera's own picture, as JPEG.
    Snapshot {
        /// Which of its pictures.
        #[arg(long, value_enum, default_value = "main")]
        #[serde(default)]
        stream: Quality,

        /// The file to write.
        #[arg(short, long, value_name = "FILE")]
        #[serde(skip)]
        output: PathBuf,
    },
    /// Start the camera anew.
    Reboot {},
    /// Infrared and status light; without a choice, how they are.
    Led {
        /// The infrared light.
        #[arg(long, value_enum)]
        #[serde(default)]
        infrared: Option<InfraredMode>,

        /// The status light.
        #[arg(long, value_enum)]
        #[serde(default)]
        status: Option<Switch>,
    },
    /// The white light by hand.
    Floodlight {
        /// On or off.
        #[arg(value_enum)]
        switch: Switch,

        /// Goes out by itself after so many seconds.
        #[arg(long, default_value_t = 180)]
        #[serde(default = "three_minutes")]
        seconds: u32,
    },
    /// The siren by hand.
    Siren {
        /// On or off.
        #[arg(value_enum)]
        switch: Switch,

        /// Sound so many times instead of until it is switched off.
        #[arg(long)]
        #[serde(default)]
        times: Option<u8>,
    },
    /// The motion sensor; without a choice, how it is.
    Pir {
        /// On or off.
        #[arg(value_enum)]
        #[serde(default)]
        switch: Option<Switch>,

        /// 0 to 100.
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
        #[serde(default)]
        sensitivity: Option<u8>,
    },
    /// Turn, zoom or focus until `stop`, or for a while.
    Ptz {
        /// Where to.
        #[arg(value_enum)]
        direction: Direction,

        /// 1 to 100.
        #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=100))]
        #[serde(default = "usual_speed")]
        speed: u8,

        /// Stop by itself after so many milliseconds.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        #[serde(default)]
        milliseconds: Option<u64>,
    },
    /// Places to turn to; without a choice, the list.
    Preset {
        /// Turn to this one.
        #[arg(long, group = "what")]
        #[serde(default)]
        go: Option<u8>,

        /// Save where the camera looks under this number.
        #[arg(long, group = "what")]
        #[serde(default)]
        save: Option<u8>,

        /// Delete this one.
        #[arg(long, group = "what")]
        #[serde(default)]
        delete: Option<u8>,

        /// The name of a saved one.
        #[arg(long, requires = "save")]
        #[serde(default)]
        name: Option<String>,
    },
    /// Zoom and focus to a position; without one, where they are and can go.
    Zoom {
        /// The zoom's position.
        #[arg(long)]
        #[serde(default)]
        position: Option<u32>,

        /// The focus's position.
        #[arg(long)]
        #[serde(default)]
        focus: Option<u32>,
    },
    /// Privacy mode: while it is on the camera gives no pictures. Without a choice, how it is.
    Privacy {
        /// On or off.
        #[arg(value_enum)]
        #[serde(default)]
        switch: Option<Switch>,
    },
    /// Motion, people, visitors and the like, one JSON object a line, until Ctrl-C. Keeps a battery camera awake.
    #[serde(skip)]
    Events,
    /// Play a sound file through the camera's speaker: WAV, 16 bit.
    #[serde(skip)]
    Talk {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

fn three_minutes() -> u32 {
    180
}

fn usual_speed() -> u8 {
    32
}
