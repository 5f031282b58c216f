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
        format!("/api/cameras/{NAMED}/snapshot"),
    ] {
        let answer = http::request(&Host::here(), gateway.http, &path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(
            answer.body.starts_with(&[0xFF, 0xD8]) && answer.body.ends_with(&[0xFF, 0xD9]),
            "{path}"
        );
        assert!(answer.body.len() > 5_000, "{path}");
    }
    let page = http::request(&Host::here(), gateway.http, &format!("/camera/{NAMED}")).unwrap();
    assert_eq!(page.status, 303);
    assert!(page.head.contains("/#camera/mini"), "{}", page.head);
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
fn an_accepted_camera_moves_into_the_configuration_with_one_reload() {
    let (gateway, cloud) = cloud();
    let _camera = simulate(STRANGER, &["--cloud", &cloud.to_string()]);
    wait_for_state(&gateway, STRANGER, "registered");
    let path = format!("/api/v1/a9/{STRANGER}/accept");
    let accepted = gateway.change("POST", &path, "{\"name\": \"yard\"}");
    assert_eq!(accepted.status, 200, "{}", accepted.text());
    let source = format!("a9://{STRANGER}");
    tools::wait_for("the camera in the list", Duration::from_secs(20), || {
        (gateway.camera("yard")["source"] == source.as_str()).then_some(())
    });
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    for name in ["yard", "garden", "yard"] {
        std::fs::write(gateway.config(), format!("{text}  {name}: {source}\n")).unwrap();
        let answer = gateway.change("POST", "/api/v1/config/reload", "").json();
        assert_eq!(answer["failed"], serde_json::json!([]), "{answer}");
        assert_eq!(answer["added"], serde_json::json!([name]), "{answer}");
        assert_eq!(gateway.camera(name)["source"], source.as_str());
    }
    let picture = "/api/v1/cameras/yard/snapshot.jpg";
    let picture = http::request(&Host::here(), gateway.http, picture).unwrap();
    assert_eq!(picture.status, 200);
    assert!(picture.body.starts_with(&[0xFF, 0xD8]));
}

/// How strong a note is among samples of 8 kHz: the amplitude of its sine.
fn strength(samples: &[i16], frequency: f64) -> f64 {
    let turn = std::f64::consts::TAU * frequency / 8_000.0;
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let angle = turn * at as f64;
        sine += f64::from(*sample) * angle.sin();
        cosine += f64::from(*sample) * angle.cos();
    }
    2.0 * f64::hypot(sine, cosine) / samples.len() as f64
}

