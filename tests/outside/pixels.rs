//! JPEG pictures of cameras that send H.264 or H.265, and what is shown of a camera that is away.
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use eyelet_tests::browser::Browser;
use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::http::{self, Answer};
use eyelet_tests::media::{HEIGHT, Media, WIDTH};
use eyelet_tests::world::Host;
use eyelet_tests::{process, require, tools};

const PICTURE: usize = (WIDTH * HEIGHT * 3) as usize;

/// Red, green and blue of all pictures that ffmpeg finds in `input`.
fn decode(arguments: &[&str], input: &[u8]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    std::fs::write(&file, input).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error"]).args(arguments).arg("-i");
    ffmpeg.arg(&file);
    ffmpeg.args(["-fps_mode", "passthrough", "-f", "rawvideo"]);
    ffmpeg.args(["-pix_fmt", "rgb24", "-"]);
    let output = process::run("ffmpeg", &mut ffmpeg, Duration::from_secs(60));
    let said = process::text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let pictures = output.stdout.chunks_exact(PICTURE);
    pictures.map(<[u8]>::to_vec).collect()
}

/// Peak signal to noise in decibels.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    let squares: u64 = one
        .iter()
        .zip(other)
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    let mean = squares as f64 / one.len() as f64;
    10.0 * (255.0 * 255.0 / mean.max(1e-9)).log10()
}

/// The picture of the media file that is most like this JPEG, and how like.
fn best_match(media: Media, jpeg: &[u8]) -> (usize, f64) {
    let file = std::fs::read(media.file()).unwrap();
    let all = decode(&["-f", media.format()], &file);
    let ours = decode(&["-f", "mjpeg"], jpeg);
    assert_eq!(ours.len(), 1, "one whole picture");
    let likeness = all.iter().map(|picture| psnr(picture, &ours[0]));
    let best = likeness.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap()
}

fn still(gateway: &Gateway) -> Answer {
    let path = "/api/v1/cameras/porch/snapshot.jpg";
    http::request(&Host::here(), gateway.http, path).unwrap()
}

fn a_still_is_the_newest_keyframe(model: Model) {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let media = model.video;
    let camera = Camera::start(&Host::here(), model);
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    let answer = still(&gateway);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (place, likeness) = best_match(media, &answer.body);
    assert_eq!(place % 50, 0, "picture {place} of the file is no keyframe");
    assert!(likeness > 32.0, "{likeness:.1} dB from picture {place}");
    assert_eq!(camera.total(), 1);
}

#[test]
fn a_still_of_an_h264_camera_is_its_keyframe() {
    a_still_is_the_newest_keyframe(Model::h264());
}

#[test]
fn a_still_of_an_h265_camera_is_its_keyframe() {
    a_still_is_the_newest_keyframe(Model::h265());
}

/// The first `count` pictures of a camera's motion JPEG.
fn pictures(gateway: &Gateway, count: usize) -> Vec<Vec<u8>> {
    let mut stream = Host::here().connect(gateway.http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "GET /api/v1/cameras/porch/stream HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        gateway.http
    )
    .unwrap();
    // Chunks may cut a picture anywhere; the markers tell pictures apart all the same, as ours
    // have no thumbnails.
    let mut reader = BufReader::new(stream);
    let (mut all, mut read) = (Vec::new(), vec![0; 16 << 10]);
    let started = Instant::now();
    loop {
        let found = split_pictures(&dechunk(&all));
        if found.len() >= count {
            return found;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{}",
            found.len()
        );
        let len = reader.read(&mut read).unwrap();
        assert!(len > 0, "{}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&read[..len]);
    }
}

/// The body of a response in chunks, as far as it came; any other response as it is.
fn dechunk(response: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&response[..response.len().min(2048)]).to_lowercase();
    if !text.contains("transfer-encoding: chunked") {
        return response.to_vec();
    }
    let end = response.windows(4).position(|four| four == b"\r\n\r\n");
    let (mut rest, mut body) = (&response[end.unwrap() + 4..], Vec::new());
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let chunk = &rest[line + 2..];
        body.extend_from_slice(&chunk[..size.min(chunk.len())]);
        if chunk.len() < size + 2 {
            break;
        }
        rest = &chunk[size + 2..];
    }
    body
}

fn split_pictures(body: &[u8]) -> Vec<Vec<u8>> {
    let mut pictures = Vec::new();
    let mut rest = body;
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|part| part == what);
    while let Some(start) = find(rest, b"\xff\xd8\xff") {
        let Some(end) = find(&rest[start..], b"\xff\xd9\r\n") else {
            break;
        };
        pictures.push(rest[start..start + end + 2].to_vec());
        rest = &rest[start + end + 2..];
    }
    pictures
}

/// The decoder processes of a gateway.
fn decoders(gateway: &Gateway) -> Vec<u32> {
    let parent = format!(" {} ", gateway.process.pid());
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_decoder = |folder: &Path| {
        let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let is_child = fields
            .get(2..)
            .is_some_and(|rest| rest.starts_with(&parent));
        is_child && line.windows(7).any(|word| word == b"decoder")
    };
    let folders = entries.map(|entry| entry.path());
    let pids = folders.filter(|folder| is_decoder(folder));
    pids.filter_map(|folder| folder.file_name()?.to_str()?.parse().ok())
        .collect()
}

