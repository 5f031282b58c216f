//! Moving pictures: one decoder for a stream, while somebody looks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use format::jpeg;
use hub::{Cursor, Event, Lease, Publisher, Start, State, Stream};
use media::{AccessUnit, Codec, MediaTime, NalUnits, Track, Tracks};
use proto_jpeg::Scanner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::AbortHandle;

use crate::backup::Backups;
use crate::child::{Child, Wanted};
use crate::ffmpeg::{self, Ffmpeg};
use crate::settings::Maker;
use crate::{Settings, wire};

/// The pause before a decoder that failed is started again. A camera can make every one of them
/// fail, so this is what its damage costs us.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a camera gives nothing before a substitute is shown, and again each time.
const QUIET: Duration = Duration::from_secs(4);

/// Access units on end that gave nothing, after which a decoder is started anew: two groups of
/// pictures of most cameras.
const MAX_FAILURES: u32 = 100;

/// A stream of JPEG pictures, for as long as somebody holds this.
#[derive(Clone, Debug)]
pub struct Pictures {
    stream: Arc<Stream>,
    _movie: Option<Arc<Movie>>,
}

impl Pictures {
    pub(crate) fn of_camera(stream: Arc<Stream>) -> Self {
        Self {
            stream,
            _movie: None,
        }
    }

    pub(crate) fn decoded(movie: Arc<Movie>) -> Self {
        Self {
            stream: Arc::clone(&movie.pictures),
            _movie: Some(movie),
        }
    }

    /// The stream: each of its access units is one JPEG picture with the time of the picture that
    /// it was made of.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }
}

/// A running decoder. Its end stops the task, and with it the process, and gives the camera back.
#[derive(Debug)]
pub(crate) struct Movie {
    source: Arc<Stream>,
    pictures: Arc<Stream>,
    task: AbortHandle,
}

impl Movie {
    pub(crate) fn start(
        source: &Arc<Stream>,
        settings: &Arc<Settings>,
        backups: &Arc<Backups>,
    ) -> Self {
        let pictures = Arc::new(Stream::detached(source.name().clone()));
        let projector = Projector {
            lease: source.lease(),
            publisher: pictures.publisher(),
            settings: Arc::clone(settings),
            backups: Arc::clone(backups),
            newest: None,
        };
        Self {
            source: Arc::clone(source),
            pictures,
            task: tokio::spawn(projector.run()).abort_handle(),
        }
    }

    pub(crate) fn is_of(&self, stream: &Arc<Stream>) -> bool {
        Arc::ptr_eq(&self.source, stream) && !self.task.is_finished()
    }

    pub(crate) fn newest(&self) -> Option<AccessUnit> {
        match &*self.pictures.ring().newest_keyframe()? {
            Event::AccessUnit(unit, _) => Some(unit.clone()),
            Event::Tracks(_) => None,
        }
    }
}

