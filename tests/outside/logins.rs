//! Viewers must log in when the configuration names users.
use std::path::Path;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::rtsp::{Login, Viewer};
use eyelet_tests::world::Host;
use eyelet_tests::{require, tools};

fn guarded() -> (Camera, Gateway) {
    let camera = Camera::start(&Host::here(), Model::h264());
    let gateway = Gateway::start_with_users(
        "watcher: \"s3cret pass\"",
        &format!("cameras:\n  porch: \"{}\"\n", camera.url()),
    );
    (camera, gateway)
}

#[test]
fn basic_and_both_digests_let_the_right_password_in_and_no_other() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let (camera, gateway) = guarded();
    let here = Host::here();
    let connect = || Viewer::connect(&here, gateway.rtsp, &gateway.url("porch")).unwrap();
    for login in [Login::Basic, Login::Md5, Login::Sha256] {
        for (user, password) in [("watcher", "wrong"), ("nobody", "s3cret pass"), ("", "")] {
            let answer = connect().describe_with(login, user, password);
            assert_eq!(answer.status, 401, "{login:?} as {user}:{password}");
        }
    }
    assert_eq!(camera.total(), 0, "strangers wake no camera");
    for login in [Login::Basic, Login::Md5, Login::Sha256] {
        let answer = connect().describe_with(login, "watcher", "s3cret pass");
        assert_eq!(answer.status, 200, "{login:?}: {}", answer.head);
    }
}

#[test]
fn ffmpeg_and_gstreamer_log_in() {
    require!(
        tools::has_camera() && tools::has("gst-launch-1.0"),
        "GStreamer and ffmpeg"
    );
    let (_camera, gateway) = guarded();
    let url = gateway
        .url("porch")
        .replace("rtsp://", "rtsp://watcher:s3cret%20pass@");
    let played = players::ffmpeg(&Host::here(), Path::new("ffmpeg"), &url, Transport::Tcp, 2);
    played.assert_clean(2, 25);
    players::gstreamer(&Host::here(), &url, Transport::Tcp, 25);

    let wrong = gateway
        .url("porch")
        .replace("rtsp://", "rtsp://watcher:wrong@");
    let refused = players::ffmpeg(
        &Host::here(),
        Path::new("ffmpeg"),
        &wrong,
        Transport::Tcp,
        2,
    );
    assert!(refused.complaints.contains("401"), "{}", refused.complaints);
}
