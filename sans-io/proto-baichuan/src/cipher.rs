//! Encryption modes, keys and login hashes, sections 3 and 4.

use std::fmt;

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use md5::{Digest, Md5};

use crate::Error;

/// What the two sides agree on at login (section 3.3). The order is the order of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encryption {
    /// Everything clear.
    None,
    /// XML under a fixed key, media clear.
    Xor,
    /// XML under AES, media clear.
    Aes,
    /// As the Argus 2 answers: XML under AES, media as its extension says.
    AesArgus,
    /// XML under AES, and the start of media messages too.
    FullAes,
}

impl Encryption {
    /// The low byte of the status that negotiates.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::None => 0x00,
            Self::Xor => 0x01,
            Self::Aes => 0x02,
            Self::AesArgus => 0x03,
            Self::FullAes => 0x12,
        }
    }

    /// The mode that a camera's reply names.
    pub fn from_code(code: u8) -> Result<Self, Error> {
        match code {
            0x00 => Ok(Self::None),
            0x01 => Ok(Self::Xor),
            0x02 => Ok(Self::Aes),
            0x03 => Ok(Self::AesArgus),
            0x12 => Ok(Self::FullAes),
            other => Err(Error::UnknownEncryption(other)),
        }
    }

    /// What a device that can do `self` answers to a request for `code` (section 4.2): never more than was asked,
    /// and mode 3 only to those who asked for exactly that.
    #[must_use]
    pub fn answer(self, code: u8) -> Self {
        let common = if self == Self::AesArgus {
            Self::Aes
        } else {
            self
        };
        match code {
            0x00 => Self::None,
            0x01 => common.min(Self::Xor),
            0x03 if self == Self::AesArgus => Self::AesArgus,
            0x02..=0x11 => common.min(Self::Aes),
            _ => common,
        }
    }

    /// Whether XML after the login is under AES.
    #[must_use]
    pub fn is_aes(self) -> bool {
        self >= Self::Aes
    }

    /// Whether an extension's `encryptLen` counts.
    pub(crate) fn encrypts_media(self) -> bool {
        self >= Self::AesArgus
    }
}

/// The XOR key of section 3.1.
const XOR_KEY: [u8; 8] = [0x1F, 0x2D, 0x3C, 0x4B, 0x5A, 0x69, 0x78, 0xFF];

/// The fixed cipher of section 3.1, both ways; `offset` is byte 12 of the header.
pub fn xor(offset: u8, bytes: &mut [u8]) {
    let key = XOR_KEY.iter().cycle().skip(usize::from(offset) % 8);
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key ^ offset;
    }
}

/// The initial vector, fresh for each encrypted part (section 3.2).
const IV: [u8; 16] = *b"0123456789abcdef";

/// A session's AES key. Its `Debug` prints nothing of it.
#[derive(Clone)]
pub struct AesKey(Aes128);

impl AesKey {
    /// The key that nonce and password make.
    #[must_use]
    pub fn new(nonce: &str, password: &str) -> Self {
        let hash = upper_md5(&[nonce.as_bytes(), b"-", password.as_bytes()]);
        Self::from_text(hash.as_bytes().first_chunk().unwrap_or(&[0; 16]))
    }

    /// A key given as the sixteen characters that it is made of.
    #[must_use]
    pub fn from_text(text: &[u8; 16]) -> Self {
        Self(Aes128::new(&Array(*text)))
    }

    /// Encrypts one part (CFB with 128-bit feedback).
    pub fn encrypt(&self, bytes: &mut [u8]) {
        let mut feedback = IV;
        for chunk in bytes.chunks_mut(16) {
            self.encrypt_block(&mut feedback);
            for (byte, key) in chunk.iter_mut().zip(&mut feedback) {
                *byte ^= *key;
                *key = *byte;
            }
        }
    }

    /// Decrypts one part.
    pub fn decrypt(&self, bytes: &mut [u8]) {
        let mut feedback = IV;
        for chunk in bytes.chunks_mut(16) {
            self.encrypt_block(&mut feedback);
            for (byte, key) in chunk.iter_mut().zip(&mut feedback) {
                let cipher = *byte;
                *byte ^= *key;
                *key = cipher;
            }
        }
    }

    fn encrypt_block(&self, block: &mut [u8; 16]) {
        let mut array = Array(*block);
        self.0.encrypt_block(&mut array);
        *block = array.0;
    }
}

impl fmt::Debug for AesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesKey(…)")
    }
}

