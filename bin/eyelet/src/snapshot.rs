//! `eyelet snapshot`: one picture, or one after the other, of a camera of the gateway or of any source.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use proto_jpeg::Scanner;

use crate::cli::Snapshot;
use crate::pictures::Pictures;
use crate::running;

/// How often the progress is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

pub(crate) async fn run(command: &Snapshot) -> anyhow::Result<()> {
    let timeout = Duration::try_from_secs_f64(command.timeout).context("--timeout")?;
    let mut pictures = Pictures::open(command, timeout)?;
    if command.continuous {
        return follow(command, &mut pictures).await;
    }
    let picture = pictures.next().await?;
    check(&picture)?;
    save(&command.output, &picture)?;
    if command.output.as_os_str() != "-" {
        let (bytes, file) = (picture.len(), command.output.display());
        writeln!(
            io::stderr(),
            "{bytes} bytes, one whole JPEG picture, in {file}"
        )?;
    }
    Ok(())
}

/// Saves picture after picture until the time is over or somebody wants it to end.
async fn follow(command: &Snapshot, pictures: &mut Pictures) -> anyhow::Result<()> {
    let folder = &command.output_dir;
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    ensure!(
        command.fps > 0.0 && command.fps <= 1_000.0,
        "--fps lies between 0 and 1000"
    );
    let length = command.duration.map(Duration::try_from_secs_f64);
    let length = length.transpose().context("--duration")?;
    let mut tally = Tally::new();
    let work = async {
        let mut due = tokio::time::Instant::now();
        loop {
            tokio::time::sleep_until(due).await;
            let picture = pictures.next_new().await?;
            check(&picture)?;
            save(&folder.join(name()), &picture)?;
            tally.count(picture.len())?;
            // The pace is kept, but what was missed is not made up for.
            due = (due + Duration::from_secs_f64(1.0 / command.fps))
                .max(tokio::time::Instant::now() - Duration::from_millis(100));
        }
    };
    let end = async {
        match length {
            Some(length) => tokio::time::sleep(length).await,
            None => std::future::pending().await,
        }
    };
    let outcome: anyhow::Result<()> = tokio::select! {
        outcome = work => outcome,
        () = end => Ok(()),
        ended = running::asked_to_end() => ended,
    };
    tally.tell()?;
    writeln!(io::stderr())?;
    outcome?;
    ensure!(tally.pictures > 0, "no picture came");
    Ok(())
}

/// What was saved so far.
struct Tally {
    pictures: u64,
    bytes: u64,
    started: Instant,
    told: Option<Instant>,
}

impl Tally {
    fn new() -> Self {
        Self {
            pictures: 0,
            bytes: 0,
            started: Instant::now(),
            told: None,
        }
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.pictures += 1;
        self.bytes += bytes as u64;
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            self.tell()?;
        }
        Ok(())
    }

    fn tell(&self) -> io::Result<()> {
        let seconds = self.started.elapsed().as_secs_f64();
        write!(
            io::stderr(),
            "\r{} pictures, {:.1} MB, {:.1} s, {:.1} a second ",
            self.pictures,
            self.bytes as f64 / 1e6,
            seconds,
            self.pictures as f64 / seconds.max(1e-3),
        )?;
        io::stderr().flush()
    }
}

/// Fails unless these bytes are one JPEG picture and nothing else but padding.
fn check(picture: &Bytes) -> anyhow::Result<()> {
    let mut scanner = Scanner::default();
    scanner.feed(picture);
    let whole = scanner.poll();
    let Some(whole) = whole.filter(|whole| picture.starts_with(whole)) else {
        bail!(
            "what came ({} bytes) is no whole JPEG picture",
            picture.len()
        );
    };
    ensure!(
        scanner.poll().is_none() && !scanner.is_inside(),
        "more than one JPEG picture came: the first has {} of {} bytes",
        whole.len(),
        picture.len()
    );
    Ok(())
}

fn save(path: &Path, picture: &[u8]) -> anyhow::Result<()> {
    if path.as_os_str() == "-" {
        return Ok(io::stdout().lock().write_all(picture)?);
    }
    // A reader of the file sees the old picture or the new one, never a part.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, picture)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// `frame_`, date, time and microseconds in UTC, `.jpg`.
fn name() -> String {
    jiff::Timestamp::now()
        .strftime("frame_%Y%m%d_%H%M%S_%6f.jpg")
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0,
        63, 0, 0x12, 0xff, 0xd9,
    ];

    #[test]
    fn only_one_whole_picture_is_one() {
        let check = |bytes: &[u8]| check(&Bytes::copy_from_slice(bytes)).is_ok();
        assert!(check(PICTURE));
        assert!(check(&[PICTURE, &[0; 9]].concat()), "padding does no harm");
        assert!(!check(&[PICTURE, PICTURE].concat()));
        assert!(!check(&PICTURE[..PICTURE.len() - 1]));
        assert!(!check(&[b"junk", PICTURE].concat()));
        assert!(!check(b""));
    }

    #[test]
    fn a_file_is_named_after_its_moment() {
        let name = name();
        assert_eq!(
            name.len(),
            "frame_20260714_033320_000042.jpg".len(),
            "{name}"
        );
        assert!(
            name.starts_with("frame_20") && name.ends_with(".jpg"),
            "{name}"
        );
    }
}
