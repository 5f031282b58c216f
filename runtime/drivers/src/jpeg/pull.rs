use std::time::Duration;

use bytes::BytesMut;
use dialer::{BoxIo, Target};
use proto_jpeg::{Losses, Scanner};
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use super::pictures::{Pictures, excerpt};
use super::{EXCERPT, MAX_JUNK, READ};
use crate::{Camera, DriverContext, DriverError};

/// Connections on end that may give no whole picture before the session counts as failed: a
/// camera on a bad radio link cuts one now and then.
const MAX_EMPTY: u32 = 3;

/// Silence that ends a connection. A camera that sends one picture per connection takes it first.
const SILENCE: Duration = Duration::from_secs(10);

/// First wait after a camera that gave pictures refuses the next connection: it may still be
/// closing the last. It doubles up to [`LAST_REFUSAL`], then the session ends.
const FIRST_REFUSAL: Duration = Duration::from_millis(5);

/// Longest such wait.
const LAST_REFUSAL: Duration = Duration::from_millis(320);

/// Takes pictures until shutdown, over as many connections as the camera wants.
pub(super) async fn run(camera: &Camera, mut context: DriverContext) -> Result<(), DriverError> {
    let shutdown = context.shutdown.clone();
    tokio::select! {
        outcome = pull(camera, &mut context) => outcome,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn pull(camera: &Camera, context: &mut DriverContext) -> Result<(), DriverError> {
    let target = target(camera)?;
    let mut pictures = Pictures::new(&mut context.publisher, camera.interval);
    let silence = SILENCE.max(camera.patience());
    let mut empty = 0;
    let mut refusal = None;
    let mut due = Instant::now();
    loop {
        tokio::time::sleep_until(due).await;
        // Nothing is made up for: a call that comes late moves those that follow.
        due = (due + camera.interval.unwrap_or_default()).max(Instant::now());
        let mut io = match context.dialer.connect(&target).await {
            Ok(io) => io,
            Err(source) => {
                let wait = refusal.filter(|wait| *wait <= LAST_REFUSAL);
                let Some(wait) = wait else {
                    return Err(DriverError::Unreachable {
                        target: target.to_string(),
                        path: context.dialer.describe(),
                        source,
                    });
                };
                tokio::time::sleep(wait).await;
                refusal = Some(wait * 2);
                continue;
            }
        };
        let connection = receive(&mut io, &mut pictures, silence).await?;
        if connection.pictures > 0 {
            empty = 0;
            refusal = Some(FIRST_REFUSAL);
            // A camera that sends one picture per connection is called again at once, or after its
            // interval: the camera itself sets the pace.
            continue;
        }
        if connection.is_silent && connection.bytes == 0 {
            return Err(DriverError::Silent(format!(
                "{target} took the connection and sent nothing for {} s. Is this the port for pictures (usually 1234)? A camera that waits to be asked speaks HTTP or RTSP (mjpeg+http://, rtsp://); one that serves somebody else lets others wait",
                silence.as_secs()
            )));
        }
        empty += 1;
        if empty >= MAX_EMPTY {
            return Err(connection.nothing());
        }
    }
}

/// What one connection gave.
#[derive(Debug, Default)]
struct Connection {
    pictures: u64,
    bytes: u64,
    first: BytesMut,
    broke: Option<std::io::Error>,
    is_silent: bool,
}

impl Connection {
    /// Why a connection that gave no picture is a failure.
    fn nothing(&self) -> DriverError {
        let ended = match &self.broke {
            Some(error) => format!("the connection broke ({error})"),
            None if self.is_silent => "the camera fell silent".to_owned(),
            None => "the camera closed the connection".to_owned(),
        };
        DriverError::Closed(match self.bytes {
            0 => format!(
                "{ended} before it sent a byte; many cameras serve one viewer at a time: close other programs that watch it"
            ),
            bytes => format!(
                "{ended} after {bytes} bytes without a whole JPEG picture; they began with {}{}",
                excerpt(&self.first),
                hint(&self.first),
            ),
        })
    }
}

/// Publishes what comes until the camera closes, or has been silent for too long.
async fn receive(
    io: &mut BoxIo,
    pictures: &mut Pictures<'_>,
    silence: Duration,
) -> Result<Connection, DriverError> {
    let mut connection = Connection::default();
    let mut scanner = Scanner::default();
    let mut losses = Losses::default();
    let mut buf = BytesMut::with_capacity(READ);
    loop {
        buf.clear();
        match tokio::time::timeout(silence, io.read_buf(&mut buf)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(len)) => connection.bytes += len as u64,
            Ok(Err(error)) => {
                connection.broke = Some(error);
                break;
            }
            Err(_) => {
                connection.is_silent = true;
                break;
            }
        }
        if connection.first.len() < EXCERPT {
            connection.first.extend_from_slice(&buf);
            connection.first.truncate(EXCERPT);
        }
        scanner.feed(&buf);
        while let Some(picture) = scanner.poll() {
            // The first was called for when its time had come; those behind it come by themselves.
            let is_picture = match connection.pictures {
                0 => pictures.publish(picture)?,
                _ => pictures.offer(picture)?,
            };
            connection.pictures += u64::from(is_picture);
        }
        pictures.count_losses(scanner.losses(), &mut losses);
        if connection.pictures == 0 && connection.bytes > MAX_JUNK {
            return Err(DriverError::Protocol(format!(
                "{} bytes came and no JPEG picture among them; they began with {}{}",
                connection.bytes,
                excerpt(&connection.first),
                hint(&connection.first),
            )));
        }
    }
    scanner.finish();
    pictures.count_losses(scanner.losses(), &mut losses);
    Ok(connection)
}

fn target(camera: &Camera) -> Result<Target, DriverError> {
    let host = camera.url.host_str().unwrap_or_default();
    if !matches!(camera.url.path(), "" | "/") || camera.url.query().is_some() {
        return Err(DriverError::Configuration(
            "jpeg+tcp:// has no path: for a camera that speaks HTTP write mjpeg+http://".to_owned(),
        ));
    }
    Ok(Target::new(
        host.trim_matches(['[', ']']),
        camera.url.port().unwrap_or(1234),
    ))
}

/// What to try, where the first bytes tell what the camera really speaks.
fn hint(first: &[u8]) -> &'static str {
    if first.starts_with(b"HTTP/") || first.starts_with(b"<") {
        ": it speaks HTTP, try mjpeg+http://"
    } else if first.starts_with(b"RTSP/") {
        ": it speaks RTSP, try rtsp://"
    } else if first.starts_with(b"SSH-") {
        ": this is an SSH server, check the port"
    } else {
        ""
    }
}
