//! A JPEG camera to many viewers: motion JPEG over HTTP, raw TCP, RTP.
use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eyelet_tests::browser::Browser;
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::frames::Reference;
use eyelet_tests::http;
use eyelet_tests::jpeg_camera::{self, BITS, JpegCamera, Look, SQUARE, Speech};
use eyelet_tests::jpeg_viewer::{Mjpeg, Raw};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process;
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

/// Different pictures of a camera.
const PICTURES: usize = 100;

/// Pictures a second.
const FPS: u32 = 10;

/// A gateway with one camera, `esp`, and its raw listener.
fn gateway(camera: &JpegCamera, extra: &str) -> (Gateway, SocketAddr) {
    let raw = SocketAddr::from(([127, 0, 0, 1], tools::free_port()));
    let gateway = Gateway::start(&format!(
        "cameras:\n  esp: {{ source: \"{}\", raw: \"{raw}\"{extra} }}\n",
        camera.url()
    ));
    (gateway, raw)
}

fn stream(gateway: &Gateway) -> String {
    format!("http://{}/api/v1/cameras/esp/stream", gateway.http)
}

fn ask(gateway: &Gateway, request: &str) -> http::Answer {
    let mut socket = TcpStream::connect(gateway.http).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    http::read_answer(&mut std::io::BufReader::new(socket)).unwrap()
}

#[test]
fn five_hundred_and_fifty_viewers_get_every_picture_while_twenty_hang() {
    const HTTP: usize = 500;
    const RAW: usize = 50;
    const STALLED: usize = 20;
    const WATCHED: usize = 100;
    let look = Look {
        width: 320,
        height: 240,
        ..Look::vga()
    };
    let pictures = Arc::new(jpeg_camera::pictures(look, PICTURES));
    let camera = JpegCamera::start(pictures.to_vec(), FPS, Speech::Http);
    let (gateway, raw) = gateway(&camera, "");
    let path = "/api/v1/cameras/esp/stream";
    let stalled: Vec<TcpStream> = (0..STALLED)
        .map(|number| {
            let to = if number % 2 == 0 { gateway.http } else { raw };
            let mut socket = TcpStream::connect(to).unwrap();
            write!(
                socket,
                "GET {} HTTP/1.1\r\nHost: {to}\r\n\r\n",
                if number % 2 == 0 { path } else { "/" }
            )
            .unwrap();
            socket
        })
        .collect();
    let small = |work: Box<dyn FnOnce() + Send>| {
        std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(work)
            .unwrap()
    };
    let mut viewers = Vec::new();
    for _ in 0..HTTP {
        let (pictures, http) = (Arc::clone(&pictures), gateway.http);
        viewers.push(small(Box::new(move || {
            let mut viewer = Mjpeg::open(http, path);
            let first = viewer.picture();
            let mut place = pictures.iter().position(|known| *known == first).unwrap();
            for _ in 1..WATCHED {
                place = (place + 1) % pictures.len();
                assert!(
                    viewer.picture() == pictures[place],
                    "a picture is missing or changed"
                );
            }
        })));
    }
    for _ in 0..RAW {
        let pictures = Arc::clone(&pictures);
        viewers.push(small(Box::new(move || {
            let mut viewer = Raw::open(raw);
            let mut place = viewer.picture(&pictures);
            for _ in 1..WATCHED {
                place = (place + 1) % pictures.len();
                assert!(
                    viewer.reads(&pictures[place]),
                    "a picture is missing or changed"
                );
            }
        })));
    }
    let count = || {
        let by_output = &gateway.camera("esp")["viewers"]["by_output"];
        let of = |output: &str| by_output[output].as_u64().unwrap_or(0) as usize;
        of("mjpeg") + of("raw")
    };
    tools::wait_for("everybody to watch", Duration::from_secs(30), || {
        (count() == HTTP + RAW + STALLED).then_some(())
    });
    let before = gateway.process.memory();
    let failed = viewers.into_iter().filter_map(|viewer| viewer.join().err());
    assert_eq!(failed.count(), 0, "viewers failed");
    let growth = gateway.process.memory().saturating_sub(before);
    eprintln!("memory {before} bytes with everybody there, then {growth} more");
    assert!(growth < 8 << 20, "memory grew by {growth} bytes");
    assert_eq!(camera.connections(), 1, "one connection to the camera");
    drop(stalled);
    tools::wait_for("the gateway to notice", Duration::from_secs(10), || {
        (count() == 0).then_some(())
    });
}

