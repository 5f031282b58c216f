//! What a device tells without being asked, sections 7.4 and 7.5.

use crate::command::{ChannelStatus, MAX_CHANNELS};
use crate::header::id;
use crate::message::{Message, Payload};
use crate::payloads::Battery;
use crate::xml::Element;

/// Most words read of an alarm's list; known ones have up to six.
const MAX_WORDS: usize = 64;

/// Something that a device told unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// 33: what a channel sees at this moment. A state, no edge: the end comes as an empty one.
    Alarm(AlarmEvent),
    /// 33: the picture turned to night (infrared) or day.
    DayNight {
        /// Which channel.
        channel: u8,
        /// Night.
        is_night: bool,
    },
    /// 252: a battery's state, after login, on change, each minute while awake.
    Battery(Battery),
    /// 291: the white light.
    Floodlight {
        /// Which channel.
        channel: u8,
        /// Whether it shines.
        is_on: bool,
    },
    /// 547: the siren.
    Siren {
        /// Which channel.
        channel: u8,
        /// Whether it sounds.
        is_on: bool,
    },
    /// 542: the motors.
    Moving {
        /// Which channel.
        channel: u8,
        /// Whether they run.
        is_moving: bool,
    },
    /// 623: the privacy mode. While it is on there is neither stream nor snapshot.
    SleepState {
        /// Whether it is on.
        is_asleep: bool,
    },
    /// 145: a recorder's channel.
    Channel(ChannelStatus),
    /// 580: somebody changed a setting; the command of that number tells the new one.
    ConfigChanged {
        /// Which channel.
        channel: u8,
        /// Number of the message that tells more.
        command: u32,
    },
}

