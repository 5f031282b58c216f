//! A client's greeting, commands and questions about recordings in access-point mode.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;

use super::Device;
use crate::channel::Channel;
use crate::recordings::{Day, Index, Minute};
use crate::{
    Cmd, Frame, MEDIA_PAYLOAD, Message, Object, RecordingRequest, Side, Style, Value, flag,
};

impl Device {
    pub(super) fn handle_client(&mut self, message: Message, now: Instant) {
        match message {
            Message::Hello { target, .. } => {
                let status = 200;
                let answer = Message::HelloAnswer { target, status };
                self.outbox.message(Channel::Control, &answer);
            }
            Message::Direct { content, .. } => {
                let target = content.text("devTarget").unwrap_or_default().to_owned();
                if let Some(content) = self.obey(&content, now) {
                    let target = Some(target);
                    let answer = Message::Direct { target, content };
                    self.outbox.message(Channel::Control, &answer);
                }
            }
            Message::Recordings { request, .. } => self.handle_recordings(request),
            _ => {}
        }
    }

    fn handle_recordings(&mut self, request: RecordingRequest) {
        let answer = Object::default()
            .with("code", request.code() + 1)
            .with("status", 200);
        match request {
            RecordingRequest::Days => self.list_days(answer),
            RecordingRequest::Index(day) => {
                let minutes: Vec<Minute> = self.minutes().collect();
                let text = Index::new(day, &minutes).text();
                let size = i64::try_from(text.len()).unwrap_or_default();
                self.reply(answer.with("date", day.number()).with("fileSize", size));
                for (number, piece) in (1..).zip(Bytes::from(text).chunks(MEDIA_PAYLOAD)) {
                    let piece = Bytes::copy_from_slice(piece);
                    let frame = Frame::media(Cmd::Xml, flag::WHOLE, number, piece, Side::Camera);
                    self.outbox.frame(Channel::Control, &frame);
                }
            }
            RecordingRequest::Size(minute) => {
                let size = self.recording(minute).map(|data| data.len());
                let size = size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1);
                let name = format!("{minute}.avi");
                let answer = answer.with("fileName", name.as_str());
                self.reply(answer.with("fileSize", size));
            }
            RecordingRequest::Download(minute) => match self.recording(minute) {
                Some(data) => {
                    self.reply(answer);
                    self.upload(&data);
                }
                None => self.reply(answer.without("status").with("status", 500)),
            },
            RecordingRequest::Stop => {
                self.download.clear();
                self.reply(answer);
            }
            RecordingRequest::Delete(minute) => {
                self.config.recordings.retain(|(known, _)| *known != minute);
                self.reply(answer);
            }
        }
    }

    fn minutes(&self) -> impl Iterator<Item = Minute> {
        self.config.recordings.iter().map(|(minute, _)| *minute)
    }

    fn recording(&self, minute: Minute) -> Option<Bytes> {
        let mut recordings = self.config.recordings.iter();
        let (_, data) = recordings.find(|(known, _)| *known == minute)?;
        Some(data.clone())
    }

    fn list_days(&mut self, answer: Object) {
        let days: BTreeSet<Day> = self.minutes().map(|minute| minute.day).collect();
        let numbers: Vec<Value> = days.iter().map(|day| day.number().into()).collect();
        let count = i64::try_from(numbers.len()).unwrap_or_default();
        let answer = answer
            .with("dateNum", count)
            .with("devId", self.config.uid.as_str())
            .with("forwardId", "00000000")
            .with("dates", Value::Array(numbers));
        self.reply(answer);
    }

    fn reply(&mut self, object: Object) {
        let frame = Frame::control(Cmd::Json, object.write(Style::Spaced), Side::Camera);
        self.outbox.frame(Channel::Control, &frame);
    }

    /// The data, then the two heartbeats that tell the reference client of the end.
    fn upload(&mut self, data: &Bytes) {
        let mut put = |frame: &Frame| self.download.extend(frame.encode());
        for (number, piece) in (1..).zip(data.chunks(MEDIA_PAYLOAD)) {
            let piece = Bytes::copy_from_slice(piece);
            put(&Frame::media(
                Cmd::Avi,
                flag::WHOLE,
                number,
                piece,
                Side::Camera,
            ));
        }
        for _ in 0..2 {
            put(&Frame::control(Cmd::Heartbeat, Bytes::new(), Side::Camera));
        }
    }
}
