//! What a device can be asked and told, typed, both halves (sections 6 and 7).
//!
//! A client makes a message of a [`Command`] with [`crate::Session::command`] and reads the answer with
//! [`Answer::read`]; a device reads the request with [`Command::read`] and answers with [`Answer::to_payload`].
//! Settings are read, changed and sent back whole: what this crate does not know stays as it was.

mod answer;
mod lights;
mod ptz;
mod status;
mod talk;
mod time;

use crate::header::id;
use crate::message::{Message, Payload, extension};
use crate::payloads::StreamKind;
use crate::xml::Element;

pub use answer::Answer;
pub use lights::{FloodlightTask, Infrared, Led, Pir, Siren};
pub use ptz::{MAX_PRESETS, Preset, PtzMotion, Range, ZoomFocus};
pub use status::{
    Abilities, Ability, Capabilities, ChannelStatus, MAX_ABILITIES, MAX_CHANNELS, Support, Version,
};
pub use talk::{MAX_TALK_FORMATS, TalkAbility, TalkConfig, TalkEncoder, TalkFormat};
pub use time::CameraTime;

/// Modules that a request for abilities names (section 7.3).
const ABILITY_MODULES: &str =
    "system, streaming, PTZ, IO, security, replay, disk, network, alarm, record, video, image";

/// One request. `channel` is the recorder's channel, 0 of a camera.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// 80 of the device, 318 of a recorder's channel. [`Answer::Version`].
    Version {
        /// None: the device itself.
        channel: Option<u8>,
    },
    /// 114. [`Answer::Uid`].
    Uid,
    /// 93. [`Answer::LinkType`].
    LinkType,
    /// 146: the stream table, more reliable than the one at login. [`Answer::Streams`].
    Streams,
    /// 151: what this user may do. [`Answer::Abilities`].
    Abilities {
        /// The user.
        user: String,
    },
    /// 199: what the device has. [`Answer::Support`].
    Support,
    /// 145: a recorder's channels. [`Answer::Channels`].
    Channels,
    /// 115. [`Answer::WifiSignal`].
    WifiSignal,
    /// 253. Asking costs a battery camera nothing beyond being awake. [`Answer::Battery`].
    Battery {
        /// Which channel.
        channel: u8,
    },
    /// 104. [`Answer::Time`].
    Time,
    /// 105.
    SetTime(CameraTime),
    /// 23: it answers, then the connection drops; back in 30 to 90 s.
    Reboot,
    /// 208. [`Answer::Led`].
    Led {
        /// Which channel.
        channel: u8,
    },
    /// 209: a changed [`Answer::Led`].
    SetLed(Led),
    /// 212. [`Answer::Pir`].
    Pir {
        /// Which channel.
        channel: u8,
    },
    /// 213: a changed [`Answer::Pir`].
    SetPir(Pir),
    /// 288: the white light by hand.
    Floodlight {
        /// Which channel.
        channel: u8,
        /// On or off.
        is_on: bool,
        /// Goes out by itself after so many seconds.
        seconds: u32,
    },
    /// 438: when the white light comes on by itself. [`Answer::FloodlightTask`].
    FloodlightTask {
        /// Which channel.
        channel: u8,
    },
    /// 290: a changed [`Answer::FloodlightTask`].
    SetFloodlightTask(FloodlightTask),
    /// 263.
    Siren {
        /// Which channel.
        channel: u8,
        /// What it shall do.
        siren: Siren,
    },
    /// 18: runs until [`PtzMotion::Stop`].
    Ptz {
        /// Which channel.
        channel: u8,
        /// Where to.
        motion: PtzMotion,
        /// 0 to 100; 32 is usual.
        speed: u8,
    },
    /// 190. [`Answer::Presets`].
    Presets {
        /// Which channel.
        channel: u8,
    },
    /// 19: goes there.
    GoToPreset {
        /// Which channel.
        channel: u8,
        /// Which preset.
        preset: u8,
    },
    /// 19: makes a preset of where it looks now.
    SavePreset {
        /// Which channel.
        channel: u8,
        /// Under which number and name.
        preset: Preset,
    },
    /// 19.
    DeletePreset {
        /// Which channel.
        channel: u8,
        /// Which preset.
        preset: u8,
    },
    /// 294: positions of zoom and focus. [`Answer::ZoomFocus`].
    ZoomFocus {
        /// Which channel.
        channel: u8,
    },
    /// 295.
    SetZoom {
        /// Which channel.
        channel: u8,
        /// Within the range of [`Answer::ZoomFocus`].
        position: u32,
    },
    /// 295.
    SetFocus {
        /// Which channel.
        channel: u8,
        /// Within the range of [`Answer::ZoomFocus`].
        position: u32,
    },
    /// 31: from here on alarms come as [`crate::Notice::Alarm`]. A battery camera stays awake for it.
    StartAlarms,
    /// 10. [`Answer::TalkAbility`].
    TalkAbility {
        /// Which channel.
        channel: u8,
    },
    /// 201: 422 means that somebody else talks; [`Command::StopTalk`] frees the speaker. Then [`crate::Session::talk`].
    StartTalk(TalkConfig),
    /// 11.
    StopTalk {
        /// Which channel.
        channel: u8,
    },
    /// 574: the privacy mode. [`Answer::SleepState`].
    SleepState,
    /// 575: while it is on the device refuses streams and snapshots.
    SetSleepState {
        /// On or off.
        is_asleep: bool,
    },
    /// 250: a battery camera that wants to end a live view shall go on.
    ContinuePreview {
        /// Which channel.
        channel: u8,
        /// Which stream.
        kind: StreamKind,
    },
}

