//! Opening and login, section 4.

use std::time::Instant;

use super::request::client_message;
use super::{CloseReason, Hello, Session, SessionEvent, State};
use crate::Error;
use crate::cipher::{Encryption, legacy_hash, login_hash};
use crate::header::{Class, Tag, id};
use crate::message::{Message, Payload};
use crate::payloads::{DeviceInfo, StreamTable};
use crate::xml::Element;

/// Longest nonce accepted; known ones have 16 to 21 characters.
pub const MAX_NONCE: usize = 256;
/// Length of the legacy login's fixed fields (section 4.1).
const LEGACY_BODY: usize = 1836;

impl Session {
    pub(super) fn say_hello(&mut self) {
        let payload = match self.config.hello {
            Hello::HeaderOnly => Payload::None,
            Hello::Legacy => {
                let mut body = legacy_hash(&self.config.user).to_vec();
                body.extend(legacy_hash(&self.config.password));
                body.resize(LEGACY_BODY, 0);
                Payload::Binary(body.into())
            }
        };
        let hello = Message {
            status: 0xdc00 | u16::from(self.config.encryption.code()),
            class: Class::LEGACY,
            ..client_message(id::LOGIN, Tag::default(), None, payload)
        };
        let _ = self.send(&hello);
    }

    pub(super) fn handle_nonce(&mut self, message: &Message, now: Instant) {
        let [mode, mark] = message.status.to_le_bytes();
        if mark != 0xdd {
            return self.end(refusal(message));
        }
        let nonce = message
            .command("Encryption")
            .and_then(|encryption| encryption.value("nonce"))
            .filter(|nonce| !nonce.is_empty() && nonce.len() <= MAX_NONCE);
        let (encryption, nonce) = match (Encryption::from_code(mode), nonce) {
            (Ok(encryption), Some(nonce)) => (encryption, nonce.to_owned()),
            (Err(error), _) => return self.end(CloseReason::Lost(error)),
            (Ok(_), None) => {
                return self.end(CloseReason::Lost(Error::Field {
                    document: "Encryption",
                    field: "nonce",
                }));
            }
        };
        self.codec
            .set_encryption(encryption, &nonce, &self.config.password);
        let user = Element::versioned("LoginUser")
            .with("userName", login_hash(&self.config.user, &nonce))
            .with("password", login_hash(&self.config.password, &nonce))
            .with("userVer", 1);
        let net = Element::versioned("LoginNet")
            .with("type", "LAN")
            .with("udpPort", 0);
        let body = Element::new("body").containing(user).containing(net);
        let tag = self.request_tag(Tag::default());
        self.state = State::Login;
        self.deadline = now + self.config.reply_timeout;
        let login = client_message(id::LOGIN, tag, None, Payload::Xml(body));
        let _ = self.send(&login);
    }

    pub(super) fn handle_login(&mut self, message: &Message, now: Instant) {
        let Some(info) = message
            .command("DeviceInfo")
            .filter(|_| message.is_success())
        else {
            // An old camera refuses with 400, another with 200 and nothing: both mean the password.
            let error = message.command("LoginErrInfo");
            let detail = |name| error.and_then(|error| error.number(name));
            return self.end(match message.status {
                200 | 300 | 400 | 401 => CloseReason::WrongPassword {
                    remaining: detail("remainTimes"),
                    unlock_seconds: detail("unlockTime"),
                },
                _ => refusal(message),
            });
        };
        self.state = State::Ready;
        self.last_received = now;
        let list = message.command("StreamInfoList");
        self.events.push_back(SessionEvent::Ready {
            device: Box::new(DeviceInfo::from_xml(info)),
            streams: list.map(StreamTable::from_xml).unwrap_or_default(),
            encryption: self.codec.encryption(),
        });
    }
}

fn refusal(message: &Message) -> CloseReason {
    match message.status {
        406 => CloseReason::AccountBound,
        401 => CloseReason::WrongPassword {
            remaining: None,
            unlock_seconds: None,
        },
        status => CloseReason::Refused(status),
    }
}
