//! A9 cameras: they call the gateway as their cloud, wait to be accepted, and play.
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eyelet_tests::browser::Browser;
use eyelet_tests::eyelet::{self, Gateway};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::{self, Running};
use eyelet_tests::world::Host;
use eyelet_tests::{http, require, tools};

const NAMED: &str = "0800c00128F8";
const STRANGER: &str = "0800c00666AA";

/// A gateway with the cloud on ports of its own, and where its HTTP is.
fn cloud() -> (Gateway, SocketAddr) {
    let ports: [u16; 3] = std::array::from_fn(|_| tools::free_port());
    let gateway = Gateway::start(&format!(
        "a9: {{ http: \"127.0.0.1:{}\", tcp: \"127.0.0.1:{}\", mqtt: \"127.0.0.1:{}\" }}\ncameras:\n  mini: a9://{NAMED}\n",
        ports[0], ports[1], ports[2]
    ));
    (gateway, SocketAddr::from(([127, 0, 0, 1], ports[0])))
}

fn simulate(uid: &str, more: &[&str]) -> Running {
    let mut command = Command::new(tools::program("eyelet"));
    command.args(["simulate", "a9", "--uid", uid]).args(more);
    Running::start("eyelet simulate a9", &mut command)
}

fn wait_for_state(gateway: &Gateway, uid: &str, state: &str) {
    tools::wait_for("the camera to be there", Duration::from_secs(40), || {
        let report = gateway.api("/api/v1/a9");
        let cameras = report["a9"]["cameras"].as_array()?;
        let camera = cameras.iter().find(|camera| camera["uid"] == uid)?;
        (camera["state"] == state).then_some(())
    });
}

#[test]
fn an_a9_camera_plays_with_sound_and_answers_at_the_old_doors() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let (gateway, cloud) = cloud();
    let _camera = simulate(NAMED, &["--cloud", &cloud.to_string()]);
    wait_for_state(&gateway, NAMED, "registered");
    let url = gateway.url("mini");
    let played = players::ffmpeg(&Host::here(), Path::new("ffmpeg"), &url, Transport::Tcp, 4);
    assert!(played.is_ok, "{}", played.complaints);
    assert_eq!(played.complaints, "");
    assert!(
        played.pictures.len() > 20,
        "{} pictures",
        played.pictures.len()
    );
    let mut distinct = played.pictures.clone();
    distinct.dedup();
    assert!(distinct.len() > 15, "they move");
    let found = players::ffprobe(&Host::here(), &url);
    let codecs: Vec<&str> = found["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stream| stream["codec_name"].as_str().unwrap())
        .collect();
    assert_eq!(codecs, ["mjpeg", "pcm_alaw"]);

    for path in [
        "/api/v1/cameras/mini/snapshot.jpg".to_owned(),
        format!("/dev/{NAMED}/snapshot"),
        format!("/api/camera/{NAMED}/snapshot"),
    ] {
        let answer = http::request(&Host::here(), gateway.http, &path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.body.starts_with(&[0xFF, 0xD8]) && answer.body.ends_with(&[0xFF, 0xD9]),
            "{path}"
        );
        assert!(answer.body.len() > 5_000, "{path}");
    }
    let list = gateway.api("/dev/list");
    assert_eq!(list[0]["uid"], NAMED);
    // An endless WAV, which ffmpeg reads as it is.
    let sound = format!("http://{}/dev/{NAMED}/audio", gateway.http);
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-t", "2", "-i", &sound, "-f", "s16le", "-"]);
    let output = process::run("ffmpeg", &mut command, Duration::from_secs(40));
    assert!(
        output.stdout.len() > 2 * 8_000,
        "{} bytes: {}",
        output.stdout.len(),
        process::text(&output.stderr)
    );
}

