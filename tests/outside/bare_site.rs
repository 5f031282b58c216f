//! An agent on a machine that lacks what others take for granted: a default route, a name server, the right time.
use std::path::Path;
use std::time::Duration;

use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::{self, Running};
use eyelet_tests::tools;
use eyelet_tests::world::{CAMERA, GATEWAY, House};

const FORWARD: &str =
    "forwards:\n  - { listen: \"127.0.0.1:8654\", agent: shed, target: \"192.168.1.10:554\" }\n";

/// A house with a simulated camera in it, if this machine can have them.
fn house() -> Option<(House, Running)> {
    let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
        && tools::require(tools::has("ffmpeg"), "ffmpeg");
    is_possible.then(|| {
        let house = House::build();
        let mut command = house.camera.command(tools::program("eyelet"));
        command.args(["simulate", "rtsp", "--listen", "0.0.0.0:554"]);
        let mut camera = Running::start("eyelet simulate rtsp", &mut command);
        camera.wait_for_line("where it is", Duration::from_secs(20), |line| {
            line.starts_with("rtsp://").then_some(())
        });
        (house, camera)
    })
}

fn plays(house: &House) {
    let url = "rtsp://127.0.0.1:8654/stream1";
    let played = players::ffmpeg(&house.gateway, Path::new("ffmpeg"), url, Transport::Tcp, 2);
    assert!(played.is_ok, "{}", played.complaints);
    assert!(played.pictures.len() >= 45, "{}", played.pictures.len());
}

fn camera() -> String {
    format!("{CAMERA}:554")
}

#[test]
fn an_agent_needs_no_default_route() {
    let Some((house, _camera)) = house() else {
        return;
    };
    house.agent.ip("route del default");
    house
        .agent
        .ip(&format!("route add {GATEWAY} via 192.168.1.1"));
    let gateway = Gateway::start_in(&house, FORWARD);
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&house.agent, &code, &[&camera()]);
    gateway.wait_for_agent("shed");
    plays(&house);
}

#[test]
fn an_agent_that_boots_without_dns_finds_the_gateway_where_it_was() {
    let Some((house, _camera)) = house() else {
        return;
    };
    if !tools::require(tools::has("dnsmasq"), "dnsmasq") {
        return;
    }
    let name = "gateway.example";
    let mut dns = house.router.command("dnsmasq");
    dns.args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv"]);
    dns.args(["--no-hosts", "--user=root", "--pid-file="]);
    dns.args(["--interface=lan", "--bind-interfaces"]);
    dns.arg(format!("--address=/{name}/{GATEWAY}"));
    let mut dns = Running::start("dnsmasq", &mut dns);
    dns.wait_for_line("that it serves", Duration::from_secs(20), |line| {
        line.contains("started").then_some(())
    });
    house.agent.ask_names_of("192.168.1.1");
    let gateway = Gateway::start_in_as(&house, name, FORWARD);
    let code = gateway.add_agent("shed");
    let mut agent = Agent::join(&house.agent, &code, &[&camera()]);
    gateway.wait_for_agent("shed");

    // Power comes back at the site, and the name server gives no answer, not even a refusal.
    agent.kill();
    dns.kill();
    house
        .router
        .nft("insert rule inet house incoming udp dport 53 drop");
    agent.restart(&code);
    gateway.wait_for_agent("shed");
    plays(&house);
}

#[test]
fn an_agent_whose_clock_says_1970_is_let_in_and_trusts_the_right_gateway() {
    let Some((house, _camera)) = house() else {
        return;
    };
    let library = ["x86_64", "aarch64"]
        .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|path| Path::new(path).is_file());
    if !tools::require(library.is_some(), "libfaketime") {
        return;
    }
    let gateway = Gateway::start_in(&house, FORWARD);
    let code = gateway.add_agent("shed");
    let state = tempfile::tempdir().unwrap();
    let in_1970 = |program: &Path| {
        let mut command = house.agent.command("env");
        command.arg(format!("LD_PRELOAD={}", library.as_deref().unwrap()));
        // The wall clock alone: nobody's machine has a wrong time since its start.
        command.args([
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME=@1970-01-01 00:00:10",
        ]);
        command.arg(program);
        command
    };
    let mut date = in_1970(Path::new("date"));
    let date = process::run("date", date.args(["-u", "+%Y"]), Duration::from_secs(20));
    assert_eq!(process::text(&date.stdout), "1970\n");
    let mut command = in_1970(&tools::program("eyelet-agent"));
    command.args(["--join", &code, "--allow", &camera(), "--state"]);
    let agent = Running::start("eyelet-agent", command.arg(state.path()));
    gateway.wait_for_agent("shed");
    plays(&house);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", agent.pid())).unwrap();
    assert!(maps.contains("libfaketime"), "its clock is the right one");
}
