use crate::Error;

/// Bytes before a stream frame's payload.
pub const STREAM_HEADER: usize = 8;

/// Most bytes that one credit can grant: its number has 24 bits.
pub(super) const MAX_VALUE: usize = 0xFF_FFFF;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    End,
    Reset,
    Credit,
    Open,
}

/// A stream frame's first bytes: one of kind, four of the stream's number, three of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) id: u32,
    /// Of data the length, of a credit the bytes, otherwise 0.
    pub(super) value: usize,
}

impl Head {
    pub(super) fn encode(self) -> [u8; STREAM_HEADER] {
        let kind = match self.kind {
            Kind::Data => 1,
            Kind::End => 2,
            Kind::Reset => 3,
            Kind::Credit => 4,
            Kind::Open => 5,
        };
        let [a, b, c, d] = self.id.to_be_bytes();
        let value = u32::try_from(self.value.min(MAX_VALUE)).unwrap_or(0);
        let [_, e, f, g] = value.to_be_bytes();
        [kind, a, b, c, d, e, f, g]
    }

    /// # Errors
    /// [`Error::Frame`] for a kind or a length that there is not.
    pub(super) fn decode(bytes: [u8; STREAM_HEADER]) -> Result<Self, Error> {
        let [first, a, b, c, d, e, f, g] = bytes;
        let value = u32::from_be_bytes([0, e, f, g]);
        let wrong = |kind| Error::Frame {
            kind,
            value: value.into(),
        };
        let kind = match first {
            1 => Kind::Data,
            2 => Kind::End,
            3 => Kind::Reset,
            4 => Kind::Credit,
            5 => Kind::Open,
            _ => return Err(wrong("unknown to streams")),
        };
        let value = usize::try_from(value).unwrap_or(usize::MAX);
        let is_sound = match kind {
            Kind::Data => (1..=super::MAX_STREAM_PAYLOAD).contains(&value),
            Kind::Credit => value > 0,
            Kind::End | Kind::Reset | Kind::Open => value == 0,
        };
        if !is_sound {
            return Err(wrong("a stream's"));
        }
        let id = u32::from_be_bytes([a, b, c, d]);
        Ok(Self { kind, id, value })
    }
}
