use std::time::SystemTime;

use proto_baichuan::Notice;

/// What a device noticed, and when we heard of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Whose channel.
    pub channel: u8,
    /// When it came.
    pub at: SystemTime,
    /// What it is: a state, not what changed.
    pub what: Notice,
}

impl Event {
    pub(super) fn now(what: Notice) -> Self {
        Self {
            channel: channel(&what),
            at: SystemTime::now(),
            what,
        }
    }
}

/// The channel that a notice is about; 0 where it is about the device.
fn channel(notice: &Notice) -> u8 {
    match notice {
        Notice::Alarm(alarm) => alarm.channel,
        Notice::Battery(battery) => battery.channel,
        Notice::Channel(status) => status.channel,
        Notice::DayNight { channel, .. }
        | Notice::Floodlight { channel, .. }
        | Notice::Siren { channel, .. }
        | Notice::Moving { channel, .. }
        | Notice::ConfigChanged { channel, .. } => *channel,
        // The privacy mode is the device's.
        _ => 0,
    }
}
