//! Datagrams on the wire, sections 9.1 and 9.3.

use bytes::{Buf, Bytes, BytesMut};

use super::discovery::Discovery;
use crate::Error;
use crate::xml::Element;

const DISCOVERY: u32 = 0x2a87_cf3a;
const DATA: u32 = 0x2a87_cf10;
const ACK: u32 = 0x2a87_cf20;

/// Longest datagram that is looked at; the protocol's own limit is 1350 bytes.
pub const MAX_DATAGRAM: usize = 2048;
/// Bytes of the stream in one datagram: 1350 less the header (section 9.3).
pub const MAX_PACKET: usize = 1330;
/// Longest table of an acknowledgement: at about 205 a camera disconnects (section 9.3).
pub const MAX_ACK_TABLE: usize = 200;
/// "No packet yet" in an acknowledgement.
const NOTHING: u32 = u32::MAX;

/// The words that scramble discovery (section 9.1).
const WORDS: [u32; 8] = [
    0x1f2d_3c4b,
    0x5a6c_7f8d,
    0x3817_2e4b,
    0x8271_635a,
    0x863f_1a2b,
    0xa5c6_f7d8,
    0x8371_e1b4,
    0x17f2_d3a5,
];

/// What has been received of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// Every packet up to here; None before the first.
    pub contiguous: Option<u32>,
    /// Bytes a second, or 0; nobody reads it.
    pub rate: u32,
    /// For the packets after that: whether each is here.
    pub table: Vec<bool>,
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Finding, opening, keeping and closing.
    Discovery {
        /// The transaction, also the scrambler's seed.
        tid: u32,
        /// What it says.
        message: Discovery,
    },
    /// A piece of the stream.
    Data {
        /// The receiver's number: the camera's `did`, or the client's `cid`.
        to: u32,
        /// Its place in the stream, from 0.
        packet: u32,
        /// The bytes.
        payload: Bytes,
    },
    /// What has been received.
    Ack {
        /// The receiver's number.
        to: u32,
        /// The state of the stream.
        ack: Ack,
    },
}

impl Datagram {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        let mut words = |words: &[u32]| {
            for word in words {
                out.extend_from_slice(&word.to_le_bytes());
            }
        };
        let len = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        match self {
            Self::Discovery { tid, message } => {
                let mut text = Element::new("P2P")
                    .containing(message.to_xml())
                    .to_fragment();
                scramble(*tid, &mut text);
                words(&[DISCOVERY, len(text.len()), 1, *tid, crc(&text)]);
                out.extend_from_slice(&text);
            }
            Self::Data {
                to,
                packet,
                payload,
            } => {
                words(&[DATA, *to, 0, *packet, len(payload.len())]);
                out.extend_from_slice(payload);
            }
            Self::Ack { to, ack } => {
                let table = ack.table.get(..MAX_ACK_TABLE).unwrap_or(&ack.table);
                let group = ack.contiguous.map_or(NOTHING, |_| 0);
                let contiguous = ack.contiguous.unwrap_or(NOTHING);
                words(&[ACK, *to, 0, group, contiguous, ack.rate, len(table.len())]);
                out.extend(table.iter().map(|&is_here| u8::from(is_here)));
            }
        }
        out.into()
    }

    /// Reads a datagram. None: it is of a kind that is passed over (section 9). Bytes after the end are too.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let len = bytes.len();
        let bad = |problem| Error::Datagram { len, problem };
        if len > MAX_DATAGRAM {
            return Err(bad("longer than any camera sends"));
        }
        let mut rest = bytes;
        if rest.remaining() < 20 {
            return Err(bad("shorter than a header"));
        }
        let magic = rest.get_u32_le();
        let words = [
            rest.get_u32_le(),
            rest.get_u32_le(),
            rest.get_u32_le(),
            rest.get_u32_le(),
        ];
        let piece = |bytes: &[u8], len: u32| {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            bytes
                .get(..len)
                .map(BytesMut::from)
                .ok_or(bad("shorter than its length says"))
        };
        match (magic, words) {
            (DISCOVERY, [len, _, tid, sum]) => {
                let mut text = piece(rest, len)?;
                if crc(&text) != sum {
                    return Err(bad("its checksum does not fit"));
                }
                scramble(tid, &mut text);
                let root = Element::parse(&text)?;
                let message = Discovery::from_xml(&root);
                Ok(message.map(|message| Self::Discovery { tid, message }))
            }
            (DATA, [to, _, packet, len]) => {
                let payload = piece(rest, len)?.freeze();
                Ok(Some(Self::Data {
                    to,
                    packet,
                    payload,
                }))
            }
            (ACK, [to, _, _, contiguous]) => {
                if rest.remaining() < 8 {
                    return Err(bad("shorter than a header"));
                }
                let rate = rest.get_u32_le();
                let len = rest.get_u32_le();
                let table = piece(rest, len)?;
                let contiguous = (contiguous != NOTHING).then_some(contiguous);
                let table = table.iter().map(|&byte| byte != 0).collect();
                let ack = Ack {
                    contiguous,
                    rate,
                    table,
                };
                Ok(Some(Self::Ack { to, ack }))
            }
            // Seen near relays, purpose unknown (section 9).
            (0x2a87_cf31, _) => Ok(None),
            _ => Err(bad("it begins like no known kind")),
        }
    }
}

/// Scrambles or unscrambles discovery, in place.
pub fn scramble(tid: u32, bytes: &mut [u8]) {
    let key = WORDS
        .iter()
        .flat_map(|word| word.wrapping_add(tid).to_le_bytes())
        .cycle();
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// The checksum of scrambled discovery: CRC-32, begun with 0 and not inverted.
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            let carry = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            (crc >> 1) ^ carry
        })
    })
}
