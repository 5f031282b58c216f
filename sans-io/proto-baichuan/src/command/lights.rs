//! Lights, the siren and the motion sensor, section 7.8.

use crate::xml::Element;

/// What the infrared light does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Infrared {
    /// On at night.
    Auto,
    /// Always on, where a model can.
    On,
    /// Never.
    Off,
}

impl Infrared {
    /// The vendor's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "open",
            Self::Off => "close",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Auto, Self::On, Self::Off]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

/// `LedState`: the infrared and the status light. Read, change, send back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led(pub Element);

impl Led {
    /// One that a device begins with.
    #[must_use]
    pub fn new(channel: u8, infrared: Infrared, is_status_light_on: bool) -> Self {
        let mut led = Self(
            Element::versioned("LedState")
                .with("channelId", channel)
                .with("ledVersion", 2),
        );
        led.set_infrared(infrared);
        led.set_status_light(is_status_light_on);
        led
    }

    /// Which channel.
    #[must_use]
    pub fn channel(&self) -> u8 {
        self.0.number("channelId").unwrap_or(0)
    }

    /// What the infrared light does; None if the document does not say.
    #[must_use]
    pub fn infrared(&self) -> Option<Infrared> {
        self.0.value("state").and_then(Infrared::from_name)
    }

    /// Changes it.
    pub fn set_infrared(&mut self, infrared: Infrared) {
        self.0.set("state", infrared.name());
    }

    /// Whether the status light shines; None if there is none.
    #[must_use]
    pub fn status_light(&self) -> Option<bool> {
        self.0.value("lightState").map(|state| state == "open")
    }

    /// Changes it.
    pub fn set_status_light(&mut self, is_on: bool) {
        self.0
            .set("lightState", if is_on { "open" } else { "close" });
    }
}

/// `rfAlarmCfg`: the motion sensor (PIR). New firmware writes only three of its fields, so all are optional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pir(pub Element);

impl Pir {
    /// One that a device begins with, with everything that strict clients insist on.
    #[must_use]
    pub fn new(channel: u8, is_enabled: bool) -> Self {
        let times = Element::new("timeBlockList").containing(
            Element::new("timeBlock")
                .with("enable", 1)
                .with("weekDay", "Sunday")
                .with("beginHour", 0)
                .with("endHour", 23),
        );
        let handle = Element::new("alarmHandle").containing(
            Element::new("item")
                .with("channel", channel)
                .with("handleType", "comb"),
        );
        Self(
            Element::versioned("rfAlarmCfg")
                .with("rfID", channel)
                .with("enable", u8::from(is_enabled))
                .with("sensitivity", 9)
                .with("sensiValue", 85)
                .with("reduceFalseAlarm", 0)
                .containing(times)
                .containing(handle),
        )
    }

    /// Which channel.
    #[must_use]
    pub fn channel(&self) -> u8 {
        self.0.number("rfID").unwrap_or(0)
    }

    /// Whether it watches.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.flag("enable").unwrap_or(false)
    }

    /// Changes it.
    pub fn set_enabled(&mut self, is_enabled: bool) {
        self.0.set("enable", u8::from(is_enabled));
    }

    /// 0 to 100.
    #[must_use]
    pub fn sensitivity(&self) -> Option<u8> {
        self.0.number("sensiValue")
    }

    /// Changes it.
    pub fn set_sensitivity(&mut self, percent: u8) {
        self.0.set("sensiValue", percent.min(100));
    }
}

/// `FloodlightTask`: when the white light comes on by itself, and how bright.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloodlightTask(pub Element);

impl FloodlightTask {
    /// One that a device begins with, with everything that strict clients insist on.
    #[must_use]
    pub fn new(channel: u8, brightness: u8) -> Self {
        let schedule = Element::new("schedule")
            .with("startHour", 18)
            .with("startMin", 0)
            .with("endHour", 6)
            .with("endMin", 0);
        let night = Element::new("nightLongViewMultiBrightness")
            .with("enable", 0)
            .containing(Element::new("alarmBrightness").with("cur", 100))
            .containing(Element::new("alarmDelay").with("cur", 10));
        Self(
            Element::versioned("FloodlightTask")
                .with("channel", channel)
                .with("alarmMode", 1)
                .with("enable", 1)
                .with("lastAlarmMode", 2)
                .with("preview_auto", 0)
                .with("duration", 300)
                .with("brightness_cur", brightness)
                .with("brightness_max", 100)
                .with("brightness_min", 1)
                .containing(schedule)
                .containing(
                    Element::new("lightSensThreshold")
                        .with("min", 1000)
                        .with("max", 2300)
                        .with("lightCur", 1500)
                        .with("lightDef", 1000)
                        .with("darkCur", 1900)
                        .with("darkDef", 1900),
                )
                .containing(Element::new("FloodlightScheduleList").with("maxNum", 32))
                .containing(night)
                .with("detectType", "none"),
        )
    }

    /// Which channel.
    #[must_use]
    pub fn channel(&self) -> u8 {
        self.0.number("channel").unwrap_or(0)
    }

    /// Percent.
    #[must_use]
    pub fn brightness(&self) -> Option<u8> {
        self.0.number("brightness_cur")
    }

    /// Changes it.
    pub fn set_brightness(&mut self, percent: u8) {
        self.0.set("brightness_cur", percent.clamp(1, 100));
    }

    /// Whether it comes on by itself when something is seen at night.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        self.0.flag("enable").unwrap_or(false)
    }

    /// Changes it. `alarmMode` repeats `enable`.
    pub fn set_automatic(&mut self, is_automatic: bool) {
        self.0.set("alarmMode", u8::from(is_automatic));
        self.0.set("enable", u8::from(is_automatic));
    }
}

/// One firmware reads `channel`, the others `channelId`: both are sent.
pub(super) fn floodlight(channel: u8, is_on: bool, seconds: u32) -> Element {
    Element::versioned("FloodlightManual")
        .with("channelId", channel)
        .with("channel", channel)
        .with("status", u8::from(is_on))
        .with("duration", seconds)
}

/// What the siren shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Siren {
    /// Sound so many times, then be quiet.
    Times(u8),
    /// Sound until it is switched off.
    On,
    /// Be quiet.
    Off,
}

impl Siren {
    pub(super) fn to_xml(self, channel: u8) -> Element {
        let (mode, times, is_on) = match self {
            Self::Times(times) => (0, times, false),
            Self::On => (2, 1, true),
            Self::Off => (2, 1, false),
        };
        Element::versioned("audioPlayInfo")
            .with("channelId", channel)
            .with("playMode", mode)
            .with("playDuration", 0)
            .with("playTimes", times)
            .with("onOff", u8::from(is_on))
    }

    pub(super) fn from_xml(element: &Element) -> Self {
        match (element.number::<u8>("playMode"), element.flag("onOff")) {
            (Some(0), _) => Self::Times(element.number("playTimes").unwrap_or(1)),
            (_, Some(true)) => Self::On,
            _ => Self::Off,
        }
    }
}
