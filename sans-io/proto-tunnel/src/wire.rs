//! Checked reading and writing of fields. Lengths are one byte for short text, two for long, all big-endian.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{Error, QuicOffer};

/// Reads fields from one message; knows its name for errors.
pub(crate) struct Fields<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self {
            message,
            rest: body,
        }
    }

    pub(crate) fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], Error> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(Error::MessageTruncated {
                message: self.message,
                field,
            });
        };
        self.rest = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Error> {
        let Some((head, tail)) = self.rest.split_first_chunk::<N>() else {
            return Err(Error::MessageTruncated {
                message: self.message,
                field,
            });
        };
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Error> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Error> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Error> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// A position that may be absent.
    pub(crate) fn position(&mut self, field: &'static str) -> Result<Option<u64>, Error> {
        match self.u8(field)? {
            0 => Ok(None),
            1 => self.u64(field).map(Some),
            _ => Err(self.bad(field)),
        }
    }

    pub(crate) fn offer(&mut self, field: &'static str) -> Result<QuicOffer, Error> {
        match self.u8(field)? {
            0 => Ok(QuicOffer::None),
            1 => Ok(QuicOffer::SamePort),
            2 => self.u16(field).map(QuicOffer::Port),
            _ => Err(self.bad(field)),
        }
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Error> {
        self.array(field).map(u64::from_be_bytes)
    }

    pub(crate) fn text(&mut self, field: &'static str, max: usize) -> Result<String, Error> {
        let len = usize::from(self.u16(field)?);
        if len > max {
            return Err(self.bad(field));
        }
        let bytes = self.take(field, len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.bad(field))?;
        // Texts end in logs and on terminals: a peer's control characters have no business there.
        if text.chars().any(char::is_control) {
            return Err(self.bad(field));
        }
        Ok(text.to_owned())
    }

    pub(crate) fn address(&mut self, field: &'static str) -> Result<IpAddr, Error> {
        match self.u8(field)? {
            4 => Ok(Ipv4Addr::from(self.array::<4>(field)?).into()),
            6 => Ok(Ipv6Addr::from(self.array::<16>(field)?).into()),
            _ => Err(self.bad(field)),
        }
    }

    /// Everything that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn bad(&self, field: &'static str) -> Error {
        Error::MessageField {
            message: self.message,
            field,
        }
    }
}

/// Appends a text with its length.
pub(crate) fn put_text(
    out: &mut Vec<u8>,
    message: &'static str,
    field: &'static str,
    text: &str,
    max: usize,
) -> Result<(), Error> {
    let len = u16::try_from(text.len())
        .ok()
        .filter(|&len| usize::from(len) <= max);
    let Some(len) = len.filter(|_| !text.chars().any(char::is_control)) else {
        return Err(Error::MessageField { message, field });
    };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Appends an IP address.
pub(crate) fn put_address(out: &mut Vec<u8>, address: &IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}

/// Appends a position that may be absent.
pub(crate) fn put_position(out: &mut Vec<u8>, position: Option<u64>) {
    out.push(u8::from(position.is_some()));
    if let Some(position) = position {
        out.extend_from_slice(&position.to_be_bytes());
    }
}

pub(crate) fn put_offer(out: &mut Vec<u8>, offer: QuicOffer) {
    match offer {
        QuicOffer::None => out.push(0),
        QuicOffer::SamePort => out.push(1),
        QuicOffer::Port(port) => {
            out.push(2);
            out.extend_from_slice(&port.to_be_bytes());
        }
    }
}

/// CRC-32 as in Ethernet and zip, bit by bit: a join code is short, and a table would cost more flash than it saves time.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xEDB8_8320
            } else {
                crc >> 1
            };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
