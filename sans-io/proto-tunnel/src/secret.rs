use std::fmt;

/// Length of secrets and tokens: 256 bits, which nobody guesses.
pub const SECRET_LEN: usize = 32;

/// A one-time join secret or an agent's lasting token. Its `Debug` prints nothing of it.
///
/// `==` here is for tests and state files; a gateway compares hashes in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_LEN]);

impl Secret {
    /// Wraps random bytes.
    #[must_use]
    pub fn new(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, for hashing and for the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
