//! Simulated Reolink cameras in a real browser, and what is said through them.
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use eyelet_tests::browser::Browser;
use eyelet_tests::eyelet::{Gateway, eyelet};
use eyelet_tests::process::{self, Running};
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

/// Generous: two cores, and a browser on them.
const SOON: Duration = Duration::from_secs(40);
/// The tone that is said, in hertz.
const TONE: f64 = 440.0;

/// A simulated camera, and where it writes what it hears.
struct Camera {
    _process: Running,
    source: String,
    folder: tempfile::TempDir,
}

impl Camera {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(tools::program("eyelet"));
        command.args(["simulate", "reolink"]).args(args);
        command.arg("--heard").arg(folder.path().join("heard.wav"));
        let mut process = Running::start("eyelet simulate reolink", &mut command);
        let source = process.wait_for_line("its source", SOON, |line| {
            line.starts_with("reolink").then(|| line.trim().to_owned())
        });
        Self {
            _process: process,
            source,
            folder,
        }
    }

    fn gateway(&self) -> Gateway {
        Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", self.source))
    }

    /// Two seconds of a tone to say, at a rate that is not the camera's.
    fn tone(&self) -> PathBuf {
        let file = self.folder.path().join("tone.wav");
        let samples = (0..88_200).map(|at| {
            let phase = f64::from(at) / 44_100.0 * TONE * std::f64::consts::TAU;
            (phase.sin() * 12_000.0) as i16
        });
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(44_100_u32.to_le_bytes());
        wav.extend(88_200_u32.to_le_bytes());
        wav.extend(b"\x02\0\x10\0data");
        wav.extend(176_400_u32.to_le_bytes());
        wav.extend(samples.flat_map(i16::to_le_bytes));
        let len = u32::try_from(wav.len() - 8).unwrap();
        wav[4..8].copy_from_slice(&len.to_le_bytes());
        std::fs::write(&file, wav).unwrap();
        file
    }

    /// Waits until the camera has heard the tone for so long, as 16 kHz samples out of its ADPCM.
    fn hears_the_tone(&self, length: Duration) {
        let start = Instant::now();
        let wanted = length.as_secs_f64() * 10.0;
        loop {
            let heard = std::fs::read(self.folder.path().join("heard.wav")).unwrap_or_default();
            let samples: Vec<f64> = heard
                .get(44..)
                .unwrap_or_default()
                .chunks_exact(2)
                .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])))
                .collect();
            let tenths = samples.chunks_exact(1_600);
            let tones = tenths.filter(|tenth| share_of_tone(tenth) > 0.8).count();
            if tones as f64 >= wanted {
                return;
            }
            assert!(
                start.elapsed() < SOON,
                "{tones} tenths of a second with the tone in {} samples",
                samples.len()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// How much of the sound is the tone (Goertzel's way of one line of a Fourier transform).
fn share_of_tone(samples: &[f64]) -> f64 {
    let omega = std::f64::consts::TAU * TONE / 16_000.0;
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        let next = sample + 2.0 * omega.cos() * last - before;
        (before, last) = (last, next);
    }
    let power = last * last + before * before - 2.0 * omega.cos() * last * before;
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    if all < 1e6 {
        return 0.0;
    }
    power * 2.0 / (samples.len() as f64 * all)
}

#[test]
fn a_file_is_said_through_the_camera_from_the_command_line_and_by_the_api() {
    let camera = Camera::start(&["--listen", "127.0.0.1:0"]);
    let tone = camera.tone();
    let args = ["camera", &camera.source, "talk", tone.to_str().unwrap()];
    let output = eyelet(&Host::here(), &args);
    assert!(output.status.success(), "{}", process::text(&output.stderr));
    camera.hears_the_tone(Duration::from_millis(1_700));
}

#[test]
fn a_posted_file_is_said_through_the_camera() {
    let camera = Camera::start(&["--listen", "127.0.0.1:0"]);
    let gateway = camera.gateway();
    let file = std::fs::read(camera.tone()).unwrap();
    let answer = gateway.talk("porch", file);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sounded = answer.json()["sounded_seconds"].as_f64().unwrap();
    assert!((1.9..2.2).contains(&sounded), "{sounded}");
    camera.hears_the_tone(Duration::from_millis(1_700));
    let wakes = &gateway.camera("porch")["device"]["wakes"];
    assert_eq!(wakes, &serde_json::json!({ "talk": 1 }));
    let answer = gateway.talk("porch", "no sound at all");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(answer.text().contains("pcm_s16le"), "{}", answer.text());
}

/// What the page shows, for messages of failed tests.
const EXPLAIN: &str = "document.body.innerText.slice(0, 2000)";

/// A button by its word.
fn button(word: &str) -> String {
    format!("[...document.querySelectorAll('button')].find(b => b.textContent === '{word}')")
}

