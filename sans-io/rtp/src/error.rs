use media::Codec;

/// Why a packet or an access unit was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A packet from a peer that does not follow its format.
    #[error("malformed {what} at byte {offset}: {problem}")]
    Malformed {
        /// "RTP packet", "RTCP packet", "FU-A" and so on.
        what: &'static str,
        /// Where in the packet.
        offset: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A picture that RFC 2435 has no way to carry.
    #[error("JPEG picture cannot be sent over RTP: {0}")]
    JpegUnsupported(&'static str),
    /// An access unit or a fragment chain beyond what the format or a cap allows.
    #[error("{codec} access unit of {len} bytes is too large, at most {max} fit")]
    TooLarge {
        /// Codec of the track.
        codec: Codec,
        /// Bytes that came.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, offset: usize, problem: &'static str) -> Self {
        Self::Malformed {
            what,
            offset,
            problem,
        }
    }
}
