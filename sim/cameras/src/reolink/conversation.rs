//! One client's conversation, whatever carries it: logins, answers, streams, snapshots, talk.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto_baichuan::{
    AdpcmState, Device, DeviceEvent, DeviceStream, Element, MediaInfo, MediaPacket, MediaParser,
    Message, NibbleOrder, Notice, Payload, StreamKind, Video, extension, id,
};
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::clips::{AAC, Clip, FRAME_RATE, GOP, MAIN_H264, MAIN_H265, STILL, SUB};
use super::state::count;
use super::{ReolinkAudio, ReolinkModel, ReolinkVideo, Shared, answers};
use crate::rtsp::mix;
use crate::source::wall_time;
use crate::{Fault, FaultKind, chime};

/// One client subscribes to a snapshot's chunks only after the first answer (section 7.6).
const SNAPSHOT_PAUSE: Duration = Duration::from_millis(60);
const SNAPSHOT_CHUNK: usize = 16 * 1024;
/// Time of a picture, of an AAC frame, of an ADPCM block of 480 samples at 8 kHz.
const PICTURE: Duration = Duration::from_millis(40);
const AAC_FRAME: Duration = Duration::from_millis(64);
const ADPCM_BLOCK: Duration = Duration::from_millis(60);
const ADPCM_SAMPLES: usize = 480;
/// A client that takes no more for so long misses what was, as far as the next keyframe.
const MAX_LAG: Duration = Duration::from_secs(2);
/// A reboot ends the connection so long after its answer.
const REBOOT_AFTER: Duration = Duration::from_millis(50);
/// The media is told to be made so: year since 1900, month, day, hour, minute, second.
const MADE: [u8; 6] = [124, 5, 6, 7, 8, 9];

pub(super) struct Conversation<'a> {
    shared: &'a Shared,
    device: Device,
    playing: Vec<Playing>,
    snapshots: VecDeque<(Instant, Message)>,
    notices: broadcast::Receiver<Notice>,
    /// Alarms are told only to those who asked (section 7.5).
    wants_alarms: bool,
    is_talking: bool,
    ends_at: Option<Instant>,
    is_closed: bool,
    budget: (u64, Instant),
    random: u64,
}

/// A stream on its way to a client.
struct Playing {
    stream: DeviceStream,
    clip: &'static Clip,
    since: Instant,
    /// The picture that the client saw first; always a keyframe, as a camera makes one for each new viewer.
    first: u64,
    next: u64,
    audio: u64,
    adpcm: AdpcmState,
    /// Pictures are left out until the next keyframe.
    skips: bool,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(shared: &'a Shared, number: u64, now: Instant) -> Self {
        let seed = u64::from_le_bytes(*shared.seed.first_chunk().unwrap_or(&[0; 8]));
        let mut random = seed ^ number.rotate_left(32);
        let nonce = match shared.config.model {
            ReolinkModel::Mains | ReolinkModel::Recorder { .. } => {
                format!("{:016X}", mix(&mut random))
            }
            // Battery cameras have a longer one (section 4.2).
            ReolinkModel::Battery => format!("0-{:018X}", mix(&mut random)),
        };
        let config = answers::device_config(shared, &nonce);
        Self {
            device: Device::new(config, now.into_std()),
            playing: Vec::new(),
            snapshots: VecDeque::new(),
            notices: shared.notices.subscribe(),
            wants_alarms: false,
            is_talking: false,
            ends_at: None,
            is_closed: false,
            budget: (0, now),
            random,
            shared,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        self.device.handle_input(bytes, now.into_std());
        self.handle_events(now);
    }

    pub(super) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.device.poll_transmit()
    }

    /// Does what is due; `is_full`: what was made before still waits, so pictures are left out.
    pub(super) fn handle_time(&mut self, is_full: bool, now: Instant) {
        self.device.handle_timeout(now.into_std());
        self.is_closed |= self.ends_at.is_some_and(|at| now >= at);
        while let Ok(notice) = self.notices.try_recv() {
            if matches!(notice, Notice::Alarm(_)) && !self.wants_alarms {
                continue;
            }
            let (id, payload) = notice.to_push();
            // Before the login nobody is told anything.
            drop(self.device.push(id, payload));
        }
        while let Some((_, request)) = self.snapshots.pop_front_if(|(at, _)| now >= *at) {
            self.send_still(&request);
        }
        let mut playing = std::mem::take(&mut self.playing);
        for stream in &mut playing {
            self.play(stream, is_full, now);
        }
        self.playing = playing;
        self.handle_events(now);
    }