#[test]
fn ffmpeg_decodes_the_cameras_own_pictures_over_http() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let pictures = jpeg_camera::pictures(Look::vga(), PICTURES);
    let folder = tempfile::tempdir().unwrap();
    let file = jpeg_camera::write(&pictures, folder.path());
    let camera = JpegCamera::start(pictures, FPS, Speech::Http);
    let (gateway, _) = gateway(&camera, "");
    let played = players::ffmpeg_http(Path::new("ffmpeg"), &stream(&gateway), 4);
    played.assert_clean(3, FPS);
    let reference = Reference::of_file(Path::new("ffmpeg"), &file, "mjpeg");
    reference.assert_consecutive(&played.pictures);
}

#[test]
fn gstreamer_decodes_the_cameras_own_pictures_over_http_and_rtp() {
    require!(tools::has("gst-launch-1.0"), "GStreamer");
    let pictures = jpeg_camera::pictures(Look::vga(), PICTURES);
    let folder = tempfile::tempdir().unwrap();
    let file = jpeg_camera::write(&pictures, folder.path());
    // Its decoder gives 4:2:0 whatever came: three bytes for two dots.
    let bytes = 640 * 480 * 3 / 2;
    let own = format!("filesrc location={} ! jpegparse", file.display());
    let own = players::gstreamer_jpeg(&own, PICTURES, bytes);
    let reference = Reference::of_hashes(own);
    let camera = JpegCamera::start(pictures, FPS, Speech::Bare);
    let (gateway, _) = gateway(&camera, "");
    for begin in [
        format!("souphttpsrc location={} ! multipartdemux", stream(&gateway)),
        format!(
            "rtspsrc location={} protocols=tcp ! rtpjpegdepay",
            gateway.url("esp")
        ),
    ] {
        let seen = players::gstreamer_jpeg(&begin, 30, bytes);
        assert!(seen.len() >= 30, "{begin}: {} pictures", seen.len());
        reference.assert_consecutive(&seen);
    }
}

#[test]
fn opencv_decodes_the_cameras_own_pictures_over_http() {
    require!(
        tools::python_with_packages().is_some(),
        "the Python package opencv-python-headless"
    );
    let pictures = jpeg_camera::pictures(Look::vga(), PICTURES);
    let folder = tempfile::tempdir().unwrap();
    let file = jpeg_camera::write(&pictures, folder.path());
    let own = players::opencv_hashes(file.to_str().unwrap(), PICTURES);
    let camera = JpegCamera::start(pictures, FPS, Speech::Http);
    let (gateway, _) = gateway(&camera, "");
    let seen = players::opencv_hashes(&stream(&gateway), 30);
    Reference::of_hashes(own).assert_consecutive(&seen);
}

#[test]
fn chromium_shows_the_newest_picture() {
    require!(Browser::is_here(), "chromium");
    let pictures = jpeg_camera::pictures(Look::vga(), 32);
    // Shown one by one: the newest must be seen although no further one pushes it out.
    let camera = JpegCamera::start(pictures, 0, Speech::Http);
    let (gateway, _) = gateway(&camera, "");
    let mut browser = Browser::open(&stream(&gateway));
    let number = format!(
        "(() => {{ const i = document.images[0]; if (!i || !i.naturalWidth) return -1;
            const c = document.createElement('canvas'); c.width = i.naturalWidth; c.height = i.naturalHeight;
            const g = c.getContext('2d'); g.drawImage(i, 0, 0);
            let n = 0;
            for (let b = 0; b < {BITS}; b++) {{
                const v = g.getImageData({SQUARE} * b + {SQUARE} / 2, {SQUARE} / 2, 1, 1).data[0];
                if (v > 80 && v < 176) return -2;
                if (v >= 176) n |= 1 << b;
            }}
            return n; }})()"
    );
    for wanted in [0, 1, 2, 5, 6, 21] {
        while camera.newest() < wanted {
            camera.show();
            std::thread::sleep(Duration::from_millis(100));
        }
        let seen = format!("{number} === {wanted}");
        browser.wait_until(&seen, Duration::from_secs(20), &number);
    }
    let size = browser.evaluate("document.images[0].naturalWidth");
    assert_eq!(size, 640);
}

