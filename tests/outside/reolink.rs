//! Simulated Reolink cameras, in processes of their own, through the gateway to viewers that others wrote.
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use eyelet_tests::eyelet::{Gateway, eyelet};
use eyelet_tests::frames::Reference;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::{self, Running};
use eyelet_tests::world::Host;
use eyelet_tests::{http, require, tools};

/// Pictures a second of the simulated camera.
const FPS: u32 = 25;

/// A simulated camera.
struct Camera {
    _process: Running,
    source: String,
}

impl Camera {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(tools::program("eyelet"));
        command.args(["simulate", "reolink"]).args(args);
        let mut process = Running::start("eyelet simulate reolink", &mut command);
        let source = process.wait_for_line("its source", Duration::from_secs(20), |line| {
            line.starts_with("reolink").then(|| line.trim().to_owned())
        });
        Self {
            _process: process,
            source,
        }
    }

    /// Over TCP on a free port.
    fn tcp(args: &[&str]) -> Self {
        Self::start(&[&["--listen", "127.0.0.1:0"], args].concat())
    }

    fn gateway(&self) -> Gateway {
        Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", self.source))
    }
}

/// The clip that the simulated camera plays.
fn clip(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../sim/cameras/media")
        .join(name)
}

/// Plays a stream of the gateway: clean, and each picture the camera's.
fn plays(gateway: &Gateway, stream: &str, file: &str, format: &str) {
    let program = players::debian_ffmpeg();
    let played = players::ffmpeg(
        &Host::here(),
        &program,
        &gateway.url(stream),
        Transport::Tcp,
        3,
    );
    played.assert_clean(3, FPS);
    Reference::of_file(&program, &clip(file), format).assert_consecutive(&played.pictures);
}

#[test]
fn ffmpeg_plays_a_reolink_camera_in_every_encryption_mode() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    for mode in ["none", "xor", "aes", "full"] {
        let camera = Camera::tcp(&["--encryption", mode]);
        plays(&camera.gateway(), "porch", "porch.h264", "h264");
    }
}

#[test]
fn ffmpeg_plays_h265_and_the_small_picture_of_a_reolink_camera_over_one_login() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let camera = Camera::tcp(&["--h265"]);
    let gateway = camera.gateway();
    plays(&gateway, "porch", "porch.h265", "hevc");
    plays(&gateway, "porch/sub", "porch-small.h264", "h264");
    let wakes = &gateway.camera("porch")["device"]["wakes"];
    assert!(wakes["view"].as_u64() <= Some(2), "{wakes}");
    let milliseconds = gateway.camera("porch")["time_to_first_picture_ms"].as_u64();
    eprintln!("time to the first picture: {milliseconds:?} ms");
    // A camera that answers at once, and a machine that has other things to do.
    assert!(milliseconds.unwrap() < 3_000);
}

#[test]
fn a_battery_camera_is_found_by_its_uid_and_tells_its_charge() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let port = free_udp_port().to_string();
    let camera = Camera::start(&["--battery", "--udp", "127.0.0.1", "--hello", &port]);
    let source = format!("{}?address=127.0.0.1:{port}", camera.source);
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{source}\"\n"));
    let before = gateway.camera("porch");
    assert_eq!(before["device"]["wakes"], serde_json::json!({}));
    assert_eq!(before["autoplay"], false);
    plays(&gateway, "porch", "porch.h264", "h264");
    let device = gateway.api("/api/v1/cameras/porch/device");
    assert!(device["battery"]["percent"].is_u64(), "{device}");
    assert_eq!(device["wakes"]["view"], 1, "{device}");
}

#[test]
fn a_still_of_a_sleeping_camera_is_its_last_one_and_wakes_it_only_when_asked() {
    let port = tools::free_port().to_string();
    let camera = Camera::start(&["--battery", "--udp", "127.0.0.1", "--hello", &port]);
    let source = format!("{}?address=127.0.0.1:{port}", camera.source);
    let gateway = Gateway::start(&format!(
        "cameras:\n  porch: {{ source: \"{source}\", idle: 1s }}\n"
    ));
    let get = |query: &str| {
        let path = format!("/api/v1/cameras/porch/snapshot.jpg{query}");
        http::request(&Host::here(), gateway.http, &path).unwrap()
    };
    let wakes = || gateway.camera("porch")["device"]["wakes"].clone();
    let none = get("");
    assert_eq!(none.status, 503, "{}", none.text());
    assert!(none.text().contains("?wake=1"), "{}", none.text());
    assert_eq!(wakes(), serde_json::json!({}));

    let first = get("?wake=1");
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(first.body.starts_with(&[0xff, 0xd8]));
    assert_eq!(wakes(), serde_json::json!({ "view": 1 }));
    let start = Instant::now();
    while gateway.camera("porch")["state"]["name"] != "idle" {
        assert!(start.elapsed() < Duration::from_secs(30), "it stays awake");
        std::thread::sleep(Duration::from_millis(200));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    let last = get("");
    assert_eq!(last.status, 200, "{}", last.text());
    assert!(last.body.starts_with(&[0xff, 0xd8]));
    let head = last.head.to_ascii_lowercase();
    assert!(
        head.contains("\nage: ") && !head.contains("\nage: 0\r"),
        "{head}"
    );
    let go2rtc = http::request(&Host::here(), gateway.http, "/api/frame.jpeg?src=porch").unwrap();
    assert_eq!(go2rtc.status, 200, "{}", go2rtc.text());
    assert_eq!(wakes(), serde_json::json!({ "view": 1 }), "nobody woke it");
}

#[test]
fn the_command_line_asks_and_commands_a_reolink_camera() {
    let camera = Camera::tcp(&[]);
    let run = |args: &[&str]| {
        let all = [&["camera", camera.source.as_str()], args].concat();
        let output = eyelet(&Host::here(), &all);
        let (said, talk) = (process::text(&output.stdout), process::text(&output.stderr));
        assert!(output.status.success(), "{args:?}: {talk}");
        said
    };
    let json = |args: &[&str]| serde_json::from_str::<serde_json::Value>(&run(args)).unwrap();
    assert!(json(&["info"])["version"]["firmware"].is_string());
    assert_eq!(json(&["led", "--infrared", "off"])["infrared"], "off");
    assert_eq!(json(&["led"])["infrared"], "off", "the camera kept it");
    assert_eq!(json(&["pir", "off"])["on"], false);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("still.jpg");
    run(&["snapshot", "-o", file.to_str().unwrap()]);
    let still = std::fs::read(&file).unwrap();
    assert_eq!(still, std::fs::read(clip("porch.jpg")).unwrap());
}

#[test]
fn a_wrong_password_and_an_absent_camera_are_told_with_what_to_try() {
    let camera = Camera::tcp(&["--login", "admin:right"]);
    let wrong = camera.source.replace("right", "wrong");
    let absent = "reolink://admin:x@127.0.0.1:1";
    for (source, said) in [
        (wrong.as_str(), "check user and password"),
        (absent, "reolink+uid://"),
        ("reolink+uid://admin:x@SHORT", "16 letters and digits"),
    ] {
        let output = eyelet(&Host::here(), &["camera", source, "info"]);
        let talk = process::text(&output.stderr);
        assert!(!output.status.success() && talk.contains(said), "{talk}");
    }
}

fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}
