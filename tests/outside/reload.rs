//! A changed configuration is taken while everything runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eyelet_tests::esp32::{Board, Pictures, Watcher};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::process;
use eyelet_tests::tools;
use eyelet_tests::world::Host;
use serde_json::{Value, json};

const BOARD: [&str; 6] = ["--mode", "pull", "--listen", "127.0.0.1:0", "--fps", "10"];

/// A camera that sends these pictures.
fn board(pictures: &Pictures) -> Board {
    let folder = ["--pictures", pictures.folder().to_str().unwrap()];
    Board::start(&Host::here(), &[&BOARD[..], &folder].concat())
}

/// Writes another list of cameras behind what the configuration says of ports.
fn rewrite(gateway: &Gateway, rest: &str) {
    let text = std::fs::read_to_string(gateway.config()).unwrap();
    let (head, _) = text.split_once("cameras:").unwrap();
    std::fs::write(gateway.config(), format!("{head}cameras:\n{rest}")).unwrap();
}

/// Lets the watching thread end, however the test does.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn reload(gateway: &Gateway) -> (u16, Value) {
    let answer = gateway.change("POST", "/api/v1/config/reload", "");
    (answer.status, answer.json())
}

#[test]
fn a_reload_starts_what_is_new_and_costs_untouched_cameras_no_picture() {
    if !tools::require(tools::has("ffmpeg"), "ffmpeg") {
        return;
    }
    let pictures = Pictures::make(40);
    let (stays, moves, other) = (board(&pictures), board(&pictures), board(&pictures));
    let raw = tools::free_port();
    let forward = tools::free_port();
    let gateway = Gateway::start(&format!(
        "cameras:\n  stays: {}\n  moves: {{ source: \"{}\", raw: \"127.0.0.1:{raw}\" }}\n  goes: {}\nforwards:\n  - {{ listen: \"127.0.0.1:{forward}\", agent: shed, target: \"127.0.0.1:554\" }}\n",
        stays.urls[0], moves.urls[0], other.urls[0],
    ));
    let here = Host::here();
    let mut moved = Watcher::open(&here, gateway.http, "moves");
    moved.picture();
    let mut gone = Watcher::open(&here, gateway.http, "goes");
    gone.picture();
    let is_over = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut watcher = Watcher::open(&here, gateway.http, "stays");
            let mut seen = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                seen.push(watcher.picture());
            }
            seen
        });
        let end = SetOnDrop(&is_over);
        tools::wait_for("the first picture", Duration::from_secs(20), || {
            (stays.counts().1 > 5).then_some(())
        });

        // A mistake changes nothing, and is told with its line.
        let good = std::fs::read_to_string(gateway.config()).unwrap();
        rewrite(&gateway, "  stays: { sauce: \"jpeg+tcp://127.0.0.1:9\" }\n");
        let (status, told) = reload(&gateway);
        assert_eq!(status, 422, "{told}");
        assert!(
            told["detail"].as_str().unwrap().contains("source"),
            "{told}"
        );
        std::fs::write(gateway.config(), good).unwrap();
        assert_eq!(gateway.camera("goes")["state"]["name"], "live");

        // One goes, one comes, one shows another camera at the same raw port, one stays.
        rewrite(
            &gateway,
            &format!(
                "  stays: {}\n  moves: {{ source: \"{}\", raw: \"127.0.0.1:{raw}\" }}\n  comes: {}\n",
                stays.urls[0], other.urls[0], moves.urls[0],
            ),
        );
        let (status, told) = reload(&gateway);
        assert_eq!(status, 200, "{told}");
        let forward = format!("forward 127.0.0.1:{forward}");
        let expected = json!({
            "added": ["comes"], "changed": ["moves"], "removed": ["goes", forward],
            "failed": [], "needs_restart": [],
        });
        assert_eq!(told, expected);
        for camera in ["moves", "comes"] {
            pictures.place(&Watcher::open(&here, gateway.http, camera).picture());
        }
        // The viewers of what is gone are let go instead of waiting for ever.
        for watcher in [&mut moved, &mut gone] {
            watcher.drain();
        }
        let names = gateway.api("/api/v1/cameras");
        let names = names["cameras"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|camera| camera["name"].clone()).collect();
        assert_eq!(names, ["stays", "moves", "comes"]);
        assert_eq!(gateway.api("/api/v1/forwards")["forwards"], json!([]));

        // A signal does the same.
        rewrite(&gateway, &format!("  stays: {}\n", stays.urls[0]));
        let hangup = std::process::Command::new("kill")
            .args(["-HUP", &gateway.process.pid().to_string()])
            .output()
            .unwrap();
        assert!(hangup.status.success(), "{}", process::text(&hangup.stderr));
        tools::wait_for("the signal to be heard", Duration::from_secs(20), || {
            let cameras = gateway.api("/api/v1/cameras");
            (cameras["cameras"].as_array()?.len() == 1).then_some(())
        });
        drop(end);
        watching.join().unwrap()
    });
    pictures.assert_consecutive("stays", &seen);
    assert_eq!(
        stays.counts().0,
        1,
        "the camera had one connection all the time"
    );
    assert_eq!(gateway.camera("stays")["reconnects"], 0);
}

#[test]
fn a_reload_says_what_needs_a_restart_and_what_could_not_be_started() {
    let gateway = Gateway::start("cameras:\n  porch: rtsp://127.0.0.1:1/x\n");
    let port = tools::free_port();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    rewrite(
        &gateway,
        &format!(
            "  porch: rtsp://127.0.0.1:1/x\n  yard: {{ source: \"jpeg+tcp://127.0.0.1:1\", raw: \"127.0.0.1:{port}\" }}\npixels: {{ fps: 3 }}\n"
        ),
    );
    let (status, told) = reload(&gateway);
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["needs_restart"], json!(["pixels"]));
    let failed = told["failed"][0].as_str().unwrap();
    assert!(
        failed.contains("yard") && failed.contains(&port.to_string()),
        "{told}"
    );
    // With the port free again, the next reload starts it.
    drop(taken);
    let (_, told) = reload(&gateway);
    assert_eq!(told["added"], json!(["yard"]), "{told}");
}
