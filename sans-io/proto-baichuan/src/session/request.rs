//! Requests, their numbers, and how long they wait, section 5.

use std::time::{Duration, Instant};

use super::{CloseReason, RequestId, Session, SessionEvent, State, StreamId};
use crate::command::Command;
use crate::header::{Class, Tag, id};
use crate::media::MediaPacket;
use crate::message::{Message, Payload, extension};
use crate::xml::Element;
use crate::{Error, MAX_TO_CAMERA};

/// Most requests that wait for answers at a time; a caller with more has lost count.
pub const MAX_PENDING: usize = 256;
/// Commands that some firmware carries out without an answer, and the silence that means success (section 5.1).
const SILENT_COMMANDS: [u32; 5] = [36, 59, 209, 213, 288];
const SILENCE: Duration = Duration::from_millis(500);
/// How long a ping waits for its answer, and how many unanswered ones in a row mean that the camera is gone (section 11.1).
const PING_WAIT: Duration = Duration::from_secs(5);
const MAX_MISSED_PINGS: u32 = 5;
/// A camera that hears nothing for a minute may close the connection, though its own media flows (section 11.2):
/// often enough that one ping may get lost.
const QUIET: Duration = Duration::from_secs(25);

#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Request,
    Ping,
    StreamStart,
    StreamStop,
    Snapshot,
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: RequestId,
    pub(super) deadline: Instant,
    pub(super) asked: Asked,
}

impl Session {
    /// Sends a typed request. [`SessionEvent::Reply`] brings the message that [`crate::Answer::read`] reads;
    /// [`SessionEvent::Silence`] means done, [`SessionEvent::TimedOut`] that no answer came.
    pub fn command(&mut self, command: &Command, now: Instant) -> Result<RequestId, Error> {
        let (extension, payload) = (command.to_extension(), command.to_payload());
        self.request(command.id(), command.channel(), extension, payload, now)
    }

    /// Sends any request of section 6. `extension` None: one with the channel alone where `channel` is given.
    pub fn request(
        &mut self,
        id: u32,
        channel: Option<u8>,
        extension: Option<Element>,
        payload: Payload,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel: channel.unwrap_or(0),
            ..Tag::default()
        });
        let extension = extension.or_else(|| channel.map(channel_extension));
        self.try_ask(id, tag, extension, payload, Asked::Request, now)
    }

    /// Sends one packet of talk (section 7.10); nothing answers it. The caller keeps the pace.
    pub fn talk(&mut self, channel: u8, packet: &MediaPacket) -> Result<(), Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel,
            ..Tag::default()
        });
        let channel = channel.to_string();
        self.send(&Message {
            id: id::TALK,
            tag,
            status: 0,
            class: Class::CLIENT,
            extension: Some(extension(&[("binaryData", "1"), ("channelId", &channel)])),
            payload: Payload::Binary(packet.encode()),
        })
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let (due, pending) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| now >= pending.deadline);
        self.pending = pending;
        let due: Vec<Pending> = due;
        for Pending { request, asked, .. } in due {
            match asked {
                Asked::Request if SILENT_COMMANDS.contains(&request.id) => {
                    self.events.push_back(SessionEvent::Silence(request));
                }
                Asked::Request => self.events.push_back(SessionEvent::TimedOut(request)),
                Asked::Snapshot => {
                    self.snapshot = None;
                    self.events.push_back(SessionEvent::TimedOut(request));
                }
                Asked::StreamStart => {
                    let stream = StreamId(request.number);
                    // The request may have arrived and only the answer be late: without a stop the camera would
                    // send media that nobody takes, on a link that is bad enough.
                    self.abandon_stream(stream, now);
                    self.events
                        .push_back(SessionEvent::StreamRefused { stream, status: 0 });
                }
                Asked::StreamStop => {}
                Asked::Ping => {
                    self.missed_pings += 1;
                    if self.missed_pings > MAX_MISSED_PINGS {
                        return self.end(CloseReason::Silent);
                    }
                }
            }
        }
    }

    pub(super) fn ping_at(&self) -> Option<Instant> {
        let is_asked = self
            .pending
            .iter()
            .any(|pending| pending.asked == Asked::Ping);
        let idle = self.config.keep_alive.filter(|_| !is_asked)?;
        // A ping that timed out is repeated at once, or the wait would count twice.
        Some(if self.missed_pings > 0 {
            self.last_received
        } else {
            (self.last_received + idle).min(self.last_asked + QUIET)
        })
    }

    /// The next counter: 0 is for pushes, and what runs keeps its number.
    pub(super) fn request_tag(&mut self, tag: Tag) -> Tag {
        loop {
            self.number = self.number.wrapping_add(1);
            let number = self.number;
            let is_stream = self.streams.iter().any(|stream| stream.id.0 == number);
            let is_asked = self
                .pending
                .iter()
                .any(|asked| asked.request.number == number);
            if number != 0 && !is_stream && !is_asked {
                return Tag { number, ..tag };
            }
        }
    }

    pub(super) fn check_ready(&self) -> Result<(), Error> {
        if self.state != State::Ready {
            return Err(Error::Misuse("a request before the login or after the end"));
        }
        if self.pending.len() >= MAX_PENDING || self.streams.len() >= MAX_PENDING {
            return Err(Error::Misuse("too many requests wait for answers"));
        }
        Ok(())
    }

    /// For requests whose size is fixed.
    pub(super) fn ask(
        &mut self,
        id: u32,
        tag: Tag,
        extension: Option<Element>,
        payload: Payload,
        asked: Asked,
        now: Instant,
    ) {
        let _ = self.try_ask(id, tag, extension, payload, asked, now);
    }

    pub(super) fn try_ask(
        &mut self,
        id: u32,
        tag: Tag,
        extension: Option<Element>,
        payload: Payload,
        asked: Asked,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.codec.end_binary(id, tag);
        self.send(&client_message(id, tag, extension, payload))?;
        let wait = match asked {
            Asked::Ping => PING_WAIT,
            _ if SILENT_COMMANDS.contains(&id) => SILENCE,
            _ => self.config.reply_timeout,
        };
        self.last_asked = now;
        let number = tag.number;
        let request = RequestId { id, number };
        self.pending.push(Pending {
            request,
            deadline: now + wait,
            asked,
        });
        Ok(request)
    }

    pub(super) fn send(&mut self, message: &Message) -> Result<(), Error> {
        let bytes = self.codec.encode(message)?;
        debug_assert!(bytes.len() <= MAX_TO_CAMERA, "the codec holds the limit");
        self.transmits.push_back(bytes);
        Ok(())
    }
}

pub(super) fn client_message(
    id: u32,
    tag: Tag,
    extension: Option<Element>,
    payload: Payload,
) -> Message {
    Message {
        id,
        tag,
        status: 0,
        class: Class::CLIENT,
        extension,
        payload,
    }
}

pub(super) fn channel_extension(channel: u8) -> Element {
    Element::versioned("Extension").with("channelId", channel)
}
