//! Live streams, section 7.2.

use std::time::{Duration, Instant};

use super::request::Asked;
use super::{RequestId, Session, SessionEvent, StreamId};
use crate::Error;
use crate::command::Command;
use crate::header::{Tag, id};
use crate::media::MediaParser;
use crate::message::{Message, Payload};
use crate::payloads::{Preview, StreamKind};
use crate::xml::Element;

/// Times that a refused stream start is tried again, and after how long (section 7.2).
const START_RETRIES: u32 = 5;
const START_RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    channel: u8,
    kind: StreamKind,
    media: MediaParser,
    retries: u32,
    pub(super) retry_at: Option<Instant>,
}

impl Session {
    /// Starts a stream; [`SessionEvent::StreamStarted`] or [`SessionEvent::StreamRefused`] follows.
    pub fn start_stream(
        &mut self,
        channel: u8,
        kind: StreamKind,
        now: Instant,
    ) -> Result<StreamId, Error> {
        self.check_ready()?;
        let tag = self.request_tag(Tag {
            channel,
            stream: kind.code(),
            number: 0,
        });
        let stream = StreamId(tag.number);
        self.streams.push(Stream {
            id: stream,
            channel,
            kind,
            media: MediaParser::default(),
            retries: 0,
            retry_at: None,
        });
        self.ask_preview(stream, now);
        Ok(stream)
    }

    /// Stops a stream; media that still comes is dropped.
    pub fn stop_stream(&mut self, stream: StreamId, now: Instant) -> Result<(), Error> {
        self.check_ready()?;
        self.abandon_stream(stream, now);
        Ok(())
    }

    /// Forgets a stream and tells the camera so.
    pub(super) fn abandon_stream(&mut self, stream: StreamId, now: Instant) {
        let Some(at) = self.streams.iter().position(|known| known.id == stream) else {
            return;
        };
        let stopped = self.streams.remove(at);
        let tag = stream_tag(&stopped);
        self.pending.retain(|pending| {
            !(pending.asked == Asked::StreamStart && pending.request.number == tag.number)
        });
        let preview = Preview {
            channel: stopped.channel,
            handle: stopped.kind.handle(),
            kind: None,
        };
        let payload = Payload::of(preview.to_xml());
        self.ask(id::PREVIEW_STOP, tag, None, payload, Asked::StreamStop, now);
    }

    /// Asks for a keyframe now; models that cannot do it answer 400, which is no harm.
    pub fn request_keyframe(&mut self, stream: StreamId, now: Instant) -> Result<RequestId, Error> {
        let Some(known) = self.streams.iter().find(|known| known.id == stream) else {
            return Err(Error::Misuse("a keyframe of a stream that does not run"));
        };
        let (channel, kind) = (known.channel, known.kind);
        let command = Element::versioned("RequestIframe")
            .with("channelId", channel)
            .with("streamType", kind.name());
        let payload = Payload::of(command);
        self.request(id::REQUEST_IFRAME, Some(channel), None, payload, now)
    }

    pub(super) fn continue_streams(&mut self, now: Instant) {
        let running: Vec<_> = self
            .streams
            .iter()
            .map(|it| (it.channel, it.kind))
            .collect();
        for (channel, kind) in running {
            // Only a full list of requests can refuse it, and then the stream ends as the camera said.
            let _ = self.command(&Command::ContinuePreview { channel, kind }, now);
        }
    }

    pub(super) fn handle_start(&mut self, stream: StreamId, message: Message, now: Instant) {
        let known = self.streams.iter_mut().find(|known| known.id == stream);
        let Some(known) = known else {
            return;
        };
        if message.is_success() {
            self.events.push_back(SessionEvent::StreamStarted(stream));
            return self.handle_media(message);
        }
        if message.status == 400 && known.retries < START_RETRIES {
            known.retries += 1;
            known.retry_at = Some(now + START_RETRY_AFTER);
            return;
        }
        self.streams.retain(|known| known.id != stream);
        self.events.push_back(SessionEvent::StreamRefused {
            stream,
            status: message.status,
        });
    }

    pub(super) fn handle_media(&mut self, message: Message) {
        let stream = StreamId(message.tag.number);
        let known = self.streams.iter_mut().find(|known| known.id == stream);
        let (Some(known), Payload::Binary(bytes)) = (known, message.payload) else {
            return;
        };
        known.media.push(&bytes);
        while let Some(packet) = known.media.poll() {
            self.events
                .push_back(SessionEvent::Media { stream, packet });
        }
    }

    pub(super) fn retry_streams(&mut self, now: Instant) {
        let due = |stream: &&mut Stream| stream.retry_at.is_some_and(|at| now >= at);
        let mut again = Vec::new();
        for stream in self.streams.iter_mut().filter(due) {
            stream.retry_at = None;
            again.push(stream.id);
        }
        for stream in again {
            self.ask_preview(stream, now);
        }
    }

    pub(super) fn ask_preview(&mut self, stream: StreamId, now: Instant) {
        let Some(known) = self.streams.iter().find(|known| known.id == stream) else {
            return;
        };
        let tag = stream_tag(known);
        let preview = Preview {
            channel: known.channel,
            handle: known.kind.handle(),
            kind: Some(known.kind),
        };
        self.codec.end_binary(id::PREVIEW, tag);
        let payload = Payload::of(preview.to_xml());
        self.ask(id::PREVIEW, tag, None, payload, Asked::StreamStart, now);
    }
}

fn stream_tag(stream: &Stream) -> Tag {
    Tag {
        channel: stream.channel,
        stream: stream.kind.code(),
        number: stream.id.0,
    }
}