/// What a modern login sends in place of user name and password (section 4.3): 31 hex digits.
#[must_use]
pub fn login_hash(text: &str, nonce: &str) -> String {
    let mut hash = upper_md5(&[text.as_bytes(), nonce.as_bytes()]);
    hash.truncate(31);
    hash
}

/// A field of the legacy login (section 4.1): 31 hex digits and a zero byte; an empty text is all zeros.
#[must_use]
pub fn legacy_hash(text: &str) -> [u8; 32] {
    let mut field = [0; 32];
    if !text.is_empty() {
        let hash = upper_md5(&[text.as_bytes()]);
        for (to, from) in field.iter_mut().zip(hash.bytes().take(31)) {
            *to = from;
        }
    }
    field
}

fn upper_md5(parts: &[&[u8]]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::unhex;

    #[test]
    fn xor_matches_the_vectors_at_every_offset() {
        let vectors = [
            (0, "234f532f235744d07d4258326463"),
            (1, "105f253f1147c2314e522e225673"),
            (12, "6a071b976a1f0c68340a108a2d2b"),
            (251, "8cc3fde77ddaeae8d2cef6fa3aee"),
        ];
        for (offset, hex) in vectors {
            let mut bytes = b"<body></body>\n".to_vec();
            xor(offset, &mut bytes);
            assert_eq!(bytes, unhex(hex), "offset {offset}");
        }
        let mut bytes = b"<?xml".to_vec();
        xor(250, &mut bytes);
        assert_eq!(bytes, unhex("fa8ed8feee"));
    }

    #[test]
    fn hashes_and_keys_match_the_vectors() {
        let nonce = "9E6D1FCB9E69846D";
        assert_eq!(
            login_hash("admin", nonce),
            "9F07915E819A076E2E14169830769D6"
        );
        for (password, hash, key) in [
            ("", "8EFECD610524A98390F118D2789BE3B", "A763AB622CEF5890"),
            (
                "123456",
                "75F8E580FB8E40537064BBB9729970F",
                "0D119EB629684BDF",
            ),
            (
                "Secret-1",
                "21FC32200C1F113B63CB496CDBC3A6C",
                "CB1D52D3FAB4E2B0",
            ),
        ] {
            assert_eq!(login_hash(password, nonce), hash);
            let made = upper_md5(&[nonce.as_bytes(), b"-", password.as_bytes()]);
            assert_eq!(&made[..16], key);
        }
        assert_eq!(legacy_hash("admin"), *b"21232F297A57A5A743894A0E4A801FC\0");
        assert_eq!(legacy_hash("123456"), *b"E10ADC3949BA59ABBE56E057F20F883\0");
        assert_eq!(legacy_hash(""), [0; 32]);
    }

    #[test]
    fn aes_matches_the_vectors_and_comes_back() {
        let key = AesKey::new("9E6D1FCB9E69846D", "123456");
        let mut zeros = vec![0; 16];
        key.encrypt(&mut zeros);
        assert_eq!(zeros, unhex("fa7f91c0f4e800fa4ea8733aa1e9ba66"));
        let text = b"<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n";
        let mut bytes = text.to_vec();
        key.encrypt(&mut bytes);
        assert_eq!(
            bytes,
            unhex(
                "c640e9ad98c8769f3cdb1a55cfd4985710bee2e828f6d0d6cd7b76bc8c7cc3fe19a62165915a813b"
            )
        );
        key.decrypt(&mut bytes);
        assert_eq!(bytes, text);
    }

    #[test]
    fn a_device_answers_as_the_table_says() {
        use Encryption::{Aes, AesArgus, FullAes, None, Xor};
        for (capability, code, answer) in [
            (FullAes, 0x00, None),
            (FullAes, 0x01, Xor),
            (FullAes, 0x02, Aes),
            (FullAes, 0x03, Aes),
            (FullAes, 0x12, FullAes),
            (Aes, 0x12, Aes),
            (Xor, 0x12, Xor),
            (Xor, 0x02, Xor),
            (AesArgus, 0x03, AesArgus),
            (AesArgus, 0x12, Aes),
            (AesArgus, 0x02, Aes),
            (None, 0x12, None),
        ] {
            assert_eq!(capability.answer(code), answer, "{capability:?} {code:#x}");
        }
        for mode in [None, Xor, Aes, AesArgus, FullAes] {
            assert_eq!(Encryption::from_code(mode.code()), Ok(mode));
        }
        assert!(Encryption::from_code(0x04).is_err());
    }
}
