//! The test world itself: if these fail, believe no other test.
use std::path::Path;
use std::time::Duration;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::frames::Reference;
use eyelet_tests::media::Media;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::world::{self, Host, House};
use eyelet_tests::{http, require, tools};

#[test]
fn the_router_turns_away_everything_that_comes_in() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let house = House::build();
    let camera = Camera::start(&house.camera, Model::h264().at("0.0.0.0:554"));

    let beside_it = format!("{}:554", world::CAMERA).parse().unwrap();
    house
        .agent
        .connect(beside_it)
        .expect("the agent's machine reaches the camera");
    for outside in [world::CAMERA, world::ROUTER] {
        let address = format!("{outside}:554").parse().unwrap();
        let error = house.gateway.connect(address).expect_err("nobody gets in");
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::TimedOut,
            "{outside}: {error}"
        );
    }
    assert!(house.turned_away() >= 2);
    assert_eq!(camera.total(), 1, "only the neighbour got through");
}

#[test]
fn the_house_reaches_the_gateway_from_one_address() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let listener = house
        .gateway
        .inside(|| std::net::TcpListener::bind("0.0.0.0:8080").unwrap());
    for host in [&house.camera, &house.agent] {
        host.connect(format!("{}:8080", world::GATEWAY).parse().unwrap())
            .unwrap();
        let (_, from) = listener.accept().unwrap();
        assert_eq!(
            from.ip().to_string(),
            world::ROUTER,
            "the router hides its house"
        );
    }
    // No way out of the world into the machine's own network.
    let outside = "192.0.2.1:80".parse().unwrap();
    house
        .gateway
        .connect(outside)
        .expect_err("there is no internet in there");
}

#[test]
fn a_cut_listener_is_deaf_until_it_is_restored() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let _listener = house
        .gateway
        .inside(|| std::net::TcpListener::bind("0.0.0.0:8080").unwrap());
    let address = format!("{}:8080", world::GATEWAY).parse().unwrap();
    house.cut_listener(8080);
    house.agent.connect(address).expect_err("it is cut");
    house.restore_listener();
    house.agent.connect(address).expect("it is back");
}

fn plays_every_picture(model: Model, transport: Transport) {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let video = model.video;
    let camera = Camera::start(&Host::here(), model);
    let played = players::ffmpeg(
        &Host::here(),
        Path::new("ffmpeg"),
        &camera.url(),
        transport,
        3,
    );
    played.assert_clean(3, video.fps());
    Reference::decode(Path::new("ffmpeg"), video).assert_consecutive(&played.pictures);
    tools::wait_for("the camera to be left", Duration::from_secs(5), || {
        (camera.connected() == 0).then_some(())
    });
    assert_eq!(camera.total(), 1);
}

#[test]
fn the_h264_camera_plays_its_own_pictures() {
    plays_every_picture(Model::h264(), Transport::Tcp);
}

#[test]
fn the_h265_camera_plays_its_own_pictures() {
    plays_every_picture(Model::h265(), Transport::Udp);
}

#[test]
fn the_mjpeg_camera_plays_its_own_pictures() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let model = Model {
        video: Media::Mjpeg,
        audio: None,
        login: Some("basic"),
        ..Model::h264()
    };
    let camera = Camera::start(&Host::here(), model);
    let played = players::ffmpeg(
        &Host::here(),
        Path::new("ffmpeg"),
        &camera.url(),
        Transport::Tcp,
        3,
    );
    played.assert_clean(3, 10);
}

#[test]
fn the_camera_refuses_a_wrong_password_and_a_wrong_query() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let camera = Camera::start(&Host::here(), Model::h264());
    for (wrong, refusal) in [("secret@", "401"), ("channel=1", "404")] {
        let url = camera.url().replace(
            wrong,
            if wrong == "secret@" {
                "wrong@"
            } else {
                "channel=7"
            },
        );
        let played = players::ffmpeg(&Host::here(), Path::new("ffmpeg"), &url, Transport::Tcp, 1);
        assert!(played.complaints.contains(refusal), "{}", played.complaints);
    }
}

#[test]
fn the_small_http_client_reads_an_answer_in_chunks() {
    let mut answer =
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"[..];
    let answer = http::read_answer(&mut answer).unwrap();
    assert_eq!((answer.status, answer.text()), (200, "abcde".to_owned()));
}
