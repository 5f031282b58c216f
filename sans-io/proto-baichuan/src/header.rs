//! The header of every message, section 2.

/// First bytes of messages between client and device.
pub const MAGIC: u32 = 0x0abc_def0;
/// First bytes of messages between recorder and camera, met in a few replies of recorders.
pub const DEVICE_MAGIC: u32 = 0x0fed_cba0;

/// Message numbers of section 6 that this crate itself uses, or that its users need most.
pub mod id {
    #![allow(
        missing_docs,
        reason = "the names are the vendor's, section 6 lists them"
    )]
    pub const LOGIN: u32 = 1;
    pub const LOGOUT: u32 = 2;
    pub const PREVIEW: u32 = 3;
    pub const PREVIEW_STOP: u32 = 4;
    pub const REPLAY: u32 = 5;
    pub const TALK_ABILITY: u32 = 10;
    pub const TALK_RESET: u32 = 11;
    pub const PTZ_CONTROL: u32 = 18;
    pub const PTZ_PRESET: u32 = 19;
    pub const REBOOT: u32 = 23;
    pub const VIDEO_INPUT_GET: u32 = 26;
    pub const START_ALARM: u32 = 31;
    pub const ALARM_EVENT_LIST: u32 = 33;
    pub const VIDEO_INPUT: u32 = 78;
    pub const SERIAL: u32 = 79;
    pub const VERSION_INFO: u32 = 80;
    pub const LINK_TYPE: u32 = 93;
    pub const SYSTEM_GENERAL: u32 = 104;
    pub const SYSTEM_GENERAL_SET: u32 = 105;
    pub const SNAP: u32 = 109;
    pub const UID: u32 = 114;
    pub const WIFI_SIGNAL: u32 = 115;
    pub const CHANNEL_INFO_LIST: u32 = 145;
    pub const STREAM_INFO_LIST: u32 = 146;
    pub const ABILITY_INFO: u32 = 151;
    pub const REQUEST_IFRAME: u32 = 189;
    pub const PTZ_PRESET_LIST: u32 = 190;
    pub const START_ALARM_REPORT: u32 = 192;
    pub const SUPPORT: u32 = 199;
    pub const TALK_CONFIG: u32 = 201;
    pub const TALK: u32 = 202;
    pub const LED_STATE: u32 = 208;
    pub const LED_STATE_SET: u32 = 209;
    pub const PIR: u32 = 212;
    pub const PIR_SET: u32 = 213;
    pub const UDP_KEEP_ALIVE: u32 = 234;
    pub const LONG_TIME_PREVIEW: u32 = 250;
    pub const BATTERY_LIST: u32 = 252;
    pub const BATTERY_INFO: u32 = 253;
    pub const AUDIO_PLAY: u32 = 263;
    pub const FLOODLIGHT_MANUAL: u32 = 288;
    pub const FLOODLIGHT_TASK_OLD: u32 = 289;
    pub const FLOODLIGHT_TASK_SET: u32 = 290;
    pub const FLOODLIGHT_STATUS_LIST: u32 = 291;
    pub const ZOOM_FOCUS: u32 = 294;
    pub const ZOOM_FOCUS_START: u32 = 295;
    pub const VERSION_INFO_CHANNEL: u32 = 318;
    pub const FLOODLIGHT_TASK: u32 = 438;
    pub const PTZ_MOVING: u32 = 542;
    pub const SIREN_STATUS_LIST: u32 = 547;
    pub const SLEEP_STATE: u32 = 574;
    pub const SLEEP_STATE_SET: u32 = 575;
    pub const CONFIG_CHANGED: u32 = 580;
    pub const SLEEP_STATUS: u32 = 623;
}

/// The header's variant: two bytes that decide its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class(pub u16);