    /// When there is something to do at the latest; notices come at any time.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let device = self.device.poll_timeout().map(Instant::from_std);
        let snapshot = self.snapshots.front().map(|(at, _)| *at);
        let mut wake = [device, snapshot, self.ends_at].into_iter().flatten().min();
        for stream in &self.playing {
            let at = self.next_at(stream);
            wake = Some(wake.map_or(at, |wake| wake.min(at)));
        }
        wake
    }

    /// Waits for a notice, and keeps it for [`Self::handle_time`].
    pub(super) async fn noticed(&self) {
        let mut notices = self.shared.notices.subscribe();
        if self.notices.is_empty() {
            drop(notices.recv().await);
        }
    }

    /// The fault that is due, while a stream runs.
    pub(super) fn fault(&self, now: Instant) -> Option<FaultKind> {
        let Fault { kind, after } = (*self.shared.fault.borrow())?;
        let since = self.playing.iter().map(|stream| stream.since).min()?;
        (now >= since + after).then_some(kind)
    }

    /// Bytes that mean nothing.
    pub(super) fn junk(&mut self) -> Bytes {
        (0..64)
            .flat_map(|_| mix(&mut self.random).to_le_bytes())
            .collect()
    }

    fn handle_events(&mut self, now: Instant) {
        let counters = &self.shared.counters;
        while let Some(event) = self.device.poll_event() {
            match event {
                DeviceEvent::LoggedIn(_) => count(&counters.logins),
                DeviceEvent::LoginFailed => count(&counters.failed_logins),
                DeviceEvent::Request(request) => self.answer(request, now),
                DeviceEvent::StreamWanted {
                    stream,
                    channel,
                    kind,
                } => self.start(stream, channel, kind, now),
                DeviceEvent::StreamStopped(stream) => {
                    let before = self.playing.len();
                    self.playing.retain(|playing| playing.stream != stream);
                    let stopped = (before - self.playing.len()) as u64;
                    counters.streams.fetch_sub(stopped, Ordering::Relaxed);
                }
                DeviceEvent::Closed(_) => self.is_closed = true,
                DeviceEvent::Dropped(_) => {}
                _ => {}
            }
        }
    }

    fn answer(&mut self, request: Message, now: Instant) {
        let (status, payload) = match request.id {
            id::SNAP => return self.begin_snapshot(request, now),
            id::TALK => {
                self.hear(&request);
                (200, Payload::None)
            }
            id::TALK_CONFIG => (self.start_talk(), Payload::None),
            id::REQUEST_IFRAME => {
                for playing in &mut self.playing {
                    playing.next = playing.next.next_multiple_of(GOP);
                }
                (200, Payload::None)
            }
            _ => answers::answer(self.shared, &request),
        };
        match request.id {
            id::START_ALARM | id::START_ALARM_REPORT => self.wants_alarms = true,
            id::TALK_RESET => self.is_talking = false,
            id::REBOOT => self.ends_at = Some(now + REBOOT_AFTER),
            _ => {}
        }
        // Our own documents are short.
        drop(self.device.respond(&request, status, None, payload));
        if matches!(request.id, id::START_ALARM) {
            let alarm = self.shared.state.change(|state| state.alarm.clone());
            let (id, payload) = Notice::Alarm(alarm).to_push();
            drop(self.device.push(id, payload));
        }
    }

    /// One talks at a time (section 7.10).
    fn start_talk(&mut self) -> u16 {
        let is_taken = self.shared.state.change(|state| {
            let is_taken = state.is_talking;
            state.is_talking = true;
            is_taken
        });
        if is_taken && !self.is_talking {
            return 422;
        }
        self.is_talking = true;
        200
    }

    fn hear(&mut self, request: &Message) {
        let Payload::Binary(bytes) = &request.payload else {
            return;
        };
        let mut parser = MediaParser::default();
        parser.push(bytes);
        while let Some(packet) = parser.poll() {
            if let MediaPacket::Adpcm { block, .. } = packet {
                self.shared.state.change(|state| state.hear(&block));
            }
        }
    }

    fn begin_snapshot(&mut self, request: Message, now: Instant) {
        if self.shared.state.change(|state| state.is_asleep) {
            drop(self.device.respond(&request, 400, None, Payload::None));
            return;
        }
        count(&self.shared.counters.snapshots);
        let snap = Element::versioned("Snap")
            .with("channelId", request.tag.channel.min(63))
            .with("fileName", "01_20240607080910.jpg")
            .with("time", 0)
            .with("pictureSize", STILL.len());
        drop(self.device.respond(&request, 200, None, Payload::of(snap)));
        self.snapshots.push_back((now + SNAPSHOT_PAUSE, request));
    }

    /// Chunks of 200, then an empty 201: what every known client understands (section 7.6).
    fn send_still(&mut self, request: &Message) {
        let binary = || Some(extension(&[("binaryData", "1")]));
        for chunk in STILL.chunks(SNAPSHOT_CHUNK) {
            let chunk = Payload::Binary(Bytes::from_static(chunk));
            drop(self.device.respond(request, 200, binary(), chunk));
        }
        drop(self.device.respond(request, 201, binary(), Payload::None));
    }

    fn start(&mut self, stream: DeviceStream, channel: u8, kind: StreamKind, now: Instant) {
        let is_here = channel < self.shared.channels();
        let is_asleep = self.shared.state.change(|state| state.is_asleep);
        if !is_here || is_asleep || kind == StreamKind::Extern {
            drop(self.device.refuse(stream, 400));
            return;
        }
        let clip: &'static Clip = match (kind, self.shared.config.video, self.shared.config.model) {
            (StreamKind::Sub | StreamKind::Extern, ..) => &SUB,
            (StreamKind::Main, _, ReolinkModel::Recorder { .. }) if channel % 2 == 1 => &MAIN_H265,
            (StreamKind::Main, ReolinkVideo::H264, _) => &MAIN_H264,
            (StreamKind::Main, ReolinkVideo::H265, _) => &MAIN_H265,
        };
        let info = MediaInfo {
            version: 1,
            width: clip.width,
            height: clip.height,
            unknown_0x10: 0,
            frame_rate: FRAME_RATE,
            start: MADE,
            end: MADE,
        };
        if self.device.accept(stream, info).is_err() {
            return;
        }
        let elapsed = now.saturating_duration_since(self.shared.epoch);
        let first = elapsed.as_millis() as u64 / PICTURE.as_millis() as u64 / GOP * GOP;
        let is_new = !self.playing.iter().any(|it| it.stream == stream);
        self.playing.retain(|it| it.stream != stream);
        self.playing.push(Playing {
            stream,
            clip,
            since: now,
            first,
            next: first,
            audio: 0,
            adpcm: AdpcmState::default(),
            skips: false,
        });
        let streams = &self.shared.counters.streams;
        streams.fetch_add(u64::from(is_new), Ordering::Relaxed);
    }

    fn next_at(&self, playing: &Playing) -> Instant {
        picture_at(playing).min(self.sound_at(playing).unwrap_or(picture_at(playing)))
    }

    fn sound_at(&self, playing: &Playing) -> Option<Instant> {
        let period = match self.shared.config.audio {
            ReolinkAudio::Aac => AAC_FRAME,
            ReolinkAudio::Adpcm => ADPCM_BLOCK,
            ReolinkAudio::None => return None,
        };
        Some(playing.since + PICTURE + period * u32::try_from(playing.audio).unwrap_or(u32::MAX))
    }

    /// Sends every picture and sound that is due, in order of time.
    fn play(&mut self, playing: &mut Playing, is_full: bool, now: Instant) {
        loop {
            let picture_at = picture_at(playing);
            let sound_at = self.sound_at(playing);
            if picture_at.min(sound_at.unwrap_or(picture_at)) > now {
                return;
            }
            if sound_at.is_some_and(|at| at < picture_at) {
                let packet = self.sound(playing);
                if !playing.skips {
                    drop(self.device.send_media(playing.stream, &packet));
                }
                playing.audio += 1;
                continue;
            }
            let (data, is_keyframe) = playing.clip.unit(playing.next);
            let data = match self.shared.config.bits_per_second {
                Some(rate) if std::ptr::eq(playing.clip, &*MAIN_H264) => filled(&data, rate),
                _ => data,
            };
            playing.skips = is_full
                || now - picture_at > MAX_LAG
                || self.is_over_budget(data.len(), now)
                || (playing.skips && !is_keyframe);
            if !playing.skips {
                let packet = self.picture(playing, data, is_keyframe, picture_at);
                drop(self.device.send_media(playing.stream, &packet));
            }
            playing.next += 1;
        }
    }

    fn picture(
        &self,
        playing: &Playing,
        data: Bytes,
        is_keyframe: bool,
        at: Instant,
    ) -> MediaPacket {
        // One client relies on 8 bytes here in keyframes and none elsewhere (section 8).
        let extra = if is_keyframe {
            let seconds = wall_time().as_secs() as u32;
            [seconds.to_le_bytes(), [0; 4]].concat().into()
        } else {
            Bytes::new()
        };
        let clock = at.saturating_duration_since(self.shared.epoch).as_micros();
        MediaPacket::Video(Video {
            channel: 0,
            is_keyframe,
            codec: playing.clip.codec,
            microseconds: clock as u32,
            unknown_0x14: 0,
            extra,
            data,
        })
    }

    fn sound(&self, playing: &mut Playing) -> MediaPacket {
        match self.shared.config.audio {
            ReolinkAudio::Aac | ReolinkAudio::None => {
                let at = playing.audio % AAC.len().max(1) as u64;
                MediaPacket::Aac(AAC.get(at as usize).cloned().unwrap_or_default())
            }
            ReolinkAudio::Adpcm => {
                let first = playing.audio * ADPCM_SAMPLES as u64;
                let samples: Vec<i16> = chime::samples(first, ADPCM_SAMPLES).collect();
                let block = playing.adpcm.encode(&samples, NibbleOrder::HighFirst);
                MediaPacket::Adpcm {
                    half: (block.len() / 2) as u16,
                    block: block.into(),
                }
            }
        }
    }

    /// A slow camera leaves out what it cannot send.
    fn is_over_budget(&mut self, len: usize, now: Instant) -> bool {
        let Some(FaultKind::Slow { bytes_per_second }) = self.fault(now) else {
            return false;
        };
        let (left, since) = &mut self.budget;
        let gained = now.duration_since(*since).as_millis() as u64 * u64::from(bytes_per_second);
        *left = (*left + gained / 1000).min(u64::from(bytes_per_second));
        *since = now;
        let is_over = (len as u64) > *left;
        *left = left.saturating_sub(if is_over { 0 } else { len as u64 });
        is_over
    }
}

/// The access unit with a NAL unit of filler (H.264 section 7.3.2.7) that brings it to the rate; decoders pass it over.
fn filled(unit: &Bytes, bits_per_second: u32) -> Bytes {
    const HEAD: [u8; 5] = [0, 0, 0, 1, 12];
    let wanted = bits_per_second as usize / 8 / usize::from(FRAME_RATE);
    let Some(filler) = wanted.checked_sub(unit.len() + HEAD.len() + 1) else {
        return unit.clone();
    };
    let mut filled = Vec::with_capacity(wanted);
    filled.extend_from_slice(unit);
    filled.extend_from_slice(&HEAD);
    filled.resize(filled.len() + filler, 0xff);
    filled.push(0x80);
    filled.into()
}

fn picture_at(playing: &Playing) -> Instant {
    let pictures = playing.next.saturating_sub(playing.first);
    playing.since + PICTURE * u32::try_from(pictures).unwrap_or(u32::MAX)
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        let streams = self.playing.len() as u64;
        let counter = &self.shared.counters.streams;
        counter.fetch_sub(streams, Ordering::Relaxed);
        if self.is_talking {
            self.shared.state.change(|state| state.is_talking = false);
        }
    }
}
