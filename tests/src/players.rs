//! Viewers that other people wrote.
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use crate::world::Host;
use crate::{frames, process, tools};

/// How media travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What ffmpeg decoded.
pub struct Played {
    /// One hash for each decoded picture.
    pub pictures: Vec<String>,
    /// What it complained about.
    pub complaints: String,
    /// Whether it ended well.
    pub is_ok: bool,
}

impl Played {
    /// Fails on the smallest complaint, and below `seconds` of video at `fps`.
    pub fn assert_clean(&self, seconds: u32, fps: u32) {
        assert!(self.is_ok, "ffmpeg failed: {}", self.complaints);
        assert_eq!(self.complaints, "", "ffmpeg complained");
        let expected = (seconds * fps) as usize;
        assert!(
            self.pictures.len() * 20 >= expected * 19,
            "only {} of {expected} pictures",
            self.pictures.len()
        );
    }
}

/// ffmpeg as Debian has it.
pub fn debian_ffmpeg() -> PathBuf {
    PathBuf::from("ffmpeg")
}

/// The newer, static ffmpeg out of a Python package, if it is installed.
pub fn static_ffmpeg() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| {
            let python = tools::python_with_packages()?;
            let mut ask = std::process::Command::new(python);
            ask.args([
                "-c",
                "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())",
            ]);
            let output = process::run("imageio-ffmpeg", &mut ask, Duration::from_secs(20));
            let path = PathBuf::from(process::text(&output.stdout).trim());
            path.is_file().then_some(path)
        })
        .clone()
}

/// Plays `seconds` of the video with `program`, an ffmpeg.
pub fn ffmpeg(
    host: &Host,
    program: &Path,
    url: &str,
    transport: Transport,
    seconds: u32,
) -> Played {
    let mut command = host.command(program);
    command.args([
        "-v",
        "error",
        "-rtsp_transport",
        transport.name(),
        "-i",
        url,
    ]);
    command.args([
        "-map",
        "0:v",
        "-t",
        &seconds.to_string(),
        "-fps_mode",
        "passthrough",
    ]);
    command.args(["-f", "framemd5", "-"]);
    let output = process::run(
        "ffmpeg",
        &mut command,
        Duration::from_secs(u64::from(seconds) + 25),
    );
    Played {
        pictures: frames::parse_framemd5(&process::text(&output.stdout)),
        complaints: process::text(&output.stderr),
        is_ok: output.status.success(),
    }
}

/// Plays `seconds` of all tracks into nothing; for sound, which has no pictures to compare.
pub fn ffmpeg_all_tracks(host: &Host, url: &str, seconds: u32) -> Output {
    let mut command = host.command("ffmpeg");
    command.args(["-v", "error", "-rtsp_transport", "tcp", "-i", url]);
    command.args(["-map", "0", "-t", &seconds.to_string(), "-f", "null", "-"]);
    process::run(
        "ffmpeg",
        &mut command,
        Duration::from_secs(u64::from(seconds) + 25),
    )
}

/// Plays `seconds` of motion JPEG over HTTP with `program`, an ffmpeg.
pub fn ffmpeg_http(program: &Path, url: &str, seconds: u32) -> Played {
    let mut command = std::process::Command::new(program);
    command.args(["-v", "error", "-f", "mpjpeg", "-i", url]);
    command.args(["-t", &seconds.to_string(), "-fps_mode", "passthrough"]);
    command.args(["-f", "framemd5", "-"]);
    let output = process::run(
        "ffmpeg",
        &mut command,
        Duration::from_secs(u64::from(seconds) + 25),
    );
    Played {
        pictures: frames::parse_framemd5(&process::text(&output.stdout)),
        complaints: process::text(&output.stderr),
        is_ok: output.status.success(),
    }
}

/// Hashes of all pictures of a JPEG file, as ffmpeg decodes them.
pub fn decoded(file: &Path) -> Vec<String> {
    let mut command = std::process::Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "mjpeg", "-i"]).arg(file);
    command.args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let output = process::run("ffmpeg", &mut command, Duration::from_secs(60));
    frames::parse_framemd5(&process::text(&output.stdout))
}