#[test]
fn the_browsers_microphone_is_heard_by_the_camera() {
    require!(Browser::is_here(), "chromium");
    let camera = Camera::start(&["--listen", "127.0.0.1:0"]);
    let gateway = camera.gateway();
    let page = format!("http://{}/api/v1/cameras/porch", gateway.http);
    let mut browser = Browser::open_hearing(&page, &camera.tone());
    let talk = button("Talk");
    browser.wait_until(&format!("!!{talk}"), SOON, EXPLAIN);
    browser.evaluate(&format!("{talk}.click()"));
    camera.hears_the_tone(Duration::from_secs(2));
    browser.screenshot("reolink-talk");
    let stop = button("Stop talking");
    browser.evaluate(&format!("{stop}.click()"));
    browser.wait_until(&format!("!!{talk}"), SOON, EXPLAIN);
    // The speaker is free again for whoever comes next.
    let talked = gateway.talk("porch", std::fs::read(camera.tone()).unwrap());
    assert_eq!(talked.status, 200, "{}", talked.text());
}

#[test]
fn the_browser_shows_motion_jpeg_and_a_snapshot_of_a_reolink_camera() {
    require!(Browser::is_here(), "chromium");
    let camera = Camera::start(&["--listen", "127.0.0.1:0", "--h265"]);
    let gateway = camera.gateway();
    let at = |path: &str| format!("http://{}/api/v1/cameras/porch/{path}", gateway.http);
    let shown = "document.images.length === 1 && document.images[0].naturalWidth >= 640";
    let mut browser = Browser::open(&at("stream"));
    browser.wait_until(shown, SOON, EXPLAIN);
    let first = browser.picture_of("img");
    let start = Instant::now();
    while browser.picture_of("img") == first {
        assert!(start.elapsed() < SOON, "the picture stands still");
        std::thread::sleep(Duration::from_millis(200));
    }
    browser.screenshot("reolink-mjpeg");
    drop(browser);
    let mut browser = Browser::open(&at("snapshot.jpg"));
    browser.wait_until(shown, SOON, EXPLAIN);
    browser.screenshot("reolink-snapshot");
}

#[test]
fn the_page_of_a_battery_camera_shows_its_charge_and_what_it_can() {
    require!(Browser::is_here(), "chromium");
    let hello = tools::free_port().to_string();
    let camera = Camera::start(&["--battery", "--udp", "127.0.0.1", "--hello", &hello]);
    let source = format!(
        "{}?address=127.0.0.1:{hello}&wakes_per_day=40",
        camera.source
    );
    let gateway = Gateway::start(&format!(
        "cameras:\n  porch: {{ source: \"{source}\", idle: 2s }}\n"
    ));
    let page = format!("http://{}/api/v1/cameras/porch", gateway.http);
    let mut browser = Browser::open(&page);
    // It is not woken by being shown, but by being asked for.
    let play = "document.querySelector('.single button.play, .single .picture button')";
    browser.wait_until(&format!("!!{play}"), SOON, EXPLAIN);
    assert_eq!(
        gateway.camera("porch")["device"]["wakes"],
        serde_json::json!({})
    );
    browser.evaluate(&format!("{play}.click()"));
    let moving = "[...document.querySelectorAll('video')].some(v => v.currentTime > 0)";
    browser.wait_until(moving, SOON, EXPLAIN);
    browser.wait_until(
        "document.body.innerText.includes('87\u{a0}%')",
        SOON,
        EXPLAIN,
    );
    for word in [
        "Left",
        "Up",
        "Zoom in",
        "Light on",
        "Siren",
        "Infrared off",
        "Motion sensor off",
        "Talk",
    ] {
        browser.wait_until(&format!("!!{}", button(word)), SOON, EXPLAIN);
    }
    browser.evaluate("window.scrollTo(0, document.body.scrollHeight)");
    browser.screenshot("reolink-panel");
    browser.evaluate(&format!("{}.click()", button("Infrared off")));
    let start = Instant::now();
    loop {
        let led = gateway.change("POST", "/api/v1/cameras/porch/commands/led", "{}");
        assert_eq!(led.status, 200, "{}", led.text());
        if led.json()["infrared"] == "off" {
            break;
        }
        assert!(start.elapsed() < SOON, "{}", led.text());
        std::thread::sleep(Duration::from_millis(200));
    }
    let left = &gateway.camera("porch")["device"]["wakes_left"];
    assert_eq!(left, 39);

    // Asleep again, its last picture is shown with its age, and nobody wakes it for that.
    drop(browser);
    while gateway.camera("porch")["state"]["name"] != "idle" {
        assert!(start.elapsed() < SOON, "it stays awake");
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut browser = Browser::open(&page);
    let still = "document.querySelector('.single img')?.naturalWidth >= 640
        && document.body.innerText.includes('Last picture')";
    browser.wait_until(still, SOON, EXPLAIN);
    browser.screenshot("reolink-asleep");
    assert_eq!(gateway.camera("porch")["device"]["wakes"]["view"], 1);
}
