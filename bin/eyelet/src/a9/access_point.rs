//! `eyelet a9 set-wifi`, `list`, `download`, `live`: a camera that is its own network.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use naxclow::access_point::{AccessPoint, Day, Event, Index, Media, Minute, Wifi};

use crate::cli::A9Camera;
use crate::running;

/// How long a line of progress stands before it is written again.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn connect(camera: &A9Camera) -> anyhow::Result<AccessPoint> {
    let host = match camera.host.contains(':') {
        true => camera.host.clone(),
        false => format!("{}:6123", camera.host),
    };
    let mut addresses = tokio::net::lookup_host(&host)
        .await
        .with_context(|| format!("{host} is no address of a camera"))?;
    let address: SocketAddr = addresses
        .next()
        .with_context(|| format!("{host} has no address"))?;
    Ok(AccessPoint::connect(address, clock(camera)?).await?)
}

/// What the camera's clock is set to.
pub(super) fn clock(camera: &A9Camera) -> anyhow::Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let offset = camera.clock_offset.unwrap_or_else(local_offset);
    Ok(i64::try_from(now)? + offset)
}

/// Seconds that local time is ahead of UTC: cameras know no time zone, and name files by their clock.
fn local_offset() -> i64 {
    i64::from(jiff::Zoned::now().offset().seconds())
}

pub(crate) async fn set_wifi(
    name: &str,
    key: Option<&str>,
    camera: &A9Camera,
) -> anyhow::Result<()> {
    let key = match key {
        Some(key) => key.to_owned(),
        None => std::env::var("EYELET_WIFI_KEY").unwrap_or_default(),
    };
    let wifi = Wifi::new(name, &key)?;
    let mut camera = connect(camera).await?;
    say("the camera answers; telling it about the network …")?;
    camera.ask(|client, now| client.ask_base_info(now))?;
    camera.ask(|client, now| client.set_wifi(wifi, now))?;
    let mut taken = None;
    loop {
        match camera.next().await {
            Ok(Event::BaseInfo(info)) => {
                let version = info.version.unwrap_or_default();
                say(&format!(
                    "firmware {version}, power {} %",
                    info.power.unwrap_or_default()
                ))?;
            }
            Ok(Event::Answer { code: 204, content }) => taken = Some(content.is_some()),
            // Reboot: nothing answers.
            Ok(Event::Answer { code: 299, .. } | Event::Closed) => break,
            Err(_) if taken.is_some() => break,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    camera.close().await;
    match taken {
        Some(true) => {}
        Some(false) => say("the camera did not confirm; most do not")?,
        None => bail!("the connection ended before the camera took the network"),
    }
    writeln!(
        std::io::stdout(),
        "The camera restarts and joins {name:?}. It appears on the dashboard by itself; if it does not within two minutes, ask `eyelet a9 doctor`."
    )?;
    Ok(())
}

pub(crate) async fn list(camera: &A9Camera, json: bool) -> anyhow::Result<()> {
    let mut camera = connect(camera).await?;
    let listed = recordings(&mut camera).await;
    camera.close().await;
    let minutes: Vec<String> = listed?.iter().map(ToString::to_string).collect();
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&minutes)?)?;
    } else if minutes.is_empty() {
        say("the camera's SD card has no recordings")?;
    } else {
        writeln!(out, "{}", minutes.join("\n"))?;
    }
    Ok(())
}

async fn recordings(camera: &mut AccessPoint) -> anyhow::Result<Vec<Minute>> {
    camera.ask(|client, now| client.list_days(now))?;
    let days = loop {
        match camera.next().await? {
            Event::Days(days) => break days,
            Event::Failed { status, .. } => bail!("{}", no_card(status)),
            Event::Closed => bail!("the camera ended the conversation"),
            _ => {}
        }
    };
    let mut minutes = Vec::new();
    let count = days.len();
    for (at, day) in days.into_iter().enumerate() {
        progress(&format!("day {day}, {} of {count}", at + 1))?;
        minutes.extend(index(camera, day).await?.minutes());
    }
    progress("")?;
    Ok(minutes)
}

async fn index(camera: &mut AccessPoint, day: Day) -> anyhow::Result<Index> {
    camera.ask(|client, now| client.list(day, now))?;
    loop {
        match camera.next().await? {
            Event::Index(index) => return Ok(index),
            Event::Failed { status, .. } => bail!("{}", no_card(status)),
            Event::Closed => bail!("the camera ended the conversation"),
            _ => {}
        }
    }
}

fn no_card(status: Option<i64>) -> String {
    match status {
        Some(status) => {
            format!("the camera says {status}: is there an SD card in it, with recordings?")
        }
        None => "the camera does not answer questions about its SD card".to_owned(),
    }
}

