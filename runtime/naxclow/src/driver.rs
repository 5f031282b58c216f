//! The camera side of the hub.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use drivers::{Camera, Driver, DriverContext, DriverError};
use format::jpeg::Picture;
use futures_util::future::BoxFuture;
use hub::Publisher;
use media::{AccessUnit, Codec, MediaTime, Track, Tracks};
use proto_naxclow::audio::{AudioCodec, SAMPLE_RATE, alaw, samples};
use proto_naxclow::{LiveFailure, Media, Uid};

use crate::live::Item;
use crate::{Cloud, Error};

/// How long a camera may take to come back before the session counts as failed.
const ARRIVE_WITHIN: Duration = Duration::from_secs(5);

/// How far the count of samples may be from the clock: a lost packet or two. Beyond that the clock counts.
const MAX_DRIFT: Duration = Duration::from_millis(400);

/// The track of pictures.
const VIDEO: usize = 0;

/// The track of sound.
const AUDIO: usize = 1;

/// The driver for `a9://UID`.
#[derive(Clone, Debug)]
pub struct A9Driver(Cloud);

impl A9Driver {
    /// A driver for cameras of this cloud.
    #[must_use]
    pub fn new(cloud: Cloud) -> Self {
        Self(cloud)
    }
}

impl Driver for A9Driver {
    fn protocol(&self) -> &'static str {
        "a9"
    }

    fn run<'a>(
        &'a self,
        camera: &'a Camera,
        context: DriverContext,
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let shutdown = context.shutdown.clone();
            tokio::select! {
                outcome = session(&self.0, camera, context) => outcome,
                () = shutdown.cancelled() => Ok(()),
            }
        })
    }
}

async fn session(
    cloud: &Cloud,
    camera: &Camera,
    mut context: DriverContext,
) -> Result<(), DriverError> {
    let uid = camera.url.host_str().unwrap_or_default();
    let uid: Uid = uid
        .parse()
        .map_err(|_| DriverError::Configuration(Error::Uid(uid.to_owned()).to_string()))?;
    let uid = uid.as_str();
    cloud
        .wait_for(uid, ARRIVE_WITHIN)
        .await
        .map_err(|error| absent(uid, &error))?;
    let mut live = cloud
        .live(uid, Media::BOTH)
        .await
        .map_err(|error| absent(uid, &error))?;
    let mut out = Out::new(&mut context.publisher)?;
    loop {
        match live.next().await {
            Some(Item::Picture(jpeg)) => out.picture(jpeg)?,
            Some(Item::Audio(codec, block)) => out.sound(codec, block)?,
            Some(Item::Failed(failure)) => return Err(failed(failure)),
            Some(Item::Ended(why)) => return Err(DriverError::Closed(why)),
            None => return Err(DriverError::Closed("its connection ended".to_owned())),
        }
    }
}

fn absent(uid: &str, error: &Error) -> DriverError {
    match error {
        Error::OnlyMqtt(_) => DriverError::Unsupported(error.to_string()),
        _ => DriverError::Unreachable {
            target: format!("camera {uid}"),
            path: "through the A9 cloud here".to_owned(),
            source: io::Error::new(io::ErrorKind::NotConnected, error.to_string()),
        },
    }
}

fn failed(failure: LiveFailure) -> DriverError {
    let after = Duration::from_secs(5);
    match failure {
        LiveFailure::NoProbe => DriverError::TimedOut {
            step: "the request for pictures over UDP (camera request timeout)",
            after: Duration::from_secs(6),
        },
        LiveFailure::NoMedia => DriverError::TimedOut {
            step: "the start of its pictures",
            after,
        },
        LiveFailure::Stalled => DriverError::Stalled(after),
    }
}

/// Puts pictures and sound on one time line: arrival for pictures, which carry no time, and counted samples for
/// sound, as long as the two agree.
struct Out<'a> {
    publisher: &'a mut Publisher,
    started: Instant,
    size: Option<(u32, u32)>,
    last_picture: i64,
    next_sample: Option<i64>,
}

impl<'a> Out<'a> {
    fn new(publisher: &'a mut Publisher) -> Result<Self, DriverError> {
        let mut out = Self {
            publisher,
            started: Instant::now(),
            size: None,
            last_picture: -1,
            next_sample: None,
        };
        out.announce()?;
        Ok(out)
    }

    fn announce(&mut self) -> Result<(), DriverError> {
        let tracks = vec![
            Track::jpeg(self.size),
            Track::g711(Codec::Pcma, SAMPLE_RATE, 1),
        ];
        Ok(self.publisher.announce(Tracks::new(tracks))?)
    }

    fn since(&self, received: Instant, rate: u32) -> i64 {
        let elapsed = received.saturating_duration_since(self.started).as_nanos();
        MediaTime::from_nanos(i64::try_from(elapsed).unwrap_or(i64::MAX), rate).0
    }

    fn picture(&mut self, jpeg: Bytes) -> Result<(), DriverError> {
        let Ok(head) = Picture::parse(&jpeg) else {
            // Damage that the transport cannot notice; the next one is a tenth of a second away.
            tracing::debug!("a picture came that no decoder would take");
            return Ok(());
        };
        let size = (head.width, head.height);
        if self.size != Some(size) {
            self.size = Some(size);
            self.announce()?;
        }
        let received = Instant::now();
        // Two pictures may come in one read; their times still differ.
        self.last_picture = self.since(received, 90_000).max(self.last_picture + 1);
        self.publish(VIDEO, self.last_picture, received, jpeg)
    }

    fn sound(&mut self, codec: AudioCodec, block: Bytes) -> Result<(), DriverError> {
        let block = match codec {
            AudioCodec::ALaw => block,
            AudioCodec::Pcm => samples(&block).map(alaw).collect::<Vec<u8>>().into(),
        };
        let len = i64::try_from(block.len()).unwrap_or_default();
        if len == 0 {
            return Ok(());
        }
        let received = Instant::now();
        // The block was spoken before it came.
        let clock = (self.since(received, SAMPLE_RATE) - len).max(0);
        let drift = MediaTime::from_nanos(MAX_DRIFT.as_nanos() as i64, SAMPLE_RATE).0;
        let time = match self.next_sample {
            Some(next) if next.abs_diff(clock) <= drift.unsigned_abs() => next,
            Some(next) => next.max(clock),
            None => clock,
        };
        self.next_sample = Some(time + len);
        self.publish(AUDIO, time, received, block)
    }

    fn publish(
        &mut self,
        track: usize,
        time: i64,
        received: Instant,
        payload: Bytes,
    ) -> Result<(), DriverError> {
        self.publisher.publish(AccessUnit {
            track,
            time: MediaTime(time),
            wall: None,
            received,
            is_keyframe: true,
            payload,
        })?;
        Ok(())
    }
}
