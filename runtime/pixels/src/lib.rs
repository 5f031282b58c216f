//! JPEG pictures of cameras that send H.264 or H.265.
//!
//! [`Pixels::pictures`] gives the stream of JPEG pictures of any camera: the camera's own stream
//! where it sends JPEG, else one that a single decoder makes at a bounded frame rate for as long
//! as somebody holds it. [`Pixels::still`] decodes one keyframe, once for all who ask.
//!
//! Decoders run in processes of their own ([`decode`], or ffmpeg for what that cannot): a camera's
//! bytes can end a decoder, not the gateway. This crate knows no HTTP.
#![warn(missing_docs)]

mod backup;
mod child;
mod decoder;
mod error;
mod ffmpeg;
mod keeper;
mod limits;
mod movie;
mod picture;
mod settings;
mod still;
mod wire;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use hub::{Event, Stream, StreamName};
use media::{AccessUnit, Codec, Tracks};

pub use backup::{Backup, Substitute};
pub use error::Error;
pub use movie::Pictures;
pub use settings::{Program, Settings};
pub use worker::decode;

use backup::Backups;
use movie::Movie;
use still::Stills;

/// Makers of JPEG pictures, one for each stream that somebody looks at.
#[derive(Debug)]
pub struct Pixels {
    settings: Arc<Settings>,
    movies: Mutex<HashMap<StreamName, Weak<Movie>>>,
    stills: Stills,
    backups: Arc<Backups>,
}

impl Pixels {
    /// Makes pictures as `settings` say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            backups: Arc::new(Backups::new(settings.folder.clone())),
            settings: Arc::new(settings),
            movies: Mutex::default(),
            stills: Stills::default(),
        }
    }

    /// The JPEG pictures of `stream`: its own if it sends JPEG, else decoded ones. `None` if it
    /// carries no pictures. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error`] if this video cannot be decoded.
    pub fn pictures(
        &self,
        stream: &Arc<Stream>,
        tracks: &Tracks,
    ) -> Result<Option<Pictures>, Error> {
        let Some(track) = tracks.video().and_then(|video| tracks.get(video)) else {
            return Ok(None);
        };
        let has_file = matches!(self.backups.choice(stream.name()), Backup::File(_));
        if track.codec != Codec::Jpeg {
            self.settings.maker(stream, track)?;
        } else if !has_file {
            return Ok(Some(Pictures::of_camera(Arc::clone(stream))));
        }
        Ok(Some(self.movie(stream)))
    }

    /// Pictures of a camera that gives nothing at this moment: its [`Pixels::substitute`], and the
    /// camera's own as soon as it gives some. Call it inside a tokio runtime.
    #[must_use]
    pub fn pictures_of_absent(&self, stream: &Arc<Stream>) -> Pictures {
        self.movie(stream)
    }

    fn movie(&self, stream: &Arc<Stream>) -> Pictures {
        let mut movies = self.movies.lock().unwrap_or_else(PoisonError::into_inner);
        let running = movies.get(stream.name()).and_then(Weak::upgrade);
        // A camera that was configured anew has another stream under the same name.
        let running = running.filter(|movie| movie.is_of(stream));
        let movie = running.unwrap_or_else(|| {
            movies.retain(|_, movie| movie.strong_count() > 0);
            let movie = Movie::start(stream, &self.settings, &self.backups);
            let movie = Arc::new(movie);
            movies.insert(stream.name().clone(), Arc::downgrade(&movie));
            movie
        });
        Pictures::decoded(movie)
    }

    /// Says what is shown of a camera that gives nothing; without it nothing is.
    pub fn set_backup(&self, stream: StreamName, backup: Backup) {
        self.backups.set(stream, backup);
    }

    /// The picture to show of a camera that gives nothing.
    pub async fn substitute(&self, stream: &StreamName) -> Option<Substitute> {
        if self.backups.choice(stream) == Backup::Nothing {
            return None;
        }
        let (backups, name) = (Arc::clone(&self.backups), stream.clone());
        let reading = tokio::task::spawn_blocking(move || backups.substitute(&name));
        // It fails only while the program ends.
        reading.await.ok().flatten()
    }

    /// Deletes the stills that were kept of other cameras than these. Reads and writes a disk.
    ///
    /// # Errors
    /// The folder cannot be read, or a file in it not be deleted.
    pub fn keep_only(&self, cameras: &[StreamName]) -> std::io::Result<()> {
        self.backups.keep_only(cameras)
    }

    /// Keeps the last still of `stream` in the settings' folder, for as long as this is polled.
    pub async fn keep_stills(&self, stream: Arc<Stream>) {
        keeper::run(self, stream).await;
    }

    /// The newest picture of the camera that is at hand: of a decoder that runs at this moment, else
    /// the newest keyframe, coded as the camera does it.
    #[must_use]
    pub fn newest(&self, stream: &Arc<Stream>) -> Option<AccessUnit> {
        let keyframe = match stream.ring().newest_keyframe().as_deref() {
            Some(Event::AccessUnit(unit, _)) => Some(unit.clone()),
            Some(Event::Tracks(_)) | None => None,
        };
        let movies = self.movies.lock().unwrap_or_else(PoisonError::into_inner);
        let movie = movies.get(stream.name()).and_then(Weak::upgrade);
        let made = movie.filter(|movie| movie.is_of(stream));
        let made = made.and_then(|movie| movie.newest());
        match (made, keyframe) {
            (Some(made), Some(keyframe)) if made.received < keyframe.received => Some(keyframe),
            (made, keyframe) => made.or(keyframe),
        }
    }

    /// The keyframe `unit` of `stream` as a JPEG picture. It is decoded once, whoever asks how often.
    ///
    /// # Errors
    /// [`Error`] if it cannot be decoded.
    pub async fn still(
        &self,
        stream: &Arc<Stream>,
        tracks: &Tracks,
        unit: &AccessUnit,
    ) -> Result<AccessUnit, Error> {
        self.stills.make(stream, tracks, unit, &self.settings).await
    }
}
