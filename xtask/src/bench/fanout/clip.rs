//! A real H.264 clip whose every picture carries its number, so that a decoded picture tells when it was sent.
use super::media::FPS;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const WIDTH: usize = 640;
const HEIGHT: usize = 360;

/// Pictures in the clip: the number's range, 20 s.
pub(super) const PICTURES: usize = 500;

/// Pictures between keyframes: 4 s.
pub(super) const GOP: usize = 100;

/// The number stands in the top rows as squares, black or white, the least bit first. Large squares
/// survive any encoder.
const BITS: usize = 10;
pub(super) const SQUARE: usize = 32;

/// Whether there is an ffmpeg.
pub(super) fn has_ffmpeg() -> bool {
    let version = Command::new("ffmpeg")
        .arg("-version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// The clip's path; it is made if it is not there yet.
pub(super) fn make(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(format!("numbered-{WIDTH}x{HEIGHT}-{PICTURES}-{GOP}.h264"));
    if path.is_file() {
        return Ok(path);
    }
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let unfinished = folder.join("unfinished.h264");
    let gop = GOP.to_string();
    let size = format!("{WIDTH}x{HEIGHT}");
    let fps = FPS.to_string();
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-loglevel", "error", "-y"]);
    command.args([
        "-f", "rawvideo", "-pix_fmt", "gray", "-s", &size, "-r", &fps, "-i", "pipe:0",
    ]);
    command.args([
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-pix_fmt",
        "yuv420p",
        "-profile:v",
        "main",
    ]);
    command.args([
        "-bf",
        "0",
        "-g",
        &gop,
        "-keyint_min",
        &gop,
        "-sc_threshold",
        "0",
    ]);
    command.args([
        "-b:v", "2M", "-maxrate", "2M", "-bufsize", "1M", "-f", "h264",
    ]);
    let mut child = command
        .arg(&unfinished)
        .stdin(Stdio::piped())
        .spawn()
        .context("ffmpeg")?;
    if let Some(mut input) = child.stdin.take() {
        for number in 0..PICTURES {
            input
                .write_all(&picture(number))
                .context("writing to ffmpeg")?;
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("ffmpeg cannot make the clip ({status})");
    }
    std::fs::rename(&unfinished, &path)?;
    Ok(path)
}

fn picture(number: usize) -> Vec<u8> {
    let mut luma = vec![0; WIDTH * HEIGHT];
    for (at, pixel) in luma.iter_mut().enumerate() {
        let (x, y) = (at % WIDTH, at / WIDTH);
        *pixel = if y < SQUARE && x < BITS * SQUARE {
            if number >> (x / SQUARE) & 1 == 1 {
                235
            } else {
                16
            }
        } else {
            // A moving pattern with detail, so that the encoder has work to do.
            (((x + 3 * number) ^ (y + number)) % 200 + 20) as u8
        };
    }
    luma
}

/// ffmpeg's filter that leaves the squares alone, and the bytes of such a picture in gray.
pub(super) fn squares() -> (String, usize) {
    let width = BITS * SQUARE;
    (format!("crop={width}:{SQUARE}:0:0"), width * SQUARE)
}

/// The number in a cropped picture; `None` if a square is neither black nor white.
pub(super) fn number(luma: &[u8]) -> Option<usize> {
    let mut number = 0;
    for bit in 0..BITS {
        let (x, y) = (bit * SQUARE + SQUARE / 2, SQUARE / 2);
        match luma.get(y * BITS * SQUARE + x)? {
            0..80 => {}
            176.. => number |= 1 << bit,
            80..176 => return None,
        }
    }
    (number < PICTURES).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_tells_its_number() {
        for wanted in [0, 1, 255, 341, 499] {
            let whole = picture(wanted);
            let cropped: Vec<u8> = whole
                .chunks(WIDTH)
                .take(SQUARE)
                .flat_map(|row| &row[..BITS * SQUARE])
                .copied()
                .collect();
            assert_eq!(cropped.len(), squares().1);
            assert_eq!(number(&cropped), Some(wanted));
        }
        assert_eq!(number(&[128; 10_240]), None);
    }
}
