//! Messages in the clear, and the codec that stands between them and the wire (sections 2, 3 and 5).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::cipher::{AesKey, Encryption, xor};
use crate::framing::Frame;
use crate::header::{Class, Header, MAGIC, Tag, id};
use crate::xml::Element;
use crate::{Error, MAX_XML};

/// Longest message to a camera, header included: beyond 40,000 it drops the connection; clients cut here (section 5.3).
pub const MAX_TO_CAMERA: usize = 38_000;
/// Most replies in binary mode at a time. A device has a handful of streams and one talk; the oldest gives way.
pub const MAX_BINARY: usize = 64;

/// What follows the extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    #[default]
    None,
    /// The `body` document.
    Xml(Element),
    /// Media, a picture, a file, or the fixed fields of a legacy login.
    Binary(Bytes),
}

impl Payload {
    /// A body of one command element.
    #[must_use]
    pub fn of(command: Element) -> Self {
        Self::Xml(Element::new("body").containing(command))
    }

    /// The first command element, whatever its name.
    #[must_use]
    pub fn first(&self) -> Option<&Element> {
        match self {
            Self::Xml(body) => body.children.first(),
            Self::None | Self::Binary(_) => None,
        }
    }

    /// The command element of that name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Element> {
        match self {
            Self::Xml(body) => body.child(name),
            Self::None | Self::Binary(_) => None,
        }
    }
}

/// One message, decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about, section 6.
    pub id: u32,
    /// What ties replies to requests.
    pub tag: Tag,
    /// 0 in requests, a code in replies.
    pub status: u16,
    /// The header's variant.
    pub class: Class,
    /// The `Extension` document.
    pub extension: Option<Element>,
    /// The rest.
    pub payload: Payload,
}

impl Message {
    /// Whether the status says that a request was carried out (section 2.1).
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201 | 300 | 331)
    }

    /// The command element of that name in the payload.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Element> {
        self.payload.command(name)
    }
}

/// An `Extension` document with these fields.
#[must_use]
pub fn extension(fields: &[(&str, &str)]) -> Element {
    fields.iter().fold(
        Element::versioned("Extension"),
        |extension, (name, value)| extension.with(name, value),
    )
}

/// Which end of the conversation this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends requests.
    Client,
    /// Answers them.
    Device,
}

