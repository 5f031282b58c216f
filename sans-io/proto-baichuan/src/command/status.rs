//! What a device is and may do, section 7.3.

use crate::xml::Element;

/// Most channels of a recorder that are read; the largest known has 64.
pub const MAX_CHANNELS: usize = 256;
/// Most abilities that are read: some 50 a channel, 64 channels.
pub const MAX_ABILITIES: usize = 8192;

/// `VersionInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The name that its owner gave it.
    pub name: String,
    /// The model.
    pub model: String,
    /// The serial number.
    pub serial: String,
    /// Like `build 23010100`.
    pub build: String,
    /// The hardware's name.
    pub hardware: String,
    /// The configuration's version.
    pub config: String,
    /// Like `v3.0.0.136_20121100`.
    pub firmware: String,
    /// More of the same.
    pub detail: String,
}

impl Version {
    pub(super) fn from_xml(element: &Element) -> Self {
        let text = |name| element.value(name).unwrap_or_default().to_owned();
        Self {
            name: text("name"),
            model: text("type"),
            serial: text("serialNumber"),
            build: text("buildDay"),
            hardware: text("hardwareVersion"),
            config: text("cfgVersion"),
            firmware: text("firmwareVersion"),
            detail: text("detail"),
        }
    }

    pub(super) fn to_xml(&self) -> Element {
        Element::versioned("VersionInfo")
            .with("name", &self.name)
            .with("type", &self.model)
            .with("serialNumber", &self.serial)
            .with("buildDay", &self.build)
            .with("hardwareVersion", &self.hardware)
            .with("cfgVersion", &self.config)
            .with("firmwareVersion", &self.firmware)
            .with("detail", &self.detail)
    }
}

/// One thing that a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ability {
    /// `system`, `streaming`, `PTZ` and others.
    pub module: String,
    /// In modules that differ by channel.
    pub channel: Option<u8>,
    /// `reboot`, `preview`, `control` and others.
    pub name: String,
    /// Whether the user may also change it.
    pub is_writable: bool,
}

/// `AbilityInfo`: what the user may do. [`Support`] says what the device has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The user.
    pub user: String,
    /// What they may do.
    pub list: Vec<Ability>,
}

impl Abilities {
    /// The ability of that name, on this channel or without one.
    #[must_use]
    pub fn find(&self, name: &str, channel: u8) -> Option<&Ability> {
        self.list.iter().find(|ability| {
            ability.name == name && ability.channel.is_none_or(|known| known == channel)
        })
    }

    /// Whether the user may change or do it.
    #[must_use]
    pub fn may_write(&self, name: &str, channel: u8) -> bool {
        self.find(name, channel)
            .is_some_and(|ability| ability.is_writable)
    }

    pub(super) fn from_xml(element: &Element) -> Self {
        let mut list = Vec::new();
        for module in &element.children {
            for part in module.all("subModule") {
                let channel = part.number("channelId");
                let values = part.value("abilityValue").unwrap_or_default();
                for word in values.split(',').map(str::trim) {
                    let Some((name, right)) = word.rsplit_once('_') else {
                        continue;
                    };
                    if list.len() == MAX_ABILITIES {
                        break;
                    }
                    list.push(Ability {
                        module: module.name.clone(),
                        channel,
                        name: name.to_owned(),
                        is_writable: right == "rw",
                    });
                }
            }
        }
        let user = element.value("userName").unwrap_or_default().to_owned();
        Self { user, list }
    }

    pub(super) fn to_xml(&self) -> Element {
        let mut element = Element::versioned("AbilityInfo").with("userName", &self.user);
        for ability in &self.list {
            let right = if ability.is_writable { "rw" } else { "ro" };
            let word = format!("{}_{right}", ability.name);
            let modules = &mut element.children;
            let at = modules
                .iter()
                .position(|module| module.name == ability.module);
            let at = at.unwrap_or_else(|| {
                modules.push(Element::new(&ability.module));
                modules.len() - 1
            });
            let Some(module) = modules.get_mut(at) else {
                continue;
            };
            let known = module
                .children
                .iter_mut()
                .find(|part| part.number("channelId") == ability.channel);
            match known {
                Some(part) => {
                    let words = part.value("abilityValue").unwrap_or_default();
                    let words = format!("{words}, {word}");
                    part.set("abilityValue", words);
                }
                None => module.children.push(
                    Element::new("subModule")
                        .with_some("channelId", ability.channel)
                        .with("abilityValue", word),
                ),
            }
        }
        element
    }
}

