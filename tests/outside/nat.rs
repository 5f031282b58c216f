//! A real camera behind NAT, seen from the server.
use std::path::Path;
use std::time::Duration;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::frames::Reference;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::world::House;
use eyelet_tests::{process, require, tools};

/// A house with its camera, a gateway that knows it, and an agent beside the camera.
pub(crate) struct Site {
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
    pub(crate) code: String,
    pub(crate) camera: Camera,
    pub(crate) house: House,
}

impl Site {
    pub(crate) fn build(model: Model) -> Self {
        let house = House::build();
        let camera = Camera::start(&house.camera, model.at("0.0.0.0:554"));
        let gateway = Gateway::start_in(
            &house,
            &format!(
                "cameras:\n  shed: {{ source: \"{}\", via: shed, idle: 2s }}\n\
                 forwards:\n  - {{ listen: \"127.0.0.1:8654\", agent: shed, target: \"192.168.1.10:554\" }}\n",
                camera.url_at("192.168.1.10:554")
            ),
        );
        let code = gateway.add_agent("shed");
        let agent = Agent::join(&house.agent, &code, &["192.168.1.10:554"]);
        gateway.wait_for_agent("shed");
        Self {
            gateway,
            agent,
            code,
            camera,
            house,
        }
    }
}

fn is_possible() -> bool {
    tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
        && tools::require(tools::has_camera(), "GStreamer's RTSP server and ffmpeg")
}

/// Forward and restream, ten seconds each, picture by picture.
fn plays_both_ways(model: Model) {
    if !is_possible() {
        return;
    }
    let video = model.video;
    let site = Site::build(model);
    let ffmpeg = Path::new("ffmpeg");
    let reference = Reference::decode(ffmpeg, video);
    let play = |url: String| players::ffmpeg(&site.house.gateway, ffmpeg, &url, Transport::Tcp, 10);

    let (forwarded, restreamed) = std::thread::scope(|scope| {
        let forwarded = scope.spawn(|| play(site.camera.url_at("127.0.0.1:8654")));
        let restreamed = scope.spawn(|| play(site.gateway.url("shed")));
        (forwarded.join().unwrap(), restreamed.join().unwrap())
    });
    for (way, played) in [("forward", forwarded), ("restream", restreamed)] {
        eprintln!(
            "{way}: {} pictures; {}",
            played.pictures.len(),
            played.complaints
        );
        played.assert_clean(10, video.fps());
        reference.assert_consecutive(&played.pictures);
    }

    let wrong = site
        .camera
        .url_at("127.0.0.1:8654")
        .replace("secret@", "wrong@");
    let refused = play(wrong);
    assert!(
        refused.complaints.contains("401 Unauthorized"),
        "{}",
        refused.complaints
    );
    assert_eq!(
        site.agent.process.listening(),
        Vec::<String>::new(),
        "the agent listens"
    );
}

#[test]
fn an_h264_camera_behind_nat_plays_by_forward_and_by_restream() {
    plays_both_ways(Model::h264());
}

#[test]
fn an_h265_camera_behind_nat_plays_by_forward_and_by_restream() {
    plays_both_ways(Model::h265());
}

#[test]
fn probe_reaches_a_camera_through_its_agent() {
    if !is_possible() {
        return;
    }
    let site = Site::build(Model::h264());
    let url = site.camera.url_at("192.168.1.10:554");
    let output = site
        .gateway
        .run(&["probe", &url, "--via", "shed", "--seconds", "3", "--json"]);
    let talk = process::text(&output.stderr);
    assert!(output.status.success(), "{talk}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["tracks"][0]["width"], 640, "{found}");
}

#[test]
fn an_agent_inside_the_camera_needs_no_permission_for_its_own_rtsp_port() {
    if !is_possible() {
        return;
    }
    let house = House::build();
    let camera = Camera::start(&house.camera, Model::h264().at("127.0.0.1:554"));
    let gateway = Gateway::start_in(
        &house,
        &format!(
            "cameras:\n  shed: {{ source: \"{}\", via: shed }}\n\
             forwards:\n  - {{ listen: \"127.0.0.1:8655\", agent: shed, target: \"127.0.0.1:555\" }}\n",
            camera.url_at("127.0.0.1:554")
        ),
    );
    let code = gateway.add_agent("shed");
    let agent = Agent::join(&house.camera, &code, &[]);
    gateway.wait_for_agent("shed");
    let mut viewer = Viewer::play(&house.gateway, gateway.rtsp, &gateway.url("shed"));
    assert!(
        viewer.unit().unwrap().is_keyframe,
        "a viewer starts with a keyframe"
    );

    // Another port, though something listens there: the agent's own rule says no.
    let secret = house
        .camera
        .inside(|| std::net::TcpListener::bind("127.0.0.1:555").unwrap());
    secret.set_nonblocking(true).unwrap();
    let answer = Viewer::connect(
        &house.gateway,
        "127.0.0.1:8655".parse().unwrap(),
        "rtsp://127.0.0.1:8655/",
    )
    .and_then(|mut viewer| viewer.request("OPTIONS", &[]));
    assert!(answer.is_err(), "the forward led somewhere: {answer:?}");
    assert!(
        secret.accept().is_err(),
        "the agent dialled a port that it may not"
    );
    drop(agent);
}

#[test]
fn twenty_viewers_cost_the_camera_one_connection() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let here = eyelet_tests::world::Host::here();
    let camera = Camera::start(&here, Model::h264());
    let gateway = Gateway::start(&format!(
        "cameras:\n  porch: {{ source: \"{}\", idle: 2s }}\n",
        camera.url_at(&format!("127.0.0.1:{}", camera.port()))
    ));
    assert_eq!(
        camera.total(),
        0,
        "nobody watches, and yet the camera was called"
    );

    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut viewer = Viewer::play(&here, gateway.rtsp, &gateway.url("porch"));
                for _ in 0..75 {
                    assert!(viewer.unit().unwrap().is_gapless);
                }
            });
        }
    });
    assert_eq!(camera.total(), 1, "twenty viewers share one connection");

    tools::wait_for("the camera to be left", Duration::from_secs(15), || {
        (camera.connected() == 0).then_some(())
    });
    let mut viewer = Viewer::play(&here, gateway.rtsp, &gateway.url("porch"));
    assert!(viewer.unit().unwrap().is_keyframe);
    assert_eq!(
        (camera.connected(), camera.total()),
        (1, 2),
        "it comes back with the next"
    );
}
