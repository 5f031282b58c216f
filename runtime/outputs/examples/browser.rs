//! A page with live pictures, to try the browser outputs by hand and in a browser test.
//!
//! `cargo run -p outputs --example browser -- 127.0.0.1:8090` needs ffmpeg, which makes a few
//! seconds of each kind of camera once; they are then published over and over in real time.
//! `/fault/NAME/away/5000` takes a camera away for 5 s, `/fault/NAME/lose/10` loses ten pictures.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use hub::{Hub, StreamName};
use media::{AccessUnit, MediaTime, Track, Tracks};
use outputs::mjpeg::{self, Mjpeg};
use outputs::mse::{Message, Mse};

const SECONDS: i64 = 8;
const PATIENCE: Duration = Duration::from_secs(10);

/// A camera: name, pictures a second, encoder arguments, and its sound.
struct Kind {
    name: &'static str,
    fps: i64,
    encoder: &'static str,
    sound: Sound,
}

#[derive(Clone, Copy, PartialEq)]
enum Sound {
    None,
    Aac,
    /// Announced, never sent.
    Promised,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "plain",
        fps: 25,
        encoder: "-c:v libx264 -bf 0 -g 100 -x264-params aud=1 -f h264",
        sound: Sound::None,
    },
    Kind {
        name: "sound",
        fps: 25,
        encoder: "-c:v libx264 -bf 0 -g 100 -x264-params aud=1 -f h264",
        sound: Sound::Aac,
    },
    Kind {
        name: "promised",
        fps: 25,
        encoder: "-c:v libx264 -bf 0 -g 50 -x264-params aud=1 -f h264",
        sound: Sound::Promised,
    },
    Kind {
        name: "reordered",
        fps: 25,
        encoder: "-c:v libx264 -bf 2 -g 50 -x264-params aud=1:b-adapt=0:b-pyramid=0 -f h264",
        sound: Sound::None,
    },
    Kind {
        name: "slow",
        fps: 5,
        encoder: "-c:v libx264 -bf 0 -g 20 -x264-params aud=1 -f h264",
        sound: Sound::None,
    },
    Kind {
        name: "h265",
        fps: 25,
        encoder: "-c:v libx265 -x265-params log-level=none:aud=1:bframes=0:keyint=50:repeat-headers=1 -f hevc",
        sound: Sound::None,
    },
    Kind {
        name: "jpeg",
        fps: 10,
        encoder: "-c:v mjpeg -q:v 5 -f mjpeg",
        sound: Sound::None,
    },
];

/// What the publishers are told, and tell.
#[derive(Default)]
struct Faults {
    lose: AtomicU64,
    away_ms: AtomicU64,
    newest_us: AtomicI64,
}

