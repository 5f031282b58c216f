use std::time::Duration;

use proto_jpeg::{Losses, Multipart, Scanner};
use tokio::time::Instant;

use super::client::{Body, Client};
use crate::jpeg::Pictures;
use crate::{Camera, DriverContext, DriverError};

/// Time between two requests for stills. Five pictures a second are what a small camera gives
/// without dropping its other work.
const STILL_INTERVAL: Duration = Duration::from_millis(200);

/// Answers on end that may hold no whole picture: a camera on a bad radio link cuts one now and then.
const MAX_EMPTY: u32 = 3;

/// Bytes without a picture after which it is plain that none will come.
const MAX_JUNK: u64 = 2 * media::MAX_ACCESS_UNIT as u64;

/// What an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Stream,
    Still,
}

pub(super) async fn run(camera: &Camera, mut context: DriverContext) -> Result<(), DriverError> {
    let shutdown = context.shutdown.clone();
    tokio::select! {
        outcome = converse(camera, &mut context) => outcome,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn converse(camera: &Camera, context: &mut DriverContext) -> Result<(), DriverError> {
    let mut pictures = Pictures::new(&mut context.publisher, camera.interval);
    let interval = camera.interval.unwrap_or(STILL_INTERVAL);
    let mut client = Client::new(camera, &*context.dialer);
    let mut empty = 0;
    let mut next = Instant::now();
    loop {
        tokio::time::sleep_until(next).await;
        // No picture is asked for late to make up for those that were.
        next = (next + interval).max(Instant::now());
        let (of_type, body) = client.ask().await?;
        match content(&of_type)? {
            Content::Stream => return stream(body, &mut pictures).await,
            Content::Still => {
                if still(body, &mut pictures).await? {
                    empty = 0;
                    continue;
                }
                empty += 1;
                if empty >= MAX_EMPTY {
                    return Err(DriverError::Protocol(format!(
                        "{MAX_EMPTY} answers of type {of_type:?} held no whole JPEG picture"
                    )));
                }
            }
        }
    }
}

/// Publishes the parts of a stream until the camera ends it.
async fn stream(mut body: Body<'_>, pictures: &mut Pictures<'_>) -> Result<(), DriverError> {
    let mut parser = Multipart::new();
    let (mut count, mut bytes) = (0_u64, 0_u64);
    let mut counted = Losses::default();
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len() as u64;
        parser.feed(&chunk);
        while let Some(picture) = parser.poll() {
            count += u64::from(pictures.offer(picture)?);
        }
        pictures.count_losses(parser.losses(), &mut counted);
        if count == 0 && bytes > MAX_JUNK {
            return Err(DriverError::Protocol(format!(
                "{bytes} bytes of stream came and no JPEG picture among them"
            )));
        }
    }
    let losses = parser.losses();
    Err(DriverError::Closed(format!(
        "its stream ended after {count} pictures ({} torn, {} too large)",
        losses.torn, losses.oversized
    )))
}

/// Publishes the one picture of an answer; says whether there was one.
async fn still(mut body: Body<'_>, pictures: &mut Pictures<'_>) -> Result<bool, DriverError> {
    let mut scanner = Scanner::default();
    let mut is_whole = false;
    // To the end, or the connection could not be used again.
    while let Some(chunk) = body.chunk().await? {
        scanner.feed(&chunk);
        while let Some(picture) = scanner.poll() {
            is_whole |= pictures.publish(picture)?;
        }
    }
    scanner.finish();
    pictures.count_losses(scanner.losses(), &mut Losses::default());
    Ok(is_whole)
}

/// What a `Content-Type` promises.
fn content(of_type: &str) -> Result<Content, DriverError> {
    let of_type = of_type.split(';').next().unwrap_or_default().trim();
    let of_type = of_type.to_ascii_lowercase();
    match of_type.as_str() {
        "image/jpeg" | "image/jpg" | "image/pjpeg" => Ok(Content::Still),
        // Some firmware names no type, or the most general one.
        "" | "application/octet-stream" => Ok(Content::Stream),
        multipart if multipart.starts_with("multipart/") => Ok(Content::Stream),
        "text/html" => Err(DriverError::Unsupported(
            "a web page (text/html), no pictures: the stream of an ESP32-CAM is usually mjpeg+http://HOST:81/stream, its still http://HOST/capture".to_owned(),
        )),
        other => Err(DriverError::Unsupported(format!(
            "{other:?}; carried are multipart/x-mixed-replace and image/jpeg"
        ))),
    }
}
