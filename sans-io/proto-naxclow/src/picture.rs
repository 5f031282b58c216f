//! Pictures in pieces: cut by cameras, put together again here (facts, section 7.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::{MEDIA_PAYLOAD, flag};
use crate::{Cmd, Frame, Side};

/// Bytes after a picture: one of unknown meaning, then the picture's length.
pub const TAIL_LEN: usize = 5;

/// Largest picture (facts, section 13). Real ones have 15 to 26 KB.
pub const MAX_PICTURE: usize = 1 << 20;

/// Most pieces of a picture (facts, section 13): what a picture of 1 MiB needs.
pub const MAX_PIECES: usize = 1024;

/// Most pieces of unfinished pictures that are kept, the one that comes and the one before.
const MAX_SLOTS: usize = 2 * MAX_PIECES;

/// Most bytes of unfinished pictures that are kept, for the same two pictures.
const MAX_BUFFERED: usize = 2 * MAX_PICTURE;

/// How far a packet's number may be from the newest (facts, section 13); beyond that the camera counts anew.
const MAX_DISTANCE: i32 = 4096;

/// How long a piece waits for the rest of its picture. A camera repeats what is missing after 200 ms.
pub const MAX_WAIT: Duration = Duration::from_millis(500);

/// Cuts a picture into frames as a camera does; `next_id` counts on. The unknown byte of the tail is 0.
pub fn split_picture(jpeg: &[u8], next_id: &mut u32) -> Vec<Frame> {
    let mut data = Vec::with_capacity(jpeg.len() + TAIL_LEN);
    data.extend_from_slice(jpeg);
    data.push(0);
    data.extend_from_slice(&u32::try_from(jpeg.len()).unwrap_or(u32::MAX).to_le_bytes());
    let data = Bytes::from(data);
    let mut frames = Vec::new();
    let mut start = 0;
    while start < data.len() {
        let end = data.len().min(start + MEDIA_PAYLOAD);
        let flag = match (start == 0, end == data.len()) {
            (true, true) => flag::WHOLE,
            (true, false) => flag::FIRST,
            (false, true) => flag::LAST,
            (false, false) => flag::MIDDLE,
        };
        let piece = data.slice(start..end);
        frames.push(Frame::media(Cmd::Jpeg, flag, *next_id, piece, Side::Camera));
        *next_id = next_id.wrapping_add(1);
        start = end;
    }
    frames
}

/// The picture in the joined payloads of its packets, or nothing when it is damaged.
pub fn finish_picture(mut data: Vec<u8>) -> Option<Bytes> {
    let length = data.last_chunk().map(|tail| u32::from_le_bytes(*tail));
    let len = data.len().checked_sub(TAIL_LEN).filter(|len| *len >= 4);
    match (length, len) {
        (Some(length), Some(len)) if u32::try_from(len) == Ok(length) => data.truncate(len),
        _ if data.ends_with(&[0xFF, 0xD9]) => {}
        _ => {
            let end = data.windows(2).rposition(|pair| pair == [0xFF, 0xD9])?;
            data.truncate(end + 2);
        }
    }
    let whole = data.starts_with(&[0xFF, 0xD8]) && data.len() <= MAX_PICTURE;
    whole.then(|| data.into())
}

#[derive(Debug)]
struct Slot {
    flag: u8,
    payload: Bytes,
    came: Instant,
}

/// A number in place of `msg_flag` for a packet of sound: it counts, and carries no piece.
const SOUND: u8 = 1;

/// What came of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Taken.
    New,
    /// Known already, or too late to be of use.
    Stale,
}

/// Puts pictures together from packets that come in any order, twice, or not at all.
#[derive(Debug, Default)]
pub struct Reassembler {
    /// By number, widened to 64 bits so that order survives the wrap.
    slots: BTreeMap<u64, Slot>,
    bytes: usize,
    /// The highest number so far.
    newest: Option<u64>,
    /// Numbers up to this one are done with.
    floor: u64,
    last_sound: u64,
    /// When the oldest piece came, or earlier.
    oldest: Option<Instant>,
    dropped: u64,
}

impl Reassembler {
    /// Takes a packet of a picture. Gives the picture that it completes.
    pub fn picture_packet(&mut self, frame: &Frame, now: Instant) -> (Fit, Option<Bytes>) {
        let flag = match frame.flag {
            flag::FIRST | flag::MIDDLE | flag::LAST => frame.flag,
            // 0 comes from senders that repeat nothing: nobody tells their pieces apart, so only whole ones count.
            flag::WHOLE | flag::NONE => flag::WHOLE,
            _ => return (Fit::Stale, None),
        };
        self.insert(frame.id, flag, frame.payload.clone(), now)
    }

