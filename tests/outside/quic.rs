//! Agents that come by QUIC, or would.
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::world::House;
use eyelet_tests::{http, tools};

use crate::leases;

/// A house, its gateway, and an agent beside the camera that may choose, after `begin` has happened to the house.
struct Site {
    gateway: Gateway,
    agent: Agent,
    camera: Camera,
    house: House,
    /// How long the agent took.
    took: Duration,
}

impl Site {
    fn build(begin: impl FnOnce(&House)) -> Option<Self> {
        let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
            && tools::require(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
        if !is_possible {
            return None;
        }
        let house = House::build();
        begin(&house);
        let camera = Camera::start(&house.camera, Model::h264().at("0.0.0.0:554"));
        let gateway = Gateway::start_in(
            &house,
            "forwards:\n  - { listen: \"127.0.0.1:8654\", agent: shed, target: \"192.168.1.10:554\" }\n",
        );
        let code = gateway.add_agent("shed");
        let start = Instant::now();
        let agent = Agent::join(&house.agent, &code, &["192.168.1.10:554"]);
        gateway.wait_for_agent("shed");
        let took = start.elapsed();
        Some(Self {
            gateway,
            agent,
            camera,
            house,
            took,
        })
    }

    fn plays(&self) {
        let url = self.camera.url_at("127.0.0.1:8654");
        let host = &self.house.gateway;
        let played = players::ffmpeg(host, Path::new("ffmpeg"), &url, Transport::Tcp, 3);
        assert!(played.is_ok, "{}", played.complaints);
        assert!(played.pictures.len() >= 60, "{}", played.pictures.len());
    }

    fn comes_by(&self, transport: &str) {
        eprintln!("by {transport} after {:.2} s", self.took.as_secs_f32());
        let status = self.gateway.agent("shed").unwrap();
        assert_eq!(status["transport"], transport, "{status}");
        let metrics = http::request(&self.house.gateway, self.gateway.http, "/metrics").unwrap();
        let line = format!("eyelet_agent_transport{{agent=\"shed\",transport=\"{transport}\"}} 1");
        assert!(metrics.text().contains(&line), "{}", metrics.text());
        let said = self.agent.process.text();
        assert!(said.contains(&format!("transport={transport}")), "{said}");
    }
}

#[test]
fn an_agent_behind_nat_comes_by_quic_and_says_so() {
    let Some(site) = Site::build(|_| {}) else {
        return;
    };
    site.comes_by("quic");
    site.plays();
    assert_eq!(
        site.agent.process.listening(),
        Vec::<String>::new(),
        "the agent listens"
    );
}

#[test]
fn an_agent_whose_datagrams_are_dropped_comes_by_websocket_and_says_so() {
    let Some(site) = Site::build(House::block_datagrams) else {
        return;
    };
    site.comes_by("websocket");
    assert!(
        site.agent
            .process
            .text()
            .contains("QUIC does not get through"),
        "{}",
        site.agent.process.text()
    );
    site.plays();
}

#[test]
fn a_session_whose_datagrams_are_dropped_from_now_on_gives_way_to_a_websocket() {
    let Some(site) = Site::build(|_| {}) else {
        return;
    };
    site.comes_by("quic");
    site.house.block_datagrams();
    let blocked = Instant::now();
    tools::wait_for("the WebSocket", Duration::from_secs(60), || {
        let status = site.gateway.agent("shed")?;
        (status["connected"] == true && status["transport"] == "websocket").then_some(())
    });
    eprintln!(
        "by websocket after {:.1} s",
        blocked.elapsed().as_secs_f32()
    );
    site.plays();
}

#[test]
fn on_a_lossy_line_quic_loses_no_byte_and_a_viewer_that_stops_holds_up_no_other() {
    let Some(site) = leases::Site::build("quic") else {
        return;
    };
    site.house.lose_packets(1);
    let bulk = leases::Bulk::start(&site);
    // A viewer that takes nothing of what its camera sends.
    let stuck = site
        .house
        .gateway
        .connect("127.0.0.1:8654".parse().unwrap())
        .unwrap();
    (&stuck)
        .write_all(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        .unwrap();
    let start = Instant::now();
    sleep(Duration::from_secs(10));
    let pause = bulk.longest_pause_since(start);
    let lost = site.house.lost_packets();
    eprintln!(
        "{lost} packets lost, longest pause {:.2} s",
        pause.as_secs_f32()
    );
    // A packet here may be a whole batch of datagrams that the kernel splits later.
    assert!(lost >= 3, "only {lost} packets were lost");
    bulk.finish();
    let mut answer = [0; 8];
    (&stuck).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"RTSP/1.0");
    let status = site.gateway.agent("shed").unwrap();
    assert_eq!(status["transport"], "quic", "{status}");
    assert_eq!(status["reconnects"], 0, "{status}");
}

#[test]
fn a_limit_holds_and_the_agent_stays_in_touch() {
    let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables");
    if !is_possible {
        return;
    }
    let house = House::build();
    let gateway = Gateway::start_in(
        &house,
        "agents: { shed: { limit: 2mbit } }\nforwards:\n  - { listen: \"127.0.0.1:8654\", agent: shed, target: \"127.0.0.1:9000\" }\n",
    );
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&house.agent, &code, &["127.0.0.1:9000"]);
    gateway.wait_for_agent("shed");
    let listener = house
        .agent
        .inside(|| TcpListener::bind("127.0.0.1:9000").unwrap());
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        while socket.write_all(&[7; 16 << 10]).is_ok() {}
    });
    let mut viewer = house
        .gateway
        .connect("127.0.0.1:8654".parse().unwrap())
        .unwrap();
    let begin = Instant::now();
    let mut piece = [0; 16 << 10];
    let mut bytes = 0;
    while begin.elapsed() < Duration::from_secs(6) {
        bytes += viewer.read(&mut piece).unwrap();
    }
    let rate = bytes as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e6;
    eprintln!("{rate:.2} Mbit/s");
    assert!((0.5..2.3).contains(&rate), "{rate} Mbit/s");
    let status = gateway.agent("shed").unwrap();
    assert_eq!(status["limit_bits"], 2_000_000, "{status}");
    assert!(status["limited_s"].as_f64().unwrap() > 2.0, "{status}");
    assert_eq!(status["connected"], true, "{status}");
    assert_eq!(status["reconnects"], 0, "{status}");
}
