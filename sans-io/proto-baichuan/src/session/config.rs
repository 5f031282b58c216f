//! What a session is told before it begins.

use std::fmt;
use std::time::Duration;

use crate::cipher::Encryption;

/// How a conversation opens (section 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hello {
    /// A header alone, the only form that new firmware answers.
    #[default]
    HeaderOnly,
    /// With the hashes of old, for firmware that does not answer the other form: on a new connection, please.
    Legacy,
}

/// What a session needs to know.
#[derive(Clone)]
pub struct SessionConfig {
    /// User name; cameras tell upper from lower case.
    pub user: String,
    /// Password.
    pub password: String,
    /// The most that is offered.
    pub encryption: Encryption,
    /// How to open.
    pub hello: Hello,
    /// How long to wait for the nonce.
    pub nonce_timeout: Duration,
    /// How long to wait for any other answer.
    pub reply_timeout: Duration,
    /// Ping when nothing came for so long; None for cameras that shall sleep.
    pub keep_alive: Option<Duration>,
}

impl SessionConfig {
    /// The usual times, and everything offered.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            encryption: Encryption::FullAes,
            hello: Hello::HeaderOnly,
            nonce_timeout: Duration::from_secs(3),
            reply_timeout: Duration::from_secs(10),
            keep_alive: Some(Duration::from_secs(5)),
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfig")
            .field("user", &self.user)
            .field("encryption", &self.encryption)
            .field("hello", &self.hello)
            .finish_non_exhaustive()
    }
}
