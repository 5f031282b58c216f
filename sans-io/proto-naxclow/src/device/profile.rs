use std::net::SocketAddr;
use std::time::Duration;

use crate::audio::AudioCodec;
use crate::{BaseInfo, Bootstrap, DeviceConfig, Flip, Uid};

/// What a camera makes of missing confirmations (facts, section 7.2; all assumed but for the two limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Stops sending after so long without any.
    pub stop_after: Duration,
    /// Sends no new picture while so many packets are unconfirmed; `None` for no limit.
    pub window: Option<usize>,
    /// Repeats a packet after so long.
    pub repeat_after: Duration,
    /// Repeats it so often.
    pub repeats: u8,
}

impl Default for Confirmation {
    fn default() -> Self {
        Self {
            stop_after: Duration::from_secs(20),
            window: None,
            repeat_after: Duration::from_millis(200),
            repeats: 3,
        }
    }
}

/// Kinds of cameras (facts, section 20).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// fw 202212011602.
    Classic,
    /// Has no device code yet.
    FirstBoot,
    /// Asks for device information first, and stops when it is refused.
    DevInfo,
    /// Sends 16-bit sound.
    Pcm,
    /// Stops after 4 s or 111 packets without confirmation.
    StrictAck,
    /// Goes to MQTT after device information, never to the control port.
    MqttOnly,
    /// Writes odd JSON and has an odd network.
    OddJson,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Classic,
        Self::FirstBoot,
        Self::DevInfo,
        Self::Pcm,
        Self::StrictAck,
        Self::MqttOnly,
        Self::OddJson,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::FirstBoot => "first-boot",
            Self::DevInfo => "devinfo",
            Self::Pcm => "pcm",
            Self::StrictAck => "strict-ack",
            Self::MqttOnly => "mqtt-only",
            Self::OddJson => "odd-json",
        }
    }

    /// The profile of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What it asks over HTTP, in order.
    pub fn bootstrap(self) -> &'static [Bootstrap] {
        use Bootstrap::{Configuration, Confirm, DeviceInfo, RegisterDevices};
        match self {
            Self::Classic | Self::Pcm | Self::StrictAck | Self::OddJson => &[Configuration],
            Self::FirstBoot => &[RegisterDevices, Confirm, Configuration],
            Self::DevInfo => &[DeviceInfo, Configuration],
            Self::MqttOnly => &[DeviceInfo],
        }
    }

    /// A camera of this kind at `local`, connected to `peer`.
    pub fn config(self, uid: Uid, local: SocketAddr, peer: SocketAddr) -> DeviceConfig {
        let odd = self == Self::OddJson;
        let base_info = BaseInfo {
            udp_playback: odd.then_some(true),
            infrared_led: Some(false),
            power: Some(100),
            speed_grade: Some(1),
            motion_alert: Some(false),
            record_on_motion: Some(false),
            wifi_name: Some(if odd { "caf\u{e9} \u{1f4f7}" } else { "home" }.to_owned()),
            instruction_led: Some(true),
            sd_status: Some(0),
            flip: Some(Flip::Reset),
            version: Some(if odd { "202412061749" } else { "202212011602" }.to_owned()),
        };
        let confirmation = match self {
            Self::StrictAck => Confirmation {
                stop_after: Duration::from_secs(4),
                window: Some(111),
                ..Confirmation::default()
            },
            _ => Confirmation::default(),
        };
        DeviceConfig {
            uid,
            token: "91edf41f".to_owned(),
            domain: "v720.naxclow.com".to_owned(),
            peer,
            local,
            base_info,
            odd_json: odd,
            audio: match self {
                Self::Pcm => AudioCodec::Pcm,
                _ => AudioCodec::ALaw,
            },
            confirmation,
            needs_online: false,
            recordings: Vec::new(),
        }
    }
}
