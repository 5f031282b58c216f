//! `eyelet relay` and `eyelet snapshot`: what ESP32 users know, by the names they know.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use eyelet_tests::eyelet::{Gateway, eyelet};
use eyelet_tests::jpeg_camera::{self, JpegCamera, Look, Speech};
use eyelet_tests::jpeg_viewer::{Mjpeg, Raw};
use eyelet_tests::process::{self, Running};
use eyelet_tests::tools;
use eyelet_tests::world::Host;

/// A relay that pulls from a camera, and where it serves.
fn relay(camera: SocketAddr, more: &[&str]) -> (Running, SocketAddr) {
    let port = tools::free_port().to_string();
    let mut args = vec!["relay", "--esp32-host", "127.0.0.1", "--client-port", &port];
    let camera_port = camera.port().to_string();
    args.extend(["--esp32-port", &camera_port, "--client-host", "127.0.0.1"]);
    args.extend(more);
    start(&args, &port)
}

fn start(args: &[&str], port: &str) -> (Running, SocketAddr) {
    let mut command = Command::new(tools::program("eyelet"));
    let mut relay = Running::start("eyelet relay", command.args(args));
    relay.wait_for_line("where it serves", Duration::from_secs(20), |line| {
        line.contains("raw JPEG at").then_some(())
    });
    (
        relay,
        SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
    )
}

fn snapshot(args: &[&str]) -> std::process::Output {
    let mut all = vec!["snapshot"];
    all.extend(args);
    eyelet(&Host::here(), &all)
}

#[test]
fn the_relay_gives_one_camera_to_many_viewers_and_ends_cleanly() {
    let pictures = jpeg_camera::pictures(Look::vga(), 50);
    let camera = JpegCamera::start(pictures.clone(), 10, Speech::Bare);
    let (mut relay, address) = relay(camera.address(), &["--statistics", "1"]);
    let mut viewers: Vec<Raw> = (0..5).map(|_| Raw::open(address)).collect();
    for viewer in &mut viewers {
        let place = viewer.picture(&pictures);
        assert!(viewer.reads(&pictures[(place + 1) % 50]));
    }
    let mut motion = Mjpeg::open(address, "/stream");
    assert!(pictures.contains(&motion.picture()));
    assert_eq!(camera.connections(), 1);
    relay.wait_for_line("its statistics", Duration::from_secs(20), |line| {
        let parts = [
            "live, up",
            "pictures",
            "a second",
            "6 viewers",
            "reconnects",
            "s old",
        ];
        parts.iter().all(|part| line.contains(part)).then_some(())
    });
    relay.ask_to_end();
    assert!(relay.wait(Duration::from_secs(10)).success());
    let mut rest = Vec::new();
    let mut late = TcpStream::connect(address).err();
    assert!(late.take().is_some(), "the port is free");
    // Started again at once, it has its port again.
    let port = address.port().to_string();
    let camera_port = camera.address().port().to_string();
    let args = [
        "relay",
        "--esp32-host",
        "127.0.0.1",
        "--esp32-port",
        &camera_port,
        "--client-port",
        &port,
        "--client-host",
        "127.0.0.1",
    ];
    let (_again, address) = start(&args, &port);
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"GET /status HTTP/1.0\r\n\r\n").unwrap();
    socket.read_to_end(&mut rest).unwrap();
    let answer = String::from_utf8(rest).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    for key in [
        "uptime_seconds",
        "pictures",
        "bytes",
        "fps",
        "mean_fps",
        "mean_picture_bytes",
        "viewers",
        "dropped",
        "reconnects",
        "newest_picture_age_seconds",
    ] {
        assert!(status.get(key).is_some(), "{key} is missing in {status}");
    }
}

#[test]
fn the_relay_warns_aloud_when_it_serves_everybody() {
    let port = tools::free_port().to_string();
    let args = [
        "relay",
        "--esp32-host",
        "127.0.0.1",
        "--esp32-port",
        "9",
        "--client-port",
        &port,
    ];
    let mut command = Command::new(tools::program("eyelet"));
    let mut relay = Running::start("eyelet relay", command.args(args));
    relay.wait_for_line("a warning", Duration::from_secs(20), |line| {
        (line.contains("WARN") && line.contains("anyone who can reach it can watch")).then_some(())
    });
}

