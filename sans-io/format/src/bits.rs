use std::borrow::Cow;

use crate::{Error, MAX_PARAMETER_SET};

/// Reads bit fields, most significant bit first. Every read past the end is an error.
#[derive(Debug)]
pub(crate) struct Bits<'a> {
    what: &'static str,
    bytes: Cow<'a, [u8]>,
    position: usize,
}

impl<'a> Bits<'a> {
    /// Reads `bytes` as they are.
    pub(crate) fn plain(what: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            what,
            bytes: bytes.into(),
            position: 0,
        }
    }

    /// Reads the payload of a NAL unit: a 3 that follows two zeros only keeps start codes from
    /// appearing and is left out (H.264 section 7.4.1, H.265 section 7.4.2).
    pub(crate) fn nal(what: &'static str, nal: &[u8]) -> Result<Self, Error> {
        if nal.len() > MAX_PARAMETER_SET {
            return Err(Error::Invalid {
                what,
                field: "length",
                found: nal.len() as u64,
                expected: "at most 4096 bytes",
            });
        }
        let mut bytes = Vec::with_capacity(nal.len());
        let mut zeros = 0;
        for &byte in nal {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Ok(Self {
            what,
            bytes: bytes.into(),
            position: 0,
        })
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Error> {
        let byte = self
            .bytes
            .get(self.position / 8)
            .ok_or_else(|| self.truncated())?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Ok(bit == 1)
    }

    /// An unsigned field of up to 64 bits.
    pub(crate) fn u64(&mut self, bits: u32) -> Result<u64, Error> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | u64::from(self.flag()?);
        }
        Ok(value)
    }

    /// An unsigned field of up to 32 bits.
    pub(crate) fn u32(&mut self, bits: u32) -> Result<u32, Error> {
        let value = self.u64(bits)?;
        Ok(u32::try_from(value).expect("callers ask for 32 bits at most"))
    }

    /// An unsigned field of up to 8 bits.
    pub(crate) fn u8(&mut self, bits: u32) -> Result<u8, Error> {
        let value = self.u64(bits)?;
        Ok(u8::try_from(value).expect("callers ask for 8 bits at most"))
    }

    pub(crate) fn skip(&mut self, bits: usize) -> Result<(), Error> {
        if self.bytes.len() * 8 - self.position < bits {
            return Err(self.truncated());
        }
        self.position += bits;
        Ok(())
    }

    /// `ue(v)` (H.264 section 9.1).
    pub(crate) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return Err(self.invalid("Exp-Golomb code", 32, "at most 31 leading zeros"));
            }
        }
        let rest = self.u64(zeros)?;
        let value = (1u64 << zeros) - 1 + rest;
        Ok(u32::try_from(value).expect("31 leading zeros end below 2^32"))
    }

    /// `se(v)` (H.264 section 9.1.1).
    pub(crate) fn se(&mut self) -> Result<i64, Error> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 {
            code / 2 + 1
        } else {
            -(code / 2)
        })
    }

    /// `ue(v)` that may be `max` at most.
    pub(crate) fn ue_max(
        &mut self,
        field: &'static str,
        max: u32,
        expected: &'static str,
    ) -> Result<u32, Error> {
        let value = self.ue()?;
        if value > max {
            return Err(self.invalid(field, value.into(), expected));
        }
        Ok(value)
    }

    pub(crate) fn invalid(&self, field: &'static str, found: u64, expected: &'static str) -> Error {
        Error::Invalid {
            what: self.what,
            field,
            found,
            expected,
        }
    }

    fn truncated(&self) -> Error {
        Error::Truncated {
            what: self.what,
            len: self.bytes.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_read_as_the_table_of_the_standard() {
        let mut bits = Bits::plain("test", &[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<u32> = (0..5).map(|_| bits.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
        let mut bits = Bits::plain("test", &[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<i64> = (0..5).map(|_| bits.se().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2]);
    }

    #[test]
    fn longest_exp_golomb_code_is_read_and_a_longer_one_refused() {
        let mut bits = Bits::plain("test", &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(bits.ue().unwrap(), u32::MAX - 1);
        assert!(Bits::plain("test", &[0; 16]).ue().is_err());
    }

    #[test]
    fn emulation_prevention_bytes_are_left_out() {
        let mut bits = Bits::nal("test", &[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]).unwrap();
        assert_eq!(bits.u64(56).unwrap(), 0x00_00_01_00_00_00_00);
        assert!(bits.flag().is_err());
    }
}