/// `Support`: what the device has, as the vendor's numbers; 0 or absent means that it lacks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Support(pub Element);

impl Support {
    /// A number of the whole device.
    #[must_use]
    pub fn device(&self, name: &str) -> u32 {
        self.0.number(name).unwrap_or(0)
    }

    /// A number of one channel.
    #[must_use]
    pub fn channel(&self, channel: u8, name: &str) -> u32 {
        self.0
            .all("item")
            .find(|item| item.number("chnID") == Some(channel))
            .and_then(|item| item.number(name))
            .unwrap_or(0)
    }
}

impl Support {
    /// What one channel can do, in words. The bits are those that a public client of many models relies on.
    #[must_use]
    pub fn capabilities(&self, channel: u8) -> Capabilities {
        let number = |name| self.channel(channel, name);
        let has_bit = |name, bit: u32| number(name) >> bit & 1 == 1;
        let ptz = number("ptzType");
        let is_turning = matches!(ptz, 2 | 3 | 5 | 6 | 7);
        let motion = self
            .0
            .all("item")
            .find(|item| item.number("chnID") == Some(channel))
            .and_then(|item| item.flag("motion"));
        let battery = number("battery") > 0;
        Capabilities {
            battery,
            pan_tilt: is_turning,
            presets: is_turning && number("ptzPreset") > 0,
            zoom: matches!(ptz, 1 | 2 | 5) || has_bit("ptzControl", 4),
            lights: has_bit("ledCtrl", 0),
            floodlight: has_bit("ledCtrl", 1) && has_bit("ledCtrl", 2),
            siren: has_bit("audioVersion", 2),
            // Models with a PIR sensor have no motion detection in the picture.
            pir: number("rfCfg") > 0 || motion == Some(false) || has_bit("aitype", 6),
            talk: number("ipcAudioTalk") > 0 || self.device("audioTalk") > 0,
            doorbell: number("doorbellVersion") > 0,
            person: has_bit("aitype", 1),
            vehicle: has_bit("aitype", 2),
            face: has_bit("aitype", 3),
            animal: has_bit("aitype", 4),
            package: has_bit("aitype", 17) || has_bit("aitype", 23),
        }
    }
}

/// What a channel can do; the device may still refuse a user ([`Abilities`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It lives on a battery: every session costs charge.
    pub battery: bool,
    /// It turns.
    pub pan_tilt: bool,
    /// It finds places again.
    pub presets: bool,
    /// It zooms, by lens or by number.
    pub zoom: bool,
    /// Infrared and status light can be set.
    pub lights: bool,
    /// It has a white light.
    pub floodlight: bool,
    /// It has a siren.
    pub siren: bool,
    /// It has a motion sensor.
    pub pir: bool,
    /// One can talk through it.
    pub talk: bool,
    /// It has a bell.
    pub doorbell: bool,
    /// It tells persons.
    pub person: bool,
    /// It tells vehicles.
    pub vehicle: bool,
    /// It tells faces.
    pub face: bool,
    /// It tells dogs and cats.
    pub animal: bool,
    /// It tells parcels.
    pub package: bool,
}

/// One of a recorder's channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its number.
    pub channel: u8,
    /// The camera's own UID.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// `login`, `standby` (asleep) and others.
    pub login_state: String,
}

impl ChannelStatus {
    /// Whether a battery camera sleeps behind the recorder.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.login_state == "standby"
    }

    pub(crate) fn from_xml(element: &Element) -> Self {
        let text = |name| element.value(name).unwrap_or_default().to_owned();
        Self {
            channel: element.number("channelId").unwrap_or(0),
            uid: text("uid"),
            name: text("name"),
            login_state: text("loginState"),
        }
    }

    pub(crate) fn to_list(channels: &[Self]) -> Element {
        channels
            .iter()
            .fold(Element::versioned("ChannelInfoList"), |list, channel| {
                list.containing(
                    Element::new("ChannelInfo")
                        .with("channelId", channel.channel)
                        .with("uid", &channel.uid)
                        .with("name", &channel.name)
                        .with("loginState", &channel.login_state),
                )
            })
    }
}