#[test]
fn the_doctor_tells_how_far_a_camera_came() {
    let (gateway, cloud) = cloud();
    let before = gateway.run(&["a9", "doctor"]);
    let said = process::text(&before.stdout);
    assert!(
        said.contains(NAMED) && said.contains("It has not come yet"),
        "{said}"
    );
    let _camera = simulate(NAMED, &["--cloud", &cloud.to_string()]);
    wait_for_state(&gateway, NAMED, "registered");
    let after = gateway.run(&["a9", "doctor", "mini"]);
    let said = process::text(&after.stdout);
    for part in ["✓ http", "✓ registered", "✗ probe", "Nothing is missing"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let nobody = gateway.run(&["a9", "doctor", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn a_camera_that_is_its_own_network_gives_its_recordings() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let mut camera = simulate(NAMED, &["--access-point", "127.0.0.1:0"]);
    let host = camera.wait_for_line("where it is", Duration::from_secs(40), |line| {
        Some(line.split_once(" network at ")?.1.to_owned())
    });
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut all = vec!["a9"];
        all.extend(args);
        all.extend(["--host", &host]);
        eyelet::eyelet(&Host::here(), &all)
    };
    let list = run(&["list"]);
    assert_eq!(
        process::text(&list.stdout),
        "20230123-23-10\n20230123-23-11\n20230124-02-10\n",
        "{}",
        process::text(&list.stderr)
    );
    let file = folder.path().join("cat.avi");
    let file = file.to_str().unwrap();
    let got = run(&["download", "20230124-02-10", "-o", file]);
    assert!(got.status.success(), "{}", process::text(&got.stderr));
    let decode = |path: &str, format: &[&str]| {
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error"])
            .args(format)
            .args(["-i", path, "-f", "framemd5", "-"]);
        let output = process::run("ffmpeg", &mut command, Duration::from_secs(40));
        let lines = process::text(&output.stdout);
        (
            lines.lines().filter(|line| !line.starts_with('#')).count(),
            process::text(&output.stderr),
        )
    };
    assert_eq!(decode(file, &[]), (20, String::new()));
    let missing = run(&["download", "20230124-03-10", "-o", file]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(process::text(&missing.stderr).contains("`eyelet a9 list` names those it has"));
    let live = folder.path().join("live.mjpeg");
    let live = live.to_str().unwrap();
    let watched = run(&["live", "--seconds", "4", "-o", live]);
    assert!(
        watched.status.success(),
        "{}",
        process::text(&watched.stderr)
    );
    let (pictures, complaints) = decode(live, &["-f", "mjpeg"]);
    assert!(
        pictures > 10 && complaints.is_empty(),
        "{pictures} pictures: {complaints}"
    );
    let set = run(&["set-wifi", "mifi", "mifimifi"]);
    assert!(set.status.success(), "{}", process::text(&set.stderr));
    assert!(!process::text(&set.stderr).contains("mifimifi"));
}

#[test]
fn the_dashboard_accepts_a_camera_and_shows_it_live() {
    require!(Browser::is_here(), "chromium");
    let (gateway, cloud) = cloud();
    let mut browser = Browser::open(&format!("http://{}/", gateway.http));
    let explain = "document.body.innerText.slice(0, 1500)";
    let row = |uid: &str| format!("document.querySelector('tbody[data-uid=\"{uid}\"]')");
    // It waits to be told of cameras; then they appear without a reload.
    browser.wait_until(
        &format!("!!{}", row(NAMED)),
        Duration::from_secs(40),
        explain,
    );
    browser.screenshot("a9-1-before");
    let _cameras = [NAMED, STRANGER].map(|uid| simulate(uid, &["--cloud", &cloud.to_string()]));
    browser.wait_until(
        &format!("!!{}", row(STRANGER)),
        Duration::from_secs(40),
        explain,
    );
    let accept = format!("{}.querySelector('[data-action=accept]')", row(STRANGER));
    browser.wait_until(
        &format!("!{accept}.hidden"),
        Duration::from_secs(40),
        explain,
    );
    browser.screenshot("a9-2-two-cameras");
    browser.evaluate(&format!(
        "{}.querySelector('input').value = 'yard'; {accept}.click()",
        row(STRANGER)
    ));
    let snapshot = format!("{}.querySelector('[data-action=snapshot]')", row(STRANGER));
    browser.wait_until(
        &format!("!{snapshot}.hidden"),
        Duration::from_secs(40),
        explain,
    );
    browser.evaluate(&format!("{snapshot}.click()"));
    let shot = format!("{}.querySelector('.a9-shot')", row(STRANGER));
    browser.wait_until(
        &format!("!{shot}.hidden && {shot}.complete && {shot}.naturalWidth === 640"),
        Duration::from_secs(40),
        explain,
    );
    browser.evaluate("document.querySelector('#a9-section').scrollIntoView()");
    browser.screenshot("a9-3-snapshot");
    browser.evaluate(&format!(
        "{}.querySelector('[data-action=live]').click()",
        row(STRANGER)
    ));
    browser.wait_until(
        "[...document.querySelectorAll('#one .stage img')].some(i => i.naturalWidth === 640)",
        Duration::from_secs(40),
        explain,
    );
    std::thread::sleep(Duration::from_secs(1));
    let first = browser.picture_of("#one .stage");
    browser.screenshot("a9-4-live");
    std::thread::sleep(Duration::from_secs(2));
    let second = browser.picture_of("#one .stage");
    assert!(first != second, "the picture stands still");
    assert_eq!(gateway.camera("yard")["state"]["name"], "live");
}
