use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dialer::{Bridge, Target};
use futures_util::StreamExt;
use hub::Publisher;
use media::{AccessUnit, MediaTime};
use retina::client::{
    Credentials, Demuxed, Described, InitialTimestampPolicy, PlayOptions, Session, SessionGroup,
    SessionIdPolicy, SessionOptions, SetupOptions, TcpTransportOptions, Transport as RtpTransport,
    UdpTransportOptions,
};
use retina::codec::{CodecItem, FrameFormat};
use url::Url;

use super::tracks::{Offer, offer, tracks};
use crate::{Camera, DriverContext, DriverError, Transport};

/// Time for each request. A busy camera describes itself within 3 s; a dead one shall not keep
/// viewers waiting after it came back.
const STEP: Duration = Duration::from_secs(6);

/// One session: describe, set up, play, publish.
pub(super) async fn run(camera: &Camera, mut context: DriverContext) -> Result<(), DriverError> {
    let shutdown = context.shutdown.clone();
    tokio::select! {
        outcome = converse(camera, &mut context) => outcome,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn converse(camera: &Camera, context: &mut DriverContext) -> Result<(), DriverError> {
    let (url, _bridge) = reach(camera, context).await?;
    let creds = camera.user.clone().map(|username| Credentials {
        username,
        password: camera.password.clone().unwrap_or_default(),
    });
    let options = SessionOptions::default()
        .creds(creds)
        .user_agent(concat!("Eyelet/", env!("CARGO_PKG_VERSION")).to_owned())
        .session_group(Arc::new(SessionGroup::default()))
        .session_id(SessionIdPolicy::UseFirst);
    let mut session = step(camera, "DESCRIBE", Session::describe(url, options)).await?;
    let chosen = set_up(camera, &mut session).await?;
    // Cameras disagree about RTP-Info; without it, tracks are aligned by arrival.
    let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Permissive);
    let playing = step(camera, "PLAY", session.play(play)).await?;
    let media = playing.demuxed().map_err(|error| explain(camera, &error))?;
    publish(camera, media, &chosen, &mut context.publisher).await
}

/// The URL to open, and the bridge that must stay while it is in use.
async fn reach(
    camera: &Camera,
    context: &DriverContext,
) -> Result<(Url, Option<Bridge>), DriverError> {
    let mut url = camera.url.clone();
    if context.dialer.is_direct() {
        return Ok((url, None));
    }
    if camera.transport == Transport::Udp {
        let text = "RTSP over UDP cannot pass an agent: leave out `transport: udp`".to_owned();
        return Err(DriverError::Configuration(text));
    }
    let target = target(camera);
    let bridge = Bridge::open(&*context.dialer, &target)
        .await
        .map_err(|source| DriverError::Unreachable {
            target: target.to_string(),
            path: context.dialer.describe(),
            source,
        })?;
    let local = bridge.address();
    if url.set_ip_host(local.ip()).is_err() || url.set_port(Some(local.port())).is_err() {
        let text = format!("{url} has no host that could be replaced");
        return Err(DriverError::Configuration(text));
    }
    Ok((url, Some(bridge)))
}

/// Where the camera is.
fn target(camera: &Camera) -> Target {
    let host = camera.url.host_str().unwrap_or_default();
    Target::new(
        host.trim_matches(['[', ']']),
        camera.url.port().unwrap_or(554),
    )
}

/// Sets up the first pictures and the first sound that can be carried; gives their indices.
async fn set_up(
    camera: &Camera,
    session: &mut Session<Described>,
) -> Result<Vec<usize>, DriverError> {
    let find = |wanted| {
        session
            .streams()
            .iter()
            .position(|stream| offer(stream) == wanted)
    };
    let chosen: Vec<usize> = [find(Offer::Video), find(Offer::Audio)]
        .into_iter()
        .flatten()
        .collect();
    if chosen.is_empty() {
        let offered: Vec<String> = session
            .streams()
            .iter()
            .map(|stream| format!("{}/{}", stream.media(), stream.encoding_name()))
            .collect();
        return Err(DriverError::Unsupported(match offered.as_slice() {
            [] => "its description names no stream at all".to_owned(),
            offered => format!(
                "{}; carried are H.264, H.265, JPEG, AAC and G.711",
                offered.join(", ")
            ),
        }));
    }
    for &index in &chosen {
        let transport = match camera.transport {
            Transport::Tcp => RtpTransport::Tcp(TcpTransportOptions::default()),
            Transport::Udp => RtpTransport::Udp(UdpTransportOptions::default()),
        };
        let options = SetupOptions::default()
            .transport(transport)
            .frame_format(FrameFormat::MP4);
        step(camera, "SETUP", session.setup(index, options)).await?;
    }
    Ok(chosen)
}

async fn publish(
    camera: &Camera,
    mut media: Demuxed,
    chosen: &[usize],
    publisher: &mut Publisher,
) -> Result<(), DriverError> {
    let mut announced = false;
    if let Some(tracks) = tracks(media.streams(), chosen) {
        publisher.announce(tracks)?;
        announced = true;
    }
    while let Some(item) = media.next().await {
        let item = item.map_err(|error| explain(camera, &error))?;
        let (stream, unit) = match item {
            CodecItem::VideoFrame(frame) => {
                if (frame.has_new_parameters() || !announced)
                    && let Some(tracks) = tracks(media.streams(), chosen)
                {
                    publisher.announce(tracks)?;
                    announced = true;
                }
                let unit = AccessUnit {
                    track: 0,
                    time: MediaTime(frame.timestamp().elapsed()),
                    wall: None,
                    received: Instant::now(),
                    is_keyframe: frame.is_random_access_point(),
                    payload: frame.data().to_vec().into(),
                };
                (frame.stream_id(), unit)
            }
            CodecItem::AudioFrame(frame) => {
                let unit = AccessUnit {
                    track: 0,
                    time: MediaTime(frame.timestamp().elapsed()),
                    wall: None,
                    received: Instant::now(),
                    is_keyframe: true,
                    payload: frame.data().to_vec().into(),
                };
                (frame.stream_id(), unit)
            }
            // Reports and metadata carry no media; the enum may also grow.
            _ => continue,
        };
        if announced && let Some(track) = chosen.iter().position(|&index| index == stream) {
            publisher.publish(AccessUnit { track, ..unit })?;
        }
    }
    Err(DriverError::Closed("its connection ended".to_owned()))
}

/// Runs one request with its time limit, its error made readable.
async fn step<T>(
    camera: &Camera,
    name: &'static str,
    request: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, DriverError> {
    match tokio::time::timeout(STEP, request).await {
        Ok(answer) => answer.map_err(|error| explain(camera, &error)),
        Err(_) => Err(DriverError::TimedOut {
            step: name,
            after: STEP,
        }),
    }
}

/// What the library says, put in terms of what a person can do about it.
fn explain(camera: &Camera, error: &retina::Error) -> DriverError {
    let text = error.to_string();
    // The library's first paragraph is the message, the rest is where it happened.
    let said = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    let path = match camera.url.query() {
        Some(query) => format!("{}?{query}", camera.url.path()),
        None => camera.url.path().to_owned(),
    };
    let path = without_secrets(&path);
    match error.status_code() {
        Some(401 | 403) => DriverError::Login {
            user: camera.user.clone(),
            said,
        },
        Some(404) => DriverError::NotFound { path, said },
        Some(_) => DriverError::Protocol(said),
        None if said.starts_with("Unable to connect") => DriverError::Unreachable {
            target: target(camera).to_string(),
            path: "directly".to_owned(),
            source: std::io::Error::other(said),
        },
        None if said.contains("Unauthorized") || said.contains("redential") => DriverError::Login {
            user: camera.user.clone(),
            said,
        },
        None if said.contains("reading from RTSP peer") || said.contains("EOF") => {
            DriverError::Closed(said)
        }
        None => DriverError::Protocol(said),
    }
}

/// Path and query with `***` for every `password=…` and the like: some cameras want their login there, and the text ends
/// in logs and on the dashboard.
fn without_secrets(path: &str) -> String {
    const WORDS: [&str; 6] = ["pass", "pwd", "token", "auth", "key", "secret"];
    path.split_inclusive(['&', '/', '?'])
        .map(|piece| {
            let (parameter, end) = match piece.strip_suffix(['&', '/', '?']) {
                Some(parameter) => (parameter, &piece[parameter.len()..]),
                None => (piece, ""),
            };
            let lower = parameter.to_ascii_lowercase();
            let word = WORDS.iter().filter_map(|word| lower.find(word)).min();
            let value = word.and_then(|word| Some(word + lower[word..].find('=')? + 1));
            match value {
                Some(value) => format!("{}***{end}", &parameter[..value]),
                None => piece.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_an_error_shows_no_password() {
        for (path, shown) in [
            ("/stream1", "/stream1"),
            (
                "/cam/realmonitor?channel=1&subtype=0",
                "/cam/realmonitor?channel=1&subtype=0",
            ),
            ("/x?password=hunter2", "/x?password=***"),
            (
                "/user=admin&password=hunter2&channel=1&stream=0.sdp?",
                "/user=admin&password=***&channel=1&stream=0.sdp?",
            ),
            (
                "/user=admin_Password=hunter2_channel=1",
                "/user=admin_Password=***",
            ),
            ("/passage/pwd=a=b/x", "/passage/pwd=***/x"),
            ("/x?passcode=hunter2&", "/x?passcode=***&"),
        ] {
            assert_eq!(without_secrets(path), shown);
        }
    }
}
