//! From a device's packets to the hub's access units: tracks, clocks, order.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::Publisher;
use media::{AccessUnit, MediaTime, Track, Tracks};
use proto_baichuan::{MediaClock, MediaPacket};

use super::pictures::ParameterSets;
use super::sound::{Piece, read_adpcm, read_adts};
use crate::DriverError;

/// How long the first pictures of a stream wait for its sound, so that viewers who come first
/// learn of both. Cameras send the first sound within two pictures of the first one.
const SOUND_WAIT: Duration = Duration::from_millis(120);

/// Most access units held back meanwhile.
const MAX_HELD: usize = 64;

/// The clock of pictures, in ticks a second.
const VIDEO_RATE: i64 = 90_000;

/// Sound further than this from its pictures is put beside them again, in microseconds.
const MAX_APART: i64 = 500_000;

/// What is known of a stream's sound before it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    /// Nothing: wait for it a moment.
    Unknown,
    /// There is none.
    None,
    /// It is as it was last time.
    Track(Track),
}

/// One stream on its way to the hub.
pub(super) struct Feed {
    sets: ParameterSets,
    clock: MediaClock,
    /// Time of the newest picture in microseconds, and on its track's clock.
    picture: Option<(i64, i64)>,
    told_size: Option<(u32, u32)>,
    video: Option<Track>,
    sound: Sound,
    /// Samples from the base on, and the base in microseconds.
    heard: Option<(i64, i64)>,
    announced: bool,
    held: Vec<Held>,
    held_since: Option<Instant>,
}

struct Held {
    is_sound: bool,
    time: i64,
    received: Instant,
    is_keyframe: bool,
    payload: Bytes,
}

impl Feed {
    pub(super) fn new(sound: Sound) -> Self {
        Self {
            sets: ParameterSets::default(),
            clock: MediaClock::default(),
            picture: None,
            told_size: None,
            video: None,
            sound,
            heard: None,
            announced: false,
            held: Vec::new(),
            held_since: None,
        }
    }

    /// When [`Self::settle`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held_since.map(|since| since + SOUND_WAIT)
    }

    /// The stream's sound as it turned out; `None` while that is open.
    pub(super) fn sound(&self) -> Option<Option<Track>> {
        match &self.sound {
            Sound::Unknown => None,
            Sound::None => Some(None),
            Sound::Track(track) => Some(Some(track.clone())),
        }
    }

    /// No sound came: the pictures go on without.
    pub(super) fn settle(&mut self, publisher: &mut Publisher) -> Result<(), DriverError> {
        if self.sound == Sound::Unknown {
            self.sound = Sound::None;
        }
        self.announce(publisher)
    }

    pub(super) fn take(
        &mut self,
        packet: MediaPacket,
        received: Instant,
        publisher: &mut Publisher,
    ) -> Result<(), DriverError> {
        match packet {
            MediaPacket::Info(info) => {
                self.told_size = info.size();
                Ok(())
            }
            MediaPacket::Video(video) => {
                let Some(picture) = self.sets.read(&video) else {
                    return Ok(());
                };
                let micros = self.clock.unwrap(video.microseconds);
                let ticks = micros.saturating_mul(VIDEO_RATE) / 1_000_000;
                // Two pictures of one instant would be one to a player.
                let ticks = self.picture.map_or(ticks, |(_, last)| ticks.max(last + 1));
                self.picture = Some((micros, ticks));
                if picture.is_keyframe {
                    let track = self.sets.track(self.told_size);
                    if track.is_some() && track != self.video {
                        self.video = track;
                        self.announced = false;
                    }
                }
                if self.video.is_none() {
                    return Ok(());
                }
                let unit = Held {
                    is_sound: false,
                    time: ticks,
                    received,
                    is_keyframe: picture.is_keyframe,
                    payload: picture.payload,
                };
                self.give(unit, publisher)
            }
            MediaPacket::Aac(frame) => {
                let found = read_adts(&frame);
                self.take_sound(found, received, publisher)
            }
            MediaPacket::Adpcm { block, .. } => {
                self.take_sound(read_adpcm(&block), received, publisher)
            }
        }
    }

    fn take_sound(
        &mut self,
        found: Option<(Track, Vec<Piece>)>,
        received: Instant,
        publisher: &mut Publisher,
    ) -> Result<(), DriverError> {
        let Some((track, pieces)) = found else {
            return Ok(());
        };
        let rate = i64::from(track.clock_rate.max(1));
        if self.sound != Sound::Track(track.clone()) {
            self.sound = Sound::Track(track);
            self.announced = false;
            self.heard = None;
        }
        // Sound carries no time of its own: it begins with the picture before it.
        let Some((micros, _)) = self.picture else {
            return Ok(());
        };
        for piece in pieces {
            let (base, samples) = self.heard.unwrap_or((micros, 0));
            let at = base.saturating_add(samples.saturating_mul(1_000_000) / rate);
            let (base, samples) = if micros - at > MAX_APART {
                (micros, 0)
            } else {
                (base, samples)
            };
            if at - micros > MAX_APART {
                // Faster than its pictures; what is left out here would run ahead of them for ever.
                continue;
            }
            let ticks = base.saturating_mul(rate) / 1_000_000 + samples;
            self.heard = Some((base, samples + piece.samples));
            let unit = Held {
                is_sound: true,
                time: ticks,
                received,
                is_keyframe: true,
                payload: piece.payload,
            };
            self.give(unit, publisher)?;
        }
        Ok(())
    }

    /// Publishes a unit, or holds it until the tracks are known.
    fn give(&mut self, unit: Held, publisher: &mut Publisher) -> Result<(), DriverError> {
        if !self.announced {
            let is_open = self.video.is_none() || self.sound == Sound::Unknown;
            if is_open && self.held.len() < MAX_HELD {
                if self.video.is_some() {
                    self.held_since.get_or_insert(unit.received);
                }
                self.held.push(unit);
                return Ok(());
            }
            self.settle(publisher)?;
        }
        self.publish(unit, publisher)
    }

    fn announce(&mut self, publisher: &mut Publisher) -> Result<(), DriverError> {
        let Some(video) = &self.video else {
            return Ok(());
        };
        let mut tracks = vec![video.clone()];
        if let Sound::Track(sound) = &self.sound {
            tracks.push(sound.clone());
        }
        publisher.announce(Tracks::new(tracks))?;
        self.announced = true;
        self.held_since = None;
        for unit in std::mem::take(&mut self.held) {
            self.publish(unit, publisher)?;
        }
        Ok(())
    }

    fn publish(&self, unit: Held, publisher: &mut Publisher) -> Result<(), DriverError> {
        if unit.is_sound && !matches!(self.sound, Sound::Track(_)) || !self.announced {
            return Ok(());
        }
        publisher.publish(AccessUnit {
            track: usize::from(unit.is_sound),
            time: MediaTime(unit.time),
            wall: None,
            received: unit.received,
            is_keyframe: unit.is_keyframe,
            payload: unit.payload,
        })?;
        Ok(())
    }
}
