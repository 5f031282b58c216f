use std::hint::black_box;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hub::{Cursor, Ring, ViewerGuard};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::muxer::{Framing, Part, next_part};
use crate::fanout::{Pump, write_now};

/// How pictures go to one plain socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) framing: Framing,
    /// Pictures after which the connection is closed; none: never.
    pub(crate) pictures: Option<u64>,
    /// How long it may wait for its first picture; none: as long as it likes.
    pub(crate) patience: Option<Duration>,
    /// A viewer that takes nothing for this long is cut.
    pub(crate) stall: Duration,
    /// Whether a viewer that says it will send no more may still be there to look: programs such
    /// as `nc` close their half when their input ends.
    pub(crate) allows_half_close: bool,
}

/// Why a viewer's connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has all the pictures that it wanted.
    Served,
    /// It left, or its connection broke.
    Gone,
    /// It took nothing for too long.
    Stalled,
    /// There was no picture for it.
    Empty,
}

/// Bytes that the kernel may hold unsent for a viewer: what is in there grows old.
const UNSENT: u32 = 256 << 10;

/// How often a quiet session looks at the clock.
const TICK: Duration = Duration::from_secs(5);

/// How long a viewer with a closed half is kept while there is no picture to find out with
/// whether it is still there.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// How long the viewer may take to take its last bytes.
const FAREWELL: Duration = Duration::from_secs(2);

/// A viewer's plain TCP connection: whole pictures from a cursor into the muxer's ring.
///
/// The fan-out pumps it for each new picture, its session after the socket drained.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Arc<TcpStream>,
    ring: Arc<Ring<Part>>,
    manner: Manner,
    writer: Mutex<Writer>,
    /// Tells the session that the writer is stuck or has ended.
    changed: Notify,
}

#[derive(Debug)]
struct Writer {
    /// What is being sent, and how much of it is gone.
    under_way: Bytes,
    sent: usize,
    /// Pictures begun.
    pictures: u64,
    cursor: Cursor,
    viewer: ViewerGuard,
    blocked_since: Option<Instant>,
    /// Whether the socket was full during the last picture.
    is_slow: bool,
    wrote_at: Instant,
    end: Option<End>,
}

impl Connection {
    /// `head` goes out before the first picture.
    pub(super) fn new(
        socket: Arc<TcpStream>,
        ring: Arc<Ring<Part>>,
        cursor: Cursor,
        viewer: ViewerGuard,
        head: Bytes,
        manner: Manner,
    ) -> Self {
        // It only makes it better; a socket that refuses works all the same.
        let _ = socket2::SockRef::from(&*socket).set_tcp_notsent_lowat(UNSENT);
        let writer = Writer {
            under_way: head,
            sent: 0,
            pictures: 0,
            cursor,
            viewer,
            blocked_since: None,
            is_slow: false,
            wrote_at: Instant::now(),
            end: None,
        };
        Self {
            socket,
            ring,
            manner,
            writer: Mutex::new(writer),
            changed: Notify::new(),
        }
    }

    /// Sends what there is until the socket is full. Never waits.
    pub(super) fn pump(&self) {
        self.pump_locked(self.lock());
    }

    fn pump_locked(&self, mut writer: MutexGuard<'_, Writer>) {
        while writer.end.is_none() {
            if writer.under_way.is_empty() && !writer.begin(&self.ring, self.manner) {
                break;
            }
            match writer.send(&self.socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if writer.blocked_since.is_none() {
                        writer.blocked_since = Some(Instant::now());
                        writer.is_slow = true;
                        self.changed.notify_one();
                    }
                    return;
                }
                Err(_) => writer.end = Some(End::Gone),
            }
        }
        if writer.end.is_some() {
            self.changed.notify_one();
        }
    }

    /// Serves until the end, while somebody else pumps new pictures. `is_over` tells that no more
    /// pictures will come.
    pub(super) async fn serve(&self, is_over: impl Fn() -> bool) -> End {
        let started = Instant::now();
        let mut is_half_closed = false;
        loop {
            let (end, pictures, blocked, idle) = {
                let writer = self.lock();
                let blocked = writer.blocked_since.map(|since| since.elapsed());
                (
                    writer.end,
                    writer.pictures,
                    blocked,
                    writer.wrote_at.elapsed(),
                )
            };
            if let Some(end) = end {
                return end;
            }
            if blocked.is_some_and(|time| time >= self.manner.stall) {
                return End::Stalled;
            }
            if is_half_closed && blocked.is_none() && idle >= HALF_CLOSED {
                return End::Gone;
            }
            let patience = self.manner.patience.filter(|_| pictures == 0);
            let patience = patience.map(|time| time.saturating_sub(started.elapsed()));
            if patience.is_some_and(|left| left.is_zero()) {
                return End::Empty;
            }
            // The next look is when a stall or a wait would be too long.
            let stall = blocked.map(|time| self.manner.stall.saturating_sub(time));
            let left = [stall, patience, Some(TICK)].into_iter().flatten().min();
            tokio::select! {
                ready = self.socket.readable(), if !is_half_closed => {
                    if ready.is_err() {
                        return End::Gone;
                    }
                    match self.hear() {
                        Ok(true) => {}
                        Ok(false) if self.manner.allows_half_close => is_half_closed = true,
                        Ok(false) | Err(_) => return End::Gone,
                    }
                }
                ready = self.socket.writable(), if blocked.is_some() => {
                    if ready.is_err() {
                        return End::Gone;
                    }
                    self.pump();
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(left.unwrap_or(TICK)) => if is_over() {
                    return End::Gone;
                }
            }
        }
    }

    /// Passes over what the viewer says; false if it will say no more.
    fn hear(&self) -> io::Result<bool> {
        let mut passed = [0; 512];
        match self.socket.try_read(&mut passed) {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Lets the last bytes arrive: a socket that is closed with something unread in it takes back
    /// what the viewer has not read yet.
    pub(super) async fn farewell(&self) {
        if socket2::SockRef::from(&*self.socket)
            .shutdown(Shutdown::Write)
            .is_err()
        {
            return;
        }
        let leave = async {
            while self.socket.readable().await.is_ok() && matches!(self.hear(), Ok(true)) {}
        };
        let _ = tokio::time::timeout(FAREWELL, leave).await;
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pump for Connection {
    fn touch(&self) {
        black_box((self.writer.is_poisoned(), self.socket.as_raw_fd()));
    }

    fn pump_live(&self) {
        let writer = self.lock();
        if writer.blocked_since.is_none() {
            self.pump_locked(writer);
        }
    }
}

impl Writer {
    /// Takes the next picture; false if there is none for this viewer.
    fn begin(&mut self, ring: &Ring<Part>, manner: Manner) -> bool {
        if manner.pictures.is_some_and(|most| self.pictures >= most) {
            self.end = Some(End::Served);
            return false;
        }
        let Some(part) = next_part(&mut self.cursor, ring, &self.viewer, self.is_slow) else {
            return false;
        };
        self.is_slow = false;
        self.under_way = part.wire(manner.framing);
        self.pictures += 1;
        true
    }

    fn send(&mut self, socket: &TcpStream) -> io::Result<()> {
        let rest = self.under_way.get(self.sent..).unwrap_or_default();
        let written = write_now(socket, &[IoSlice::new(rest)])?;
        self.blocked_since = None;
        self.wrote_at = Instant::now();
        self.viewer.add_bytes(written as u64);
        self.sent += written;
        if self.sent >= self.under_way.len() {
            self.sent = 0;
            self.under_way = Bytes::new();
        }
        Ok(())
    }
}