#[test]
fn a_single_mode_relay_ends_the_connection_after_one_picture() {
    let pictures = jpeg_camera::pictures(Look::vga(), 5);
    let camera = JpegCamera::start(pictures.clone(), 0, Speech::Bare);
    let (_relay, address) = relay(camera.address(), &["--mode", "single"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frame.jpg");
    let port = address.port().to_string();
    let output = snapshot(&[
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--output",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", process::text(&output.stderr));
    assert!(std::fs::read(&file).unwrap() == pictures[0]);
    let mut socket = TcpStream::connect(address).unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).unwrap();
    assert!(all == pictures[0], "{} bytes", all.len());
}

#[test]
fn a_single_snapshot_ends_with_its_picture_though_the_camera_sends_on() {
    let pictures = jpeg_camera::pictures(Look::vga(), 20);
    let camera = JpegCamera::start(pictures.clone(), 10, Speech::Bare);
    let output = snapshot(&[&camera.url(), "-o", "-"]);
    assert!(output.status.success(), "{}", process::text(&output.stderr));
    assert!(pictures.contains(&output.stdout));
    assert_eq!(process::text(&output.stderr), "", "nothing but the picture");
}

#[test]
fn a_snapshot_of_a_gateways_camera_needs_only_its_name() {
    let pictures = jpeg_camera::pictures(Look::vga(), 20);
    let camera = JpegCamera::start(pictures.clone(), 10, Speech::Http);
    let gateway = Gateway::start(&format!("cameras:\n  esp: \"{}\"\n", camera.url()));
    let output = gateway.run(&["snapshot", "esp", "-o", "-"]);
    assert!(output.status.success(), "{}", process::text(&output.stderr));
    assert!(pictures.contains(&output.stdout));
    let unknown = gateway.run(&["snapshot", "esq", "-o", "-"]);
    assert_eq!(unknown.status.code(), Some(1));
    let said = process::text(&unknown.stderr);
    assert!(said.contains("nearest name is \"esp\""), "{said}");
}

#[test]
fn continuous_snapshots_keep_their_pace_and_end_in_time() {
    let pictures = jpeg_camera::pictures(Look::vga(), 50);
    let camera = JpegCamera::start(pictures.clone(), 20, Speech::Bare);
    let folder = tempfile::tempdir().unwrap();
    let frames = folder.path().join("frames");
    let port = camera.address().port().to_string();
    let output = snapshot(&[
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--continuous",
        "--fps",
        "5",
        "--duration",
        "4",
        "--output-dir",
        frames.to_str().unwrap(),
    ]);
    let said = process::text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("pictures") && said.contains("a second"),
        "{said}"
    );
    let mut names: Vec<String> = std::fs::read_dir(&frames)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!((8..=21).contains(&names.len()), "{names:?}");
    let mut places = Vec::new();
    for name in &names {
        assert!(
            name.starts_with("frame_") && name.ends_with(".jpg"),
            "{name}"
        );
        let bytes = std::fs::read(frames.join(name)).unwrap();
        places.push(pictures.iter().position(|known| *known == bytes).unwrap());
    }
    places.dedup();
    assert_eq!(places.len(), names.len(), "each picture is a new one");
}

#[test]
fn a_snapshot_fails_in_plain_words_and_with_1() {
    // Nobody there; one who says nothing; one who sends half a picture; one who sends none.
    let nobody = tools::free_port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let serve = |bytes: &'static [u8]| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let _ = socket.unwrap().write_all(bytes);
            }
        });
        port
    };
    let half = serve(b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b");
    let none = serve(b"SSH-2.0-OpenSSH_9.2\r\n");
    for port in [nobody, silent.local_addr().unwrap().port(), half, none] {
        let port = port.to_string();
        let output = snapshot(&[
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "-o",
            "-",
            "--timeout",
            "2",
        ]);
        let said = process::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty());
        assert!(
            said.contains(&format!("jpeg+tcp://127.0.0.1:{port}")),
            "{said}"
        );
    }
    assert_eq!(snapshot(&[]).status.code(), Some(2));
}

#[test]
fn the_receiver_takes_a_camera_that_pushes_over_tcp_or_udp() {
    let (tcp, udp) = (tools::free_port(), tools::free_port());
    let port = tools::free_port().to_string();
    let (tcp, udp) = (tcp.to_string(), udp.to_string());
    let hosts = ["--sender-host", "127.0.0.1", "--client-host", "127.0.0.1"];
    let mut args = vec!["relay", "--sender-port", &tcp, "--udp-port", &udp];
    args.extend(["--client-port", &port, "--debug", "--statistics", "1"]);
    args.extend(hosts);
    let (mut relay, address) = start(&args, &port);
    for (mode, to) in [("push", &tcp), ("udp", &udp)] {
        let mut command = Command::new(tools::program("eyelet"));
        let to = format!("127.0.0.1:{to}");
        command.args(["simulate", "esp32", "--mode", mode, "--to", &to]);
        let _camera = Running::start("eyelet simulate esp32", &mut command);
        let mut viewer = Mjpeg::open(address, "/");
        let first = viewer.picture();
        let second = viewer.picture();
        for picture in [&first, &second] {
            assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
        }
        assert!(first != second, "{mode}: the picture stands still");
    }
    relay.wait_for_line("its statistics", Duration::from_secs(20), |line| {
        (line.contains("pictures") && line.contains("on average")).then_some(())
    });
    relay.ask_to_end();
    assert!(relay.wait(Duration::from_secs(10)).success());
}
