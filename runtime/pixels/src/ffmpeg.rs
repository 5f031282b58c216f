//! Pictures by an ffmpeg of the machine's own, for what the built-in decoders do not take and for
//! decoding by hardware.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use format::jpeg;
use media::{AccessUnit, Codec, CodecParameters, NalUnits, Track};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::child::printable;
use crate::{Settings, wire};

/// How long one picture may take: the program's start, a graphics card's too, and the decoding.
const PATIENCE: Duration = Duration::from_secs(15);

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Whether the program can be found.
pub(crate) fn is_here(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let everywhere = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&everywhere).any(|folder| folder.join(program).is_file())
}

/// A running ffmpeg; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Ffmpeg {
    pub(crate) input: ChildStdin,
    pub(crate) output: ChildStdout,
    process: Child,
}

impl Ffmpeg {
    /// Starts one that reads NAL units and writes JPEG pictures, with these options for its input
    /// and its output.
    fn start(
        settings: &Settings,
        track: &Track,
        input: &[&str],
        output: &[&str],
    ) -> Result<Self, String> {
        let format = match track.codec {
            Codec::H264 => "h264",
            Codec::H265 => "hevc",
            Codec::Jpeg | Codec::Aac | Codec::Pcma | Codec::Pcmu => {
                return Err("no codec to decode".to_owned());
            }
        };
        let mut command = Command::new(&settings.ffmpeg);
        command.args(["-nostdin", "-hide_banner", "-loglevel", "error"]);
        if settings.prefers_ffmpeg {
            command.args(["-hwaccel", "auto"]);
        }
        // It may read and write these two pipes, and follow no other protocol that a stream names.
        command.args(["-protocol_whitelist", "pipe", "-threads", "1"]);
        command.args(["-flags", "low_delay"]);
        command.args(["-probesize", "32", "-analyzeduration", "0"]);
        command.args(input);
        command.args(["-f", format, "-i", "pipe:0", "-an"]);
        command.args(output);
        command.args(["-pix_fmt", "yuvj420p", "-q:v", "4", "-flush_packets", "1"]);
        command.args(["-f", "mjpeg", "pipe:1"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", settings.ffmpeg.display()))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("it has no pipes".to_owned());
        };
        Ok(Self {
            input,
            output,
            process,
        })
    }

    /// One that gives moving pictures.
    pub(crate) fn movie(settings: &Settings, track: &Track) -> Result<Self, String> {
        // The input carries no times: arrival is what keeps the rate right whatever the camera
        // sends. With buffers a picture would wait for its successors.
        let rate = format!("fps=fps={}", settings.max_fps);
        let input = ["-fflags", "nobuffer", "-use_wallclock_as_timestamps", "1"];
        Self::start(settings, track, &input, &["-vf", &rate])
    }

    /// The last words of one that failed.
    pub(crate) async fn complaint(&mut self) -> String {
        complaint(&mut self.process).await
    }
}

async fn complaint(process: &mut Child) -> String {
    const MAX_TALK: u64 = 4 << 10;
    let mut text = Vec::new();
    if let Some(talk) = process.stderr.as_mut() {
        let mut talk = talk.take(MAX_TALK);
        let reading = talk.read_to_end(&mut text);
        let _ = tokio::time::timeout(Duration::from_millis(200), reading).await;
    }
    match printable(&text) {
        text if text.is_empty() => "ffmpeg ended without a word".to_owned(),
        text => format!("ffmpeg: {text}"),
    }
}

/// One keyframe as a picture. Errors as in [`crate::child::Child::decode`].
pub(crate) async fn still(
    settings: &Settings,
    track: &Track,
    unit: &AccessUnit,
) -> Result<Result<Option<Bytes>, String>, String> {
    let Ffmpeg {
        mut input,
        output,
        mut process,
    } = Ffmpeg::start(settings, track, &[], &["-frames:v", "1"])?;
    let mut stream = parameter_sets(&track.parameters);
    stream.extend_from_slice(&annex_b(&unit.payload));
    let work = async move {
        // It ends early when it has its picture, or is not pleased: that shows in the output. The
        // end of this block closes its input, which tells it that nothing follows.
        let _ = input.write_all(&stream).await;
    };
    let mut jpeg = Vec::new();
    let mut output = output.take(wire::MAX_ANSWER as u64);
    let both = async { tokio::join!(work, output.read_to_end(&mut jpeg)) };
    if tokio::time::timeout(PATIENCE, both).await.is_err() {
        return Err(format!(
            "ffmpeg gave no picture within {} s",
            PATIENCE.as_secs()
        ));
    }
    if jpeg::is_whole(&jpeg) {
        return Ok(Ok(Some(jpeg.into())));
    }
    Ok(Err(complaint(&mut process).await))
}

/// The parameter sets with start codes.
pub(crate) fn parameter_sets(parameters: &CodecParameters) -> Vec<u8> {
    let sets = match parameters {
        CodecParameters::H264 { sps, pps } => vec![sps, pps],
        CodecParameters::H265 { vps, sps, pps } => vec![vps, sps, pps],
        CodecParameters::Jpeg | CodecParameters::Aac { .. } | CodecParameters::G711 => Vec::new(),
    };
    sets.iter()
        .flat_map(|set| START_CODE.iter().chain(set.iter()))
        .copied()
        .collect()
}

/// An access unit's NAL units behind start codes (annex B of both standards).
pub(crate) fn annex_b(payload: &Bytes) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    for nal in NalUnits::new(payload) {
        out.extend_from_slice(&START_CODE);
        out.extend_from_slice(&nal);
    }
    out
}
