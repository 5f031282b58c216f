use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::{Frame, Message, Side};

/// Most frames that wait to be sent. An owner that drains after each input meets it only when a peer packs
/// thousands of heartbeats into one piece; it then gets fewer answers.
const MAX_QUEUED: usize = 1024;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The TCP connection.
    Control,
    /// A datagram from or to this address, on the UDP socket.
    Datagram(SocketAddr),
}

/// Bytes to be sent. Each is one frame: write it at once, since the reference server reads one message at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub channel: Channel,
    /// One frame.
    pub bytes: Bytes,
}

/// Frames on their way out.
#[derive(Debug)]
pub(crate) struct Outbox {
    side: Side,
    queue: VecDeque<Transmit>,
}

impl Outbox {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn message(&mut self, channel: Channel, message: &Message) {
        self.frame(channel, &message.frame(self.side));
    }

    pub(crate) fn empty(&mut self, channel: Channel, cmd: crate::Cmd) {
        self.frame(channel, &Frame::control(cmd, Bytes::new(), self.side));
    }

    pub(crate) fn frame(&mut self, channel: Channel, frame: &Frame) {
        // Too long is none of ours: texts from peers are capped far below, pictures are cut.
        if let Ok(bytes) = frame.encode()
            && self.queue.len() < MAX_QUEUED
        {
            self.queue.push_back(Transmit { channel, bytes });
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Transmit> {
        self.queue.pop_front()
    }

    pub(crate) fn clear(&mut self) {
        self.queue.clear();
    }
}
