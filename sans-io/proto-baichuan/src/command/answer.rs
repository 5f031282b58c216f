//! What a device answers.

use super::{
    Abilities, CameraTime, ChannelStatus, Command, FloodlightTask, Led, MAX_CHANNELS, Pir, Preset,
    Support, TalkAbility, Version, ZoomFocus,
};
use crate::Error;
use crate::message::{Message, Payload};
use crate::payloads::{Battery, StreamTable};
use crate::xml::Element;

/// The answer to a [`Command`]; each command says which.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It is done; there is nothing to tell.
    Done,
    /// Model, serial number, firmware.
    Version(Box<Version>),
    /// The device's name for the look-up servers. Print it only in part.
    Uid(String),
    /// `LAN` (Wi-Fi also), `PPPOE`, `CDMA`.
    LinkType(String),
    /// The stream table.
    Streams(Vec<StreamTable>),
    /// What the user may do.
    Abilities(Abilities),
    /// What the device has.
    Support(Support),
    /// A recorder's channels.
    Channels(Vec<ChannelStatus>),
    /// Percent, or dBm when negative.
    WifiSignal(i32),
    /// The battery's state.
    Battery(Battery),
    /// The camera's clock.
    Time(CameraTime),
    /// Infrared and status lights.
    Led(Led),
    /// The motion sensor.
    Pir(Pir),
    /// When the white light comes on by itself.
    FloodlightTask(FloodlightTask),
    /// Places to go to.
    Presets(Vec<Preset>),
    /// Positions of zoom and focus.
    ZoomFocus(ZoomFocus),
    /// How one can talk through it.
    TalkAbility(TalkAbility),
    /// Whether the privacy mode is on.
    SleepState(bool),
}

impl Answer {
    /// Reads the answer to `command`. An error names a refusal, or what the document lacks.
    pub fn read(command: &Command, message: &Message) -> Result<Self, Error> {
        if !message.is_success() {
            return Err(Error::Refused {
                command: command.name(),
                status: message.status,
            });
        }
        let element = |name: &'static str| {
            message.command(name).ok_or(Error::Field {
                document: "answer",
                field: name,
            })
        };
        let text = |document: &'static str, field: &'static str| {
            let value = element(document)?.value(field);
            let value = value.filter(|value| !value.is_empty());
            value
                .map(str::to_owned)
                .ok_or(Error::Field { document, field })
        };
        Ok(match command {
            Command::Version { .. } => {
                Self::Version(Box::new(Version::from_xml(element("VersionInfo")?)))
            }
            Command::Uid => Self::Uid(text("Uid", "uid")?),
            Command::LinkType => Self::LinkType(text("LinkType", "type")?),
            Command::Streams => Self::Streams(StreamTable::from_xml(element("StreamInfoList")?)),
            Command::Abilities { .. } => {
                Self::Abilities(Abilities::from_xml(element("AbilityInfo")?))
            }
            Command::Support => Self::Support(Support(element("Support")?.clone())),
            Command::Channels => Self::Channels(
                element("ChannelInfoList")?
                    .all("ChannelInfo")
                    .take(MAX_CHANNELS)
                    .map(ChannelStatus::from_xml)
                    .collect(),
            ),
            Command::WifiSignal => {
                let signal = element("WifiSignal")?.number("signal");
                Self::WifiSignal(signal.ok_or(Error::Field {
                    document: "WifiSignal",
                    field: "signal",
                })?)
            }
            Command::Battery { .. } => Self::Battery(Battery::from_xml(element("BatteryInfo")?)?),
            Command::Time => {
                let time = CameraTime::from_payload(&message.payload);
                Self::Time(time.ok_or(Error::Field {
                    document: "SystemGeneral",
                    field: "year",
                })?)
            }
            Command::Led { .. } => Self::Led(Led(element("LedState")?.clone())),
            Command::Pir { .. } => Self::Pir(Pir(element("rfAlarmCfg")?.clone())),
            Command::FloodlightTask { .. } => {
                Self::FloodlightTask(FloodlightTask(element("FloodlightTask")?.clone()))
            }
            Command::Presets { .. } => Self::Presets(Preset::from_list(element("PtzPreset")?)),
            Command::ZoomFocus { .. } => {
                Self::ZoomFocus(ZoomFocus::from_xml(element("PtzZoomFocus")?))
            }
            Command::TalkAbility { .. } => {
                Self::TalkAbility(TalkAbility::from_xml(element("TalkAbility")?))
            }
            Command::SleepState => {
                Self::SleepState(element("sleepState")?.flag("sleep").unwrap_or(false))
            }
            Command::SetTime(_)
            | Command::Reboot
            | Command::SetLed(_)
            | Command::SetPir(_)
            | Command::Floodlight { .. }
            | Command::SetFloodlightTask(_)
            | Command::Siren { .. }
            | Command::Ptz { .. }
            | Command::GoToPreset { .. }
            | Command::SavePreset { .. }
            | Command::DeletePreset { .. }
            | Command::SetZoom { .. }
            | Command::SetFocus { .. }
            | Command::StartAlarms
            | Command::StartTalk(_)
            | Command::StopTalk { .. }
            | Command::SetSleepState { .. }
            | Command::ContinuePreview { .. } => Self::Done,
        })
    }

    /// The payload that a device answers with. Stream tables are a device's own document: [`StreamTable::to_xml`].
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        match self {
            Self::Done => Payload::None,
            Self::Version(version) => Payload::of(version.to_xml()),
            Self::Uid(uid) => Payload::of(Element::versioned("Uid").with("uid", uid)),
            Self::LinkType(kind) => Payload::of(Element::versioned("LinkType").with("type", kind)),
            Self::Streams(rows) => Payload::of(StreamTable::to_xml(rows)),
            Self::Abilities(abilities) => Payload::of(abilities.to_xml()),
            Self::Support(support) => Payload::of(support.0.clone()),
            Self::Channels(channels) => Payload::of(ChannelStatus::to_list(channels)),
            Self::WifiSignal(signal) => {
                Payload::of(Element::versioned("WifiSignal").with("signal", signal))
            }
            Self::Battery(battery) => Payload::of(battery.to_xml()),
            Self::Time(time) => Payload::Xml(time.to_body()),
            Self::Led(led) => Payload::of(led.0.clone()),
            Self::Pir(pir) => Payload::of(pir.0.clone()),
            Self::FloodlightTask(task) => Payload::of(task.0.clone()),
            Self::Presets(presets) => Payload::of(Preset::to_list(presets)),
            Self::ZoomFocus(zoom) => Payload::of(zoom.to_xml()),
            Self::TalkAbility(ability) => Payload::of(ability.to_xml()),
            Self::SleepState(is_asleep) => {
                Payload::of(Element::versioned("sleepState").with("sleep", u8::from(*is_asleep)))
            }
        }
    }
}
