//! A client of a camera in access-point mode: the camera is the server, everything runs over one TCP connection
//! (facts, sections 9 and 10).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::audio::AudioCodec;
use crate::channel::{Channel, Outbox};
use crate::recordings::{Day, Index, MAX_DAYS, MAX_INDEX, MAX_RECORDING, Minute};
use crate::{
    BaseInfo, Cmd, Command, Error, Frame, FrameDecoder, Item, Media, Message, Object, Receiver,
    RecordingRequest, Side, Value, Wifi,
};

/// How long the greeting and answers that must come are waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long the answer to a set command is waited for; it may never come (facts, section 8.1).
const SET_WITHIN: Duration = Duration::from_secs(2);

/// How long a download may pause; the reference client's limit.
const DATA_WITHIN: Duration = Duration::from_secs(30);

/// Heartbeats in a row, without data between, that end a download (facts, section 10.1).
const LAST_HEARTBEATS: u32 = 2;

/// Most requests that wait for their turn.
pub const MAX_REQUESTS: usize = 32;

/// What the client says of itself.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Names the client; cameras echo it.
    pub target: String,
    /// Checked by no camera.
    pub token: String,
    /// Seconds since 1970 for the camera's clock. Cameras know no time zone: add the local offset to have
    /// files named in local time.
    pub unix_time: i64,
}

impl ClientConfig {
    /// The reference client's words.
    pub fn new(unix_time: i64) -> Self {
        Self {
            target: "deadbeef".to_owned(),
            token: "This is TEST token".to_owned(),
            unix_time,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The camera greeted back.
    Ready,
    /// The camera described itself.
    BaseInfo(BaseInfo),
    /// A command was answered; `None` for silence.
    Answer {
        /// The command's code.
        code: i64,
        /// The answer.
        content: Option<Object>,
    },
    /// The days that have recordings.
    Days(Vec<Day>),
    /// The recordings of a day.
    Index(Index),
    /// A download begins; its size when the camera tells it.
    Recording(Minute, Option<u64>),
    /// The next piece of the download.
    Piece(Bytes),
    /// The download is over.
    Downloaded {
        /// Bytes that came.
        received: u64,
        /// Whether these are all, as far as the camera told.
        complete: bool,
    },
    /// A live picture.
    Picture(Bytes),
    /// A block of live sound.
    Audio(AudioCodec, Bytes),
    /// A request was not answered, or with what this code means.
    Failed {
        /// The request's code.
        code: i64,
        /// What the camera said; `None` when it said nothing.
        status: Option<i64>,
    },
    /// The connection is useless: close it.
    Closed,
}

#[derive(Clone, Debug)]
enum Request {
    Greet,
    Hello,
    Command(Command),
    Recordings(RecordingRequest),
    Download(Minute),
}

#[derive(Debug, Default)]
struct Progress {
    /// Bytes announced.
    size: Option<u64>,
    received: u64,
    index: Vec<u8>,
    heartbeats: u32,
    /// The camera has said that data follows.
    begun: bool,
}

/// One connection to a camera.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    decoder: FrameDecoder,
    requests: VecDeque<Request>,
    /// The request that was sent, and until when it waits.
    current: Option<(Request, Instant)>,
    progress: Progress,
    receiver: Option<Receiver>,
    closed: bool,
    outbox: Outbox,
    events: VecDeque<ClientEvent>,
}

impl Client {
    /// A connection that was just made.
    pub fn new(config: ClientConfig, now: Instant) -> Self {
        let mut client = Self {
            config,
            decoder: FrameDecoder::default(),
            requests: [Request::Greet, Request::Hello].into(),
            current: None,
            progress: Progress::default(),
            receiver: None,
            closed: false,
            outbox: Outbox::new(Side::Cloud),
            events: VecDeque::new(),
        };
        client.next(now);
        client
    }

    fn push(
        &mut self,
        requests: impl IntoIterator<Item = Request>,
        now: Instant,
    ) -> Result<(), Error> {
        if self.closed || self.requests.len() >= MAX_REQUESTS {
            return Err(Error::State(
                "the connection is closed, or too many requests wait",
            ));
        }
        self.requests.extend(requests);
        self.next(now);
        Ok(())
    }

