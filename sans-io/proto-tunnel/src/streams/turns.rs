use std::collections::VecDeque;

use super::STREAM_HEADER;

/// Below this a frame waits for more room rather than be cut short.
const LEAST: usize = 4 << 10;

/// So often a stream is told that it may write before the next one is.
const MAX_TOLD: u8 = 64;

/// How much the line takes at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of streams that send all they can.
    pub busy: usize,
    /// Bytes of those that say little.
    pub quiet: usize,
    /// Bytes of one frame, with its header.
    pub piece: usize,
    /// Position up to which the peer has all bytes.
    pub acknowledged: u64,
    /// Position of the next byte.
    pub written: u64,
}

impl Room {
    fn is_idle(&self) -> bool {
        self.acknowledged == self.written
    }

    /// What a stream may send within a round trip of the line and still be a quiet one, which nobody makes wait: a
    /// request, an answer, a few packets of sound.
    fn quiet_share(&self) -> usize {
        self.piece / 2
    }

    /// How many streams find room for a piece.
    fn places(&self) -> usize {
        self.busy.div_ceil(self.piece.max(1))
    }
}

/// How much a stream said of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Voice {
    /// Where the line was when it began to count.
    since: u64,
    said: usize,
}

impl Voice {
    fn is_quiet(&self, len: usize, room: &Room) -> bool {
        let said = match room.acknowledged >= self.since {
            true => 0,
            false => self.said,
        };
        said + len <= room.quiet_share()
    }

    fn note(&mut self, len: usize, room: &Room) {
        if room.acknowledged >= self.since {
            self.since = room.written + len as u64;
            self.said = 0;
        }
        self.said += len;
    }
}

/// Who may write next. Streams that send all they can get a piece each in turn; those that say little go before them.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: u32,
    told: u8,
}

impl Turns {
    /// How many of `len` bytes stream `id` may write now. If nothing, its turn will come: see [`Self::next`].
    pub(super) fn ask(&mut self, id: u32, voice: &mut Voice, len: usize, room: &Room) -> usize {
        let wanted = len.min(room.piece.saturating_sub(STREAM_HEADER));
        let n = if voice.is_quiet(wanted, room) && room.quiet >= wanted + STREAM_HEADER {
            wanted
        } else if self.is_turn_of(id, room) {
            let fitting = room.busy.saturating_sub(STREAM_HEADER).min(wanted);
            let is_enough = fitting >= wanted.min(LEAST) || room.is_idle();
            if is_enough { fitting } else { 0 }
        } else {
            0
        };
        if n == 0 {
            match self.waiting.iter_mut().find(|it| it.id == id) {
                // It has come.
                Some(it) => it.told = 0,
                None => self.waiting.push_back(Waiting { id, told: 0 }),
            }
        } else {
            self.leave(id);
            voice.note(n, room);
        }
        n
    }

    /// On an idle line nobody waits for somebody who does not come.
    fn is_turn_of(&self, id: u32, room: &Room) -> bool {
        self.waiting.is_empty()
            || room.is_idle()
            || self
                .waiting
                .iter()
                .take(room.places())
                .any(|it| it.id == id)
    }

    /// Who should ask again now. Who is told so again and again and does not come goes behind the others.
    pub(super) fn next(&mut self, room: &Room) -> impl Iterator<Item = u32> {
        let count = match room.is_idle() {
            // It takes nothing: they would only tell each other.
            _ if room.busy <= STREAM_HEADER => 0,
            true => usize::MAX,
            false => room.places(),
        };
        if count > 0
            && self.waiting.front().is_some_and(|it| it.told >= MAX_TOLD)
            && let Some(mut absent) = self.waiting.pop_front()
        {
            absent.told = 0;
            self.waiting.push_back(absent);
        }
        self.waiting.iter_mut().take(count).map(|it| {
            it.told = it.told.saturating_add(1);
            it.id
        })
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.waiting.front().map(|it| it.id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn leave(&mut self, id: u32) {
        if let Some(at) = self.waiting.iter().position(|it| it.id == id) {
            self.waiting.remove(at);
        }
    }
}