impl Command {
    /// The message's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        match self {
            Self::Version { channel: None } => id::VERSION_INFO,
            Self::Version { channel: Some(_) } => id::VERSION_INFO_CHANNEL,
            Self::Uid => id::UID,
            Self::LinkType => id::LINK_TYPE,
            Self::Streams => id::STREAM_INFO_LIST,
            Self::Abilities { .. } => id::ABILITY_INFO,
            Self::Support => id::SUPPORT,
            Self::Channels => id::CHANNEL_INFO_LIST,
            Self::WifiSignal => id::WIFI_SIGNAL,
            Self::Battery { .. } => id::BATTERY_INFO,
            Self::Time => id::SYSTEM_GENERAL,
            Self::SetTime(_) => id::SYSTEM_GENERAL_SET,
            Self::Reboot => id::REBOOT,
            Self::Led { .. } => id::LED_STATE,
            Self::SetLed(_) => id::LED_STATE_SET,
            Self::Pir { .. } => id::PIR,
            Self::SetPir(_) => id::PIR_SET,
            Self::Floodlight { .. } => id::FLOODLIGHT_MANUAL,
            Self::FloodlightTask { .. } => id::FLOODLIGHT_TASK,
            Self::SetFloodlightTask(_) => id::FLOODLIGHT_TASK_SET,
            Self::Siren { .. } => id::AUDIO_PLAY,
            Self::Ptz { .. } => id::PTZ_CONTROL,
            Self::Presets { .. } => id::PTZ_PRESET_LIST,
            Self::GoToPreset { .. } | Self::SavePreset { .. } | Self::DeletePreset { .. } => {
                id::PTZ_PRESET
            }
            Self::ZoomFocus { .. } => id::ZOOM_FOCUS,
            Self::SetZoom { .. } | Self::SetFocus { .. } => id::ZOOM_FOCUS_START,
            Self::StartAlarms => id::START_ALARM,
            Self::TalkAbility { .. } => id::TALK_ABILITY,
            Self::StartTalk(_) => id::TALK_CONFIG,
            Self::StopTalk { .. } => id::TALK_RESET,
            Self::SleepState => id::SLEEP_STATE,
            Self::SetSleepState { .. } => id::SLEEP_STATE_SET,
            Self::ContinuePreview { .. } => id::LONG_TIME_PREVIEW,
        }
    }

    /// Its name in messages to people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Version { .. } => "the version request",
            Self::Uid => "the UID request",
            Self::LinkType => "the ping",
            Self::Streams => "the stream list request",
            Self::Abilities { .. } => "the ability request",
            Self::Support => "the support request",
            Self::Channels => "the channel list request",
            Self::WifiSignal => "the Wi-Fi signal request",
            Self::Battery { .. } => "the battery request",
            Self::Time => "the time request",
            Self::SetTime(_) => "setting the time",
            Self::Reboot => "the reboot",
            Self::Led { .. } => "the LED request",
            Self::SetLed(_) => "setting the LEDs",
            Self::Pir { .. } => "the PIR request",
            Self::SetPir(_) => "setting the PIR sensor",
            Self::Floodlight { .. } => "switching the floodlight",
            Self::FloodlightTask { .. } => "the floodlight request",
            Self::SetFloodlightTask(_) => "setting the floodlight",
            Self::Siren { .. } => "the siren",
            Self::Ptz { .. } => "moving",
            Self::Presets { .. } => "the preset list request",
            Self::GoToPreset { .. } => "going to a preset",
            Self::SavePreset { .. } => "saving a preset",
            Self::DeletePreset { .. } => "deleting a preset",
            Self::ZoomFocus { .. } => "the zoom request",
            Self::SetZoom { .. } => "zooming",
            Self::SetFocus { .. } => "focusing",
            Self::StartAlarms => "the subscription to alarms",
            Self::TalkAbility { .. } => "the talk request",
            Self::StartTalk(_) => "the start of talking",
            Self::StopTalk { .. } => "the end of talking",
            Self::SleepState => "the privacy mode request",
            Self::SetSleepState { .. } => "setting the privacy mode",
            Self::ContinuePreview { .. } => "going on with the live view",
        }
    }

    /// The channel that it is about, if it is about one.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        match self {
            Self::Version { channel } => *channel,
            Self::Battery { channel }
            | Self::Led { channel }
            | Self::Pir { channel }
            | Self::Floodlight { channel, .. }
            | Self::FloodlightTask { channel }
            | Self::Siren { channel, .. }
            | Self::Ptz { channel, .. }
            | Self::Presets { channel }
            | Self::GoToPreset { channel, .. }
            | Self::SavePreset { channel, .. }
            | Self::DeletePreset { channel, .. }
            | Self::ZoomFocus { channel }
            | Self::SetZoom { channel, .. }
            | Self::SetFocus { channel, .. }
            | Self::TalkAbility { channel }
            | Self::StopTalk { channel }
            | Self::ContinuePreview { channel, .. } => Some(*channel),
            Self::SetLed(led) => Some(led.channel()),
            Self::SetPir(pir) => Some(pir.channel()),
            Self::SetFloodlightTask(task) => Some(task.channel()),
            Self::StartTalk(config) => Some(config.channel),
            Self::Uid
            | Self::LinkType
            | Self::Streams
            | Self::Abilities { .. }
            | Self::Support
            | Self::Channels
            | Self::WifiSignal
            | Self::Time
            | Self::SetTime(_)
            | Self::Reboot
            | Self::StartAlarms
            | Self::SleepState
            | Self::SetSleepState { .. } => None,
        }
    }

    /// The extension document, if it needs one.
    #[must_use]
    pub fn to_extension(&self) -> Option<Element> {
        if let Self::Abilities { user } = self {
            let fields = [("userName", user.as_str()), ("token", ABILITY_MODULES)];
            return Some(extension(&fields));
        }
        let channel = self.channel()?.to_string();
        let mut fields = vec![("channelId", channel.as_str())];
        if matches!(self, Self::Pir { .. }) {
            fields.push(("rfId", &channel));
        }
        Some(extension(&fields))
    }

    /// The payload.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        match self {
            Self::SetTime(time) => Payload::Xml(time.to_body()),
            Self::SetLed(led) => Payload::of(led.0.clone()),
            Self::SetPir(pir) => Payload::of(pir.0.clone()),
            Self::SetFloodlightTask(task) => Payload::of(task.0.clone()),
            Self::Floodlight {
                channel,
                is_on,
                seconds,
            } => Payload::of(lights::floodlight(*channel, *is_on, *seconds)),
            Self::Siren { channel, siren } => Payload::of(siren.to_xml(*channel)),
            Self::Ptz {
                channel,
                motion,
                speed,
            } => Payload::of(
                Element::versioned("PtzControl")
                    .with("channelId", channel)
                    .with("speed", speed)
                    .with("command", motion.name()),
            ),
            Self::GoToPreset { channel, preset } => {
                Payload::of(ptz::preset_command(*channel, *preset, "toPos", None))
            }
            Self::SavePreset { channel, preset } => Payload::of(ptz::preset_command(
                *channel,
                preset.id,
                "setPos",
                Some(&preset.name),
            )),
            Self::DeletePreset { channel, preset } => {
                Payload::of(ptz::preset_command(*channel, *preset, "delPos", None))
            }
            Self::SetZoom { channel, position } => {
                Payload::of(ptz::start_zoom_focus(*channel, "zoomPos", *position))
            }
            Self::SetFocus { channel, position } => {
                Payload::of(ptz::start_zoom_focus(*channel, "focusPos", *position))
            }
            Self::StartTalk(config) => Payload::of(config.to_xml()),
            Self::SetSleepState { is_asleep } => Payload::of(
                Element::versioned("sleepState")
                    .with("operate", 2)
                    .with("sleep", u8::from(*is_asleep)),
            ),
            Self::ContinuePreview { channel, kind } => Payload::of(
                Element::versioned("LongTimePreview").containing(
                    Element::new("Preview")
                        .with("channelId", channel)
                        .with("streamType", kind.name())
                        .with("continuePreview", 1),
                ),
            ),
            Self::Version { .. }
            | Self::Uid
            | Self::LinkType
            | Self::Streams
            | Self::Abilities { .. }
            | Self::Support
            | Self::Channels
            | Self::WifiSignal
            | Self::Battery { .. }
            | Self::Time
            | Self::Reboot
            | Self::Led { .. }
            | Self::Pir { .. }
            | Self::FloodlightTask { .. }
            | Self::Presets { .. }
            | Self::ZoomFocus { .. }
            | Self::StartAlarms
            | Self::TalkAbility { .. }
            | Self::StopTalk { .. }
            | Self::SleepState => Payload::None,
        }
    }

    /// Reads a request. None: this crate has no command for it, or it lacks what it needs; a device answers 400.
    #[must_use]
    pub fn read(message: &Message) -> Option<Self> {
        let field = |name| message.extension.as_ref()?.number::<u8>(name);
        let element = |name| message.command(name);
        let channel = field("channelId").unwrap_or(0);
        Some(match message.id {
            id::VERSION_INFO => Self::Version { channel: None },
            id::VERSION_INFO_CHANNEL => Self::Version {
                channel: Some(channel),
            },
            id::UID => Self::Uid,
            id::LINK_TYPE => Self::LinkType,
            id::STREAM_INFO_LIST => Self::Streams,
            id::ABILITY_INFO => {
                let user = message.extension.as_ref()?.value("userName")?.to_owned();
                Self::Abilities { user }
            }
            id::SUPPORT => Self::Support,
            id::CHANNEL_INFO_LIST => Self::Channels,
            id::WIFI_SIGNAL => Self::WifiSignal,
            id::BATTERY_INFO => Self::Battery { channel },
            id::SYSTEM_GENERAL => Self::Time,
            id::SYSTEM_GENERAL_SET => Self::SetTime(CameraTime::from_payload(&message.payload)?),
            id::REBOOT => Self::Reboot,
            id::LED_STATE => Self::Led { channel },
            id::LED_STATE_SET => Self::SetLed(Led(element("LedState")?.clone())),
            id::PIR => Self::Pir {
                channel: field("rfId").unwrap_or(channel),
            },
            id::PIR_SET => Self::SetPir(Pir(element("rfAlarmCfg")?.clone())),
            id::FLOODLIGHT_MANUAL => {
                let light = element("FloodlightManual")?;
                Self::Floodlight {
                    channel: light.number("channelId").unwrap_or(channel),
                    is_on: light.flag("status")?,
                    seconds: light.number("duration").unwrap_or(0),
                }
            }
            id::FLOODLIGHT_TASK | id::FLOODLIGHT_TASK_OLD => Self::FloodlightTask { channel },
            id::FLOODLIGHT_TASK_SET => {
                Self::SetFloodlightTask(FloodlightTask(element("FloodlightTask")?.clone()))
            }
            id::AUDIO_PLAY => {
                let play = element("audioPlayInfo")?;
                Self::Siren {
                    channel: play.number("channelId").unwrap_or(channel),
                    siren: Siren::from_xml(play),
                }
            }
            id::PTZ_CONTROL => {
                let ptz = element("PtzControl")?;
                Self::Ptz {
                    channel: ptz.number("channelId").unwrap_or(channel),
                    motion: PtzMotion::from_name(ptz.value("command")?)?,
                    speed: ptz.number("speed").unwrap_or(32),
                }
            }
            id::PTZ_PRESET_LIST => Self::Presets { channel },
            id::PTZ_PRESET => ptz::read_preset_command(element("PtzPreset")?)?,
            id::ZOOM_FOCUS => Self::ZoomFocus { channel },
            id::ZOOM_FOCUS_START => ptz::read_zoom_focus(element("StartZoomFocus")?)?,
            id::START_ALARM | id::START_ALARM_REPORT => Self::StartAlarms,
            id::TALK_ABILITY => Self::TalkAbility { channel },
            id::TALK_CONFIG => Self::StartTalk(TalkConfig::from_xml(element("TalkConfig")?)),
            id::TALK_RESET => Self::StopTalk { channel },
            id::SLEEP_STATE => Self::SleepState,
            id::SLEEP_STATE_SET => Self::SetSleepState {
                is_asleep: element("sleepState")?.flag("sleep")?,
            },
            id::LONG_TIME_PREVIEW => {
                let preview = element("LongTimePreview")?.child("Preview")?;
                Self::ContinuePreview {
                    channel: preview.number("channelId").unwrap_or(channel),
                    kind: StreamKind::from_name(preview.value("streamType").unwrap_or_default()),
                }
            }
            _ => return None,
        })
    }
}
