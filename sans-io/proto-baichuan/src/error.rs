/// Why bytes from a peer were refused, or a command to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no Baichuan message, and no message follows near by.
    #[error("no Baichuan message within {skipped} bytes; first bytes {bytes}")]
    NotBaichuan {
        /// How many bytes were looked at.
        skipped: usize,
        /// The first of them, in hex.
        bytes: String,
    },
    /// A header whose parts contradict each other.
    #[error("message {id} has an unusable header: {problem}")]
    Header {
        /// The message's number.
        id: u32,
        /// What is wrong.
        problem: &'static str,
    },
    /// More than a cap allows.
    #[error("{what} of {len} is too large, at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// Text that is no XML of the kind devices write.
    #[error("malformed XML at byte {offset}: {problem}")]
    Xml {
        /// Where in the document.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A payload that lacks what its kind needs.
    #[error("a {document} came without a usable \"{field}\"")]
    Field {
        /// Which document.
        document: &'static str,
        /// Which field.
        field: &'static str,
    },
    /// A device does not do what it was asked.
    #[error("the camera answered {command} with status {status}: {}", status_text(*.status))]
    Refused {
        /// What it was asked.
        command: &'static str,
        /// What it answered.
        status: u16,
    },
    /// An encryption mode that nobody described.
    #[error("the camera chose the unknown encryption mode {0:#04x}")]
    UnknownEncryption(u8),
    /// A datagram that is not well formed.
    #[error("malformed datagram of {len} bytes: {problem}")]
    Datagram {
        /// Its length.
        len: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// Packet numbers too far apart to be of one conversation.
    #[error("packet {found} came where {expected} was expected; the session is broken")]
    PacketGap {
        /// The number that came.
        found: u32,
        /// The number that was due.
        expected: u32,
    },
    /// Nothing acknowledges what is sent.
    #[error(
        "packet {packet} was sent {tries} times and never acknowledged; the other side is gone"
    )]
    Unacknowledged {
        /// Its number.
        packet: u32,
        /// How often it was sent.
        tries: u32,
    },
    /// A command that the session's state does not allow.
    #[error("{0}")]
    Misuse(&'static str),
}

/// What a status means to a person (section 2.1).
fn status_text(status: u16) -> &'static str {
    match status {
        400 => "this model does not do it, or it is not ready yet",
        401 => "this user may not do it",
        406 => "it is bound to an account and refuses local commands",
        422 => "somebody else talks through it",
        _ => "no meaning is known",
    }
}