/// Every kind of JPEG that RTP can carry comes out of ffmpeg as it went in.
fn ffmpeg_plays_rtp(look: Look) {
    require!(tools::has("ffmpeg"), "ffmpeg");
    // Drawing large ones takes its time.
    let count = if look.width > 1_000 { 55 } else { PICTURES };
    let pictures = jpeg_camera::pictures(look, count);
    let folder = tempfile::tempdir().unwrap();
    let file = jpeg_camera::write(&pictures, folder.path());
    let camera = JpegCamera::start(pictures, FPS, Speech::Bare);
    let (gateway, _) = gateway(&camera, "");
    let ffmpeg = Path::new("ffmpeg");
    let reference = Reference::of_file(ffmpeg, &file, "mjpeg");
    let url = gateway.url("esp");
    let played = players::ffmpeg(&Host::here(), ffmpeg, &url, Transport::Tcp, 4);
    played.assert_clean(3, FPS);
    reference.assert_consecutive(&played.pictures);
}

#[test]
fn ffmpeg_plays_rtp_jpeg_in_422() {
    ffmpeg_plays_rtp(Look::vga());
}

#[test]
fn ffmpeg_plays_rtp_jpeg_in_420_of_high_quality() {
    ffmpeg_plays_rtp(Look {
        is_422: false,
        quality: 92,
        ..Look::vga()
    });
}

#[test]
fn ffmpeg_plays_rtp_jpeg_with_restart_markers() {
    ffmpeg_plays_rtp(Look {
        restart: 40,
        ..Look::vga()
    });
}

#[test]
fn ffmpeg_plays_rtp_jpeg_of_1600_by_1200() {
    ffmpeg_plays_rtp(Look {
        width: 1600,
        height: 1200,
        quality: 20,
        ..Look::vga()
    });
}

#[test]
fn two_nc_at_once_hold_identical_bytes() {
    require!(tools::has("nc"), "netcat-openbsd");
    let pictures = jpeg_camera::pictures(Look::vga(), 20);
    let camera = JpegCamera::start(pictures.clone(), 0, Speech::Bare);
    let (gateway, single) = gateway(&camera, ", raw_mode: single");
    // It is there, and being watched.
    let mut other = Mjpeg::open(gateway.http, "/api/v1/cameras/esp/stream");
    other.picture();
    camera.show();
    assert!(other.picture() == pictures[1]);
    let nc = || {
        let mut command = Command::new("nc");
        command.args(["127.0.0.1", &single.port().to_string()]);
        std::thread::spawn(move || process::run("nc", &mut command, Duration::from_secs(20)))
    };
    let (one, two) = (nc(), nc());
    let (one, two) = (one.join().unwrap(), two.join().unwrap());
    assert!(one.stdout == pictures[1], "{} bytes", one.stdout.len());
    assert!(one.stdout == two.stdout);
    assert!(one.status.success() && two.status.success());
    assert_eq!(camera.connections(), 1);
}

#[test]
fn two_raw_viewers_without_end_hold_identical_bytes() {
    let pictures = jpeg_camera::pictures(Look::vga(), PICTURES);
    let camera = JpegCamera::start(pictures.clone(), FPS, Speech::Bare);
    let (_gateway, raw) = gateway(&camera, "");
    let (mut one, mut two) = (Raw::open(raw), Raw::open(raw));
    let (mut first, second) = (one.picture(&pictures), two.picture(&pictures));
    while first != second {
        first = (first + 1) % PICTURES;
        assert!(one.reads(&pictures[first]));
    }
    for next in second + 1..second + 20 {
        let picture = &pictures[next % PICTURES];
        assert!(one.reads(picture) && two.reads(picture));
    }
}

