//! Reolink cameras on UDP behind NAT, through an agent beside them.
use std::process::Output;
use std::time::Duration;

use eyelet_tests::eyelet::{Agent, Gateway, eyelet};
use eyelet_tests::frames::Reference;
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::{self, Running};
use eyelet_tests::world::{self, House};
use eyelet_tests::{require, tools};

const UID: &str = "95270000ABCDEFGH";

/// A battery camera asleep in a house, and a gateway outside that may only have what the agent allows.
struct Site {
    house: House,
    gateway: Gateway,
    _camera: Running,
    _agent: Agent,
}

/// A battery camera in the house, asleep.
fn start_camera(house: &House) -> Running {
    let mut command = house.camera.command(tools::program("eyelet"));
    command.args(["simulate", "reolink", "--battery", "--udp", "0.0.0.0"]);
    command.args(["--login", "admin:Secret-1", "--uid", UID]);
    let mut camera = Running::start("the camera", &mut command);
    camera.wait_for_line("its address", Duration::from_secs(20), |line| {
        line.starts_with("reolink").then_some(())
    });
    camera
}

impl Site {
    fn build(options: &str, allow: &str) -> Self {
        let house = House::build();
        let camera = start_camera(&house);
        let source = format!("reolink+uid://admin:Secret-1@{UID}{options}");
        let body = format!("cameras:\n  porch: {{ source: \"{source}\", via: shed, idle: 2s }}\n");
        let gateway = Gateway::start_in(&house, &body);
        let code = gateway.add_agent("shed");
        let agent = Agent::join(&house.agent, &code, &[allow]);
        gateway.wait_for_agent("shed");
        Self {
            house,
            gateway,
            _camera: camera,
            _agent: agent,
        }
    }

    /// The command line on the gateway's machine asks for the charge.
    fn battery(&self) -> Output {
        let config = self.gateway.config();
        let config = config.to_str().unwrap();
        let args = ["camera", "-c", config, "porch", "battery"];
        eyelet(&self.house.gateway, &args)
    }

    fn plays(&self) {
        let ffmpeg = players::debian_ffmpeg();
        let url = self.gateway.url("porch");
        let host = &self.house.gateway;
        let played = players::ffmpeg(host, &ffmpeg, &url, Transport::Tcp, 5);
        played.assert_clean(5, 25);
        let clip = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../sim/cameras/media/porch.h264"
        );
        let reference = Reference::of_file(&ffmpeg, clip.as_ref(), "h264");
        reference.assert_consecutive(&played.pictures);
        let device = self.gateway.api("/api/v1/cameras/porch/device");
        assert_eq!(device["wakes"], serde_json::json!({ "view": 1 }));
        assert_eq!(device["battery"]["percent"], 87);
    }
}

#[test]
fn a_sleeping_camera_behind_nat_is_found_by_the_agents_broadcast_and_plays() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    require!(tools::has("ffmpeg"), "ffmpeg");
    let site = Site::build("", "udp:broadcast");
    site.plays();
    // Commands on the gateway's machine go the same way.
    let output = site.battery();
    let (said, talk) = (process::text(&output.stdout), process::text(&output.stderr));
    assert!(
        output.status.success() && said.contains("87"),
        "{said}{talk}"
    );
}

#[test]
fn a_camera_behind_nat_is_called_at_its_address_through_the_agent() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    require!(tools::has("ffmpeg"), "ffmpeg");
    let options = format!("?address={}", world::CAMERA);
    let allow = format!("udp:{}", world::CAMERA);
    Site::build(&options, &allow).plays();
}

#[test]
fn a_broadcast_goes_into_every_network_of_the_machine() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let house = House::build();
    let _camera = start_camera(&house);
    // The router's default route leads to its provider, and the camera is not there.
    let source = format!("reolink+uid://admin:Secret-1@{UID}");
    let output = eyelet(&house.router, &["camera", &source, "battery"]);
    let (said, talk) = (process::text(&output.stdout), process::text(&output.stderr));
    assert!(
        output.status.success() && said.contains("87"),
        "{said}{talk}"
    );
}

#[test]
fn an_agent_that_allows_no_datagrams_says_what_to_allow() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let site = Site::build("", "192.168.1.10:554");
    let output = site.battery();
    let talk = process::text(&output.stderr);
    assert!(!output.status.success(), "{talk}");
    assert!(talk.contains("--allow udp:broadcast"), "{talk}");
}
