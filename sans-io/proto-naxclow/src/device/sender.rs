use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::Confirmation;
use crate::channel::{Channel, Outbox};
use crate::picture::split_picture;
use crate::{Cmd, Frame, Side, flag};

/// Most packets that are kept for repetition: what a camera with 100 KB to spare can hold.
const MAX_KEPT: usize = 111;

#[derive(Debug)]
struct Kept {
    frame: Frame,
    sent: Instant,
    repeats: u8,
}

/// The sending half of a media channel: numbers packets, keeps and repeats what nobody confirms.
#[derive(Debug)]
pub(super) struct Sender {
    confirmation: Confirmation,
    next_id: u32,
    kept: BTreeMap<u32, Kept>,
    confirmed_at: Option<Instant>,
}

impl Sender {
    pub(super) fn new(confirmation: Confirmation) -> Self {
        Self {
            confirmation,
            next_id: 1,
            kept: BTreeMap::new(),
            confirmed_at: None,
        }
    }

    /// A live stream begins; numbers begin with 1.
    pub(super) fn start(&mut self, now: Instant) {
        self.next_id = 1;
        self.kept.clear();
        self.confirmed_at = Some(now);
    }

    pub(super) fn picture(
        &mut self,
        jpeg: &[u8],
        to: Channel,
        outbox: &mut Outbox,
        now: Instant,
    ) -> bool {
        let window = self.confirmation.window;
        if window.is_some_and(|window| self.kept.len() >= window) {
            return false;
        }
        for frame in split_picture(jpeg, &mut self.next_id) {
            self.send(frame, to, outbox, now);
        }
        true
    }

    pub(super) fn sound(
        &mut self,
        cmd: Cmd,
        block: Bytes,
        to: Channel,
        outbox: &mut Outbox,
        now: Instant,
    ) -> bool {
        let frame = Frame::media(cmd, flag::WHOLE, self.next_id, block, Side::Camera);
        self.next_id = self.next_id.wrapping_add(1);
        if cmd == Cmd::Pcm {
            // Never confirmed, so never repeated.
            outbox.frame(to, &frame);
        } else {
            self.send(frame, to, outbox, now);
        }
        true
    }

    fn send(&mut self, frame: Frame, to: Channel, outbox: &mut Outbox, now: Instant) {
        outbox.frame(to, &frame);
        let kept = Kept {
            frame,
            sent: now,
            repeats: 0,
        };
        self.kept.insert(kept.frame.id, kept);
        // Without a window the oldest is given up. With one, a picture may pass it, and has to.
        while self.confirmation.window.is_none() && self.kept.len() > MAX_KEPT {
            self.kept.pop_first();
        }
    }

    pub(super) fn confirm(&mut self, ids: impl Iterator<Item = u32>, now: Instant) {
        self.confirmed_at = Some(now);
        for id in ids {
            self.kept.remove(&id);
        }
    }

    pub(super) fn gave_up(&self, now: Instant) -> bool {
        let stop_after = self.confirmation.stop_after;
        self.confirmed_at.is_some_and(|at| at + stop_after <= now)
    }

    /// Over TCP nothing is lost, and nothing is repeated.
    pub(super) fn repeat(&mut self, to: Channel, outbox: &mut Outbox, now: Instant) {
        let limits = self.confirmation;
        for kept in self.kept.values_mut() {
            let due = kept.sent + limits.repeat_after <= now && kept.repeats < limits.repeats;
            if due {
                (kept.sent, kept.repeats) = (now, kept.repeats + 1);
                if to != Channel::Control {
                    outbox.frame(to, &kept.frame);
                }
            }
        }
        if limits.window.is_none() {
            self.kept.retain(|_, kept| kept.repeats < limits.repeats);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let limits = self.confirmation;
        let due = self
            .kept
            .values()
            .filter(|kept| kept.repeats < limits.repeats);
        let repeat = due.map(|kept| kept.sent + limits.repeat_after).min();
        let stop = self.confirmed_at.map(|at| at + limits.stop_after);
        [repeat, stop].into_iter().flatten().min()
    }
}
