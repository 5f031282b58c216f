//! The receiving half of a media channel: pictures and sound out of packets, confirmations back.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::audio::{AudioCodec, without_tail};
use crate::frame::flag;
use crate::picture::{Fit, Reassembler};
use crate::{Cmd, Error, Frame, Side};

/// How often packets are confirmed (facts, section 7.2: what the reference server does).
pub const CONFIRM_EVERY: Duration = Duration::from_millis(100);

/// Most numbers in one confirmation: it has to fit a datagram of 1024 bytes.
pub const MAX_CONFIRMED: usize = 250;

/// Most numbers that wait to be confirmed: 100 ms at 400 times a real camera's rate. The rest is left out, and
/// the camera sends it again.
const MAX_PENDING: usize = 10_000;

/// Most items that wait for [`Receiver::poll_item`]; an owner that drains after each input never meets it.
const MAX_ITEMS: usize = 64;

/// Pictures, sound, or a piece of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A whole JPEG.
    Picture(Bytes),
    /// A block of sound.
    Audio(AudioCodec, Bytes),
    /// A piece of a recording, in the order of arrival.
    Recording(Bytes),
}

/// Frames of a confirmation: the numbers, sorted, at most [`MAX_CONFIRMED`] in each.
pub fn confirmations(ids: &BTreeSet<u32>, side: Side) -> Vec<Frame> {
    let frame = |payload: Vec<u8>| Frame::control(Cmd::Confirm, payload, side);
    if ids.is_empty() {
        return vec![frame(Vec::new())];
    }
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    bytes
        .chunks(4 * MAX_CONFIRMED)
        .map(|numbers| frame(numbers.to_vec()))
        .collect()
}

/// The numbers in a confirmation.
pub fn confirmed(payload: &[u8]) -> Result<impl Iterator<Item = u32> + '_, Error> {
    let (numbers, rest) = payload.as_chunks::<4>();
    if !rest.is_empty() || numbers.len() > MAX_CONFIRMED + 1 {
        return Err(Error::PayloadLength {
            cmd: Cmd::Confirm.into(),
            found: payload.len(),
        });
    }
    Ok(numbers.iter().map(|number| u32::from_le_bytes(*number)))
}

/// One media stream of one camera.
#[derive(Debug, Default)]
pub struct Receiver {
    pictures: Reassembler,
    pending: BTreeSet<u32>,
    confirm_at: Option<Instant>,
    confirm_pcm: bool,
    items: VecDeque<Item>,
}

impl Receiver {
    /// A receiver; `confirm_pcm` when a camera wants its packets of [`AudioCodec::Pcm`] confirmed too, which
    /// none is known to (facts, section 17, row 22).
    pub fn new(confirm_pcm: bool) -> Self {
        Self {
            confirm_pcm,
            ..Self::default()
        }
    }

    /// Takes a frame. False when it is no media.
    pub fn handle_frame(&mut self, frame: &Frame, now: Instant) -> bool {
        let item = match frame.cmd {
            Cmd::Jpeg => {
                let (_, picture) = self.pictures.picture_packet(frame, now);
                picture.map(Item::Picture)
            }
            Cmd::ALaw | Cmd::Pcm => {
                let codec = match frame.cmd {
                    Cmd::ALaw => AudioCodec::ALaw,
                    _ => AudioCodec::Pcm,
                };
                let (fit, picture) = self.pictures.sound_packet(frame.id, now);
                picture
                    .map(Item::Picture)
                    .into_iter()
                    .for_each(|item| self.push(item));
                let sound = without_tail(&frame.payload);
                (fit == Fit::New && !sound.is_empty()).then_some(Item::Audio(codec, sound))
            }
            Cmd::Avi => Some(Item::Recording(frame.payload.clone())),
            _ => return false,
        };
        item.into_iter().for_each(|item| self.push(item));
        self.confirm_at.get_or_insert(now + CONFIRM_EVERY);
        let wanted = frame.cmd != Cmd::Pcm || self.confirm_pcm;
        if wanted && frame.flag != flag::NONE && self.pending.len() < MAX_PENDING {
            self.pending.insert(frame.id);
        }
        true
    }

    fn push(&mut self, item: Item) {
        if self.items.len() >= MAX_ITEMS {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }

    /// The next picture or block of sound.
    pub fn poll_item(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    /// The confirmations that are due, to be sent where the media comes from.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Frame> {
        self.pictures.handle_timeout(now);
        if self.confirm_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.confirm_at = Some(now + CONFIRM_EVERY);
        confirmations(&std::mem::take(&mut self.pending), Side::Cloud)
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.confirm_at, self.pictures.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Pictures that came incomplete or damaged.
    pub fn dropped(&self) -> u64 {
        self.pictures.dropped()
    }
}
