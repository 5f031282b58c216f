//! Reolink's Baichuan protocol, both halves: messages, logins, media, reliable UDP.
//!
//! Sections in the documentation are those of the protocol notes that this crate was built from.
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::disallowed_methods
    )
)]

mod adpcm;
pub mod bcudp;
mod cipher;
mod command;
mod device;
mod error;
mod framing;
mod header;
mod media;
mod message;
mod notice;
mod payloads;
mod session;
mod xml;

pub use adpcm::{AdpcmState, NibbleOrder};
pub use cipher::{AesKey, Encryption, legacy_hash, login_hash, xor};
pub use command::{
    Abilities, Ability, Answer, CameraTime, Capabilities, ChannelStatus, Command, FloodlightTask,
    Infrared, Led, MAX_ABILITIES, MAX_CHANNELS, MAX_PRESETS, MAX_TALK_FORMATS, Pir, Preset,
    PtzMotion, Range, Siren, Support, TalkAbility, TalkConfig, TalkEncoder, TalkFormat, Version,
    ZoomFocus,
};
pub use device::{Device, DeviceConfig, DeviceEvent, DeviceStream, MAX_PREVIEWS};
pub use error::Error;
pub use framing::{Frame, FrameDecoder, MAX_BODY, MAX_SKIPPED};
pub use header::{Class, DEVICE_MAGIC, Header, MAGIC, Tag, id};
pub use media::{
    MAX_EXTRA, MAX_FRAME_RATE, MAX_SIDE, MAX_VIDEO, MediaClock, MediaInfo, MediaPacket,
    MediaParser, Video, VideoCodec,
};
pub use message::{Codec, MAX_BINARY, MAX_TO_CAMERA, Message, Payload, Role, extension};
pub use notice::{AlarmEvent, AlarmKind, Notice};
pub use payloads::{Battery, DeviceInfo, MAX_RATES, Preview, StreamKind, StreamTable};
pub use session::{
    CloseReason, Hello, MAX_NONCE, MAX_PENDING, MAX_SNAPSHOT, RequestId, Session, SessionConfig,
    SessionEvent, StreamId,
};
pub use xml::{Element, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ELEMENTS, MAX_XML};

#[cfg(test)]
mod testing {
    /// Bytes of a hex text; blanks and line ends are skipped.
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| pair.iter().collect::<String>();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&byte(pair), 16).unwrap())
            .collect()
    }
}