#[test]
fn a_still_tells_its_age_and_is_not_sent_twice() {
    let pictures = jpeg_camera::pictures(Look::vga(), 20);
    let camera = JpegCamera::start(pictures.clone(), FPS, Speech::Http);
    let (gateway, _) = gateway(&camera, "");
    let get = |path: &str, headers: &str| {
        let host = gateway.http;
        ask(
            &gateway,
            &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n"),
        )
    };
    let header = |answer: &http::Answer, name: &str| {
        let found = answer.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        });
        found.unwrap_or_default()
    };
    let path = "/api/v1/cameras/esp/snapshot.jpg";
    let still = get(path, "");
    assert_eq!(still.status, 200, "{}", still.head);
    assert!(pictures.contains(&still.body), "the camera's own bytes");
    assert_eq!(header(&still, "content-type"), "image/jpeg");
    assert_eq!(
        header(&still, "content-length"),
        still.body.len().to_string()
    );
    assert_eq!(header(&still, "cache-control"), "no-store");
    assert!(header(&still, "age").parse::<u64>().unwrap() <= 2);
    assert!(header(&still, "last-modified").ends_with(" GMT"));
    assert!(header(&still, "x-timestamp").parse::<f64>().unwrap() > 1.7e9);
    let door = get("/api/frame.jpeg?src=esp", "");
    assert!(door.status == 200 && pictures.contains(&door.body));
    let head = {
        let host = gateway.http;
        let mut socket = TcpStream::connect(host).unwrap();
        write!(
            socket,
            "HEAD {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut socket, &mut text).unwrap();
        text
    };
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert!(head.contains("content-length: "), "{head}");

    // Once the camera is gone its last picture stays, and grows older.
    drop(camera);
    let last = tools::wait_for(
        "a second still of the same picture",
        Duration::from_secs(40),
        || {
            let one = get(path, "");
            let tag = format!("If-None-Match: {}\r\n", header(&one, "etag"));
            (get(path, &tag).status == 304).then_some(one)
        },
    );
    assert!(pictures.contains(&last.body));
    tools::wait_for(
        "the picture to be called stale",
        Duration::from_secs(40),
        || (header(&get(path, ""), "x-stale") == "true").then_some(()),
    );
}

#[test]
fn without_a_camera_a_still_is_refused_with_the_reason_in_time() {
    let port = tools::free_port();
    let gateway = Gateway::start(&format!(
        "cameras:\n  esp: \"jpeg+tcp://127.0.0.1:{port}\"\n"
    ));
    let start = Instant::now();
    let answer = ask(
        &gateway,
        "GET /api/v1/cameras/esp/snapshot.jpg HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(start.elapsed() < Duration::from_secs(25));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("gave no picture within 10 s"), "{detail}");
    assert!(detail.contains(&port.to_string()), "{detail}");
}

#[test]
fn motion_jpeg_comes_over_tls_and_through_go2rtcs_door() {
    let pictures = jpeg_camera::pictures(Look::vga(), 20);
    let camera = JpegCamera::start(pictures.clone(), FPS, Speech::Http);
    let (gateway, raw) = gateway(&camera, "");
    let mut places = HashMap::new();
    for (address, path) in [
        (gateway.http, "/api/stream.mjpeg?src=esp"),
        (gateway.http, "/api/v1/cameras/esp/stream"),
        (raw, "/"),
    ] {
        let mut viewer = Mjpeg::open(address, path);
        for _ in 0..3 {
            let picture = viewer.picture();
            let place = pictures.iter().position(|known| *known == picture);
            places.insert(place.unwrap(), ());
        }
    }
    assert!(places.len() >= 3);
    require!(tools::has("ffmpeg"), "ffmpeg");
    let url = stream(&gateway).replace("http://", "https://");
    let played = players::ffmpeg_http(Path::new("ffmpeg"), &url, 2);
    played.assert_clean(1, FPS);
    let folder = tempfile::tempdir().unwrap();
    let many = jpeg_camera::write(&pictures, folder.path());
    let own = players::decoded(&many);
    assert!(played.pictures.iter().all(|hash| own.contains(hash)));
    assert_eq!(camera.connections(), 1);
}
