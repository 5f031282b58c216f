//! Keeps the last still of a camera over restarts.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use format::jpeg;
use hub::{State, Stream};

use crate::{Backup, Pixels};

/// How long a camera must have been live for its still to be worth a write.
const SETTLED: Duration = Duration::from_secs(10);

/// How often a still is written while the camera is live. A memory card stands a write of 100 kB
/// every five minutes for decades.
const EVERY: Duration = Duration::from_secs(300);

/// Writes the newest still while the camera is live, and once more when it no longer is. Never ends.
pub(crate) async fn run(pixels: &Pixels, stream: Arc<Stream>) {
    let mut status = stream.watch_status();
    let mut written: Option<Instant> = None;
    loop {
        // The sender lives in the stream, so waiting cannot fail.
        let _ = status.wait_for(|status| status.state == State::Live).await;
        let mut pause = SETTLED;
        loop {
            let away = status.wait_for(|status| status.state != State::Live);
            let is_away = tokio::time::timeout(pause, away).await.is_ok();
            write(pixels, &stream, &mut written).await;
            if is_away {
                break;
            }
            pause = EVERY;
        }
    }
}

async fn write(pixels: &Pixels, stream: &Arc<Stream>, written: &mut Option<Instant>) {
    if pixels.backups.choice(stream.name()) != Backup::Last {
        return;
    }
    let (Some(tracks), Some(unit)) = (stream.tracks(), pixels.newest(stream)) else {
        return;
    };
    if written.replace(unit.received) == Some(unit.received) {
        return;
    }
    let taken = SystemTime::now() - unit.received.elapsed();
    let picture = if jpeg::is_whole(&unit.payload) {
        unit.payload
    } else {
        match pixels.still(stream, &tracks, &unit).await {
            Ok(still) => still.payload,
            Err(error) => {
                tracing::debug!(camera = %stream.name(), "no still is kept: {error}");
                return;
            }
        }
    };
    let (backups, name) = (Arc::clone(&pixels.backups), stream.name().clone());
    let write = move || {
        if let Err(error) = backups.keep(&name, &picture, taken) {
            tracing::warn!(camera = %name, "the last still cannot be kept: {error}");
        }
    };
    // It fails only while the program ends.
    let _ = tokio::task::spawn_blocking(write).await;
}
