//! The dashboard in a real browser.
use std::time::Duration;

use eyelet_tests::browser::Browser;
use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::media::{HEIGHT, WIDTH};
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

/// What a page knows of its first video, for messages of failed tests.
const EXPLAIN: &str = "JSON.stringify({ videos: [...document.querySelectorAll('video')].map(v => ({
    size: [v.videoWidth, v.videoHeight], at: v.currentTime, ready: v.readyState, paused: v.paused,
    error: v.error && v.error.message })), text: document.body.innerText.slice(0, 500) })";

/// Waits for a playing video and watches it move. Leaves a screenshot under `name`.
pub(crate) fn shows_a_moving_picture(url: &str, name: &str) {
    let mut browser = Browser::open(url);
    let playing = format!(
        "[...document.querySelectorAll('video')].some(v => v.videoWidth === {WIDTH} && v.videoHeight === {HEIGHT}
            && v.readyState >= 2 && v.currentTime > 0)"
    );
    watch(&mut browser, &playing, name);
}

/// The same, whatever the picture's size.
pub(crate) fn shows_any_moving_picture(url: &str, name: &str) {
    let playing =
        "[...document.querySelectorAll('video')].some(v => v.videoWidth > 0 && v.readyState >= 2
        && v.currentTime > 0)";
    watch(&mut Browser::open(url), playing, name);
}

fn watch(browser: &mut Browser, playing: &str, name: &str) {
    browser.wait_until(playing, Duration::from_secs(30), EXPLAIN);
    let before = browser.evaluate("document.querySelector('video').currentTime");
    let first = browser.picture_of("video");
    browser.screenshot(&format!("{name}-1"));
    std::thread::sleep(Duration::from_secs(2));
    let second = browser.picture_of("video");
    browser.screenshot(&format!("{name}-2"));
    assert!(first != second, "the picture stands still");

    // Time runs as fast as it does outside, and the picture stays near the live edge.
    let after = browser.evaluate("document.querySelector('video').currentTime");
    let ran = after.as_f64().unwrap() - before.as_f64().unwrap();
    assert!(ran > 1.0, "two seconds passed, {ran:.1} s were shown");
    let behind = browser.evaluate(
        "(() => { const v = document.querySelector('video'), b = v.buffered; return b.end(b.length - 1) - v.currentTime; })()",
    );
    assert!(
        behind.as_f64().unwrap() < 2.0,
        "{behind} s behind what the browser has"
    );
}

#[test]
fn the_dashboard_shows_moving_pictures_of_an_h264_camera() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    require!(Browser::is_here(), "chromium");
    let camera = Camera::start(&Host::here(), Model::h264());
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    shows_a_moving_picture(&format!("http://{}/", gateway.http), "dashboard");
    assert_eq!(
        camera.total(),
        1,
        "the page costs the camera one connection"
    );
}

#[test]
fn the_page_of_one_camera_shows_its_moving_picture() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    require!(Browser::is_here(), "chromium");
    let camera = Camera::start(&Host::here(), Model::h264());
    let gateway = Gateway::start(&format!("cameras:\n  porch: \"{}\"\n", camera.url()));
    let page = format!("http://{}/api/v1/cameras/porch", gateway.http);
    shows_a_moving_picture(&page, "camera");
}
