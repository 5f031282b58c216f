use proto_baichuan::{Command, Element, Payload};

/// One request of a session.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The message's number.
    pub(super) id: u32,
    /// The channel that it concerns, if one.
    pub(super) channel: Option<u8>,
    /// The extension, where it is more than the channel.
    pub(super) extension: Option<Element>,
    /// What it says.
    pub(super) payload: Payload,
}

impl From<&Command> for Request {
    fn from(command: &Command) -> Self {
        Self {
            id: command.id(),
            channel: command.channel(),
            extension: command.to_extension(),
            payload: command.to_payload(),
        }
    }
}