/// Encrypts and decrypts one session's messages and remembers which replies are binary.
#[derive(Debug)]
pub struct Codec {
    role: Role,
    encryption: Encryption,
    key: Option<AesKey>,
    binary: VecDeque<(u32, Tag)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Cipher {
    Clear,
    Xor,
    Aes,
}

impl Codec {
    /// A codec before any login: everything clear.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            encryption: Encryption::None,
            key: None,
            binary: VecDeque::new(),
        }
    }

    /// What was negotiated; from here on it holds.
    pub fn set_encryption(&mut self, encryption: Encryption, nonce: &str, password: &str) {
        self.encryption = encryption;
        self.key = encryption.is_aes().then(|| AesKey::new(nonce, password));
    }

    /// What was negotiated.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// Decrypts a frame. An error concerns this message alone: the stream goes on (section 12).
    pub fn decode(&mut self, frame: Frame) -> Result<Message, Error> {
        let header = frame.header;
        let extension = if frame.extension.is_empty() {
            None
        } else {
            Some(self.open_xml(&header, &frame.extension)?)
        };
        let binary = extension
            .as_ref()
            .and_then(|extension| extension.number::<u8>("binaryData"));
        match binary {
            Some(0) => self.end_binary(header.id, header.tag),
            Some(_) => self.begin_binary(header.id, header.tag),
            None => {}
        }
        let payload = if frame.payload.is_empty() {
            Payload::None
        } else if header.class == Class::LEGACY {
            Payload::Binary(frame.payload)
        } else if self.is_binary(header.id, header.tag) {
            Payload::Binary(self.open_binary(extension.as_ref(), frame.payload))
        } else {
            Payload::Xml(self.open_xml(&header, &frame.payload)?)
        };
        Ok(Message {
            id: header.id,
            tag: header.tag,
            status: header.status,
            class: header.class,
            extension,
            payload,
        })
    }

    /// Encrypts a message.
    pub fn encode(&self, message: &Message) -> Result<Bytes, Error> {
        let cipher = self.cipher(message.id);
        let seal = |element: &Element| {
            let mut bytes = element.to_document();
            self.apply(cipher, message.tag.channel, &mut bytes, true);
            Bytes::from(bytes)
        };
        let payload = match &message.payload {
            Payload::None => Bytes::new(),
            Payload::Xml(body) => seal(body),
            Payload::Binary(bytes) => {
                let len = self.encrypted_len(message.extension.as_ref(), bytes.len());
                if len == 0 {
                    bytes.clone()
                } else {
                    let mut bytes = bytes.to_vec();
                    if let Some(head) = bytes.get_mut(..len) {
                        self.apply(Cipher::Aes, 0, head, true);
                    }
                    bytes.into()
                }
            }
        };
        let is_short = matches!(message.class, Class::LEGACY | Class::NONCE_REPLY);
        let frame = Frame {
            header: Header {
                magic: MAGIC,
                id: message.id,
                body_len: 0,
                tag: message.tag,
                status: message.status,
                class: message.class,
                extension_len: (!is_short).then_some(0),
            },
            extension: message.extension.as_ref().map(seal).unwrap_or_default(),
            payload,
        };
        if is_short && !frame.extension.is_empty() {
            return Err(Error::Misuse("an extension needs the long header"));
        }
        let len = Header::LONG + frame.extension.len() + frame.payload.len();
        let max = match self.role {
            Role::Client => MAX_TO_CAMERA,
            Role::Device => MAX_XML,
        };
        if len > max {
            return Err(Error::TooLarge {
                what: "message to send",
                len,
                max,
            });
        }
        Ok(frame.encode())
    }

    /// From here on messages of this number and tag are XML again.
    pub fn end_binary(&mut self, id: u32, tag: Tag) {
        let key = self.binary_key(id, tag);
        self.binary.retain(|known| *known != key);
    }

    fn begin_binary(&mut self, id: u32, tag: Tag) {
        if !self.is_binary(id, tag) {
            if self.binary.len() == MAX_BINARY {
                self.binary.pop_front();
            }
            self.binary.push_back(self.binary_key(id, tag));
        }
    }

    fn is_binary(&self, id: u32, tag: Tag) -> bool {
        self.binary.contains(&self.binary_key(id, tag))
    }

    /// Recorders put channels of their own into byte 12, so a client looks at its counter only; a device must look at
    /// all four bytes, because one client's counter begins in byte 13.
    fn binary_key(&self, id: u32, tag: Tag) -> (u32, Tag) {
        let tag = match self.role {
            Role::Client => Tag {
                number: tag.number,
                ..Tag::default()
            },
            Role::Device => tag,
        };
        (id, tag)
    }

    /// Login messages are at most XOR, whatever was negotiated (section 3.3).
    fn cipher(&self, id: u32) -> Cipher {
        match self.encryption {
            Encryption::None => Cipher::Clear,
            Encryption::Xor => Cipher::Xor,
            Encryption::Aes | Encryption::AesArgus | Encryption::FullAes => {
                if id == id::LOGIN {
                    Cipher::Xor
                } else {
                    Cipher::Aes
                }
            }
        }
    }

    fn apply(&self, cipher: Cipher, offset: u8, bytes: &mut [u8], encrypt: bool) {
        match (cipher, &self.key) {
            (Cipher::Clear, _) | (Cipher::Aes, None) => {}
            (Cipher::Xor, _) => xor(offset, bytes),
            (Cipher::Aes, Some(key)) if encrypt => key.encrypt(bytes),
            (Cipher::Aes, Some(key)) => key.decrypt(bytes),
        }
    }

    /// Reads a document under the cipher that is due, or else under the first under which it looks like XML: some
    /// cameras answer in XOR while AES is on, one client logs in under XOR whatever was agreed (section 12).
    fn open_xml(&self, header: &Header, sealed: &[u8]) -> Result<Element, Error> {
        if sealed.len() > MAX_XML {
            return Err(Error::TooLarge {
                what: "XML document",
                len: sealed.len(),
                max: MAX_XML,
            });
        }
        let due = self.cipher(header.id);
        for cipher in [due, Cipher::Clear, Cipher::Xor, Cipher::Aes] {
            let head = sealed.get(..sealed.len().min(16)).unwrap_or_default();
            let mut head = head.to_vec();
            self.apply(cipher, header.tag.channel, &mut head, false);
            let first = head.iter().find(|byte| !byte.is_ascii_whitespace());
            if first == Some(&b'<') {
                let mut bytes = sealed.to_vec();
                self.apply(cipher, header.tag.channel, &mut bytes, false);
                return Element::parse(&bytes);
            }
        }
        Err(Error::Xml {
            offset: 0,
            problem: "no XML under any cipher",
        })
    }

    fn open_binary(&self, extension: Option<&Element>, payload: Bytes) -> Bytes {
        let len = self.encrypted_len(extension, payload.len());
        if len == 0 {
            return payload;
        }
        let mut bytes = BytesMut::from(payload);
        if let Some(head) = bytes.get_mut(..len) {
            self.apply(Cipher::Aes, 0, head, false);
        }
        bytes.freeze()
    }

    /// How much of a binary payload is under AES: `encryptLen`, where the mode has it.
    fn encrypted_len(&self, extension: Option<&Element>, payload_len: usize) -> usize {
        extension
            .filter(|_| self.encryption.encrypts_media())
            .and_then(|extension| extension.number::<usize>("encryptLen"))
            .map_or(0, |len| len.min(payload_len))
    }
}
