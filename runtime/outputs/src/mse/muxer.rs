use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use format::fmp4::Fragment;
use hub::{Event, Lease, Ring, Slot};
use media::{AccessUnit, Tracks};

use super::clock::Clock;
use super::init::{Init, Layout};

/// One fragment, and the init segment that it needs.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) init: Arc<Init>,
    /// Empty where the stream cannot be shown.
    pub(super) bytes: Bytes,
    is_start: bool,
    /// Whether more was at hand when this was made.
    pub(super) has_successor: bool,
}

impl Slot for Item {
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn is_keyframe(&self) -> bool {
        self.is_start
    }
}

/// Video time without a sound after which an announced sound is given up. Browsers stop the
/// picture where the sound ends, so this is how long a camera that falls silent holds it up.
const MAX_SILENCE: Duration = Duration::from_millis(1_500);

/// The same before the first sound came.
const MAX_SILENCE_AT_START: Duration = Duration::from_millis(500);

/// How often a sound that was given up may come back. The page begins anew each time.
const MAX_RETURNS: u32 = 3;

/// Most bytes of the GOP kept for viewers who must begin anew; the ring keeps no more either.
const MAX_GOP: usize = 16 << 20;

/// Turns events of a stream into items, each fragment made once.
#[derive(Debug, Default)]
pub(super) struct Muxer {
    current: Option<Current>,
    sequence: u32,
}

#[derive(Debug)]
struct Current {
    tracks: Tracks,
    layout: Layout,
    init: Arc<Init>,
    video: Option<Clock>,
    audio: Option<Clock>,
    sound: Sound,
    /// Whether an item was made since the init segment.
    has_begun: bool,
    /// Video fragments from the newest keyframe on, and their bytes.
    gop: Vec<Bytes>,
    gop_len: usize,
}

/// Whether sound is part of the fragments.
#[derive(Debug)]
struct Sound {
    is_included: bool,
    was_heard: bool,
    returns: u32,
    silent_for: Duration,
}

impl Muxer {
    /// Takes the tracks, or new parameters of them.
    pub(super) fn handle_tracks(&mut self, tracks: &Tracks, out: &mut Vec<Item>) {
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.tracks == *tracks)
        {
            return;
        }
        let layout = Layout::of(tracks);
        let is_included = layout.audio.is_some();
        let init = Arc::new(layout.init(tracks, is_included));
        if init.segment.is_none() {
            out.push(Item {
                init: Arc::clone(&init),
                bytes: Bytes::new(),
                is_start: true,
                has_successor: false,
            });
        }
        let clock = |rate| Clock::video(rate);
        self.current = Some(Current {
            tracks: tracks.clone(),
            video: layout.video.as_ref().map(|video| clock(video.rate)),
            audio: layout
                .audio
                .as_ref()
                .map(|audio| Clock::audio(audio.rate, audio.unit)),
            layout,
            init,
            sound: Sound {
                is_included,
                was_heard: false,
                returns: 0,
                silent_for: Duration::ZERO,
            },
            has_begun: false,
            gop: Vec::new(),
            gop_len: 0,
        });
    }

    /// Takes one access unit in the order of the stream.
    pub(super) fn handle_unit(&mut self, unit: &AccessUnit, out: &mut Vec<Item>) {
        let Some(current) = &mut self.current else {
            return;
        };
        let is = |chosen: &Option<super::init::Chosen>| {
            chosen
                .as_ref()
                .is_some_and(|chosen| chosen.index == unit.track)
        };
        if current.init.segment.is_none() {
            return;
        }
        if is(&current.layout.video) {
            current.handle_video(unit, &mut self.sequence, out);
        } else if is(&current.layout.audio) {
            current.handle_audio(unit, &mut self.sequence, out);
        }
    }
}

impl Current {
    fn handle_video(&mut self, unit: &AccessUnit, sequence: &mut u32, out: &mut Vec<Item>) {
        if unit.is_keyframe {
            self.gop.clear();
            self.gop_len = 0;
        } else if self.gop.is_empty() && !self.has_begun {
            return;
        }
        let Some(clock) = &mut self.video else {
            return;
        };
        let before = clock.presented();
        let place = clock.place(unit.time.0, unit.is_keyframe);
        let rate = self.layout.video.as_ref().map_or(1, |video| video.rate);
        if let Some(before) = before {
            self.sound.count_silence(unit.time.0 - before, rate);
        }
        let fragment = Fragment {
            track: 1,
            sequence: next(sequence),
            decode_time: place.decode_time,
            duration: place.duration,
            composition_offset: place.composition_offset,
            is_keyframe: unit.is_keyframe,
            payload: &unit.payload,
        };
        let Ok(bytes) = fragment.encode() else {
            return; // The hub takes no unit this large.
        };
        if unit.is_keyframe || !self.gop.is_empty() {
            self.gop_len += bytes.len();
            self.gop.push(bytes.clone());
            if self.gop_len > MAX_GOP {
                self.gop = Vec::new();
            }
        }
        if self.sound.should_leave() {
            self.sound.is_included = false;
            self.begin_anew(out);
        } else if self.has_begun || unit.is_keyframe {
            self.has_begun = true;
            out.push(Item {
                init: Arc::clone(&self.init),
                bytes,
                is_start: unit.is_keyframe,
                has_successor: false,
            });
        }
    }