impl Drop for Movie {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task of a movie.
struct Projector {
    lease: Lease,
    publisher: Publisher,
    settings: Arc<Settings>,
    backups: Arc<Backups>,
    /// Time and arrival of the newest picture, the camera's or a substitute.
    newest: Option<(MediaTime, Instant)>,
}

/// Why a decoder is of no more use.
enum End {
    /// The video is another one from here on.
    Changed,
    /// It failed; the reason.
    Failed(String),
}

/// What a reader has.
enum Input {
    Unit(AccessUnit),
    /// The video is another one from here on.
    Changed,
    /// Nothing came for [`QUIET`].
    Quiet,
}

impl Projector {
    async fn run(mut self) {
        let source = Arc::clone(self.lease.stream());
        let jpeg = Tracks::new(vec![Track::jpeg(None)]);
        let _ = self.publisher.announce(jpeg);
        if source.status().state != State::Live {
            // Whoever started this has waited for the camera already.
            self.substitute().await;
        }
        loop {
            let Ok(tracks) = tokio::time::timeout(QUIET, source.wait_tracks()).await else {
                self.substitute().await;
                continue;
            };
            let video = tracks.video().and_then(|at| Some((at, tracks.get(at)?)));
            let Some((at, track)) = video else {
                tracing::warn!(camera = %source.name(), "it sends no pictures");
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let mut reader = Reader {
                source: Arc::clone(&source),
                cursor: source.ring().start(Start::Gop),
                video: at,
                track: track.clone(),
            };
            let end = match self.settings.maker(&source, track) {
                _ if track.codec == Codec::Jpeg => self.pass_on(&mut reader).await,
                Ok(Maker::BuiltIn) => self.project(&mut reader).await,
                Ok(Maker::Ffmpeg) => self.project_by_ffmpeg(&mut reader).await,
                Err(error) => End::Failed(error.to_string()),
            };
            if let End::Failed(reason) = end {
                tracing::warn!(camera = %source.name(), "no JPEG pictures: {reason}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Passes JPEG pictures on as they are.
    async fn pass_on(&mut self, reader: &mut Reader) -> End {
        loop {
            match reader.next().await {
                Input::Unit(unit) if jpeg::is_whole(&unit.payload) => {
                    let jpeg = unit.payload.clone();
                    self.publish(&unit, jpeg);
                }
                Input::Unit(_) => {}
                Input::Changed => return End::Changed,
                Input::Quiet => self.substitute().await,
            }
        }
    }

    /// Decodes by a process of ours until the video changes or the process fails.
    async fn project(&mut self, reader: &mut Reader) -> End {
        let mut child = match Child::start(&self.settings, &reader.track.parameters).await {
            Ok(child) => child,
            Err(reason) => return End::Failed(reason),
        };
        let codec = reader.track.codec;
        let mut pace = Pace::new(self.settings.max_fps);
        let mut failures = 0;
        loop {
            let unit = match reader.next().await {
                Input::Unit(unit) => unit,
                Input::Changed => return End::Changed,
                Input::Quiet => {
                    self.substitute().await;
                    continue;
                }
            };
            let wanted = if pace.is_due() {
                Wanted::Next
            } else {
                Wanted::Nothing
            };
            if wanted == Wanted::Nothing && is_disposable(codec, &unit.payload) {
                continue;
            }
            match child.decode(&unit.payload, wanted).await {
                Ok(Ok(Some(jpeg))) => {
                    failures = 0;
                    pace.count();
                    self.publish(&unit, jpeg);
                }
                Ok(Ok(None)) => {}
                Ok(Err(reason)) => {
                    failures += 1;
                    tracing::debug!(camera = %self.lease.stream().name(), "a picture was left out: {reason}");
                    if failures >= MAX_FAILURES {
                        return End::Failed(reason);
                    }
                }
                Err(reason) => return End::Failed(reason),
            }
        }
    }

    /// The same by an ffmpeg, which answers when it likes.
    async fn project_by_ffmpeg(&mut self, reader: &mut Reader) -> End {
        let track = &reader.track.clone();
        let mut ffmpeg = match Ffmpeg::movie(&self.settings, track) {
            Ok(ffmpeg) => ffmpeg,
            Err(reason) => return End::Failed(reason),
        };
        let mut scanner = Scanner::with_limit(wire::MAX_ANSWER);
        let mut pace = Pace::new(self.settings.max_fps);
        let mut waiting = BytesMut::from(&ffmpeg::parameter_sets(&track.parameters)[..]);
        let mut newest: Option<AccessUnit> = None;
        let mut read = vec![0; 64 << 10];
        loop {
            // All branches are cancel safe: `write` and `read` move bytes or do nothing, and a
            // reader's `next` takes an access unit or none.
            tokio::select! {
                written = ffmpeg.input.write(&waiting), if !waiting.is_empty() => match written {
                    Ok(len) => drop(waiting.split_to(len)),
                    Err(_) => return End::Failed(ffmpeg.complaint().await),
                },
                input = reader.next(), if waiting.is_empty() => match input {
                    Input::Unit(unit) => {
                        waiting.extend_from_slice(&ffmpeg::annex_b(&unit.payload));
                        newest = Some(unit);
                    }
                    Input::Changed => return End::Changed,
                    Input::Quiet => self.substitute().await,
                },
                len = ffmpeg.output.read(&mut read) => match len {
                    Ok(0) | Err(_) => return End::Failed(ffmpeg.complaint().await),
                    Ok(len) => {
                        scanner.feed(read.get(..len).unwrap_or_default());
                        while let Some(jpeg) = scanner.poll() {
                            if let Some(unit) = newest.as_ref().filter(|_| pace.is_due()) {
                                pace.count();
                                self.publish(unit, jpeg);
                            }
                        }
                    }
                },
            }
        }
    }

    fn publish(&mut self, unit: &AccessUnit, jpeg: Bytes) {
        let picture = AccessUnit {
            track: 0,
            is_keyframe: true,
            payload: jpeg,
            ..unit.clone()
        };
        self.newest = Some((picture.time, picture.received));
        // The hub refuses only giants, and an answer's limit is below its own.
        let _ = self.publisher.publish(picture);
    }

    /// Shows what is to be shown while the camera gives nothing.
    async fn substitute(&mut self) {
        let (backups, name) = (
            Arc::clone(&self.backups),
            self.lease.stream().name().clone(),
        );
        let reading = tokio::task::spawn_blocking(move || backups.substitute(&name));
        let Ok(Some(substitute)) = reading.await else {
            return;
        };
        if substitute.taken.is_some() && self.newest.is_some() {
            // The last still is what viewers see already.
            return;
        }
        let now = Instant::now();
        let (time, since) = self.newest.unwrap_or((MediaTime(0), now));
        let passed = now.saturating_duration_since(since).as_nanos();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let picture = AccessUnit {
            track: 0,
            time: MediaTime(
                time.0
                    .saturating_add(MediaTime::from_nanos(passed, 90_000).0),
            ),
            wall: None,
            received: now,
            is_keyframe: true,
            payload: substitute.jpeg,
        };
        let _ = self.publisher.publish(picture);
    }
}

/// Access units of one video track.
struct Reader {
    source: Arc<Stream>,
    cursor: Cursor,
    video: usize,
    track: Track,
}

impl Reader {
    /// The next one. Cancel safe.
    async fn next(&mut self) -> Input {
        loop {
            match self.cursor.poll(self.source.ring()).as_deref() {
                Some(Event::AccessUnit(unit, _)) if unit.track == self.video => {
                    return Input::Unit(unit.clone());
                }
                Some(Event::Tracks(tracks)) if tracks.get(self.video) != Some(&self.track) => {
                    return Input::Changed;
                }
                Some(_) => {}
                None => {
                    let arrival = self.source.ring().wait(self.cursor.next());
                    if tokio::time::timeout(QUIET, arrival).await.is_err() {
                        return Input::Quiet;
                    }
                }
            }
        }
    }
}

/// Holds the pictures to a rate, over any number of them.
struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    fn new(max_fps: f64) -> Self {
        Self {
            interval: Duration::from_secs_f64(1.0 / max_fps.clamp(0.01, 100.0)),
            due: Instant::now(),
        }
    }

    fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    fn count(&mut self) {
        self.due = (self.due + self.interval).max(Instant::now() - self.interval / 2);
    }
}

/// Whether no other picture is decoded from this one.
fn is_disposable(codec: Codec, payload: &Bytes) -> bool {
    // nal_ref_idc (H.264 section 7.4.1) of slices. What H.265 marks so may still serve pictures of
    // a higher temporal layer.
    codec == Codec::H264
        && NalUnits::new(payload).all(|nal| {
            nal.first().is_some_and(|head| match head & 0x1f {
                1..=5 => head & 0x60 == 0,
                7 | 8 => false,
                _ => true,
            })
        })
}
