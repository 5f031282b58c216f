//! Cameras that connect to this machine and send pictures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use proto_jpeg::{Losses, Scanner};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::door::Listen;
use super::pictures::{Pictures, excerpt};
use super::turn::Turn;
use super::{EXCERPT, MAX_JUNK, READ};
use crate::{Camera, DriverContext, DriverError};

/// Silence after which another connection of the same camera takes the place of one that stands.
const SUPERSEDED: Duration = Duration::from_secs(1);

/// Silence after which a connection is closed: the camera lost its radio link without a word.
const DEAD: Duration = Duration::from_secs(10);

/// Far away, for timers that are not set.
const NEVER: Duration = Duration::from_secs(86_400);

/// Lets the camera in, as often as it comes, until shutdown.
pub(super) async fn run(camera: &Camera, mut context: DriverContext) -> Result<(), DriverError> {
    let listen = Listen::of(camera, 4444)?;
    let mut place = listen.open_tcp().await?;
    let mut reception = Reception {
        camera,
        listen,
        pictures: Pictures::new(&mut context.publisher, camera.interval),
        turn: Turn::default(),
        visit: None,
        next: None,
        shown: None,
        is_paused: true,
        note: None,
    };
    reception.pictures.pause(reception.absence());
    let mut buf = BytesMut::with_capacity(READ);
    loop {
        let wake = tokio::time::Instant::from_std(reception.wake(now()));
        buf.clear();
        // Every arm is cancel safe: it takes a caller or bytes, or nothing.
        tokio::select! {
            caller = place.next() => match caller {
                Some((stream, from)) => reception.admit(stream, from),
                None => return Err(DriverError::Closed("its port was closed".to_owned())),
            },
            read = read(&mut reception.visit, &mut buf) => reception.take(read, &buf)?,
            () = tokio::time::sleep_until(wake) => {}
            () = context.shutdown.cancelled() => return Ok(()),
        }
        reception.keep_time(now());
    }
}

/// The next bytes of the visit; waits for ever where there is none.
async fn read(visit: &mut Option<Visit>, buf: &mut BytesMut) -> std::io::Result<usize> {
    match visit {
        Some(visit) => visit.stream.read_buf(buf).await,
        None => std::future::pending().await,
    }
}

struct Reception<'a> {
    camera: &'a Camera,
    listen: Listen,
    pictures: Pictures<'a>,
    turn: Turn,
    visit: Option<Visit>,
    /// The same camera called again while the first connection stands.
    next: Option<(TcpStream, SocketAddr)>,
    /// When the last picture came.
    shown: Option<Instant>,
    is_paused: bool,
    /// The last trouble, for people.
    note: Option<String>,
}

/// One connection of a camera.
struct Visit {
    stream: TcpStream,
    from: SocketAddr,
    scanner: Scanner,
    losses: Losses,
    heard: Instant,
    bytes: u64,
    pictures: u64,
    first: BytesMut,
}

impl Reception<'_> {
    fn admit(&mut self, stream: TcpStream, from: SocketAddr) {
        let now = now();
        if !self.turn.admits(from, now) {
            self.refuse(from);
            return;
        }
        match &self.visit {
            Some(visit) if now.saturating_duration_since(visit.heard) < SUPERSEDED => {
                self.next = Some((stream, from));
            }
            Some(_) | None => {
                self.end_visit();
                self.visit = Some(Visit::new(stream, from, now));
            }
        }
    }

    fn refuse(&mut self, from: SocketAddr) {
        let note = format!(
            "{} sends pictures to this port too and is not shown: name each camera's address with ?from=ADDRESS, or give each its own port",
            from.ip()
        );
        if self.note.as_ref() != Some(&note) {
            tracing::warn!(camera = %self.camera.name, "{note}");
            self.note = Some(note);
        }
    }

    fn take(&mut self, read: std::io::Result<usize>, data: &[u8]) -> Result<(), DriverError> {
        let Some(visit) = &mut self.visit else {
            return Ok(());
        };
        if !matches!(read, Ok(len) if len > 0) {
            self.end_visit();
            return Ok(());
        }
        let now = now();
        visit.heard = now;
        visit.bytes += data.len() as u64;
        if visit.first.len() < EXCERPT {
            visit.first.extend_from_slice(data);
            visit.first.truncate(EXCERPT);
        }
        visit.scanner.feed(data);
        while let Some(picture) = visit.scanner.poll() {
            if self.pictures.offer(picture)? {
                visit.pictures += 1;
                self.turn.hold(visit.from, now);
                self.shown = Some(now);
                if std::mem::take(&mut self.is_paused) {
                    self.note = None;
                    tracing::info!(camera = %self.camera.name, from = %visit.from, "pictures come in");
                }
            }
        }
        let losses = visit.scanner.losses();
        self.pictures.count_losses(losses, &mut visit.losses);
        if visit.pictures == 0 && visit.bytes > MAX_JUNK {
            self.end_visit();
        }
        Ok(())
    }

    /// Ends the visit: what is unfinished is lost. The next caller has its turn.
    fn end_visit(&mut self) {
        if let Some(mut visit) = self.visit.take() {
            visit.scanner.finish();
            let losses = visit.scanner.losses();
            self.pictures.count_losses(losses, &mut visit.losses);
            if visit.pictures == 0 {
                self.note = Some(visit.nothing());
                if self.is_paused {
                    self.pictures.pause(self.absence());
                }
            }
        }
        if let Some((stream, from)) = self.next.take() {
            self.visit = Some(Visit::new(stream, from, now()));
        }
    }

    /// Does what is due.
    fn keep_time(&mut self, now: Instant) {
        if let Some(visit) = &self.visit {
            let silence = now.saturating_duration_since(visit.heard);
            if silence >= DEAD || (self.next.is_some() && silence >= SUPERSEDED) {
                self.end_visit();
            }
        }
        let patience = self.camera.patience();
        if let Some(shown) = self.shown
            && !self.is_paused
            && now.saturating_duration_since(shown) >= patience
        {
            self.is_paused = true;
            self.pictures.pause(self.absence());
        }
    }

    /// When to look again at the latest.
    fn wake(&self, now: Instant) -> Instant {
        let mut wake = now + NEVER;
        if let Some(visit) = &self.visit {
            let silence = match self.next {
                Some(_) => SUPERSEDED,
                None => DEAD,
            };
            wake = wake.min(visit.heard + silence);
        }
        if let Some(shown) = self.shown.filter(|_| !self.is_paused) {
            wake = wake.min(shown + self.camera.patience());
        }
        wake
    }

    /// Why there are no pictures, for people.
    fn absence(&self) -> String {
        let place = self.listen.address;
        let patience = self.camera.patience();
        let said = self
            .turn
            .absence(patience, place, "no camera has connected", self.listen.from);
        match &self.note {
            Some(note) => format!("{said}; {note}"),
            None => said,
        }
    }
}

impl Visit {
    fn new(stream: TcpStream, from: SocketAddr, now: Instant) -> Self {
        Self {
            stream,
            from,
            scanner: Scanner::default(),
            losses: Losses::default(),
            heard: now,
            bytes: 0,
            pictures: 0,
            first: BytesMut::new(),
        }
    }

    /// What is known of a visit that brought no picture.
    fn nothing(&self) -> String {
        let ip = self.from.ip();
        match self.bytes {
            0 => format!("{ip} connected and left without a byte"),
            bytes => format!(
                "{ip} sent {bytes} bytes without a whole JPEG picture; they began with {}",
                excerpt(&self.first)
            ),
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