impl Notice {
    /// Reads a push. Empty: nothing in it that this crate knows.
    #[must_use]
    pub fn read(message: &Message) -> Vec<Self> {
        let list = |name| message.command(name);
        let rows = |name: &'static str, row: &'static str| {
            let rows = list(name).map(|list| list.all(row).take(MAX_CHANNELS));
            rows.into_iter().flatten()
        };
        match message.id {
            id::ALARM_EVENT_LIST => {
                let alarms = list("AlarmEventList").map(AlarmEvent::from_xml);
                let mut notices: Vec<Self> = alarms
                    .unwrap_or_default()
                    .into_iter()
                    .map(Self::Alarm)
                    .collect();
                notices.extend(rows("DayNightEventList", "DayNightEvent").map(|row| {
                    Self::DayNight {
                        channel: row.number("channelId").unwrap_or(0),
                        is_night: row.value("mode") == Some("night"),
                    }
                }));
                notices
            }
            id::BATTERY_LIST => rows("BatteryList", "BatteryInfo")
                .filter_map(|row| Battery::from_xml(row).ok().map(Self::Battery))
                .collect(),
            id::FLOODLIGHT_STATUS_LIST => rows("FloodlightStatusList", "FloodlightStatus")
                .map(|row| Self::Floodlight {
                    channel: row.number("channel").unwrap_or(0),
                    is_on: row.flag("status").unwrap_or(false),
                })
                .collect(),
            id::SIREN_STATUS_LIST => rows("SirenStatusList", "SirenStatus")
                .map(|row| Self::Siren {
                    channel: row.number("channel").unwrap_or(0),
                    is_on: row.flag("status").unwrap_or(false),
                })
                .collect(),
            id::CHANNEL_INFO_LIST => rows("ChannelInfoList", "ChannelInfo")
                .map(|row| Self::Channel(ChannelStatus::from_xml(row)))
                .collect(),
            id::PTZ_MOVING | id::CONFIG_CHANGED | id::SLEEP_STATUS => message
                .payload
                .first()
                .and_then(Self::single)
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Pushes whose command element has no name of record: its fields tell what it is.
    fn single(element: &Element) -> Option<Self> {
        let channel = element.number("channelId").unwrap_or(0);
        if let Some(is_moving) = element.flag("ptzRunning") {
            return Some(Self::Moving { channel, is_moving });
        }
        if let Some(command) = element.number("cmdId") {
            return Some(Self::ConfigChanged { channel, command });
        }
        let is_asleep = element.flag("sleep")?;
        Some(Self::SleepState { is_asleep })
    }

    /// Number and payload of the push.
    #[must_use]
    pub fn to_push(&self) -> (u32, Payload) {
        let row = |list: &str, row: &str, channel: u8, is_on: bool| {
            Element::versioned(list).containing(
                Element::new(row)
                    .with("channel", channel)
                    .with("status", u8::from(is_on)),
            )
        };
        let (id, element) = match self {
            Self::Alarm(alarm) => (
                id::ALARM_EVENT_LIST,
                Element::versioned("AlarmEventList").containing(alarm.to_xml()),
            ),
            Self::DayNight { channel, is_night } => (
                id::ALARM_EVENT_LIST,
                Element::versioned("DayNightEventList").containing(
                    Element::new("DayNightEvent")
                        .with("channelId", channel)
                        .with("mode", if *is_night { "night" } else { "day" }),
                ),
            ),
            Self::Battery(battery) => {
                // Inside the list it has no version (section 7.4).
                let row = Element {
                    attributes: Vec::new(),
                    ..battery.to_xml()
                };
                let list = Element::versioned("BatteryList").containing(row);
                (id::BATTERY_LIST, list)
            }
            Self::Floodlight { channel, is_on } => (
                id::FLOODLIGHT_STATUS_LIST,
                row("FloodlightStatusList", "FloodlightStatus", *channel, *is_on),
            ),
            Self::Siren { channel, is_on } => (
                id::SIREN_STATUS_LIST,
                row("SirenStatusList", "SirenStatus", *channel, *is_on),
            ),
            Self::Moving { channel, is_moving } => (
                id::PTZ_MOVING,
                Element::versioned("PtzRunningStatus")
                    .with("channelId", channel)
                    .with("ptzRunning", u8::from(*is_moving)),
            ),
            Self::SleepState { is_asleep } => (
                id::SLEEP_STATUS,
                Element::versioned("sleepStatus").with("sleep", u8::from(*is_asleep)),
            ),
            Self::Channel(channel) => (
                id::CHANNEL_INFO_LIST,
                ChannelStatus::to_list(std::slice::from_ref(channel)),
            ),
            Self::ConfigChanged { channel, command } => (
                id::CONFIG_CHANGED,
                Element::versioned("ConfigChanged")
                    .with("channelId", channel)
                    .with("cmdId", command),
            ),
        };
        (id, Payload::of(element))
    }
}

/// What a camera noticed, in one word for all models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AlarmKind {
    /// Something moves.
    Motion,
    /// A person.
    Person,
    /// A vehicle.
    Vehicle,
    /// A dog, a cat.
    Animal,
    /// A face.
    Face,
    /// A parcel.
    Package,
    /// Somebody rings the bell.
    Visitor,
    /// Somebody tampers with the camera.
    Tamper,
    /// The lens is covered.
    Blind,
    /// The picture is lost.
    VideoLoss,
    /// A wired input.
    Input,
    /// Something that this crate has no word for.
    Other,
}

impl AlarmKind {
    /// A word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Motion => "motion",
            Self::Person => "person",
            Self::Vehicle => "vehicle",
            Self::Animal => "animal",
            Self::Face => "face",
            Self::Package => "package",
            Self::Visitor => "visitor",
            Self::Tamper => "tamper",
            Self::Blind => "blind",
            Self::VideoLoss => "video-loss",
            Self::Input => "input",
            Self::Other => "other",
        }
    }

    fn from_wire(word: &str) -> Self {
        match word {
            "MD" => Self::Motion,
            "people" => Self::Person,
            "vehicle" => Self::Vehicle,
            "dog_cat" => Self::Animal,
            "face" => Self::Face,
            "package" => Self::Package,
            "visitor" => Self::Visitor,
            "tamper" => Self::Tamper,
            "blind" => Self::Blind,
            "videoLoss" => Self::VideoLoss,
            "IOAlarm" => Self::Input,
            _ => Self::Other,
        }
    }
}

