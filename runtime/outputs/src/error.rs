/// Why an output cannot serve a viewer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No camera has this name.
    #[error("there is no camera {0:?}")]
    UnknownStream(String),
    /// No JPEG pictures can be made of what the camera sends.
    #[error(transparent)]
    Pixels(#[from] pixels::Error),
    /// The stream carries no pictures at all.
    #[error("camera {0} sends no pictures")]
    NoPictures(String),
    /// The camera gave no picture in time.
    #[error("camera {stream} gave no picture within {seconds} s: {reason}")]
    TimedOut {
        /// The stream's name.
        stream: String,
        /// How long was waited.
        seconds: u64,
        /// What the upstream says.
        reason: String,
    },
}