/// Decodes what a GStreamer pipeline begins with, a JPEG stream: a hash of each picture of
/// `bytes` bytes.
pub fn gstreamer_jpeg(begin: &str, pictures: usize, bytes: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pictures.raw");
    let mut command = std::process::Command::new("gst-launch-1.0");
    command.arg("-q").args(begin.split(' '));
    command.args(["!", "jpegdec", "!", "identity"]);
    command.arg(format!("eos-after={}", pictures + 1));
    command.args(["!", "filesink", &format!("location={}", file.display())]);
    let output = process::run("gst-launch-1.0", &mut command, Duration::from_secs(60));
    let complaints = process::text(&output.stderr);
    assert!(output.status.success(), "GStreamer failed: {complaints}");
    assert!(!complaints.contains("ERROR"), "GStreamer: {complaints}");
    let raw = std::fs::read(&file).unwrap();
    assert_eq!(raw.len() % bytes, 0, "{} bytes of pictures", raw.len());
    raw.chunks(bytes)
        .map(|picture| {
            use md5::Digest;
            let hash = md5::Md5::digest(picture);
            hash.iter().map(|byte| format!("{byte:02x}")).collect()
        })
        .collect()
}

/// Hashes of pictures as OpenCV decodes them.
pub fn opencv_hashes(url: &str, pictures: usize) -> Vec<String> {
    let python = tools::python_with_packages().unwrap();
    let mut command = std::process::Command::new(python);
    command.arg(tools::script("opencv_hashes.py"));
    command.args([url, &pictures.to_string()]);
    let output = process::run("OpenCV", &mut command, Duration::from_secs(60));
    let complaints = process::text(&output.stderr);
    assert!(output.status.success(), "OpenCV failed: {complaints}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What ffprobe finds at `url`.
pub fn ffprobe(host: &Host, url: &str) -> Value {
    let mut command = host.command("ffprobe");
    command.args([
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-show_streams",
        "-of",
        "json",
        url,
    ]);
    let output = process::run("ffprobe", &mut command, Duration::from_secs(30));
    let complaints = process::text(&output.stderr);
    assert!(output.status.success(), "ffprobe failed: {complaints}");
    assert_eq!(complaints, "", "ffprobe complained");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Decodes `pictures` pictures of H.264 with GStreamer; fails if it cannot.
pub fn gstreamer(host: &Host, url: &str, transport: Transport, pictures: u32) {
    let mut command = host.command("gst-launch-1.0");
    command.args([
        "-q",
        "rtspsrc",
        &format!("location={url}"),
        &format!("protocols={}", transport.name()),
    ]);
    command.args("! rtph264depay ! h264parse ! avdec_h264 ! fakesink sync=false".split(' '));
    command.arg(format!("num-buffers={pictures}"));
    let output = process::run("gst-launch-1.0", &mut command, Duration::from_secs(40));
    let complaints = process::text(&output.stderr);
    assert!(output.status.success(), "GStreamer failed: {complaints}");
    assert!(
        !complaints.contains("ERROR"),
        "GStreamer complained: {complaints}"
    );
}

/// Decodes `pictures` pictures with OpenCV: width, height, and how many differ from the one before.
pub fn opencv(host: &Host, url: &str, pictures: u32) -> (u32, u32, u32) {
    let python = tools::python_with_packages().unwrap();
    let mut command = host.command(python);
    command.arg(tools::script("opencv_play.py"));
    command.args([url, &pictures.to_string()]);
    command.env("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp");
    let output = process::run("OpenCV", &mut command, Duration::from_secs(40));
    assert!(
        output.status.success(),
        "OpenCV failed: {}",
        process::text(&output.stderr)
    );
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |key: &str| u32::try_from(answer[key].as_u64().unwrap()).unwrap();
    (number("width"), number("height"), number("moving"))
}
