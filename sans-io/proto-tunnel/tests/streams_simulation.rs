//! Many streams over one line that takes and brings what it likes: each is what was said on it, or known not to be.
//!
//! A seed that fails is printed; `EYELET_SEED=N cargo test -p proto-tunnel --test streams_simulation` plays it again.
//! `EYELET_SEEDS=N` says how many seeds to try.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use proto_tunnel::{
    Event, FIRST_CREDIT, Read, Room, STREAM_HEADER, Side, Streams, StreamsConfig, Wanted, Write,
};

const SEEDS: u64 = 600;
/// Turns after which a run that is not over hangs.
const LIMIT: u32 = 400_000;
const MAX_STREAMS: usize = 6;
const GROWTH: usize = 1 << 20;

#[test]
fn every_stream_says_what_was_said_on_it() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one who runs the test chooses the seed"
    )]
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("EYELET_SEED") {
        eprintln!("{:?}", Run::new(seed).play());
        return;
    }
    let mut sum = [0; 4];
    for seed in 0..number("EYELET_SEEDS").unwrap_or(SEEDS) {
        match std::panic::catch_unwind(|| Run::new(seed).play()) {
            Ok(run) => sum.iter_mut().zip(run).for_each(|(sum, run)| *sum += run),
            Err(panic) => {
                eprintln!("failed with EYELET_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let [whole, reset, refused, waits] = sum;
    eprintln!("{whole} directions whole, {reset} reset, {refused} streams refused, {waits} waits");
    assert!(whole > reset && reset > 0 && refused > 0 && waits > 0);
}

/// Splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit.max(1) as u64).unwrap()
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

/// Byte at a position of what a side says on a stream.
fn byte_at(id: u32, side: usize, position: usize) -> u8 {
    (position.wrapping_mul(31) ^ (position / 253) ^ ((id as usize) << 3) ^ side).to_le_bytes()[0]
}

/// One side of one stream, as its user sees it.
#[derive(Default)]
struct User {
    to_write: usize,
    written: usize,
    has_ended: bool,
    read: usize,
    end_read: bool,
    is_reset: bool,
    /// It lets go before both directions are over, once it has read so much.
    leaves_at: Option<usize>,
    reads_slowly: bool,
    may_write: bool,
    may_read: bool,
}

struct End {
    streams: Streams<()>,
    users: BTreeMap<u32, User>,
    /// What was put on the line and not brought yet.
    line: VecDeque<u8>,
    written: u64,
    acknowledged: u64,
    window: usize,
    piece: usize,
    to_open: usize,
}

struct Run {
    dice: Dice,
    now: Instant,
    ends: [End; 2],
    /// Both users of each stream that was ever opened, when they are done.
    gone: BTreeMap<(u32, usize), User>,
    waits: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        #[expect(clippy::disallowed_methods, reason = "an Instant has no other origin")]
        let now = Instant::now();
        // A side may have room for fewer streams than the other one opens.
        let caps = [MAX_STREAMS, MAX_STREAMS - dice.below(3)];
        let mut end = |side, cap| End {
            streams: Streams::new(
                side,
                StreamsConfig {
                    max_streams: cap,
                    window_growth: GROWTH,
                },
            ),
            users: BTreeMap::new(),
            line: VecDeque::new(),
            written: 0,
            acknowledged: 0,
            window: 1 << (10 + dice.below(9)),
            piece: 512 << dice.below(7),
            to_open: 1 + dice.below(9),
        };
        let ends = [end(Side::Dialed, caps[0]), end(Side::Called, caps[1])];
        Self {
            dice,
            now,
            ends,
            gone: BTreeMap::new(),
            waits: 0,
        }
    }

    fn play(mut self) -> [usize; 4] {
        for turn in 0.. {
            assert!(turn < LIMIT, "it hangs");
            let n = self.dice.below(2);
            match self.dice.below(5) {
                0 => self.open(n),
                1 => self.bring(n),
                2 => self.acknowledge(n),
                _ => self.use_streams(n),
            }
            self.look(0);
            self.look(1);
            self.now += Duration::from_micros(50);
            let is_over = |end: &End| {
                end.to_open == 0
                    && end.users.is_empty()
                    && end.line.is_empty()
                    && !end.streams.is_due()
            };
            if self.ends.iter().all(is_over) {
                break;
            }
        }
        self.judge()
    }

    fn room(&self, n: usize) -> Room {
        let end = &self.ends[n];
        let in_flight = usize::try_from(end.written - end.acknowledged).unwrap();
        let quiet = end.window.saturating_sub(in_flight);
        Room {
            busy: (end.window / 2).saturating_sub(in_flight),
            quiet,
            piece: end.piece,
            acknowledged: end.acknowledged,
            written: end.written,
        }
    }

    fn open(&mut self, n: usize) {
        let user = self.user();
        let end = &mut self.ends[n];
        if end.to_open > 0
            && let Some(id) = end.streams.open(self.now)
        {
            end.to_open -= 1;
            end.users.insert(id, user);
        }
    }

    fn user(&mut self) -> User {
        let dice = &mut self.dice;
        let to_write = match dice.below(3) {
            0 => dice.below(200),
            1 => dice.below(5_000),
            _ => dice.below(2 * FIRST_CREDIT),
        };
        User {
            to_write,
            leaves_at: dice.percent(25).then(|| dice.below(30_000)),
            reads_slowly: dice.percent(30),
            may_write: true,
            may_read: true,
            ..User::default()
        }
    }

    /// The line brings some of what the other side has put there.
    fn bring(&mut self, n: usize) {
        let budget = 1 + self.dice.below(20_000);
        let mut brought: Vec<u8> = {
            let line = &mut self.ends[1 - n].line;
            let budget = budget.min(line.len());
            line.drain(..budget).collect()
        };
        while !brought.is_empty() {
            let streams = &mut self.ends[n].streams;
            let cut = 1 + self.dice.below(brought.len());
            match streams.wants() {
                Wanted::Header(due) => {
                    assert!(due > 0 && due <= STREAM_HEADER);
                    let bytes: Vec<u8> = brought.drain(..due.min(cut)).collect();
                    streams.handle_header(&bytes, self.now).unwrap();
                }
                Wanted::Payload(due) => {
                    let mut buffer = streams.buffer();
                    let len = due.min(cut).min(buffer.len());
                    buffer[..len].copy_from_slice(&brought[..len]);
                    brought.drain(..len);
                    streams.handle_payload(buffer, len);
                }
            }
        }
        while let Some(id) = self.ends[n].streams.accept() {
            let user = self.user();
            self.ends[n].users.insert(id, user);
        }
    }

    /// The other side's pipe says what it has.
    fn acknowledge(&mut self, n: usize) {
        let end = &mut self.ends[n];
        let brought = end.written - end.line.len() as u64;
        let news = usize::try_from(brought - end.acknowledged).unwrap();
        end.acknowledged += self.dice.below(news + 1) as u64;
        if self.dice.percent(30) {
            end.acknowledged = brought;
        }
        let room = self.room(n);
        self.ends[n].streams.note_room(&room);
    }

    fn look(&mut self, n: usize) {
        let end = &mut self.ends[n];
        while let Some(event) = end.streams.poll_event() {
            match event {
                Event::Arrived => {}
                Event::Readable(id) => {
                    if let Some(user) = end.users.get_mut(&id) {
                        user.may_read = true;
                    }
                }
                Event::Writable(id) => {
                    if let Some(user) = end.users.get_mut(&id) {
                        user.may_write = true;
                    }
                }
            }
        }
    }

    fn use_streams(&mut self, n: usize) {
        self.put_due(n);
        let ids: Vec<u32> = self.ends[n].users.keys().copied().collect();
        for id in ids {
            self.write(n, id);
            self.read(n, id);
            self.put_due(n);
            let user = &self.ends[n].users[&id];
            let is_done = user.end_read && user.has_ended;
            let leaves = user.leaves_at.is_some_and(|at| user.read >= at);
            if is_done || user.is_reset || leaves {
                self.ends[n].streams.close(id);
                let user = self.ends[n].users.remove(&id).unwrap();
                self.gone.insert((id, n), user);
            }
        }
        self.put_due(n);
    }

    fn put_due(&mut self, n: usize) {
        while self.room(n).quiet >= STREAM_HEADER {
            let end = &mut self.ends[n];
            let Some(head) = end.streams.poll_due() else {
                return;
            };
            end.line.extend(head);
            end.written += head.len() as u64;
        }
    }

    fn write(&mut self, n: usize, id: u32) {
        let room = self.room(n);
        let end = &mut self.ends[n];
        let user = end.users.get_mut(&id).unwrap();
        let left = user.to_write - user.written;
        if left == 0 && !user.has_ended && self.dice.percent(30) {
            user.has_ended = true;
            end.streams.end(id);
        }
        // Only who was told asks again: nobody may be forgotten.
        if left == 0 || !user.may_write {
            return;
        }
        let wanted = 1 + self.dice.below(left);
        match end.streams.write(id, wanted, &room) {
            Write::Put(head, count) => {
                assert!(count > 0 && count <= wanted);
                assert!(count + STREAM_HEADER <= room.quiet.min(room.piece));
                end.line.extend(head);
                for _ in 0..count {
                    end.line.push_back(byte_at(id, n, user.written));
                    user.written += 1;
                }
                end.written += (head.len() + count) as u64;
            }
            Write::Wait => {
                user.may_write = false;
                self.waits += 1;
            }
            Write::Reset => user.is_reset = true,
        }
    }

    fn read(&mut self, n: usize, id: u32) {
        let end = &mut self.ends[n];
        let user = end.users.get_mut(&id).unwrap();
        if !user.may_read || (user.reads_slowly && !self.dice.percent(5)) {
            return;
        }
        let trip = Some(Duration::from_millis(5));
        match end.streams.read(id, self.now, trip) {
            Read::Bytes(chunk) => {
                for byte in chunk.bytes() {
                    assert_eq!(*byte, byte_at(id, 1 - n, user.read), "at {}", user.read);
                    user.read += 1;
                }
                end.streams.reuse(chunk);
            }
            Read::Wait => user.may_read = false,
            Read::End => user.end_read = true,
            Read::Reset => user.is_reset = true,
        }
    }

    fn judge(self) -> [usize; 4] {
        let (mut whole, mut reset, mut refused) = (0, 0, 0);
        for ((id, n), user) in &self.gone {
            let Some(peer) = self.gone.get(&(*id, 1 - *n)) else {
                // Nobody there took it, or it was let go before it was known.
                assert!(user.is_reset || user.leaves_at.is_some(), "stream {id}");
                refused += usize::from(user.is_reset);
                continue;
            };
            assert!(user.read <= peer.written);
            if user.end_read {
                assert!(
                    peer.has_ended && user.read == peer.to_write,
                    "stream {id} ended early"
                );
                whole += 1;
            } else {
                let left = user.leaves_at.is_some() || peer.leaves_at.is_some();
                assert!(left, "stream {id} was reset by nobody");
                reset += 1;
            }
        }
        for end in &self.ends {
            assert!(end.streams.is_empty());
        }
        [whole, reset, refused, self.waits]
    }
}
