use std::ffi::OsString;
use std::path::PathBuf;

use hub::Stream;
use media::Track;

use crate::limits::{self, Refusal};
use crate::{Error, ffmpeg};

/// How pictures are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most pictures a second of a camera that sends no JPEG.
    pub max_fps: f64,
    /// The program that runs [`crate::decode`].
    pub decoder: Program,
    /// The ffmpeg that decodes what the built-in decoders do not take.
    pub ffmpeg: PathBuf,
    /// Whether ffmpeg decodes everything, by hardware where it finds some.
    pub prefers_ffmpeg: bool,
    /// Where the last still of each camera is kept; nowhere if there is none.
    pub folder: Option<PathBuf>,
}

/// A program and what it is told.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// A program with its arguments.
    pub fn new<'a>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(OsString::from).collect(),
        }
    }
}

/// Who decodes a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    BuiltIn,
    Ffmpeg,
}

impl Settings {
    /// Five pictures a second, decoded by `decoder`.
    #[must_use]
    pub fn new(decoder: Program) -> Self {
        Self {
            max_fps: 5.0,
            decoder,
            ffmpeg: "ffmpeg".into(),
            prefers_ffmpeg: false,
            folder: None,
        }
    }

    /// Who decodes this track of `stream`.
    pub(crate) fn maker(&self, stream: &Stream, track: &Track) -> Result<Maker, Error> {
        let camera = || stream.name().to_string();
        let reason = match limits::check(&track.parameters) {
            Ok(()) if !self.prefers_ffmpeg => return Ok(Maker::BuiltIn),
            Ok(()) => "the configuration asks for ffmpeg".to_owned(),
            Err(Refusal::Unsupported(reason)) => reason,
            Err(Refusal::Malformed(reason)) => {
                return Err(Error::Malformed {
                    camera: camera(),
                    codec: track.codec,
                    reason,
                });
            }
        };
        if ffmpeg::is_here(&self.ffmpeg) {
            return Ok(Maker::Ffmpeg);
        }
        Err(Error::Unsupported {
            camera: camera(),
            codec: track.codec,
            reason,
            ffmpeg: self.ffmpeg.display().to_string(),
        })
    }
}
