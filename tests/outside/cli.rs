//! The command line: defaults, warnings, errors, exit codes.
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::Duration;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::eyelet;
use eyelet_tests::process::{self, Running};
use eyelet_tests::world::{Host, House};
use eyelet_tests::{http, require, tools};
use serde_json::Value;

/// Waits until `eyelet serve` is ready at this port.
fn wait_until_ready(http: u16) {
    let address = SocketAddr::from(([127, 0, 0, 1], http));
    tools::wait_for("the gateway to be ready", Duration::from_secs(20), || {
        let answer = http::request(&Host::here(), address, "/readyz").ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn serve_listens_where_its_options_say_whatever_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eyelet.yaml");
    // Ports that nobody may have, so that nothing listens there by mistake.
    let text = "http: { listen: \"127.0.0.1:1\", quic: off }\nrtsp: { listen: \"127.0.0.1:2\" }\n";
    std::fs::write(&file, text).unwrap();
    let (http, rtsp) = (tools::free_port(), tools::free_port());
    let (full_http, full_rtsp) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{rtsp}"));
    let (http_port, rtsp_port) = (http.to_string(), rtsp.to_string());
    for options in [
        ["--http", &full_http, "--rtsp", &full_rtsp],
        // What the tunnel server that came before was started with.
        ["--port", &http_port, "--tunnel-port", &rtsp_port],
    ] {
        let mut command = Command::new(tools::program("eyelet"));
        command.args(["serve", "-c", "eyelet.yaml", "--data", "data"]);
        command.args(options).current_dir(folder.path());
        let mut server = Running::start("eyelet serve", &mut command);
        wait_until_ready(http);
        let mut listening = server.listening();
        listening.sort();
        // As the kernel writes 127.0.0.1.
        let mut expected = [http, rtsp].map(|port| format!("0100007F:{port:04X}"));
        expected.sort();
        assert_eq!(listening, expected, "{options:?}");
        // The file is read again, and the options still hold.
        let address = full_http.parse().unwrap();
        let reload = ("POST", "/api/v1/config/reload");
        let within = Duration::from_secs(20);
        let answer = http::send(&Host::here(), address, reload, "", within).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["needs_restart"], serde_json::json!([]));
        server.kill();
    }
    let both = ["serve", "--http", &full_http, "--port", &http_port];
    assert_eq!(eyelet(&Host::here(), &both).status.code(), Some(2));
}

fn with_config(text: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eyelet.yaml");
    std::fs::write(&file, text).unwrap();
    let mut all = args.to_vec();
    all.extend(["-c", file.to_str().unwrap()]);
    eyelet(&Host::here(), &all)
}

#[test]
fn serve_listens_on_loopback_when_the_configuration_names_no_address() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("eyelet.yaml"), "cameras: {}\n").unwrap();
    let mut command = house.gateway.command(tools::program("eyelet"));
    command
        .args(["serve", "-c", "eyelet.yaml"])
        .current_dir(folder.path());
    let server = Running::start("eyelet serve", &mut command);
    let address = "127.0.0.1:8080".parse().unwrap();
    tools::wait_for("the gateway to be ready", Duration::from_secs(20), || {
        let answer = http::request(&house.gateway, address, "/readyz").ok()?;
        (answer.status == 200).then_some(())
    });
    let mut listening = server.listening();
    listening.sort();
    assert_eq!(
        listening,
        ["0100007F:1F90", "0100007F:216A"],
        "127.0.0.1:8080 and :8554"
    );
    assert!(
        !server.text().to_lowercase().contains("warn"),
        "{}",
        server.text()
    );
}

#[test]
fn serve_warns_in_plain_words_when_it_listens_wider() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let folder = tempfile::tempdir().unwrap();
    let config = "http: { listen: \"0.0.0.0:8080\" }\nrtsp: { listen: \"0.0.0.0:8554\" }\n";
    std::fs::write(folder.path().join("eyelet.yaml"), config).unwrap();
    let mut command = house.gateway.command(tools::program("eyelet"));
    command
        .args(["serve", "-c", "eyelet.yaml"])
        .current_dir(folder.path());
    let mut server = Running::start("eyelet serve", &mut command);
    for what in [
        "http listens on 0.0.0.0:8080",
        "rtsp listens on 0.0.0.0:8554",
    ] {
        let found = |line: &str| {
            let is_warning = line.to_lowercase().contains("warn") && line.contains("anyone");
            (line.contains(what) && is_warning).then_some(())
        };
        server.wait_for_line(what, Duration::from_secs(10), found);
    }
}

#[test]
fn serve_ends_well_when_asked_to() {
    let mut gateway = eyelet_tests::eyelet::Gateway::start("");
    gateway.process.ask_to_end();
    assert!(gateway.process.wait(Duration::from_secs(10)).success());
}