struct App {
    mse: Mse,
    mjpeg: Mjpeg,
    faults: Vec<(&'static str, Arc<Faults>)>,
}

#[tokio::main]
async fn main() {
    let listen = std::env::args()
        .nth(1)
        .unwrap_or("127.0.0.1:8090".to_owned());
    let hub = Arc::new(Hub::new());
    let mut faults = Vec::new();
    for kind in &KINDS {
        let shared = Arc::new(Faults::default());
        faults.push((kind.name, Arc::clone(&shared)));
        let stream = hub.add(StreamName::new(kind.name).unwrap());
        tokio::spawn(publish(kind, stream, shared));
    }
    let (mse, mjpeg) = (Mse::new(Arc::clone(&hub)), Mjpeg::new(hub, pixels()));
    let app = Arc::new(App { mse, mjpeg, faults });
    let router = Router::new()
        .route("/", get(|| async { Html(PAGE) }))
        .route("/player.js", get(player))
        .route("/api/v1/cameras/{name}/ws", get(ws))
        .route("/api/v1/cameras/{name}/stream", get(moving))
        .route("/api/v1/cameras/{name}/snapshot.jpg", get(still))
        .route("/live/{name}", get(live))
        .route("/fault/{name}/{what}/{amount}", get(fault))
        .with_state(app);
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>browser outputs</title>
<video id="v" muted playsinline style="width:640px;background:#000"></video><pre id="s"></pre>
<script type="module">
import { Player } from "/player.js";
const name = new URLSearchParams(location.search).get("camera") ?? "plain";
const url = `ws://${location.host}/api/v1/cameras/${name}/ws`;
window.states = [];
window.player = new Player(v, url, (state, detail) => {
  window.states.push([Math.round(performance.now()), state, detail]);
  s.textContent = `${state} ${detail ?? ""}`;
});
window.player.start();
</script>"#;

async fn player() -> Response {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../api/web/player.js");
    (
        [(CONTENT_TYPE, "text/javascript")],
        std::fs::read(path).unwrap(),
    )
        .into_response()
}

async fn ws(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(move |socket| serve(app, name, socket))
}

async fn serve(app: Arc<App>, name: String, mut socket: WebSocket) {
    let mut session = app.mse.session(&name).unwrap();
    loop {
        let frame = tokio::select! {
            message = session.next() => match message {
                Some(Message::Text(text)) => Frame::Text(text.into()),
                Some(Message::Binary(bytes)) => Frame::Binary(bytes),
                None => return,
            },
            received = socket.recv() => match received {
                Some(Ok(_)) => continue,
                _ => return,
            },
        };
        if socket.send(frame).await.is_err() {
            return;
        }
    }
}

async fn moving(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.mjpeg.session(&name, PATIENCE).await {
        Ok(session) => {
            let body = Body::from_stream(session.into_stream());
            ([(CONTENT_TYPE, mjpeg::CONTENT_TYPE)], body).into_response()
        }
        Err(error) => error.to_string().into_response(),
    }
}

async fn still(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    match app.mjpeg.snapshot(&name, PATIENCE).await {
        Ok(still) => ([(CONTENT_TYPE, "image/jpeg")], still.jpeg).into_response(),
        Err(error) => error.to_string().into_response(),
    }
}

/// The newest picture's time in seconds on the player's time line.
async fn live(State(app): State<Arc<App>>, Path(name): Path<String>) -> String {
    let faults = app.faults.iter().find(|(known, _)| *known == name);
    let micros = faults.map_or(0, |(_, faults)| faults.newest_us.load(Ordering::Relaxed));
    format!("{}", micros as f64 / 1e6)
}

async fn fault(
    State(app): State<Arc<App>>,
    Path((name, what, amount)): Path<(String, String, u64)>,
) {
    for (_, faults) in app.faults.iter().filter(|(known, _)| *known == name) {
        match what.as_str() {
            "lose" => faults.lose.store(amount, Ordering::Relaxed),
            _ => faults.away_ms.store(amount, Ordering::Relaxed),
        }
    }
}

async fn publish(kind: &'static Kind, stream: Arc<hub::Stream>, faults: Arc<Faults>) {
    let pictures = pictures(kind);
    let sounds = if kind.sound == Sound::Aac {
        sounds()
    } else {
        Vec::new()
    };
    let mut tracks = vec![track(kind, &pictures)];
    if kind.sound != Sound::None {
        tracks.push(Track::aac(Bytes::from_static(&[0x11, 0x88]), 48_000, 1));
    }
    let tracks = Tracks::new(tracks);
    let mut publisher = stream.publisher();
    publisher.announce(tracks.clone()).unwrap();
    let start = Instant::now();
    let (mut picture, mut sound) = (0, 0);
    loop {
        let away = faults.away_ms.swap(0, Ordering::Relaxed);
        if away > 0 {
            stream.set_status(hub::State::Waiting, Some("unplugged".to_owned()), None);
            tokio::time::sleep(Duration::from_millis(away)).await;
            publisher = stream.publisher();
            publisher.announce(tracks.clone()).unwrap();
            stream.set_status(hub::State::Live, None, None);
            let missed = i64::try_from(start.elapsed().as_millis()).unwrap() * kind.fps / 1000;
            picture = missed;
            sound = missed * 48_000 / kind.fps / 1024;
        }
        let received = Instant::now();
        let (time, is_keyframe, payload) =
            &pictures[usize::try_from(picture).unwrap() % pictures.len()];
        let round = picture / i64::try_from(pictures.len()).unwrap() * SECONDS * 90_000;
        let unit = AccessUnit {
            track: 0,
            time: MediaTime(round + time),
            wall: None,
            received,
            is_keyframe: *is_keyframe,
            payload: payload.clone(),
        };
        picture += 1;
        if faults.lose.load(Ordering::Relaxed) > 0 {
            faults.lose.fetch_sub(1, Ordering::Relaxed);
        } else {
            publisher.publish(unit).unwrap();
        }
        let due_ms = picture * 1000 / kind.fps;
        while !sounds.is_empty() && sound * 1024 * 1000 / 48_000 < due_ms {
            let payload: &Bytes = &sounds[usize::try_from(sound).unwrap() % sounds.len()];
            let (time, payload) = (MediaTime(sound * 1024), payload.clone());
            let unit = AccessUnit {
                track: 1,
                time,
                wall: None,
                received,
                is_keyframe: true,
                payload,
            };
            publisher.publish(unit).unwrap();
            sound += 1;
        }
        // Fragments stand two seconds into the player's time line.
        faults.newest_us.store(
            2_000_000 + picture * 1_000_000 / kind.fps,
            Ordering::Relaxed,
        );
        tokio::time::sleep_until(
            (start + Duration::from_millis(u64::try_from(due_ms).unwrap())).into(),
        )
        .await;
    }
}

fn track(kind: &Kind, pictures: &[(i64, bool, Bytes)]) -> Track {
    let set = |mask: u8, shift: u8, wanted: u8| {
        let mut nals = media::NalUnits::new(&pictures[0].2);
        nals.find(|nal| nal[0] >> shift & mask == wanted).unwrap()
    };
    match kind.name {
        "jpeg" => Track::jpeg(None),
        "h265" => Track::h265(
            set(0x3f, 1, 32),
            set(0x3f, 1, 33),
            set(0x3f, 1, 34),
            640,
            360,
        ),
        _ => Track::h264(set(0x1f, 0, 7), set(0x1f, 0, 8), 640, 360),
    }
}

fn ffmpeg(source: &str, encoder: &str) -> Vec<u8> {
    let source = source.split_whitespace();
    let child = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi"])
        .args(source)
        .args(encoder.split_whitespace())
        .arg("-")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    child.unwrap().stdout
}

/// Time, keyframe, payload of each picture in decoding order.
fn pictures(kind: &Kind) -> Vec<(i64, bool, Bytes)> {
    let source = format!(
        "-i testsrc2=size=640x360:rate={}:duration={SECONDS} -pix_fmt yuv420p",
        kind.fps
    );
    let bytes = ffmpeg(&source, kind.encoder);
    let marker: &[u8] = match kind.name {
        "jpeg" => &[0xff, 0xd8, 0xff],
        "h265" => &[0, 0, 1, 0x46],
        _ => &[0, 0, 1, 0x09],
    };
    let mut starts: Vec<usize> = (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(marker))
        .collect();
    starts.push(bytes.len());
    let step = 90_000 / kind.fps;
    let units = (0..)
        .zip(starts.windows(2))
        .map(|(n, pair): (i64, &[usize])| {
            let unit = &bytes[pair[0]..pair[1]];
            if kind.name == "jpeg" {
                return (n * step, true, Bytes::copy_from_slice(unit));
            }
            let payload = length_prefixed(unit);
            let is_keyframe = if kind.name == "h265" {
                format::h265::is_keyframe(&payload)
            } else {
                format::h264::is_keyframe(&payload)
            };
            // One P picture, then the two B pictures shown before it; a keyframe begins anew.
            let shown = match (kind.name, n % 50) {
                ("reordered", 0) => n,
                ("reordered", 49) => n,
                ("reordered", m) if m % 3 == 1 => n + 2,
                ("reordered", _) => n - 1,
                _ => n,
            };
            (shown * step, is_keyframe, payload)
        });
    units.collect()
}

fn length_prefixed(unit: &[u8]) -> Bytes {
    let mut starts: Vec<usize> = (0..unit.len())
        .filter(|&at| unit[at..].starts_with(&[0, 0, 1]))
        .collect();
    starts.push(unit.len());
    let nals = starts.windows(2).map(|pair| {
        let mut nal = &unit[pair[0] + 3..pair[1]];
        while let [rest @ .., 0] = nal {
            nal = rest;
        }
        nal
    });
    media::length_prefixed(nals)
}

/// Raw AAC access units without their ADTS headers.
fn sounds() -> Vec<Bytes> {
    let source = format!("-i sine=frequency=440:sample_rate=48000:duration={SECONDS}");
    let bytes = ffmpeg(&source, "-c:a aac -ac 1 -f adts");
    let mut units = Vec::new();
    let mut rest = &bytes[..];
    while rest.len() > 7 {
        let len =
            usize::from(rest[3] & 3) << 11 | usize::from(rest[4]) << 3 | usize::from(rest[5] >> 5);
        units.push(Bytes::copy_from_slice(&rest[7..len]));
        rest = &rest[len..];
    }
    units
}

/// This example shows cameras that send JPEG: nothing decodes.
fn pixels() -> Arc<pixels::Pixels> {
    let nobody = pixels::Program::new("/nonexistent/decoder", []);
    Arc::new(pixels::Pixels::new(pixels::Settings::new(nobody)))
}