impl Class {
    /// Legacy messages and the nonce request, 20 bytes.
    pub const LEGACY: Self = Self(0x6514);
    /// The nonce reply, 20 bytes.
    pub const NONCE_REPLY: Self = Self(0x6614);
    /// A client's messages, 24 bytes.
    pub const CLIENT: Self = Self(0x6414);
    /// A device's replies and pushes, 24 bytes.
    pub const DEVICE: Self = Self(0x0000);
    /// File downloads of some models, 24 bytes.
    pub const DOWNLOAD: Self = Self(0x6482);
    /// Seen once (Argus Solar, reply to 124), 24 bytes of which the last four mean nothing.
    pub const ODD: Self = Self(0xffff);

    fn is_known(self) -> bool {
        matches!(
            self,
            Self::LEGACY
                | Self::NONCE_REPLY
                | Self::CLIENT
                | Self::DEVICE
                | Self::DOWNLOAD
                | Self::ODD
        )
    }
}

/// Bytes 12 to 15: a device copies them from a request into everything that answers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Byte 12, the channel, also the offset into the XOR key. Some clients write other things here.
    pub channel: u8,
    /// Byte 13, the kind of stream, or more of the counter.
    pub stream: u8,
    /// Bytes 14 and 15, the request counter.
    pub number: u16,
}

/// The header of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`] or [`DEVICE_MAGIC`].
    pub magic: u32,
    /// What the message is about, section 6.
    pub id: u32,
    /// Bytes after the header.
    pub body_len: u32,
    /// What ties replies to requests.
    pub tag: Tag,
    /// A request's 0, a reply's code, or the encryption that a login negotiates.
    pub status: u16,
    /// Which variant of header this is.
    pub class: Class,
    /// Bytes of the body that are the extension; absent in 20-byte headers.
    pub extension_len: Option<u32>,
}

impl Header {
    /// Length of the short variant; every header is at least this long.
    pub const SHORT: usize = 20;
    /// Length of the variant with an extension length.
    pub const LONG: usize = 24;

    /// Reads a header from the start of `bytes`. None: more bytes are needed. Does not judge the magic.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<{ Self::SHORT }>()?;
        let &[
            m0,
            m1,
            m2,
            m3,
            i0,
            i1,
            i2,
            i3,
            l0,
            l1,
            l2,
            l3,
            channel,
            stream,
            n0,
            n1,
            s0,
            s1,
            c0,
            c1,
        ] = fixed;
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let class = Class(u16::from_le_bytes([c0, c1]));
        // File replay is long whatever its class says; of unknown classes the upper byte decides.
        let is_long = id == id::REPLAY
            || match class {
                Class::LEGACY | Class::NONCE_REPLY => false,
                Class::CLIENT | Class::DEVICE | Class::DOWNLOAD | Class::ODD => true,
                Class(_) => matches!(c1, 0x64 | 0x00),
            };
        let extension_len = if is_long {
            let word = u32::from_le_bytes(*rest.first_chunk::<4>()?);
            Some(if class == Class::ODD { 0 } else { word })
        } else {
            None
        };
        Some(Self {
            magic: u32::from_le_bytes([m0, m1, m2, m3]),
            id,
            body_len: u32::from_le_bytes([l0, l1, l2, l3]),
            tag: Tag {
                channel,
                stream,
                number: u16::from_le_bytes([n0, n1]),
            },
            status: u16::from_le_bytes([s0, s1]),
            class,
            extension_len,
        })
    }

    /// Appends the header's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.magic.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&[self.tag.channel, self.tag.stream]);
        out.extend_from_slice(&self.tag.number.to_le_bytes());
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.class.0.to_le_bytes());
        if let Some(len) = self.extension_len {
            out.extend_from_slice(&len.to_le_bytes());
        }
    }

    /// How many bytes the header itself takes.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        if self.extension_len.is_some() {
            Self::LONG
        } else {
            Self::SHORT
        }
    }

    /// What is wrong with the header, if anything (section 12).
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.extension_len.unwrap_or(0) > self.body_len {
            return Some("the extension is longer than the body");
        }
        if !self.class.is_known() && self.body_len > 0 && self.id != id::REPLAY {
            return Some("a body behind a header of unknown class");
        }
        None
    }
}
