use std::collections::BTreeMap;
use std::time::SystemTime;

use proto_baichuan::{
    Battery, DeviceInfo, Encryption, MAX_CHANNELS, Notice, StreamTable, Support, Version,
};

/// What is known of a device from its own mouth, as of its last session.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What it said at login.
    pub device: Option<DeviceInfo>,
    /// Its streams.
    pub streams: Vec<StreamTable>,
    /// How the session was encrypted.
    pub encryption: Option<Encryption>,
    /// Model, firmware, serial number.
    pub version: Option<Version>,
    /// What it has.
    pub support: Option<Support>,
    /// The batteries by channel, and when we heard of them.
    pub batteries: BTreeMap<u8, (Battery, SystemTime)>,
    /// Whether the floodlights shine, by channel.
    pub floodlights: BTreeMap<u8, bool>,
    /// Why its last session ended, if that was a failure.
    pub outage: Option<String>,
}

impl Facts {
    /// Whether every session costs charge.
    #[must_use]
    pub fn is_battery(&self) -> bool {
        self.device.as_ref().is_some_and(DeviceInfo::is_battery) || !self.batteries.is_empty()
    }

    /// What a channel can do, in the words of the API's commands; nothing before the first session.
    #[must_use]
    pub fn can(&self, channel: u8) -> Vec<&'static str> {
        let Some(device) = &self.device else {
            return Vec::new();
        };
        let support = self.support.clone().unwrap_or_default();
        let has = support.capabilities(channel);
        let turns = !matches!(device.ptz_mode.as_str(), "" | "none" | "af");
        let zooms = matches!(device.ptz_mode.as_str(), "ptz" | "af");
        let all = [
            ("info", true),
            ("streams", true),
            ("snapshot", true),
            ("events", true),
            ("reboot", true),
            ("battery", has.battery || self.is_battery()),
            ("ptz", has.pan_tilt || turns),
            ("preset", has.presets),
            ("zoom", has.zoom || zooms),
            ("led", has.lights),
            (
                "floodlight",
                has.floodlight || self.floodlights.contains_key(&channel),
            ),
            ("siren", has.siren),
            ("pir", has.pir),
            ("talk", has.talk),
        ];
        all.iter()
            .filter(|(_, can)| *can)
            .map(|(name, _)| *name)
            .collect()
    }

    /// Remembers what stays true beyond the moment.
    pub(super) fn take(&mut self, notice: &Notice) {
        match notice {
            Notice::Battery(battery) if self.batteries.len() < MAX_CHANNELS => {
                let heard = (battery.clone(), SystemTime::now());
                self.batteries.insert(battery.channel, heard);
            }
            Notice::Floodlight { channel, is_on } => {
                self.floodlights.insert(*channel, *is_on);
            }
            Notice::SleepState { is_asleep } => {
                if let Some(device) = &mut self.device {
                    device.is_asleep = *is_asleep;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proto_baichuan::Element;

    use super::*;

    #[test]
    fn a_channel_can_what_its_ability_list_says() {
        let item = Element::new("item")
            .with("chnID", 1)
            .with("ptzType", 2)
            .with("ptzPreset", 64)
            .with("ledCtrl", 0);
        let support = Element::versioned("Support")
            .with("audioTalk", 1)
            .containing(item);
        let mut facts = Facts::default();
        assert!(facts.can(1).is_empty(), "nothing is known yet");
        let login = Element::new("DeviceInfo").with("type", "ipc");
        facts.device = Some(DeviceInfo::from_xml(&login));
        facts.support = Some(Support(support));
        let can = facts.can(1);
        assert!(can.contains(&"preset") && can.contains(&"talk"), "{can:?}");
        assert!(
            !can.contains(&"led") && !can.contains(&"battery"),
            "{can:?}"
        );
        assert!(!facts.can(0).contains(&"preset"));
    }
}