/// What one channel notices, a state and no edge (section 7.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlarmEvent {
    /// Which channel.
    pub channel: u8,
    /// `MD`, `visitor` and others; empty at rest.
    pub status: Vec<String>,
    /// `people`, `vehicle` and others; empty at rest.
    pub ai: Vec<String>,
    /// Whether the camera records.
    pub is_recording: bool,
}

impl AlarmEvent {
    /// What it notices, each once, in order; empty at rest.
    #[must_use]
    pub fn kinds(&self) -> Vec<AlarmKind> {
        let words = self.status.iter().chain(&self.ai);
        let mut kinds: Vec<AlarmKind> = words.map(|word| AlarmKind::from_wire(word)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Reads an `AlarmEventList`.
    #[must_use]
    pub fn from_xml(list: &Element) -> Vec<Self> {
        let words = |event: &Element, name: &str| -> Vec<String> {
            let text = event.value(name).unwrap_or_default();
            let words = text.split(',').map(str::trim);
            let words = words.filter(|word| !word.is_empty() && *word != "none");
            words.map(str::to_owned).take(MAX_WORDS).collect()
        };
        list.all("AlarmEvent")
            .take(MAX_CHANNELS)
            .map(|event| Self {
                channel: event.number("channelId").unwrap_or(0),
                status: words(event, "status"),
                ai: words(event, "AItype"),
                is_recording: event.number::<u8>("recording") == Some(1),
            })
            .collect()
    }

    /// The element of one channel.
    #[must_use]
    pub fn to_xml(&self) -> Element {
        let list = |words: &[String]| match words {
            [] => "none".to_owned(),
            words => words.join(","),
        };
        Element::versioned("AlarmEvent")
            .with("channelId", self.channel)
            .with("status", list(&self.status))
            .with("AItype", list(&self.ai))
            .with("recording", u8::from(self.is_recording))
            .with("timeStamp", 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{Class, Tag};

    #[test]
    fn every_notice_survives_the_wire() {
        let channel = 2;
        let alarm = AlarmEvent {
            channel,
            status: vec!["MD".to_owned(), "visitor".to_owned()],
            ai: vec!["people".to_owned(), "spaceship".to_owned()],
            is_recording: true,
        };
        let kinds = alarm.kinds();
        assert_eq!(
            kinds,
            [
                AlarmKind::Motion,
                AlarmKind::Person,
                AlarmKind::Visitor,
                AlarmKind::Other
            ]
        );
        let battery = Battery::from_xml(&Element::new("BatteryInfo").with("batteryPercent", 87));
        for notice in [
            Notice::Alarm(alarm),
            Notice::Alarm(AlarmEvent::default()),
            Notice::DayNight {
                channel,
                is_night: true,
            },
            Notice::Floodlight {
                channel,
                is_on: true,
            },
            Notice::Siren {
                channel,
                is_on: false,
            },
            Notice::Moving {
                channel,
                is_moving: true,
            },
            Notice::SleepState { is_asleep: true },
            Notice::Channel(ChannelStatus {
                channel,
                login_state: "standby".to_owned(),
                ..ChannelStatus::default()
            }),
            Notice::ConfigChanged {
                channel,
                command: 208,
            },
        ] {
            let (id, payload) = notice.to_push();
            assert_eq!(Notice::read(&push(id, payload)), [notice]);
        }
        let (id, payload) = Notice::Battery(battery.unwrap()).to_push();
        let read = Notice::read(&push(id, payload));
        let [Notice::Battery(battery)] = &read[..] else {
            panic!("{read:?}")
        };
        assert_eq!(battery.percent, 87);
    }

    fn push(id: u32, payload: Payload) -> Message {
        Message {
            id,
            tag: Tag::default(),
            status: 200,
            class: Class::DEVICE,
            extension: None,
            payload,
        }
    }
}
