use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use proto_tunnel::{Chunk, Event, Read, Side, Streams, StreamsConfig, Write};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::MuxConfig;
use crate::{Error, Flow, LineHandle};

/// What the streams of a session, their driver and the [`super::LineMux`] have in common. Whoever holds `state` may
/// lock the line, never the other way round: what is put on the line has to stand there in the order of the state.
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) line: LineHandle,
    pub(super) flow: Arc<Flow>,
    /// The peer has opened a stream, or the end has come.
    arrived: Notify,
    ended: watch::Sender<Option<Result<(), String>>>,
}

pub(super) struct State {
    pub(super) streams: Streams<Wakers>,
    has_ended: bool,
}

/// Who waits for a stream.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Shared {
    pub(super) fn new(line: LineHandle, side: Side, config: MuxConfig) -> Self {
        let config = StreamsConfig {
            max_streams: config.max_streams,
            window_growth: config.window_growth,
        };
        Self {
            state: Mutex::new(State {
                streams: Streams::new(side, config),
                has_ended: false,
            }),
            line,
            flow: Arc::default(),
            arrived: Notify::new(),
            ended: watch::Sender::new(None),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whom the state has something for, after it is unlocked.
    pub(super) fn settle(&self, mut state: MutexGuard<'_, State>) {
        let mut wakers = Vec::new();
        while let Some(event) = state.streams.poll_event() {
            let waker = match event {
                Event::Arrived => {
                    self.arrived.notify_one();
                    None
                }
                Event::Readable(id) => state.streams.owner(id).and_then(|it| it.read.take()),
                Event::Writable(id) => state.streams.owner(id).and_then(|it| it.write.take()),
            };
            wakers.extend(waker);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Opens a stream: its number.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`] at the cap, [`Error::Closed`] or [`Error::Mux`] after the end.
    pub(super) fn open(&self, max_streams: usize) -> Result<u32, Error> {
        let mut state = self.state();
        if state.has_ended {
            return Err(self.end());
        }
        let opened = state.streams.open(Instant::now().into_std());
        opened.ok_or(Error::TooManyStreams(max_streams))
    }

    /// The number of the next stream that the peer opened. Cancel-safe.
    pub(super) async fn accept(&self) -> Result<u32, Error> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                if let Some(id) = state.streams.accept() {
                    // Whoever else waits may find another one.
                    self.arrived.notify_one();
                    return Ok(id);
                }
                if state.has_ended {
                    self.arrived.notify_one();
                    return Err(self.end());
                }
            }
            arrived.await;
        }
    }

    /// Puts bytes of a stream on the line: how many, or nothing if the stream is over.
    pub(super) fn poll_write(
        &self,
        id: u32,
        bytes: &[u8],
        cx: &Context<'_>,
    ) -> Poll<Option<usize>> {
        let mut state = self.state();
        if state.has_ended {
            return Poll::Ready(None);
        }
        self.put_due(&mut state);
        let mut line = self.line.inner();
        let room = line.stream_room();
        match state.streams.write(id, bytes.len(), &room) {
            Write::Put(head, n) => {
                line.put(&head);
                line.put(bytes.get(..n).unwrap_or_default());
                self.flow.sent.add((head.len() + n) as u64);
                let is_awaited = state.streams.is_room_awaited();
                // What follows takes its time, and others may put theirs behind.
                self.settle(state);
                line.hurry();
                if is_awaited {
                    // What has left has made room, and this stream may have no more to say.
                    let room = line.stream_room();
                    drop(line);
                    let mut state = self.state();
                    state.streams.note_room(&room);
                    self.settle(state);
                }
                Poll::Ready(Some(n))
            }
            Write::Wait => {
                drop(line);
                if let Some(owner) = state.streams.owner(id) {
                    remember(&mut owner.write, cx);
                }
                self.settle(state);
                Poll::Pending
            }
            Write::Reset => {
                drop(line);
                self.settle(state);
                Poll::Ready(None)
            }
        }
    }

    /// Bytes that came for a stream. After the session's end nothing more comes, and that is a reset.
    pub(super) fn read(&self, id: u32, used: Chunk, cx: &Context<'_>) -> Read {
        let mut state = self.state();
        state.streams.reuse(used);
        let trip = self.line.least_round_trip();
        let read = state.streams.read(id, Instant::now().into_std(), trip);
        match &read {
            Read::Wait if state.has_ended => return Read::Reset,
            Read::Wait => {
                if let Some(owner) = state.streams.owner(id) {
                    remember(&mut owner.read, cx);
                }
            }
            Read::Bytes(_) => self.put_due(&mut state),
            Read::End | Read::Reset => {}
        }
        self.settle(state);
        read
    }

    pub(super) fn end_stream(&self, id: u32) {
        let mut state = self.state();
        state.streams.end(id);
        self.put_due(&mut state);
        self.settle(state);
    }

    pub(super) fn close_stream(&self, id: u32) {
        let mut state = self.state();
        state.streams.close(id);
        self.put_due(&mut state);
        self.settle(state);
    }

    /// Puts on the line what concerns no bytes, as far as there is room.
    pub(super) fn put_due(&self, state: &mut State) {
        if !state.streams.is_due() {
            return;
        }
        let mut line = self.line.inner();
        let mut was_put = false;
        while line.has_room_for_due()
            && let Some(head) = state.streams.poll_due()
        {
            line.put(&head);
            self.flow.sent.add(head.len() as u64);
            was_put = true;
        }
        // The driver itself comes here: without anything to do it may not be told to come again.
        if was_put {
            line.hurry();
        }
    }

    /// Nothing comes or goes any more.
    pub(super) fn finish(&self, end: Result<(), String>) {
        let mut state = self.state();
        if !state.has_ended {
            state.has_ended = true;
            self.ended.send_replace(Some(end));
        }
        let mut wakers = Vec::new();
        for owner in state.streams.owners() {
            wakers.extend(owner.read.take());
            wakers.extend(owner.write.take());
        }
        drop(state);
        self.arrived.notify_one();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits for the end, which has happened already or will. Cancel-safe.
    pub(super) async fn ended(&self) -> Result<(), Error> {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Err(error))) => Err(Error::Mux(error.clone())),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn end(&self) -> Error {
        match &*self.ended.borrow() {
            Some(Err(error)) => Error::Mux(error.clone()),
            Some(Ok(())) | None => Error::Closed,
        }
    }
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}