pub(crate) async fn download(
    recording: &str,
    output: Option<&Path>,
    camera: &A9Camera,
) -> anyhow::Result<()> {
    let minute = minute(recording)?;
    let path = output.map_or_else(|| PathBuf::from(format!("{minute}.avi")), Path::to_owned);
    let mut camera = connect(camera).await?;
    let got = fetch(&mut camera, minute, &path).await;
    camera.close().await;
    let (received, complete) = got?;
    if !complete {
        bail!(
            "{} is incomplete: {received} bytes came. The camera may have been writing it; try again",
            path.display()
        );
    }
    writeln!(std::io::stdout(), "{} ({received} bytes)", path.display())?;
    Ok(())
}

async fn fetch(
    camera: &mut AccessPoint,
    minute: Minute,
    path: &Path,
) -> anyhow::Result<(u64, bool)> {
    camera.ask(|client, now| client.download(minute, now))?;
    let mut file = None;
    let (mut size, mut received) = (None, 0_u64);
    let mut told: Option<Instant> = None;
    loop {
        match camera.next().await? {
            Event::Recording(_, announced) => size = announced,
            Event::Piece(piece) => {
                // No file for a recording that is not there.
                let file = match &mut file {
                    Some(file) => file,
                    None => {
                        let made = std::fs::File::create(path)
                            .with_context(|| format!("{} cannot be written", path.display()))?;
                        file.insert(std::io::BufWriter::new(made))
                    }
                };
                file.write_all(&piece)?;
                received += piece.len() as u64;
                if told.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
                    told = Some(Instant::now());
                    progress(&share(received, size))?;
                }
            }
            Event::Downloaded { received, complete } => {
                progress("")?;
                if let Some(mut file) = file {
                    file.flush()?;
                }
                return Ok((received, complete));
            }
            Event::Failed { .. } => {
                bail!("the camera has no recording {minute}; `eyelet a9 list` names those it has")
            }
            Event::Closed => bail!("the camera ended the conversation"),
            _ => {}
        }
    }
}

fn share(received: u64, size: Option<u64>) -> String {
    let kib = received / 1024;
    match size.filter(|size| *size > 0) {
        Some(size) => format!("{} % of {} KiB", received * 100 / size, size / 1024),
        None => format!("{kib} KiB"),
    }
}

/// A recording's name, `20230124-02-10`.
pub(crate) fn minute(text: &str) -> anyhow::Result<Minute> {
    let wanted = "a recording is named by day, hour and minute, such as 20230124-02-10";
    let numbers: Vec<i64> = text
        .split('-')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context(wanted)?;
    let [day, hour, minute] = numbers[..] else {
        bail!("{wanted}");
    };
    Ok(Minute::new(Day::from_number(day)?, hour, minute)?)
}

pub(crate) async fn live(
    output: Option<&Path>,
    seconds: u64,
    camera: &A9Camera,
) -> anyhow::Result<()> {
    let mut out: Box<dyn Write> = match output {
        Some(path) => Box::new(
            std::fs::File::create(path)
                .with_context(|| format!("{} cannot be written", path.display()))?,
        ),
        None if std::io::stdout().is_terminal() => bail!(
            "pictures do not belong on a terminal: name a file with -o, or pipe them, as in `eyelet a9 live | ffplay -f mjpeg -`"
        ),
        None => Box::new(std::io::stdout()),
    };
    let mut camera = connect(camera).await?;
    camera.ask(|client, now| {
        client.live(
            Media {
                audio: false,
                video: true,
            },
            now,
        )
    })?;
    let watched = watch(&mut camera, &mut *out, seconds).await;
    camera.close().await;
    let pictures = watched?;
    if pictures == 0 {
        bail!("the camera sent no picture");
    }
    say(&format!("{pictures} pictures"))
}

async fn watch(camera: &mut AccessPoint, out: &mut dyn Write, seconds: u64) -> anyhow::Result<u64> {
    let mut pictures = 0_u64;
    let end = async {
        match seconds {
            0 => running::asked_to_end().await,
            seconds => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Ok(())
            }
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = camera.next() => event?,
            ended = &mut end => {
                progress("")?;
                ended?;
                return Ok(pictures);
            }
        };
        match event {
            Event::Picture(jpeg) => {
                out.write_all(&jpeg)?;
                out.flush()?;
                pictures += 1;
                progress(&format!("{pictures} pictures"))?;
            }
            Event::Closed => return Ok(pictures),
            _ => {}
        }
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}

/// A line that is written over, on a terminal only; an empty one clears it.
fn progress(text: &str) -> anyhow::Result<()> {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        write!(error, "\r\x1b[K{text}")?;
        error.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_named_by_its_minute() {
        assert_eq!(
            minute("20230124-02-10").unwrap().to_string(),
            "20230124-02-10"
        );
        for bad in [
            "",
            "20230124",
            "20230124-02",
            "20230230-02-10",
            "20230124-24-00",
            "x-y-z",
        ] {
            assert!(minute(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn progress_is_a_share_where_the_size_is_known() {
        assert_eq!(share(512 << 10, Some(1 << 20)), "50 % of 1024 KiB");
        assert_eq!(share(2048, None), "2 KiB");
        assert_eq!(share(2048, Some(0)), "2 KiB");
    }
}
