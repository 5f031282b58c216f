use media::Codec;

/// Why there is no JPEG picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The decoder could make no picture of what the camera sent.
    #[error("camera {camera} sent {codec} that cannot be decoded: {reason}")]
    Malformed {
        /// The camera's stream.
        camera: String,
        /// What it sends.
        codec: Codec,
        /// What the decoder says.
        reason: String,
    },
    /// The built-in decoders do not know this kind of video, and there is no ffmpeg.
    #[error(
        "camera {camera} sends {codec} that the built-in decoder does not take ({reason}), and {ffmpeg} cannot be started: install ffmpeg (apt install ffmpeg), or set the camera to 8-bit 4:2:0 progressive video"
    )]
    Unsupported {
        /// The camera's stream.
        camera: String,
        /// What it sends.
        codec: Codec,
        /// What is unusual about it.
        reason: String,
        /// The program that was looked for.
        ffmpeg: String,
    },
    /// The decoder's process gave no answer in time, or ended.
    #[error("the decoder for camera {camera} failed: {reason}")]
    Decoder {
        /// The camera's stream.
        camera: String,
        /// What happened to it.
        reason: String,
    },
}