#[test]
fn the_sound_of_an_a9_camera_is_the_cameras_chime() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    // A-law as most firmware sends it, and 16 bits a sample of newer ones.
    for profile in ["classic", "pcm"] {
        let (gateway, cloud) = cloud();
        let _camera = simulate(
            NAMED,
            &["--cloud", &cloud.to_string(), "--profile", profile],
        );
        wait_for_state(&gateway, NAMED, "registered");
        let url = gateway.url("mini");
        let mut command = Command::new("ffmpeg");
        command.args([
            "-v",
            "error",
            "-rtsp_transport",
            "tcp",
            "-i",
            &url,
            "-vn",
            "-t",
            "6",
        ]);
        let output = process::run(
            "ffmpeg",
            command.args(["-f", "s16le", "-"]),
            Duration::from_secs(40),
        );
        let pairs = output.stdout.chunks_exact(2);
        let sound: Vec<i16> = pairs
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert!(sound.len() >= 45_000, "{profile}: {} samples", sound.len());
        // A quarter of a second at a time. A block that lost a few samples would shift the phase and weaken the note.
        let loudest = |note: f64| {
            let windows = (0..sound.len() - 2_000).step_by(250);
            windows
                .map(|at| (strength(&sound[at..at + 2_000], note), at))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .unwrap()
        };
        // An e and the c below it, half a second later.
        let ((e, e_at), (c, c_at)) = (loudest(659.26), loudest(523.25));
        let (elsewhere, _) = loudest(440.0);
        assert!(
            e > 2_000.0 && c > 2_000.0 && elsewhere < 500.0,
            "{profile}: {e:.0}, {c:.0}, and {elsewhere:.0} where nothing sounds"
        );
        // The chime begins anew every five seconds: the loudest two may be of different ones.
        let apart = (c_at + 40_000 - e_at) % 40_000;
        assert!(
            apart.abs_diff(4_000) <= 1_000,
            "{profile}: {apart} samples apart"
        );
    }
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
    for part in ["✓ http", "✓ registered", "· probe", "Nothing is missing"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = gateway.run(&["a9", "doctor", "mini", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["cameras"][0]["state"], "registered");
    assert!(report["cameras"][0]["missing"].is_null());
    let nobody = gateway.run(&["a9", "doctor", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
}

#[test]
fn the_doctor_says_why_it_knows_nothing() {
    let gateway = Gateway::start("");
    let off = gateway.run(&["a9", "doctor"]);
    assert_eq!(off.status.code(), Some(1));
    assert!(process::text(&off.stderr).contains("add `a9: {}`"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eyelet.yaml");
    let port = tools::free_port();
    std::fs::write(
        &file,
        format!("http: {{ listen: \"127.0.0.1:{port}\" }}\na9: {{}}\n"),
    )
    .unwrap();
    let args = ["a9", "doctor", "-c", file.to_str().unwrap()];
    let nobody = eyelet::eyelet(&Host::here(), &args);
    assert_eq!(nobody.status.code(), Some(1));
    let said = process::text(&nobody.stderr);
    assert!(said.contains("is `eyelet serve` running"), "{said}");
}

#[test]
fn an_a9_servers_file_becomes_a_configuration_that_takes_its_cameras() {
    let ports: [u16; 3] = std::array::from_fn(|_| tools::free_port());
    let [http, tcp, web] = ports;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let text = format!(
        r#"{{ "server_ip": "127.0.0.1", "http_port": {http}, "tcp_port": {tcp}, "udp_port": 6124, "web_port": {web},
            "domain": "v720.naxclow.com", "is_bind": "1", "default_status": 200, "default_timeout": 30 }}"#
    );
    std::fs::write(&file, text).unwrap();
    let imported = eyelet::eyelet(&Host::here(), &["import", file.to_str().unwrap()]);
    assert!(imported.status.success());
    let talk = process::text(&imported.stderr);
    for note in ["udp_port 6124", "is_bind", "default_timeout"] {
        assert!(talk.contains(note), "{note}: {talk}");
    }
    let config = folder.path().join("eyelet.yaml");
    let mut yaml = process::text(&imported.stdout);
    // The port of RTSP is not in that file, and its own may be taken here.
    yaml.push_str(&format!(
        "rtsp: {{ listen: \"127.0.0.1:{}\" }}\n",
        tools::free_port()
    ));
    std::fs::write(&config, yaml).unwrap();
    let mut serve = Command::new(tools::program("eyelet"));
    serve.args(["serve", "-c"]).arg(&config);
    let _gateway = Running::start("eyelet serve", serve.current_dir(folder.path()));
    let _camera = simulate(STRANGER, &["--cloud", &format!("127.0.0.1:{http}")]);
    tools::wait_for("the camera in the list", Duration::from_secs(40), || {
        let at = SocketAddr::from(([127, 0, 0, 1], web));
        let answer = http::request(&Host::here(), at, "/dev/list").ok()?;
        let is_there = answer.status == 200 && answer.json()[0]["uid"] == STRANGER;
        is_there.then_some(())
    });
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
    let more = format!("{}.querySelector('[data-action=more]')", row(NAMED));
    browser.evaluate(&format!("{more}.click()"));
    let hint = format!("{}.querySelector('.a9-hint').innerText", row(NAMED));
    let hint = browser.evaluate(&hint);
    assert!(
        hint.as_str().unwrap().contains("It has not come yet"),
        "{hint}"
    );
    browser.evaluate("document.querySelector('#a9-section').scrollIntoView()");
    browser.screenshot("a9-1-before");
    browser.evaluate(&format!("{more}.click(); scrollTo(0, 0)"));
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
