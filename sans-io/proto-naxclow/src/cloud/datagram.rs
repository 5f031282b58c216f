use std::net::SocketAddr;

use bytes::Bytes;

use crate::{Cmd, Frame, Message, Side, Uid};

/// What a datagram is, for the owner of the UDP socket: many cameras share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// It asks for its address: answer with [`address_answer`], but only addresses of registered cameras.
    AddressQuery,
    /// It belongs to the session of this camera, wherever it comes from.
    Of(Uid),
    /// It belongs to the session whose [`endpoint`](super::CloudSession::endpoint) it comes from.
    FromEndpoint,
    /// It is no frame: drop it.
    Unreadable,
}

impl Datagram {
    /// Looks at a datagram.
    pub fn of(bytes: &[u8]) -> Self {
        let Ok(frame) = Frame::decode_datagram(bytes) else {
            return Self::Unreadable;
        };
        if frame.cmd != Cmd::Json {
            return Self::FromEndpoint;
        }
        match Message::read(&frame.payload) {
            Ok(Message::AddressQuery) => Self::AddressQuery,
            Ok(Message::ProbeAnswer { uid, .. }) => Self::Of(uid),
            Ok(_) => Self::FromEndpoint,
            Err(_) => Self::Unreadable,
        }
    }
}

/// The answer to [`Datagram::AddressQuery`].
pub fn address_answer(from: SocketAddr) -> Bytes {
    let message = Message::AddressAnswer {
        ip: from.ip().to_canonical().to_string(),
        port: from.port(),
    };
    // An address and a port are far below the limit.
    message.frame(Side::Cloud).encode().unwrap_or_default()
}
