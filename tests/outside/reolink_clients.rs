//! Clients of Reolink cameras that other people wrote take our simulated camera for one.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use eyelet_tests::process::{self, Running};
use eyelet_tests::world::{self, House};
use eyelet_tests::{require, tools};
use serde_json::Value;

const UID: &str = "95270000ABCDEFGH";
const USER: &str = "admin";
const PASSWORD: &str = "Secret-1";
/// What the camera plays and shows.
const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sim/cameras/media");

/// The camera in its house, and the client on the machine beside it.
struct Scene {
    house: House,
    _camera: Running,
    folder: tempfile::TempDir,
    python: PathBuf,
}

/// None: something is missing on this machine, which has been said.
fn scene(camera: &[&str]) -> Option<Scene> {
    let python = tools::python_with_packages();
    let is_here = tools::has_namespaces() && tools::has("ffmpeg") && python.is_some();
    if !tools::require(
        is_here,
        "root, iproute2, nftables, ffmpeg and the Python packages",
    ) {
        return None;
    }
    let house = House::build();
    let mut command = house.camera.command(tools::program("eyelet"));
    let login = format!("{USER}:{PASSWORD}");
    command
        .args(["simulate", "reolink", "--login", &login, "--uid", UID])
        .args(camera);
    let mut running = Running::start("the camera", &mut command);
    running.wait_for_line("its address", Duration::from_secs(20), |line| {
        line.starts_with("reolink").then_some(())
    });
    Some(Scene {
        house,
        _camera: running,
        folder: tempfile::tempdir().unwrap(),
        python: python.unwrap(),
    })
}

impl Scene {
    /// Runs a client's script to its end; the answer is the JSON that it printed.
    fn client(&self, script: &str, args: &[&str]) -> Value {
        let mut command = self.house.agent.command(&self.python);
        command.arg(tools::script(script)).args(args);
        let output = process::run(script, &mut command, Duration::from_secs(100));
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|_| {
            let error = String::from_utf8_lossy(&output.stderr);
            panic!("{script} failed:\n{text}\n{error}")
        })
    }

    fn reolink_aio(&self, carrier: &str) -> Value {
        let still = self.folder.path().join("still.jpg");
        let still = still.to_str().unwrap();
        let args = [carrier, world::CAMERA, UID, USER, PASSWORD, still];
        self.client("reolink_aio_client.py", &args)
    }

    fn pyneolink(&self, carrier: &str, address: &str, stream: &str) -> Value {
        let folder = self.folder.path().to_str().unwrap();
        let args = [carrier, address, UID, USER, PASSWORD, stream, "4", folder];
        self.client("pyneolink_client.py", &args)
    }

    fn assert_still(&self) {
        let still = std::fs::read(self.folder.path().join("still.jpg")).unwrap();
        let camera = std::fs::read(Path::new(MEDIA).join("porch.jpg")).unwrap();
        assert!(
            still == camera,
            "the snapshot is {} bytes of something else",
            still.len()
        );
    }

    /// Every picture that the client recorded is the camera's, and they are consecutive.
    fn assert_video(&self, clip: &str) {
        let source = pictures(&Path::new(MEDIA).join(clip));
        let seen = pictures(&self.folder.path().join("video.ts"));
        assert_eq!(source.len(), 250);
        assert!(seen.len() >= 50, "only {} pictures in 4 s", seen.len());
        let first = source.iter().position(|picture| *picture == seen[0]);
        let first = first.expect("the first picture is none of the camera's");
        for (at, picture) in seen.iter().enumerate() {
            assert!(
                *picture == source[(first + at) % source.len()],
                "picture {at}"
            );
        }
    }
}

/// A hash of each decoded picture.
fn pictures(file: &Path) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args([
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-f",
            "framemd5",
            "-",
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit(',').next())
        .map(|hash| hash.trim().to_owned())
        .collect()
}

#[test]
fn reolink_aio_reads_controls_and_hears_a_camera_over_tcp() {
    let camera = ["--listen", "0.0.0.0:9000", "--walks", "2"];
    let Some(scene) = scene(&camera) else { return };
    let seen = scene.reolink_aio("tcp");
    assert_eq!(seen["model"], "RLC-SIM");
    assert_eq!(seen["uid"], UID);
    assert_eq!(seen["carrier"], "tcp");
    assert_eq!(
        seen["capabilities"],
        serde_json::json!(["floodLight", "pan_tilt", "siren_play", "status_led"])
    );
    assert_eq!(
        (&seen["status_led"], &seen["status_led_after"]),
        (&true.into(), &false.into())
    );
    assert_eq!(seen["presets"]["door"], 0);
    assert_eq!(seen["person"], true);
    scene.assert_still();
}

#[test]
fn reolink_aio_reads_controls_and_hears_a_camera_over_udp() {
    let camera = ["--udp", "0.0.0.0", "--walks", "2", "--encryption", "full"];
    let Some(scene) = scene(&camera) else { return };
    let seen = scene.reolink_aio("udp");
    assert_eq!(
        (&seen["carrier"], &seen["person"]),
        (&"udp".into(), &true.into())
    );
    assert_eq!(seen["status_led_after"], false);
    scene.assert_still();
}

#[test]
fn reolink_aio_wakes_a_battery_camera() {
    let Some(scene) = scene(&["--battery", "--udp", "0.0.0.0"]) else {
        return;
    };
    let seen = scene.reolink_aio("udp");
    assert_eq!(
        (&seen["carrier"], &seen["battery"]),
        (&"udp".into(), &87.into())
    );
    scene.assert_still();
}

#[test]
fn pyneolink_records_a_camera_over_tcp() {
    let Some(scene) = scene(&["--listen", "0.0.0.0:9000"]) else {
        return;
    };
    let address = format!("{}:9000", world::CAMERA);
    let seen = scene.pyneolink("tcp", &address, "mainStream");
    assert_eq!(seen["udp"], false);
    scene.assert_still();
    scene.assert_video("porch.h264");
}

#[test]
fn pyneolink_finds_a_battery_camera_by_broadcast_and_records_its_h265() {
    let camera = ["--battery", "--udp", "0.0.0.0", "--h265"];
    let Some(scene) = scene(&camera) else { return };
    let seen = scene.pyneolink("local", "-", "mainStream");
    assert_eq!(
        (&seen["udp"], &seen["connected"][0]),
        (&true.into(), &world::CAMERA.into())
    );
    assert_eq!(seen["battery"]["level_percent"], 87);
    scene.assert_still();
    scene.assert_video("porch.h265");
}

#[test]
fn pyneolink_reaches_a_camera_through_the_relay() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let servers = format!("{}:9999", world::CAMERA);
    let camera = ["--battery", "--udp", world::CAMERA, "--servers", &servers];
    let Some(scene) = scene(&camera) else { return };
    let seen = scene.pyneolink("relay", world::CAMERA, "subStream");
    assert_eq!(seen["udp"], true);
    scene.assert_still();
    scene.assert_video("porch-small.h264");
}
