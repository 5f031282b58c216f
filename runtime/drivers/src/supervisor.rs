use std::sync::Arc;
use std::time::{Duration, Instant};

use dialer::Dialer;
use hub::{State, Stream};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::{Camera, Driver, DriverContext, DriverError, Reason};

/// Time for the first media: login, and the wait for a keyframe of a camera with a long GOP.
const FIRST_MEDIA: Duration = Duration::from_secs(20);

/// How long a session may take to end once it was told to.
const GRACE: Duration = Duration::from_secs(2);

/// Keeps one camera's upstream: starts it with the first lease, ends it `camera.idle` after the
/// last, begins anew after every failure, and says on the stream's status what is going on.
///
/// Returns when `shutdown` is told.
pub async fn supervise(
    driver: Arc<dyn Driver>,
    camera: Camera,
    dialer: Arc<dyn Dialer>,
    stream: Arc<Stream>,
    shutdown: CancellationToken,
) {
    // A camera that sends by itself costs nothing more for being heard, and its picture is there
    // for the first who looks.
    let _own = driver.listens().then(|| stream.lease());
    loop {
        tokio::select! {
            () = stream.wanted() => {}
            () = shutdown.cancelled() => return,
        }
        while_wanted(&*driver, &camera, &dialer, &stream, &shutdown).await;
        if shutdown.is_cancelled() {
            return;
        }
        let error = stream.status().error;
        stream.set_status(State::Idle, error, None);
    }
}

/// Runs sessions until nobody wants the stream, or shutdown.
async fn while_wanted(
    driver: &dyn Driver,
    camera: &Camera,
    dialer: &Arc<dyn Dialer>,
    stream: &Arc<Stream>,
    shutdown: &CancellationToken,
) {
    let mut backoff = Backoff::new();
    let mut error = None;
    let unwanted = stream.unwanted(camera.idle);
    tokio::pin!(unwanted);
    loop {
        stream.set_status(State::Connecting, error.take(), None);
        let end = CancellationToken::new();
        let context = DriverContext {
            publisher: stream.publisher(),
            dialer: Arc::clone(dialer),
            shutdown: end.clone(),
        };
        let session = driver.run(camera, context);
        tokio::pin!(session);
        let outcome = tokio::select! {
            outcome = &mut session => outcome,
            stalled = watch_media(stream, camera.patience()), if !driver.listens() => Err(stalled),
            () = &mut unwanted => Ok(()),
            () = shutdown.cancelled() => Ok(()),
        };
        let worked = stream.status().state == State::Live;
        end.cancel();
        if unwanted_or(shutdown, stream, &outcome) {
            let _ = tokio::time::timeout(GRACE, session).await;
            tracing::info!(camera = %camera.name, "upstream closed: nobody watches");
            stream.set_status(State::Idle, None, None);
            return;
        }
        let failure = match outcome {
            Ok(()) => DriverError::Closed("without a reason".to_owned()),
            Err(failure) => failure,
        };
        if worked {
            backoff.reset();
        }
        let wait = match failure.reason() {
            Reason::Login => backoff.after_refused_login(),
            Reason::Unreachable
            | Reason::NotFound
            | Reason::Unsupported
            | Reason::Protocol
            | Reason::Stalled
            | Reason::Resting
            | Reason::Closed => backoff.after_failure(),
        };
        let wait = failure.retry_after().map_or(wait, |after| after.max(wait));
        stream.count_reconnect(failure.reason().name());
        let text = failure.to_string();
        tracing::warn!(camera = %camera.name, protocol = driver.protocol(), reason = failure.reason().name(), retry_in = ?wait, "{text}");
        stream.set_status(
            State::Waiting,
            Some(text.clone()),
            Some(Instant::now() + wait),
        );
        error = Some(text);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = &mut unwanted => return,
            () = shutdown.cancelled() => return,
        }
    }
}

/// Whether the session ended because it was meant to.
fn unwanted_or(
    shutdown: &CancellationToken,
    stream: &Stream,
    outcome: &Result<(), DriverError>,
) -> bool {
    outcome.is_ok() && (shutdown.is_cancelled() || stream.leases() == 0)
}

/// Ends when no media has arrived for too long.
async fn watch_media(stream: &Stream, patience: Duration) -> DriverError {
    let started = stream.ring().head();
    let mut seen = started;
    let mut since = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let head = stream.ring().head();
        if head != seen {
            seen = head;
            since = tokio::time::Instant::now();
        }
        let limit = if seen == started {
            FIRST_MEDIA.max(patience)
        } else {
            patience
        };
        if since.elapsed() >= limit {
            return DriverError::Stalled(limit);
        }
    }
}

#[cfg(test)]
mod tests;
