//! A viewer that stops reading.
use std::time::{Duration, Instant};

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

const STALL: Duration = Duration::from_secs(60);

/// Rings are capped, so what an hour would bring a minute shows. The ring itself fills in this time.
const MAX_GROWTH: u64 = 24 << 20;

#[test]
fn a_stalled_viewer_delays_nobody_and_goes_on_with_a_keyframe() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let here = Host::here();
    let camera = Camera::start(&here, Model::h264());
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    let url = gateway.url("porch");
    let mut stalled = Viewer::play(&here, gateway.rtsp, &url);
    for _ in 0..25 {
        assert!(stalled.unit().unwrap().is_gapless);
    }
    let before = gateway.process.memory();

    let mut other = Viewer::play(&here, gateway.rtsp, &url);
    let (start, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    let mut count = 0;
    while start.elapsed() < STALL {
        assert!(
            other.unit().unwrap().is_gapless,
            "the other viewer lost something"
        );
        longest = longest.max(last.elapsed());
        last = Instant::now();
        count += 1;
    }
    let growth = gateway.process.memory().saturating_sub(before);
    eprintln!("{count} pictures, longest wait {longest:?}, memory grew by {growth} bytes");
    assert!(
        count >= 60 * 25 - 50,
        "the other viewer got only {count} pictures"
    );
    assert!(
        longest < Duration::from_secs(1),
        "the other viewer waited {longest:?}"
    );
    assert!(growth < MAX_GROWTH, "memory grew by {growth} bytes");

    // What lies in socket buffers comes first, without a gap; then a jump, and it lands on a keyframe.
    let mut last = stalled.unit().expect("the stalled viewer was cut off");
    let mut jumps = 0;
    let resumed = Instant::now();
    while resumed.elapsed() < Duration::from_secs(4) {
        let unit = stalled.unit().expect("the stalled viewer was cut off");
        if unit.timestamp.wrapping_sub(last.timestamp) > 2 * 3600 {
            assert!(unit.is_keyframe, "after the jump came no keyframe");
            jumps += 1;
        }
        last = unit;
    }
    assert_eq!(jumps, 1, "one jump over what was missed");
}
