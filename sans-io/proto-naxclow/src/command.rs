//! What a client asks of a camera: the `content` of codes 301 and 502, and whole payloads over MQTT
//! (facts, section 8.1).

use std::fmt;

use crate::{Error, Object, Value};

/// Longest key that WPA2 allows; the shortest, but for none at all, has 8.
pub const MAX_WIFI_KEY: usize = 63;

/// Longest network name that Wi-Fi allows, in bytes.
pub const MAX_WIFI_NAME: usize = 32;

/// Which media a camera sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// Sound.
    pub audio: bool,
    /// Pictures.
    pub video: bool,
}

impl Media {
    /// Pictures and sound.
    pub const BOTH: Self = Self {
        audio: true,
        video: true,
    };

    /// The codes 0 to 3.
    pub fn code(self) -> i64 {
        i64::from(self.audio) | i64::from(self.video) << 1
    }
}

/// The network that a camera is to join. Its key is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Wifi {
    name: String,
    key: String,
}

impl Wifi {
    /// A name of 1 to 32 bytes and a key of 8 to 63, or none. Cameras check neither (facts, section 8.1).
    pub fn new(name: &str, key: &str) -> Result<Self, Error> {
        if !(1..=MAX_WIFI_NAME).contains(&name.len()) {
            return Err(Error::Wifi {
                what: "name",
                expected: "1 to 32 bytes",
            });
        }
        if !key.is_empty() && !(8..=MAX_WIFI_KEY).contains(&key.len()) {
            return Err(Error::Wifi {
                what: "key",
                expected: "8 to 63 characters, or none for an open network",
            });
        }
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key; empty for an open network.
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Wifi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wifi({:?}, key hidden)", self.name)
    }
}

/// How the picture is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// As it was.
    Reset,
    /// Upright.
    Normal,
    /// Left and right exchanged.
    Horizontal,
    /// Top and bottom exchanged.
    Vertical,
    /// Upside down.
    UpsideDown,
}

impl Flip {
    const ALL: [Self; 5] = [
        Self::Reset,
        Self::Normal,
        Self::Horizontal,
        Self::Vertical,
        Self::UpsideDown,
    ];

    /// The number on the wire.
    pub fn number(self) -> i64 {
        match self {
            Self::Reset => 0,
            Self::Normal => 1,
            Self::Horizontal => 2,
            Self::Vertical => 3,
            Self::UpsideDown => 4,
        }
    }

    /// The turn of that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|flip| flip.number() == number)
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// 0 to 3: send these media from now on.
    Media(Media),
    /// 4: tell the base information; sets the clock too.
    BaseInfo {
        /// Seconds since 1970, taken as it is: cameras know no time zone.
        unix_time: i64,
    },
    /// 201: step of picture quality.
    SpeedGrade(i64),
    /// 202: infrared lamp. On some boards only the sensor turns monochrome.
    InfraredLed(bool),
    /// 203: record only on motion.
    RecordOnMotion(bool),
    /// 204: join a network after the next reboot.
    SetWifi(Wifi),
    /// 204 without members: leave the network.
    ForgetWifi,
    /// 205: motion alert.
    MotionAlert(bool),
    /// 206: sensitivity to motion.
    MotionGrade(i64),
    /// 207: erase the SD card.
    FormatSd,
    /// 208: become an access point.
    AccessPoint,
    /// 209: recording to the SD card.
    Record(bool),
    /// 210: instruction LED, the power lamp.
    InstructionLed(bool),
    /// 211: scan for networks; the result comes over MQTT.
    ScanWifi,
    /// 212: 0 stop, 1 right, 2 left, 3 up, 4 down; repeated every 80 ms while held.
    Motor(i64),
    /// 216: turn the picture.
    Flip(Flip),
    /// 217: a hint at the rate to send at, 5 to 120.
    SendRate(i64),
    /// 218: tell the state of the SD card.
    SdStatus,
    /// 220: brightness of the lamp.
    Brightness(i64),
    /// 223: battery and power, on PIR and PTZ models.
    Power,
    /// 298: repeat media packets that are not confirmed.
    Retransmission,
    /// 299: reboot; nothing answers.
    Reboot,
    /// Anything else, as it came or is to go, with its `code`.
    Other(Object),
}

impl Command {
    /// The command's code.
    pub fn code(&self) -> i64 {
        match self {
            Self::Media(media) => media.code(),
            Self::BaseInfo { .. } => 4,
            Self::SpeedGrade(_) => 201,
            Self::InfraredLed(_) => 202,
            Self::RecordOnMotion(_) => 203,
            Self::SetWifi(_) | Self::ForgetWifi => 204,
            Self::MotionAlert(_) => 205,
            Self::MotionGrade(_) => 206,
            Self::FormatSd => 207,
            Self::AccessPoint => 208,
            Self::Record(_) => 209,
            Self::InstructionLed(_) => 210,
            Self::ScanWifi => 211,
            Self::Motor(_) => 212,
            Self::Flip(_) => 216,
            Self::SendRate(_) => 217,
            Self::SdStatus => 218,
            Self::Brightness(_) => 220,
            Self::Power => 223,
            Self::Retransmission => 298,
            Self::Reboot => 299,
            Self::Other(content) => content.integer("code").unwrap_or(-1),
        }
    }