    fn handle_audio(&mut self, unit: &AccessUnit, sequence: &mut u32, out: &mut Vec<Item>) {
        let has_video = self.layout.video.is_some();
        self.sound.silent_for = Duration::ZERO;
        self.sound.was_heard = true;
        if !self.sound.is_included {
            if self.sound.returns == MAX_RETURNS {
                return;
            }
            self.sound.returns += 1;
            self.sound.is_included = true;
            self.begin_anew(out);
        }
        let Some(clock) = &mut self.audio else {
            return;
        };
        if has_video && !self.has_begun {
            return;
        }
        let place = clock.place(unit.time.0, true);
        let fragment = Fragment {
            track: if has_video { 2 } else { 1 },
            sequence: next(sequence),
            decode_time: place.decode_time,
            duration: place.duration,
            composition_offset: place.composition_offset,
            is_keyframe: true,
            payload: &unit.payload,
        };
        if let Ok(bytes) = fragment.encode() {
            self.has_begun = true;
            out.push(Item {
                init: Arc::clone(&self.init),
                bytes,
                is_start: !has_video,
                has_successor: false,
            });
        }
    }

    /// Changes the init segment in the middle of a GOP: the pictures since the keyframe are given
    /// once more behind the new one, so that nobody waits for the next.
    fn begin_anew(&mut self, out: &mut Vec<Item>) {
        self.init = Arc::new(self.layout.init(&self.tracks, self.sound.is_included));
        self.has_begun = !self.gop.is_empty();
        let mut is_start = true;
        for bytes in &self.gop {
            out.push(Item {
                init: Arc::clone(&self.init),
                bytes: bytes.clone(),
                is_start,
                has_successor: false,
            });
            is_start = false;
        }
    }
}

impl Sound {
    fn count_silence(&mut self, ticks: i64, rate: u32) {
        // A pause of the whole camera is no silence.
        const MAX_STEP: Duration = Duration::from_millis(400);
        let nanos = media::MediaTime(ticks).as_nanos(rate);
        let step = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        self.silent_for = self.silent_for.saturating_add(step.min(MAX_STEP));
    }

    fn should_leave(&self) -> bool {
        let patience = if self.was_heard {
            MAX_SILENCE
        } else {
            MAX_SILENCE_AT_START
        };
        self.is_included && self.silent_for > patience
    }
}

fn next(sequence: &mut u32) -> u32 {
    *sequence = sequence.wrapping_add(1);
    *sequence
}

/// Muxes for as long as the task lives.
pub(super) async fn run(lease: Lease, ring: Arc<Ring<Item>>) {
    let stream = lease.stream();
    let mut muxer = Muxer::default();
    let mut out = Vec::new();
    let tracks = stream.wait_tracks().await;
    let mut cursor = stream.ring().start_oldest();

    // What is there already is looked through for the newest keyframe; the parameters in force
    // there are those announced before it.
    let mut tracks = tracks;
    let mut backlog: Vec<Arc<Event>> = Vec::new();
    while let Some((event, skipped)) = cursor.poll_counting(stream.ring()) {
        if skipped > 0 {
            tracks = stream.tracks().unwrap_or(tracks);
        }
        match &*event {
            Event::Tracks(announced) => {
                tracks = announced.clone();
                backlog.clear();
            }
            Event::AccessUnit(_, true) => {
                backlog.clear();
                backlog.push(event);
            }
            Event::AccessUnit(..) if !backlog.is_empty() => backlog.push(event),
            Event::AccessUnit(..) => {}
        }
    }
    muxer.handle_tracks(&tracks, &mut out);
    for event in backlog {
        if let Event::AccessUnit(unit, _) = &*event {
            muxer.handle_unit(unit, &mut out);
        }
    }
    loop {
        let now = Instant::now();
        let last = out.len().saturating_sub(1);
        for (index, mut item) in out.drain(..).enumerate() {
            item.has_successor = index < last;
            ring.push(Arc::new(item), now);
        }
        match cursor.poll_counting(stream.ring()) {
            Some((event, skipped)) => {
                if skipped > 0
                    && let Some(tracks) = stream.tracks()
                {
                    muxer.handle_tracks(&tracks, &mut out);
                }
                match &*event {
                    Event::Tracks(tracks) => muxer.handle_tracks(tracks, &mut out),
                    Event::AccessUnit(unit, _) => muxer.handle_unit(unit, &mut out),
                }
            }
            None => stream.ring().wait(cursor.next()).await,
        }
    }
}
