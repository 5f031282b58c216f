use std::time::Duration;

use bytes::BytesMut;
use dialer::{BoxIo, Target};
use proto_jpeg::Scanner;
use tokio::io::AsyncReadExt;

use super::pictures::{Pictures, excerpt};
use crate::{Camera, DriverContext, DriverError};

/// Bytes taken at a time: a picture of a usual size in a few reads.
const READ: usize = 64 << 10;

/// Connections on end that may give no whole picture before the session counts as failed: a
/// camera on a bad radio link cuts one now and then.
const MAX_EMPTY: u32 = 3;

/// Bytes without a picture after which it is plain that this is no JPEG camera.
const MAX_JUNK: u64 = 2 * media::MAX_ACCESS_UNIT as u64;

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
    let mut pictures = Pictures::new(&mut context.publisher);
    let mut empty = 0;
    let mut refusal = None;
    loop {
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
        let connection = receive(&mut io, &mut pictures).await?;
        if connection.pictures > 0 {
            empty = 0;
            refusal = Some(FIRST_REFUSAL);
            // A camera that sends one picture per connection is called again at once: the camera
            // itself sets the pace.
            continue;
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
}

impl Connection {
    /// Why a connection that gave no picture is a failure.
    fn nothing(&self) -> DriverError {
        let ended = match &self.broke {
            Some(error) => format!("the connection broke ({error})"),
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

/// Publishes what comes until the camera closes.
async fn receive(io: &mut BoxIo, pictures: &mut Pictures<'_>) -> Result<Connection, DriverError> {
    let mut connection = Connection::default();
    let mut scanner = Scanner::default();
    let mut buf = BytesMut::with_capacity(READ);
    loop {
        buf.clear();
        match io.read_buf(&mut buf).await {
            Ok(0) => break,
            Ok(len) => connection.bytes += len as u64,
            Err(error) => {
                connection.broke = Some(error);
                break;
            }
        }
        if connection.first.len() < 24 {
            connection.first.extend_from_slice(&buf);
            connection.first.truncate(24);
        }
        scanner.feed(&buf);
        while let Some(picture) = scanner.poll() {
            pictures.publish(picture)?;
            connection.pictures += 1;
        }
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
    let losses = scanner.losses();
    if losses.torn + losses.oversized > 0 {
        tracing::debug!(
            torn = losses.torn,
            oversized = losses.oversized,
            pictures = connection.pictures,
            "pictures were lost on this connection"
        );
    }
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