    /// The members besides `code`.
    fn members(&self) -> Vec<(&'static str, Value)> {
        let one = |name, number: i64| vec![(name, Value::Integer(number))];
        match self {
            Self::BaseInfo { unix_time } => one("unixTimer", *unix_time),
            Self::SpeedGrade(step) => one("speedGrade", *step),
            Self::InfraredLed(on) => one("IrLed", i64::from(*on)),
            Self::RecordOnMotion(on) => one("sdMoveMode", i64::from(*on)),
            Self::SetWifi(wifi) => vec![("s", wifi.name().into()), ("p", wifi.key().into())],
            Self::MotionAlert(on) => one("moveAlert", i64::from(*on)),
            Self::MotionGrade(step) => one("moveGrade", *step),
            Self::Record(on) => one("sdCardReco", i64::from(*on)),
            Self::InstructionLed(on) => one("instLed", i64::from(*on)),
            Self::Motor(way) => one("motorState", *way),
            Self::Flip(flip) => one("mirrorFlip", flip.number()),
            Self::SendRate(rate) => one("sfq", *rate),
            Self::Brightness(step) => one("ledEI", *step),
            Self::Media(_)
            | Self::ForgetWifi
            | Self::FormatSd
            | Self::AccessPoint
            | Self::ScanWifi
            | Self::SdStatus
            | Self::Power
            | Self::Retransmission
            | Self::Reboot
            | Self::Other(_) => Vec::new(),
        }
    }

    /// The object as station mode and MQTT carry it.
    pub fn content(&self) -> Object {
        match self {
            Self::Other(content) => content.clone(),
            // The reference server writes the time first, and only here.
            Self::BaseInfo { unix_time } => Object::default()
                .with("unixTimer", *unix_time)
                .with("code", 4),
            _ => self.append(Object::default().with("code", self.code())),
        }
    }

    /// The object as access-point mode carries it: the camera named right after the code.
    pub fn content_for(&self, dev_target: &str) -> Object {
        let head = Object::default()
            .with("code", self.code())
            .with("devTarget", dev_target);
        match self {
            Self::Other(content) => content
                .members()
                .filter(|(name, _)| !matches!(*name, "code" | "devTarget"))
                .fold(head, |object, (name, value)| {
                    object.with(name, value.clone())
                }),
            _ => self.append(head),
        }
    }

    fn append(&self, object: Object) -> Object {
        self.members()
            .into_iter()
            .fold(object, |object, (name, value)| object.with(name, value))
    }

    /// Reads the object; a known code with unusable members is [`Command::Other`].
    pub fn read(content: &Object) -> Result<Self, Error> {
        let code = content.integer("code").ok_or(Error::Member {
            code: 0,
            member: "code",
        })?;
        Ok(Self::known(code, content).unwrap_or_else(|| Self::Other(content.clone())))
    }

    fn known(code: i64, content: &Object) -> Option<Self> {
        let number = |name| content.integer(name);
        let switch = |name| content.integer(name).map(|number| number != 0);
        Some(match code {
            0..=3 => Self::Media(Media {
                audio: code & 1 != 0,
                video: code & 2 != 0,
            }),
            4 => Self::BaseInfo {
                unix_time: number("unixTimer")?,
            },
            201 => Self::SpeedGrade(number("speedGrade")?),
            202 => Self::InfraredLed(switch("IrLed")?),
            203 => Self::RecordOnMotion(switch("sdMoveMode")?),
            204 => match (content.text("s"), content.text("p")) {
                (None, None) => Self::ForgetWifi,
                (name, key) => Self::SetWifi(Wifi::new(name?, key.unwrap_or_default()).ok()?),
            },
            205 => Self::MotionAlert(switch("moveAlert")?),
            206 => Self::MotionGrade(number("moveGrade")?),
            207 => Self::FormatSd,
            208 => Self::AccessPoint,
            209 => Self::Record(switch("sdCardReco")?),
            210 => Self::InstructionLed(switch("instLed")?),
            211 => Self::ScanWifi,
            212 => Self::Motor(number("motorState")?),
            216 => Self::Flip(Flip::from_number(number("mirrorFlip")?)?),
            217 => Self::SendRate(number("sfq")?),
            218 => Self::SdStatus,
            220 => Self::Brightness(number("ledEI")?),
            223 => Self::Power,
            298 => Self::Retransmission,
            299 => Self::Reboot,
            _ => return None,
        })
    }
}
