//! Parts fail and come back; the picture comes back by itself, and viewers stay connected.
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use eyelet_tests::camera::Model;
use eyelet_tests::frames::Reference;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::{require, tools};

use crate::nat::Site;

/// The picture must be back so soon after its part is back.
const BACK_WITHIN: Duration = Duration::from_secs(5);

/// Long enough for back-off to have grown.
const OUTAGE: Duration = Duration::from_secs(7);

/// A viewer that watches all the time and notes when each picture came.
struct Watcher {
    pictures: Arc<Mutex<Vec<(Instant, u32, bool)>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    fn start(site: &Site) -> Self {
        let mut viewer = Viewer::play(
            &site.house.gateway,
            site.gateway.rtsp,
            &site.gateway.url("shed"),
        );
        viewer.set_patience(Duration::from_secs(30));
        let pictures = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (seen, end) = (Arc::clone(&pictures), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let unit = viewer.unit().expect("the viewer was cut off");
                let mut seen = seen.lock().unwrap();
                seen.push((unit.arrived, unit.timestamp, unit.is_keyframe));
            }
        });
        Self {
            pictures,
            over,
            thread: Some(thread),
        }
    }

    /// Waits for the first picture after `moment`: how long after it that came.
    fn next_after(&self, moment: Instant) -> Duration {
        tools::wait_for("the picture to come back", Duration::from_secs(25), || {
            assert!(
                !self.thread.as_ref()?.is_finished(),
                "the viewer was cut off"
            );
            let pictures = self.pictures.lock().unwrap();
            pictures
                .iter()
                .map(|picture| picture.0)
                .find(|&at| at > moment)
        }) - moment
    }

    /// Ends; fails if it was cut off, if time ran backwards, or if a gap was not followed by a keyframe.
    fn finish(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .unwrap()
            .join()
            .expect("the viewer was cut off");
        let pictures = self.pictures.lock().unwrap();
        for pair in pictures.windows(2) {
            let step = pair[1].1.wrapping_sub(pair[0].1);
            assert!(
                step < 1 << 31,
                "RTP time ran backwards: {} to {}",
                pair[0].1,
                pair[1].1
            );
            if pair[1].0 - pair[0].0 > Duration::from_secs(2) {
                assert!(pair[1].2, "the first picture after the gap is no keyframe");
            }
        }
    }
}

fn is_possible() -> bool {
    tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
        && tools::require(tools::has_camera(), "GStreamer's RTSP server and ffmpeg")
}

/// Breaks a part, waits, mends it; the picture must come back to a viewer who stayed.
fn comes_back(length: Duration, fail: impl FnOnce(&mut Site), mend: impl FnOnce(&mut Site)) {
    if !is_possible() {
        return;
    }
    let mut site = Site::build(Model::h264());
    let watcher = Watcher::start(&site);
    watcher.next_after(Instant::now());
    sleep(Duration::from_secs(2));
    fail(&mut site);
    sleep(length);
    mend(&mut site);
    site.gateway.mark("the part is back");
    let took = watcher.next_after(Instant::now());
    eprintln!("the picture was back after {:.2} s", took.as_secs_f32());
    assert!(
        took < BACK_WITHIN,
        "the picture was back only after {:.1} s",
        took.as_secs_f32()
    );
    sleep(Duration::from_secs(1));
    watcher.finish();
    eprintln!("{}", site.gateway.process.text());
}

#[test]
fn the_picture_comes_back_after_the_camera_did() {
    comes_back(
        OUTAGE,
        |site| site.camera.kill(),
        |site| site.camera.restart(),
    );
}

#[test]
fn the_picture_comes_back_after_the_agent_did() {
    comes_back(
        OUTAGE,
        |site| site.agent.kill(),
        |site| {
            let code = site.code.clone();
            site.agent.restart(&code);
        },
    );
}

#[test]
fn the_picture_comes_back_after_the_gateways_listener_did() {
    comes_back(
        Duration::from_secs(10),
        |site| site.house.cut_listener(8080),
        |site| site.house.restore_listener(),
    );
}

#[test]
fn ffmpeg_plays_on_over_a_restart_of_the_camera() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let here = eyelet_tests::world::Host::here();
    let mut camera = eyelet_tests::camera::Camera::start(&here, Model::h264());
    let url = camera.url();
    let gateway = eyelet_tests::eyelet::Gateway::start(&format!("cameras:\n  porch: \"{url}\"\n"));
    let ffmpeg = Path::new("ffmpeg");
    let played = std::thread::scope(|scope| {
        let player = scope
            .spawn(|| players::ffmpeg(&here, ffmpeg, &gateway.url("porch"), Transport::Tcp, 14));
        sleep(Duration::from_secs(4));
        camera.kill();
        sleep(Duration::from_secs(2));
        camera.restart();
        player.join().unwrap()
    });
    assert!(played.is_ok, "{}", played.complaints);
    assert_eq!(played.complaints, "");
    let breaks = Reference::decode(ffmpeg, Model::h264().video).breaks(&played.pictures);
    assert_eq!(
        breaks.len(),
        1,
        "one cut, where the camera restarted: {breaks:?}"
    );
    assert_eq!(
        breaks[0].2 % 50,
        0,
        "it goes on with a keyframe: {breaks:?}"
    );
}

#[test]
fn a_gateway_that_restarts_finds_its_agent_again() {
    if !is_possible() {
        return;
    }
    let mut site = Site::build(Model::h264());
    site.gateway.restart();
    let started = Instant::now();
    site.gateway.wait_for_agent("shed");
    eprintln!(
        "the agent was back after {:.2} s",
        started.elapsed().as_secs_f32()
    );
    let mut viewer = Viewer::play(
        &site.house.gateway,
        site.gateway.rtsp,
        &site.gateway.url("shed"),
    );
    assert!(viewer.unit().unwrap().is_keyframe);
}