#[test]
fn motion_jpeg_of_an_h265_camera_moves_and_its_decoder_ends_with_the_viewer() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h265());
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    let shown = pictures(&gateway, 6);
    let matches: Vec<(usize, f64)> = [&shown[1], &shown[4]]
        .iter()
        .map(|jpeg| best_match(Media::H265, jpeg))
        .collect();
    assert!(
        matches.iter().all(|(_, likeness)| *likeness > 30.0),
        "{matches:?}"
    );
    assert_ne!(matches[0].0, matches[1].0, "the picture moves");
    tools::wait_for("the decoder to end", Duration::from_secs(15), || {
        decoders(&gateway).is_empty().then_some(())
    });
}

#[test]
fn a_decoder_that_crashes_takes_nobody_along() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h264());
    let mut gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    std::thread::scope(|scope| {
        let viewer = scope.spawn(|| pictures(&gateway, 25));
        let pid = tools::wait_for("a decoder", Duration::from_secs(30), || {
            decoders(&gateway).first().copied()
        });
        // As it would end on memory that is not its own.
        let kill = Command::new("kill")
            .args(["-SEGV", &pid.to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert!(viewer.join().unwrap().len() >= 25);
    });
    assert!(gateway.process.is_running());
    assert_eq!(camera.total(), 1, "the camera noticed nothing");
}

#[test]
fn without_the_ffmpeg_that_was_asked_for_the_answer_says_what_to_install() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h265());
    let gateway = Gateway::start(&format!(
        "pixels: {{ decoder: ffmpeg, ffmpeg: /nonexistent/ffmpeg }}\ncameras:\n  porch: \"{}\"\n",
        camera.url()
    ));
    let answer = still(&gateway);
    assert_eq!(answer.status, 501, "{}", answer.text());
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("install ffmpeg") && detail.contains("H.265"),
        "{detail}"
    );
}

#[test]
fn chromium_shows_motion_jpeg_of_an_h264_camera() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    require!(Browser::is_here(), "chromium");
    let camera = Camera::start(&Host::here(), Model::h264());
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    let url = format!("http://{}/api/v1/cameras/porch/stream", gateway.http);
    let mut browser = Browser::open(&url);
    let shows = format!("document.images[0]?.naturalWidth === {WIDTH}");
    browser.wait_until(
        &shows,
        Duration::from_secs(40),
        "document.documentElement.outerHTML.slice(0, 500)",
    );
    let first = browser.picture_of("img");
    std::thread::sleep(Duration::from_secs(2));
    browser.screenshot("motion-jpeg");
    assert!(first != browser.picture_of("img"), "it stands still");
}

/// A grey picture by ffmpeg.
fn grey() -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i"]);
    ffmpeg.arg(format!("color=gray:s={WIDTH}x{HEIGHT}"));
    ffmpeg.args(["-frames:v", "1", "-f", "mjpeg", "-"]);
    process::run("ffmpeg", &mut ffmpeg, Duration::from_secs(30)).stdout
}

#[test]
fn the_backup_picture_is_shown_while_the_camera_is_away_and_the_camera_when_it_comes() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let folder = tempfile::tempdir().unwrap();
    let (file, backup) = (folder.path().join("away.jpg"), grey());
    std::fs::write(&file, &backup).unwrap();
    let mut camera = Camera::start(&Host::here(), Model::h264());
    camera.kill();
    let gateway = Gateway::start(&format!(
        "cameras:\n  porch: {{ source: \"{}\", backup: {} }}\n",
        camera.url(),
        file.display()
    ));
    let answer = still(&gateway);
    assert!(
        answer.status == 200 && answer.body == backup,
        "{}",
        answer.head
    );
    let head = answer.head.to_lowercase();
    assert!(head.contains("x-eyelet-picture: backup"), "{head}");

    std::thread::scope(|scope| {
        let viewer = scope.spawn(|| pictures(&gateway, 12));
        std::thread::sleep(Duration::from_secs(8));
        camera.restart();
        let shown = viewer.join().unwrap();
        assert!(shown[0] == backup, "the first picture is not the backup");
        let (_, likeness) = best_match(Media::H264, shown.last().unwrap());
        assert!(likeness > 30.0, "{likeness:.1} dB");
    });
}

#[test]
fn the_last_still_outlives_camera_and_gateway() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let mut camera = Camera::start(&Host::here(), Model::h264());
    let mut gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    assert_eq!(still(&gateway).status, 200);
    camera.kill();
    let stills = gateway.config().with_file_name("data/stills");
    tools::wait_for("the still to be kept", Duration::from_secs(40), || {
        stills.join("porch.jpg").is_file().then_some(())
    });
    gateway.restart();
    let answer = still(&gateway);
    let head = answer.head.to_lowercase();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(head.contains("x-eyelet-picture: kept"), "{head}");
    assert!(head.contains("\nage: "), "{head}");
    let (_, likeness) = best_match(Media::H264, &answer.body);
    assert!(likeness > 32.0, "{likeness:.1} dB");
}
