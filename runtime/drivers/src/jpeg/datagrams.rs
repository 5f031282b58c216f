//! Cameras that send pictures to this machine in datagrams.

use std::net::SocketAddr;
use std::time::Instant;

use proto_jpeg::{Error, Reassembler};

use super::door::Listen;
use super::pictures::Pictures;
use super::turn::Turn;
use crate::{Camera, DriverContext, DriverError};

/// Takes the camera's pictures until shutdown.
pub(super) async fn run(camera: &Camera, mut context: DriverContext) -> Result<(), DriverError> {
    let listen = Listen::of(camera, 8081)?;
    let mut place = listen.open_udp().await?;
    let mut reception = Reception {
        camera,
        listen,
        pictures: Pictures::new(&mut context.publisher, camera.interval),
        reassembler: Reassembler::new(camera.password.as_deref()),
        expired: 0,
        turn: Turn::default(),
        shown: None,
        is_paused: true,
        note: None,
    };
    reception.pictures.pause(reception.absence());
    loop {
        let wake = reception.wake();
        tokio::select! {
            datagram = place.next() => match datagram {
                Some((data, from)) => reception.take(&data, from)?,
                None => return Err(DriverError::Closed("its port was closed".to_owned())),
            },
            () = sleep_until(wake) => reception.keep_time(now()),
            () = context.shutdown.cancelled() => return Ok(()),
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(tokio::time::Instant::from_std(wake)).await,
        None => std::future::pending().await,
    }
}

struct Reception<'a> {
    camera: &'a Camera,
    listen: Listen,
    pictures: Pictures<'a>,
    reassembler: Reassembler,
    /// Unfinished pictures that were counted.
    expired: u64,
    turn: Turn,
    shown: Option<Instant>,
    is_paused: bool,
    note: Option<String>,
}

impl Reception<'_> {
    fn take(&mut self, data: &[u8], from: SocketAddr) -> Result<(), DriverError> {
        let now = now();
        let taken = self.reassembler.handle_datagram(from, data, now);
        self.count_expired();
        match taken {
            Ok(None) => {}
            Ok(Some(picture)) => {
                if !self.turn.take(from, now) {
                    self.say(format!(
                        "{} sends pictures to this port too and is not shown: name each camera's address with ?from=ADDRESS, or give each its own port",
                        from.ip()
                    ));
                } else if self.pictures.offer(picture)? {
                    self.shown = Some(now);
                    if std::mem::take(&mut self.is_paused) {
                        self.note = None;
                        tracing::info!(camera = %self.camera.name, %from, "pictures come in");
                    }
                }
            }
            Err(error) => {
                if matches!(error, Error::Torn { .. }) {
                    self.pictures.count_damaged(1);
                }
                self.say(error.to_string());
            }
        }
        Ok(())
    }

    /// Remembers the last trouble. It is shown where there are no pictures, and logged once.
    fn say(&mut self, note: String) {
        if self.note.as_ref() == Some(&note) {
            return;
        }
        tracing::debug!(camera = %self.camera.name, "{note}");
        let is_first = self.note.replace(note).is_none();
        if self.is_paused && is_first {
            self.pictures.pause(self.absence());
        }
    }

    fn keep_time(&mut self, now: Instant) {
        self.reassembler.handle_timeout(now);
        self.count_expired();
        if let Some(shown) = self.shown
            && !self.is_paused
            && now.saturating_duration_since(shown) >= self.camera.patience()
        {
            self.is_paused = true;
            self.pictures.pause(self.absence());
        }
    }

    fn count_expired(&mut self) {
        let expired = self.reassembler.expired();
        if expired > self.expired {
            self.pictures.count_damaged(expired - self.expired);
            self.expired = expired;
        }
    }

    fn wake(&self) -> Option<Instant> {
        let shown = self.shown.filter(|_| !self.is_paused);
        let silence = shown.map(|shown| shown + self.camera.patience());
        let expiry = self.reassembler.poll_timeout();
        silence.into_iter().chain(expiry).min()
    }

    fn absence(&self) -> String {
        let place = format!("UDP {}", self.listen.address);
        let patience = self.camera.patience();
        let said = self
            .turn
            .absence(patience, place, "no picture has come", self.listen.from);
        match &self.note {
            Some(note) => format!("{said}; {note}"),
            None => said,
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
