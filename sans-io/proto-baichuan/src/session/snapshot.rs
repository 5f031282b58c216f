//! Pictures on request, section 7.6.

use std::time::Instant;

use super::request::{Asked, Pending, channel_extension};
use super::{RequestId, Session, SessionEvent};
use crate::Error;
use crate::header::{Tag, id};
use crate::message::{Message, Payload};
use crate::payloads::StreamKind;
use crate::xml::Element;

/// Largest snapshot accepted; a 4K camera's picture stays below 4 MiB.
pub const MAX_SNAPSHOT: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Snapshot {
    request: RequestId,
    size: usize,
    jpeg: Vec<u8>,
}

impl Session {
    /// Asks for a picture, one at a time; [`SessionEvent::Snapshot`], a refusing reply or a time-out follows.
    pub fn snapshot(
        &mut self,
        channel: u8,
        kind: StreamKind,
        now: Instant,
    ) -> Result<RequestId, Error> {
        self.check_ready()?;
        if self.snapshot.is_some() {
            return Err(Error::Misuse("a second snapshot beside the first"));
        }
        let command = Element::versioned("Snap")
            .with("channelId", channel)
            .with("logicChannel", channel)
            .with("time", 0)
            .with("fullFrame", 0)
            .with(
                "streamType",
                if kind == StreamKind::Main {
                    "main"
                } else {
                    "sub"
                },
            );
        let tag = self.request_tag(Tag {
            channel,
            ..Tag::default()
        });
        let extension = Some(channel_extension(channel));
        let payload = Payload::of(command);
        let request = self.try_ask(id::SNAP, tag, extension, payload, Asked::Snapshot, now)?;
        self.snapshot = Some(Snapshot {
            request,
            size: usize::MAX,
            jpeg: Vec::new(),
        });
        Ok(request)
    }

    /// Chunks are known by the message number alone: some cameras count anew for them (section 7.6).
    pub(super) fn handle_snapshot(&mut self, message: Message, now: Instant) {
        let Some(mut snapshot) = self.snapshot.take() else {
            return;
        };
        let request = snapshot.request;
        self.pending.retain(|pending| pending.request != request);
        let mut is_last = message.status == 201;
        match &message.payload {
            Payload::Binary(bytes) => snapshot.jpeg.extend_from_slice(bytes),
            Payload::Xml(body) => {
                let size = body
                    .child("Snap")
                    .and_then(|snap| snap.number("pictureSize"));
                snapshot.size = size.unwrap_or(usize::MAX);
            }
            Payload::None => is_last |= message.is_success(),
        }
        if !message.is_success() {
            let event = SessionEvent::Reply { request, message };
            return self.events.push_back(event);
        }
        if snapshot.jpeg.len() > MAX_SNAPSHOT {
            self.events
                .push_back(SessionEvent::Dropped(Error::TooLarge {
                    what: "snapshot",
                    len: snapshot.jpeg.len(),
                    max: MAX_SNAPSHOT,
                }));
            return self.events.push_back(SessionEvent::TimedOut(request));
        }
        if snapshot.jpeg.is_empty() || !(is_last || snapshot.jpeg.len() >= snapshot.size) {
            self.pending.push(Pending {
                request,
                deadline: now + self.config.reply_timeout,
                asked: Asked::Snapshot,
            });
            self.snapshot = Some(snapshot);
            return;
        }
        let jpeg = snapshot.jpeg.into();
        self.events
            .push_back(SessionEvent::Snapshot { request, jpeg });
    }
}
