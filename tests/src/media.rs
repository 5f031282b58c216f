//! What the test cameras show: made once by ffmpeg, each picture with a running clock in it.
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::{process, tools};

/// One elementary stream in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    H264,
    H265,
    Mjpeg,
    Aac,
    Alaw,
    Mulaw,
}

/// Size of every picture.
pub const WIDTH: u32 = 640;
/// Size of every picture.
pub const HEIGHT: u32 = 360;

/// Changed whenever a recipe changes, so that no old file is used.
const EDITION: u32 = 1;

impl Media {
    /// Pictures a second.
    pub fn fps(self) -> u32 {
        if self == Self::Mjpeg { 10 } else { 25 }
    }

    /// How the camera script names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Mjpeg => "mjpeg",
            Self::Aac => "aac",
            Self::Alaw => "alaw",
            Self::Mulaw => "mulaw",
        }
    }

    /// How ffmpeg names its raw file format.
    pub fn format(self) -> &'static str {
        match self {
            Self::H265 => "hevc",
            Self::Aac => "adts",
            _ => self.name(),
        }
    }

    fn recipe(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &[
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-profile:v",
                "main",
                "-bf",
                "0",
                "-g",
                "50",
                "-keyint_min",
                "50",
                "-sc_threshold",
                "0",
                "-b:v",
                "1M",
                "-maxrate",
                "1M",
                "-bufsize",
                "1M",
                "-pix_fmt",
                "yuv420p",
            ],
            Self::H265 => &[
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
                "-x265-params",
                "bframes=0:keyint=50:min-keyint=50:scenecut=0:log-level=error",
            ],
            Self::Mjpeg => &[
                "-c:v", "mjpeg", "-q:v", "6", "-huffman", "default", "-pix_fmt", "yuvj420p",
            ],
            Self::Aac => &["-c:a", "aac", "-b:a", "64k", "-ac", "2"],
            Self::Alaw => &["-c:a", "pcm_alaw", "-ac", "1"],
            Self::Mulaw => &["-c:a", "pcm_mulaw", "-ac", "1"],
        }
    }

    /// The file; made now if this is its first use.
    pub fn file(self) -> PathBuf {
        let folder = tools::target_dir().join("test-media");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{}-{EDITION}.{}", self.name(), self.format()));
        // Many tests start at once: the first makes it, the others wait.
        let lock = File::create(folder.join(format!("{}.lock", self.name()))).unwrap();
        lock.lock().unwrap();
        if !file.is_file() {
            let fresh = file.with_extension("part");
            let source = match self {
                Self::H264 | Self::H265 | Self::Mjpeg => {
                    format!("testsrc2=s={WIDTH}x{HEIGHT}:r={}", self.fps())
                }
                Self::Aac => "sine=f=440:r=48000".to_owned(),
                Self::Alaw | Self::Mulaw => "sine=f=440:r=8000".to_owned(),
            };
            let mut make = Command::new("ffmpeg");
            make.args([
                "-v", "error", "-y", "-f", "lavfi", "-i", &source, "-t", "12",
            ]);
            make.args(self.recipe())
                .args(["-f", self.format()])
                .arg(&fresh);
            let output = process::run("ffmpeg", &mut make, Duration::from_secs(60));
            assert!(output.status.success(), "{}", process::text(&output.stderr));
            std::fs::rename(&fresh, &file).unwrap();
        }
        file
    }
}