    /// Sends a command when its turn comes.
    pub fn command(&mut self, command: Command, now: Instant) -> Result<(), Error> {
        self.push([Request::Command(command)], now)
    }

    /// Asks for base information, and sets the camera's clock.
    pub fn ask_base_info(&mut self, now: Instant) -> Result<(), Error> {
        let unix_time = self.config.unix_time;
        self.command(Command::BaseInfo { unix_time }, now)
    }

    /// Gives the camera a network and reboots it into station mode.
    pub fn set_wifi(&mut self, wifi: Wifi, now: Instant) -> Result<(), Error> {
        let requests = [Command::SetWifi(wifi), Command::Reboot].map(Request::Command);
        self.push(requests, now)
    }

    /// Starts, changes or stops live media.
    pub fn live(&mut self, media: Media, now: Instant) -> Result<(), Error> {
        self.command(Command::Media(media), now)
    }

    /// Asks for the days that have recordings.
    pub fn list_days(&mut self, now: Instant) -> Result<(), Error> {
        self.push([Request::Recordings(RecordingRequest::Days)], now)
    }

    /// Asks for the recordings of a day.
    pub fn list(&mut self, day: Day, now: Instant) -> Result<(), Error> {
        self.push([Request::Recordings(RecordingRequest::Index(day))], now)
    }

    /// Downloads a recording: asks for its size, then for the data.
    pub fn download(&mut self, minute: Minute, now: Instant) -> Result<(), Error> {
        let size = Request::Recordings(RecordingRequest::Size(minute));
        self.push([size, Request::Download(minute)], now)
    }

