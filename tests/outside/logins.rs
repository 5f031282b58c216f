//! Viewers must log in when the configuration names users.
use std::path::Path;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::Gateway;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::rtsp::{Login, Viewer};
use eyelet_tests::world::{self, Host, House};
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

#[test]
fn an_address_that_guesses_passwords_is_turned_away_and_its_neighbours_are_not() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let _gateway = Gateway::start_in_with_users(
        &house,
        "watcher: \"s3cret pass\"",
        "cameras:\n  porch: \"rtsp://192.0.2.1/stream1\"\n",
    );
    let address = format!("{}:8554", world::GATEWAY).parse().unwrap();
    let url = format!("rtsp://{address}/porch");
    let connect = |host: &Host| Viewer::connect(host, address, &url).unwrap();
    let mut wrong = 0;
    for _ in 0..20 {
        let answer =
            connect(&house.agent).request("DESCRIBE", &["Authorization: Basic d2F0Y2hlcjp4"]);
        match answer {
            Ok(answer) if answer.status == 401 => wrong += 1,
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.head);
                break;
            }
            Err(_) => break,
        }
    }
    assert_eq!(wrong, 10);
    // The same address with the right password, from the house's other machine (one router, one address).
    let answer = connect(&house.camera).request("OPTIONS", &[]);
    assert!(!answer.is_ok_and(|answer| answer.status == 200));
    // Others, and the gateway itself.
    for host in [&house.provider, &house.gateway] {
        let answer = connect(host).request("OPTIONS", &[]).unwrap();
        assert_eq!(answer.status, 200);
    }
}