    /// Takes the number of a packet of sound: it explains a gap inside a picture, and may complete one.
    pub fn sound_packet(&mut self, id: u32, now: Instant) -> (Fit, Option<Bytes>) {
        let (fit, picture) = self.insert(id, SOUND, Bytes::new(), now);
        let number = self.newest.map_or(0, |newest| widen(newest, id));
        if number <= self.last_sound {
            return (Fit::Stale, picture);
        }
        self.last_sound = number;
        // Late only for pictures: sound is in order as long as it is newer than the last.
        let _ = fit;
        (Fit::New, picture)
    }

    fn insert(&mut self, id: u32, flag: u8, payload: Bytes, now: Instant) -> (Fit, Option<Bytes>) {
        let number = self.place(id);
        if number <= self.floor {
            return (Fit::Stale, None);
        }
        if let Some(known) = self.slots.get(&number) {
            if known.flag == flag && known.payload == payload {
                return (Fit::Stale, None);
            }
            // The same number for something else: the camera began to count anew.
            self.restart(number);
        }
        self.bytes += payload.len();
        let slot = Slot {
            flag,
            payload,
            came: now,
        };
        self.slots.insert(number, slot);
        self.oldest.get_or_insert(now);
        while self.slots.len() > MAX_SLOTS || self.bytes > MAX_BUFFERED {
            let Some((_, slot)) = self.slots.pop_first() else {
                break;
            };
            self.bytes -= slot.payload.len();
        }
        (Fit::New, self.complete(number))
    }

    /// The widened number of a packet.
    fn place(&mut self, id: u32) -> u64 {
        let Some(newest) = self.newest else {
            self.restart(START + u64::from(id));
            return START + u64::from(id);
        };
        let number = widen(newest, id);
        if number.abs_diff(newest) > u64::from(MAX_DISTANCE.unsigned_abs()) {
            self.restart(START + u64::from(id));
            return START + u64::from(id);
        }
        self.newest = Some(newest.max(number));
        number
    }

    /// Forgets everything; packets count from here.
    fn restart(&mut self, number: u64) {
        self.slots.clear();
        self.bytes = 0;
        self.newest = Some(number);
        // Packets a little older may still be on their way.
        self.floor = 0;
        self.last_sound = 0;
        self.oldest = None;
    }

    /// The picture around a packet, when every number from its first to its last is there.
    fn complete(&mut self, number: u64) -> Option<Bytes> {
        let ends_at = |slot: &Slot| matches!(slot.flag, flag::LAST | flag::WHOLE);
        let begins_at = |slot: &Slot| matches!(slot.flag, flag::FIRST | flag::WHOLE);
        let mut last = number;
        // Forward first: most packets come in order and have no successor yet.
        while !ends_at(self.slots.get(&last)?) {
            last += 1;
            if begins_at(self.slots.get(&last)?) {
                return None;
            }
        }
        let mut first = number;
        while !begins_at(self.slots.get(&first)?) {
            first -= 1;
            if ends_at(self.slots.get(&first)?) {
                return None;
            }
        }
        let mut data = Vec::new();
        let mut pieces = 0;
        for (_, slot) in self.slots.range(first..=last) {
            pieces += usize::from(slot.flag != SOUND);
            data.extend_from_slice(&slot.payload);
        }
        self.forget_up_to(last);
        let picture = finish_picture(data).filter(|_| pieces <= MAX_PIECES);
        self.dropped += u64::from(picture.is_none());
        picture
    }

    /// Older pictures that are not complete now never come out: pictures do not run backwards.
    fn forget_up_to(&mut self, number: u64) {
        let kept = self.slots.split_off(&(number + 1));
        let begun = self
            .slots
            .range(..number)
            .filter(|(_, slot)| slot.flag == flag::FIRST);
        self.dropped += u64::try_from(begun.count().saturating_sub(1)).unwrap_or_default();
        self.slots = kept;
        self.bytes = self.slots.values().map(|slot| slot.payload.len()).sum();
        self.floor = number;
    }

    /// Drops what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        self.slots.retain(|_, slot| {
            let keep = now.saturating_duration_since(slot.came) < MAX_WAIT;
            self.dropped += u64::from(!keep && slot.flag == flag::FIRST);
            keep
        });
        self.bytes = self.slots.values().map(|slot| slot.payload.len()).sum();
        self.oldest = self.slots.values().map(|slot| slot.came).min();
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to drop.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.oldest? + MAX_WAIT)
    }

    /// Pictures begun and never completed, and damaged ones.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes held for pictures that are not complete.
    pub fn buffered(&self) -> usize {
        self.bytes
    }
}

/// Where numbers start, so that a little less is still positive.
const START: u64 = 1 << 33;

/// The 64-bit number nearest to `newest` that ends in `id`.
fn widen(newest: u64, id: u32) -> u64 {
    let ahead = u64::from(id).wrapping_sub(newest) & 0xFFFF_FFFF;
    if ahead < 1 << 31 {
        newest + ahead
    } else {
        (newest + ahead).saturating_sub(1 << 32)
    }
}