    /// Ends the connection: drain, then close it. Without the farewell the camera hangs until it is rebooted
    /// (facts, section 9).
    pub fn close(&mut self) {
        if !self.closed {
            self.send_command(&Command::Media(Media::default()));
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.closed = true;
        self.current = None;
        self.requests.clear();
        self.receiver = None;
        self.events.push_back(ClientEvent::Closed);
    }

    /// Takes bytes from the camera, in any pieces. An error ends the connection.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Error> {
        self.decoder.feed(bytes);
        while !self.closed {
            match self.decoder.poll() {
                Ok(Some(frame)) => self.handle_frame(&frame, now),
                Ok(None) => break,
                Err(error) => {
                    self.finish();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn handle_frame(&mut self, frame: &Frame, now: Instant) {
        match frame.cmd {
            Cmd::Heartbeat => {
                self.outbox.empty(Channel::Control, Cmd::Heartbeat);
                self.handle_heartbeat(now);
            }
            Cmd::LiveMotion | Cmd::DirectMotion => self.greeted(now),
            Cmd::Json => {
                if let Ok(message) = Message::read(&frame.payload) {
                    self.handle_message(message, now);
                }
            }
            Cmd::Xml => self.handle_index(&frame.payload, now),
            Cmd::Avi => self.handle_data(frame, now),
            _ => self.handle_media(frame, now),
        }
    }

    fn greeted(&mut self, now: Instant) {
        if matches!(self.current, Some((Request::Greet, _))) {
            self.done(now);
        }
    }

    fn handle_message(&mut self, message: Message, now: Instant) {
        // Whatever it says, it is an answer to the greeting (facts, section 9).
        self.greeted(now);
        match message {
            Message::HelloAnswer { status, .. }
            | Message::Hello {
                unix_time: status, ..
            } => {
                if matches!(self.current, Some((Request::Hello, _))) {
                    let _ = status;
                    self.events.push_back(ClientEvent::Ready);
                    self.done(now);
                }
            }
            Message::Direct { content, .. } | Message::Forward { content, .. } => {
                self.handle_answer(content, now);
            }
            Message::Other(object) => self.handle_recordings(&object, now),
            _ => {}
        }
    }

    fn handle_answer(&mut self, content: Object, now: Instant) {
        let code = content.integer("code").unwrap_or(-1);
        if code == 4 {
            let info = BaseInfo::read(&content);
            self.events.push_back(ClientEvent::BaseInfo(info));
        }
        let Some((Request::Command(command), _)) = &self.current else {
            return;
        };
        if command.code() == code {
            let content = Some(content);
            self.events.push_back(ClientEvent::Answer { code, content });
            self.done(now);
        }
    }

    /// Codes 401 to 413.
    fn handle_recordings(&mut self, object: &Object, now: Instant) {
        let code = object.integer("code").unwrap_or(-1);
        if code == 411 {
            if let Some((Request::Download(_), _)) = self.current {
                self.downloaded(now);
            }
            return;
        }
        let asked = match &self.current {
            Some((Request::Recordings(request), _)) => request.code(),
            Some((Request::Download(_), _)) => 406,
            _ => return,
        };
        if code != asked + 1 {
            return;
        }
        let status = object.integer("status").unwrap_or(200);
        if status != 200 {
            let status = Some(status);
            self.events.push_back(ClientEvent::Failed {
                code: asked,
                status,
            });
            // A size that is refused means a download that would be.
            if asked == 404 {
                self.requests
                    .pop_front_if(|next| matches!(next, Request::Download(_)));
            }
            self.done(now);
            return;
        }
        let size = object
            .integer("fileSize")
            .and_then(|size| u64::try_from(size).ok());
        match &self.current {
            Some((Request::Recordings(RecordingRequest::Days), _)) => {
                let days = match object.value("dates") {
                    Some(Value::Array(days)) => days.as_slice(),
                    _ => &[],
                };
                let day = |value: &Value| match value {
                    Value::Integer(number) => Day::from_number(*number).ok(),
                    _ => None,
                };
                let days = days.iter().filter_map(day).take(MAX_DAYS).collect();
                self.events.push_back(ClientEvent::Days(days));
                self.done(now);
            }
            Some((Request::Recordings(RecordingRequest::Index(_)), _)) => {
                self.progress.size = size;
                self.progress.begun = true;
            }
            Some((Request::Recordings(RecordingRequest::Size(_)), _)) => {
                let size = size.filter(|size| *size <= MAX_RECORDING);
                self.done(now);
                self.progress.size = size;
                if let Some((Request::Download(minute), _)) = self.current {
                    self.events.push_back(ClientEvent::Recording(minute, size));
                }
            }
            Some((Request::Download(_), _)) => self.progress.begun = true,
            _ => {
                self.events.push_back(ClientEvent::Answer {
                    code: asked,
                    content: Some(object.clone()),
                });
                self.done(now);
            }
        }
    }

    fn handle_index(&mut self, piece: &[u8], now: Instant) {
        let Some((Request::Recordings(RecordingRequest::Index(_)), _)) = self.current else {
            return;
        };
        self.progress.index.extend_from_slice(piece);
        let have = self.progress.index.len();
        let wanted = self
            .progress
            .size
            .and_then(|size| usize::try_from(size).ok());
        // Without a size, one packet is all there is.
        if have < wanted.unwrap_or(0) && have <= MAX_INDEX {
            return;
        }
        self.events
            .push_back(match Index::read(&self.progress.index) {
                Ok(index) => ClientEvent::Index(index),
                Err(_) => ClientEvent::Failed {
                    code: 402,
                    status: None,
                },
            });
        self.done(now);
    }

    fn handle_data(&mut self, frame: &Frame, now: Instant) {
        let Some((Request::Download(_), deadline)) = &mut self.current else {
            return;
        };
        *deadline = now + DATA_WITHIN;
        self.progress.heartbeats = 0;
        self.progress.begun = true;
        let limit = self.progress.size.unwrap_or(MAX_RECORDING);
        let left = usize::try_from(limit - self.progress.received).unwrap_or(usize::MAX);
        let piece = frame.payload.slice(..frame.payload.len().min(left));
        self.progress.received += u64::try_from(piece.len()).unwrap_or_default();
        self.receiver
            .get_or_insert_default()
            .handle_frame(frame, now);
        if !piece.is_empty() {
            self.events.push_back(ClientEvent::Piece(piece));
        }
        if self.progress.received >= limit {
            self.downloaded(now);
        }
    }

    fn handle_heartbeat(&mut self, now: Instant) {
        if let Some((Request::Download(_), _)) = self.current
            && self.progress.begun
        {
            self.progress.heartbeats += 1;
            if self.progress.heartbeats >= LAST_HEARTBEATS {
                self.downloaded(now);
            }
        }
    }

    fn downloaded(&mut self, now: Instant) {
        let (received, size) = (self.progress.received, self.progress.size);
        let complete = received > 0 && size.is_none_or(|size| size == received);
        self.events
            .push_back(ClientEvent::Downloaded { received, complete });
        self.done(now);
    }

    fn handle_media(&mut self, frame: &Frame, now: Instant) {
        let Some(receiver) = &mut self.receiver else {
            return;
        };
        receiver.handle_frame(frame, now);
        while let Some(item) = receiver.poll_item() {
            match item {
                Item::Picture(jpeg) => self.events.push_back(ClientEvent::Picture(jpeg)),
                Item::Audio(codec, block) => {
                    self.events.push_back(ClientEvent::Audio(codec, block))
                }
                Item::Recording(_) => {}
            }
        }
    }

    /// The current request is done with.
    fn done(&mut self, now: Instant) {
        self.current = None;
        self.next(now);
    }

    fn next(&mut self, now: Instant) {
        if self.current.is_some() {
            return;
        }
        let Some(request) = self.requests.pop_front() else {
            return;
        };
        let within = match &request {
            Request::Command(Command::Media(_) | Command::BaseInfo { .. }) => ANSWER_WITHIN,
            Request::Command(_) => SET_WITHIN,
            Request::Download(_) => DATA_WITHIN,
            _ => ANSWER_WITHIN,
        };
        let size = self.progress.size;
        self.progress = Progress::default();
        match &request {
            Request::Greet => self.outbox.empty(Channel::Control, Cmd::LiveMotion),
            Request::Hello => {
                let hello = Message::Hello {
                    target: self.config.target.clone(),
                    token: self.config.token.clone(),
                    unix_time: self.config.unix_time,
                };
                self.outbox.message(Channel::Control, &hello);
            }
            Request::Command(command) => {
                if let Command::Media(media) = command {
                    // From here on: what the last stream left behind counts for nothing.
                    self.receiver = (*media != Media::default()).then(Receiver::default);
                }
                let command = command.clone();
                self.send_command(&command);
            }
            Request::Recordings(request) => self.send_recordings(*request),
            Request::Download(minute) => {
                self.progress.size = size;
                self.send_recordings(RecordingRequest::Download(*minute));
            }
        }
        self.current = Some((request, now + within));
    }

    fn send_command(&mut self, command: &Command) {
        let message = Message::Direct {
            target: None,
            content: command.content_for(&self.config.target),
        };
        self.outbox.message(Channel::Control, &message);
    }

    fn send_recordings(&mut self, request: RecordingRequest) {
        let message = Message::Recordings {
            dev_target: self.config.target.clone(),
            request,
        };
        self.outbox.message(Channel::Control, &message);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(receiver) = &mut self.receiver {
            for frame in receiver.handle_timeout(now) {
                self.outbox.frame(Channel::Control, &frame);
            }
        }
        let Some((request, _)) = self.current.take_if(|(_, deadline)| *deadline <= now) else {
            return;
        };
        let failed = |code| ClientEvent::Failed { code, status: None };
        match request {
            // Nobody who does not greet answers anything else.
            Request::Greet | Request::Hello => {
                self.events.push_back(failed(501));
                self.finish();
            }
            Request::Command(command) => self.events.push_back(ClientEvent::Answer {
                code: command.code(),
                content: None,
            }),
            Request::Recordings(request) => self.events.push_back(failed(request.code())),
            Request::Download(_) if self.progress.begun => self.downloaded(now),
            Request::Download(_) => self.events.push_back(failed(406)),
        }
        self.next(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let receiver = self.receiver.as_ref().and_then(Receiver::poll_timeout);
        let deadline = self.current.as_ref().map(|(_, deadline)| *deadline);
        [receiver, deadline].into_iter().flatten().min()
    }

    /// The next frame to write to the connection, in one piece.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.outbox.poll().map(|transmit| transmit.bytes)
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }
}
