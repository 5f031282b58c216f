//! What is known of a camera's device, in the API's words.

use std::collections::BTreeMap;

use api::{BatteryStatus, DeviceEvent, DeviceStatus};
use drivers::reolink::{Device, Event};
use proto_baichuan::{AlarmKind, Battery, Notice};
use serde_json::{Value, json};

/// The device as it was last heard of.
pub(crate) fn device(device: &Device, channel: u8) -> DeviceStatus {
    let facts = device.facts();
    let battery = facts.batteries.get(&channel);
    let version = facts.version.as_ref();
    DeviceStatus {
        connected: device.is_connected(),
        model: version.map(|version| version.model.clone()),
        firmware: version.map(|version| version.firmware.clone()),
        can: facts.can(channel).into_iter().map(str::to_owned).collect(),
        battery: battery.map(|(battery, heard)| BatteryStatus {
            percent: battery.percent,
            charging: is_charging(battery),
            charge_status: battery.charge_status.clone(),
            power: battery.adapter_status.clone(),
            celsius: battery.celsius,
            millivolts: battery.millivolts,
            heard: *heard,
        }),
        wakes: wakes(device),
        wakes_left: device.wakes_left(),
    }
}

fn wakes(device: &Device) -> BTreeMap<String, u64> {
    let wakes = device.wakes().into_iter();
    wakes
        .map(|(cause, count)| (cause.name().to_owned(), count))
        .collect()
}

fn is_charging(battery: &Battery) -> bool {
    battery.charge_status == "charging"
}

/// A battery as a command's answer.
pub(crate) fn battery(battery: &Battery) -> Value {
    json!({
        "percent": battery.percent,
        "charging": is_charging(battery),
        "charge_status": battery.charge_status,
        "power": battery.adapter_status,
        "celsius": battery.celsius,
        "millivolts": battery.millivolts,
        "milliamperes": battery.milliamperes,
        "low": battery.is_low,
    })
}

/// An event in the API's words; `None` for what only programs of the maker care for.
pub(crate) fn event(event: &Event) -> Option<DeviceEvent> {
    let (name, what) = match &event.what {
        Notice::Alarm(alarm) => {
            let kinds: Vec<&str> = alarm.kinds().into_iter().map(AlarmKind::name).collect();
            let what = json!({ "active": !kinds.is_empty(), "kinds": kinds, "recording": alarm.is_recording });
            ("alarm", what)
        }
        Notice::DayNight { is_night, .. } => ("night", json!({ "on": is_night })),
        Notice::Battery(known) => ("battery", battery(known)),
        Notice::Floodlight { is_on, .. } => ("floodlight", json!({ "on": is_on })),
        Notice::Siren { is_on, .. } => ("siren", json!({ "on": is_on })),
        Notice::Moving { is_moving, .. } => ("moving", json!({ "on": is_moving })),
        Notice::SleepState { is_asleep } => ("privacy", json!({ "on": is_asleep })),
        _ => return None,
    };
    let at = event.at;
    Some(DeviceEvent { name, at, what })
}