#[test]
fn a_good_configuration_checks_with_0() {
    let output = with_config(
        "cameras:\n  porch: rtsp://admin:hunter2@192.168.1.10/stream1\n",
        &["check"],
    );
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        process::text(&output.stderr)
    );
    let said = process::text(&output.stdout) + &process::text(&output.stderr);
    assert!(!said.contains("hunter2"), "a password was printed: {said}");
}

#[test]
fn a_wrong_key_is_named_with_its_line_and_the_nearest_one() {
    let config = "cameras:\n  porch:\n    sorce: rtsp://192.168.1.10/\n";
    for command in ["check", "serve"] {
        let output = with_config(config, &[command]);
        let said = process::text(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{command}: {}",
            output.status
        );
        for part in [":3:", "sorce", "did you mean \"source\""] {
            assert!(said.contains(part), "{command} does not say {part}: {said}");
        }
        assert_eq!(process::text(&output.stdout), "", "talk belongs on stderr");
    }
}

#[test]
fn agents_are_managed_whatever_the_cameras_need() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("eyelet.yaml");
    let data = folder.path().join("data");
    let text = format!(
        "data: {}\ncameras:\n  porch: rtsp://admin:${{NOBODY_SETS_THIS}}@192.168.1.10/\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let output = eyelet(&Host::here(), &["check", "-c", config]);
    assert_eq!(output.status.code(), Some(1));
    for command in [
        &["agent", "add", "shed", "-c", config][..],
        &["agent", "list", "-c", config],
        &["agent", "remove", "shed", "-c", config],
    ] {
        let output = eyelet(&Host::here(), command);
        let said = process::text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{command:?}: {said}");
    }
}

#[test]
fn a_missing_configuration_file_is_named() {
    let output = eyelet(&Host::here(), &["check", "-c", "/nonexistent/eyelet.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(process::text(&output.stderr).contains("/nonexistent/eyelet.yaml"));
}

#[test]
fn a_usage_error_ends_with_2_and_help_with_0() {
    for (program, args, code) in [
        ("eyelet", &["--help"][..], 0),
        ("eyelet", &["--version"], 0),
        ("eyelet", &["serve", "--help"], 0),
        ("eyelet", &["frobnicate"], 2),
        ("eyelet", &["serve", "--frobnicate"], 2),
        ("eyelet", &["probe"], 2),
        ("eyelet-agent", &["--help"], 0),
        ("eyelet-agent", &["--version"], 0),
        ("eyelet-agent", &["--frobnicate"], 2),
        ("eyelet-agent", &["--state", "."], 1),
        ("eyelet-agent", &["--join", "not a code"], 2),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(tools::program(program));
        command.args(args).current_dir(folder.path());
        let output = process::run(program, &mut command, Duration::from_secs(10));
        let said = process::text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{program} {args:?}: {said}"
        );
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let config = format!(
        "http: {{ listen: \"127.0.0.1:{port}\" }}\nrtsp: {{ listen: \"127.0.0.1:{}\" }}\n",
        tools::free_port()
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eyelet.yaml");
    std::fs::write(
        &file,
        format!("data: {}\n{config}", folder.path().display()),
    )
    .unwrap();
    let output = eyelet(&Host::here(), &["serve", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(process::text(&output.stderr).contains(&port.to_string()));
}

#[test]
fn probe_tells_what_a_camera_offers() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h264());
    let output = eyelet(&Host::here(), &["probe", &camera.url(), "--json"]);
    let (found, talk) = (process::text(&output.stdout), process::text(&output.stderr));
    assert!(output.status.success(), "{talk}");
    assert!(
        !(found.clone() + &talk).contains("secret"),
        "a password was printed: {found} {talk}"
    );
    let found: Value = serde_json::from_str(&found).unwrap();
    let tracks = found["tracks"]
        .as_array()
        .unwrap_or_else(|| panic!("no tracks: {found}"));
    let codec = |at: usize| {
        tracks[at]["codec"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .replace('.', "")
    };
    assert_eq!(
        (codec(0).as_str(), codec(1).as_str()),
        ("h264", "aac"),
        "{found}"
    );
    assert_eq!(
        (&tracks[0]["width"], &tracks[0]["height"]),
        (&640.into(), &360.into()),
        "{found}"
    );
    let fps = found.to_string();
    assert!(fps.contains("25"), "25 pictures a second: {found}");
    let text = eyelet(&Host::here(), &["probe", &camera.url()]);
    assert!(
        process::text(&text.stdout).contains("640x360"),
        "{}",
        process::text(&text.stdout)
    );
}

#[test]
fn probe_says_what_is_wrong() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h264());
    let nobody = format!("rtsp://127.0.0.1:{}/cam", tools::free_port());
    for (url, word) in [
        (camera.url().replace("secret@", "wrong@"), "password"),
        (nobody, "refused"),
        (camera.url().replace("channel=1", "channel=9"), "404"),
    ] {
        let output = eyelet(&Host::here(), &["probe", &url]);
        let said = process::text(&output.stdout) + &process::text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{url}: {said}");
        assert!(
            said.to_lowercase().contains(word),
            "{url} does not say {word}: {said}"
        );
    }
}
