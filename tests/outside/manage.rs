//! Agents managed from the gateway, and cameras handed over to other systems.
use std::process::Command;
use std::time::Duration;

use eyelet_tests::browser::Browser;
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::world::Host;
use eyelet_tests::{process, require, tools};
use serde_json::Value;

const CAMERAS: &str = "cameras:\n\
    \x20 shed: { source: \"rtsp://admin:camera-secret@127.0.0.1:554/cam/realmonitor?channel=1&subtype=0\", via: shed }\n\
    \x20 shed.sub: { source: \"rtsp://127.0.0.1:554/sub\", via: shed }\n\
    \x20 porch: rtsp://192.0.2.1/stream1\n";

#[test]
fn a_restart_asked_for_by_the_documented_call_really_restarts_the_program() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("dahua-2449s-il-001");
    let mut agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("dahua-2449s-il-001");
    std::thread::sleep(Duration::from_millis(2_500));
    let before = gateway.api("/agents/dahua-2449s-il-001/stats");
    assert!(before["agent"]["uptime"].as_u64().unwrap() >= 2, "{before}");

    let path = "/agents/dahua-2449s-il-001/control";
    let answer = gateway.change("POST", path, r#"{"command": "restart"}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let outcome = answer.json();
    assert_eq!(outcome["status"], "restarted");
    assert_eq!(outcome["new_process"], true);
    let after = gateway.api("/agents/dahua-2449s-il-001/stats");
    assert!(
        after["agent"]["uptime"].as_u64() < before["agent"]["uptime"].as_u64(),
        "{after}"
    );
    assert_eq!(after["reconnections"], 1);
    assert!(
        agent.process.is_running(),
        "whoever supervises it saw no end"
    );
    assert_eq!(agent.process.text().matches("agent starts").count(), 2);
    for (body, expected) in [(r#"{"command": "format"}"#, 400), ("{}", 400)] {
        assert_eq!(
            gateway.change("POST", path, body).status,
            expected,
            "{body}"
        );
    }
    let renewed = gateway.change("POST", "/tunnels/dahua-2449s-il-001/restart", "");
    assert_eq!(renewed.json()["status"], "restarted", "{}", renewed.text());
    agent.kill();
}

#[test]
fn the_agents_log_is_read_from_afar_and_holds_no_secret() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
    let log = gateway.api("/api/v1/agents/shed/log");
    let lines = log["lines"].as_array().unwrap();
    let text: Vec<&str> = lines
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert!(
        text.iter()
            .any(|line| line.contains("connected to the gateway")),
        "{text:?}"
    );
    let secret = code.split_once('.').unwrap().1;
    assert!(!log.to_string().contains(&secret[secret.len() - 40..]));
    let said = gateway.process.text();
    assert!(!said.contains(&secret[secret.len() - 40..]), "{said}");
}

#[test]
fn the_dashboard_shows_an_agents_log_and_restarts_it() {
    require!(Browser::is_here(), "chromium");
    let gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
    let mut browser = Browser::open(&format!("http://{}/", gateway.http));
    let within = Duration::from_secs(30);
    let explain = "document.body.innerText.slice(0, 800)";
    let button = |n: usize| format!("document.querySelectorAll('#agents .actions button')[{n}]");
    browser.wait_until(
        &format!("{}?.disabled === false", button(0)),
        within,
        explain,
    );
    browser.evaluate(&format!("{}.click()", button(0)));
    let log = "document.querySelector('#agent-log pre')?.innerText.includes('connected to the gateway') === true";
    browser.wait_until(log, within, explain);
    browser.screenshot("agent-log");
    // One click asks back, the second one means it.
    browser.evaluate(&format!("{0}.click(); {0}.click()", button(1)));
    let back = "document.querySelector('#toast').innerText.includes('is back after')";
    browser.wait_until(back, within, explain);
    browser.screenshot("agent-restarted");
    assert_eq!(agent.process.text().matches("agent starts").count(), 2);
}

#[test]
fn a_forward_made_by_the_api_has_the_same_port_after_a_restart() {
    let mut gateway = Gateway::start("");
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&Host::here(), &code, &[]);
    gateway.wait_for_agent("shed");
    let body = r#"{"agent": "shed", "target": "127.0.0.1:554"}"#;
    let made = gateway.change("POST", "/api/v1/forwards", body);
    assert_eq!(made.status, 201, "{}", made.text());
    let listen = made.json()["listen"].as_str().unwrap().to_owned();
    assert!(listen.starts_with("127.0.0.1:1"), "{listen}");

    gateway.restart();
    let forwards = || gateway.api("/api/v1/forwards")["forwards"].clone();
    tools::wait_for("the forward to be back", Duration::from_secs(10), || {
        (forwards()[0]["listen"] == listen.as_str()).then_some(())
    });
    assert_eq!(forwards()[0]["saved"], true);
    let gone = gateway.change("DELETE", &format!("/api/v1/forwards/{listen}"), "");
    assert_eq!(gone.status, 204, "{}", gone.text());
    tools::wait_for("the forward to be gone", Duration::from_secs(10), || {
        (forwards() == Value::Array(vec![])).then_some(())
    });
}

#[test]
fn an_older_agents_file_is_enough_to_join_and_useless_keys_are_named() {
    let gateway = Gateway::start("");
    let code = gateway.add_agent("dahua-2449s-il-001");
    let file = format!(
        r#"{{
          "camera": {{ "model": "IPC-HFW2449S-S-IL", "platform": "dahua", "ip": "127.0.0.1", "auto_detect_ip": true }},
          "agent": {{ "agent_id": "dahua-2449s-il-001", "cloud_server_url": "ws://{}/agent", "cloud_server_token": "CODE" }},
          "streaming": {{ "quality": "low", "stream_paths": ["/main", "/sub"] }},
          "security": {{ "ssl_verify": false }}, "colour": 1
        }}"#,
        gateway.http
    );
    let agent = Agent::with_file(&Host::here(), &code, &file);
    gateway.wait_for_agent("dahua-2449s-il-001");
    tools::wait_for("the model", Duration::from_secs(10), || {
        let agent = gateway.api("/agents/dahua-2449s-il-001");
        (agent["camera_model"] == "IPC-HFW2449S-S-IL").then_some(())
    });
    let said = agent.process.text();
    for expected in [
        "camera.platform has no effect",
        "SAFETY: security.ssl_verify is not obeyed",
        "colour is not known",
        "chmod 600",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("{text}: {said}"));
    let order = [
        "[STREAM]",
        "[TUNNEL] connecting",
        "[TUNNEL] established",
        "[AGENT] ready",
    ];
    assert!(order.map(place).is_sorted(), "{said}");
    assert!(!said.contains(&code), "the token is printed");
}

#[test]
fn exported_cameras_are_what_other_systems_read() {
    let gateway = Gateway::start_with_users("watcher: \"p@ss/w#rd\"", CAMERAS);
    let export = |format: &str, more: &[&str]| {
        let args = [&["agent", "export", "--format", format][..], more].concat();
        let output = gateway.run(&args);
        let talk = process::text(&output.stderr);
        assert!(output.status.success(), "{talk}");
        assert!(talk.contains("hold the password"), "{talk}");
        process::text(&output.stdout)
    };
    let url = format!("rtsp://watcher:p%40ss%2Fw%23rd@{}/shed", gateway.rtsp);

    let flussonic: Value = serde_json::from_str(&export("flussonic", &[])).unwrap();
    let streams = flussonic["streams"].as_array().unwrap();
    assert_eq!(streams.len(), 2, "porch is behind no agent");
    assert_eq!(streams[0]["name"], "shed");
    assert_eq!(streams[0]["inputs"][0]["url"], url);
    assert!(!flussonic.to_string().contains("camera-secret"));

    require!(has_yaml(), "python3-yaml");
    let csv = read(
        "import csv, sys, json; print(json.dumps(list(csv.DictReader(sys.stdin))))",
        &export("csv", &["shed"]),
    );
    assert_eq!(csv[0]["title"], "shed");
    assert_eq!(csv[0]["stream_url"], url);
    assert_eq!(csv[0]["enabled"], "1");

    let yaml = "import yaml, sys, json; print(json.dumps(yaml.safe_load(sys.stdin)))";
    let go2rtc = read(yaml, &export("go2rtc", &["--host", "gw.example"]));
    assert_eq!(
        go2rtc["streams"]["shed"],
        url.replace("127.0.0.1", "gw.example")
    );
    let frigate = read(yaml, &export("frigate", &["--all"]));
    let cameras = frigate["cameras"].as_object().unwrap();
    assert_eq!(cameras.len(), 3);
    for (name, camera) in cameras {
        assert!(
            name.chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)),
            "{name}"
        );
        let input = &camera["ffmpeg"]["inputs"][0];
        assert!(
            input["path"]
                .as_str()
                .unwrap()
                .starts_with("rtsp://watcher:")
        );
        assert_eq!(input["roles"], serde_json::json!(["detect", "record"]));
    }

    let unknown = gateway.run(&["agent", "export", "barn", "--format", "csv"]);
    assert!(!unknown.status.success());
}

#[test]
fn an_older_agents_file_becomes_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(
        &file,
        r#"{ "camera": { "ip": "192.168.1.108", "username": "admin", "password": "a: b#${c}\"",
             "stream_paths": ["/cam/realmonitor?channel=1&subtype=0", "/cam/realmonitor?channel=1&subtype=1"] },
             "agent": { "agent_id": "cam 1" }, "tunnel": { "tunnel_port": 8600 } }"#,
    )
    .unwrap();
    let output = eyelet_tests::eyelet::eyelet(&Host::here(), &["import", file.to_str().unwrap()]);
    let (yaml, talk) = (process::text(&output.stdout), process::text(&output.stderr));
    assert!(output.status.success(), "{talk}");
    let path = folder.path().join("eyelet.yaml");
    std::fs::write(&path, &yaml).unwrap();
    let check = ["check", "--json", "-c", path.to_str().unwrap()];
    let checked = eyelet_tests::eyelet::eyelet(&Host::here(), &check);
    let config: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(config["cameras"][0]["name"], "cam-1");
    assert_eq!(config["cameras"][1]["name"], "cam-1-sub");
    assert_eq!(config["forwards"][0]["listen"], "127.0.0.1:8600");
    assert_eq!(config["forwards"][0]["target"], "192.168.1.108:554");
    assert!(!config.to_string().contains("a: b#"), "secrets are masked");
    assert!(talk.contains("eyelet agent add cam-1"), "{talk}");
}

fn has_yaml() -> bool {
    let found = Command::new(tools::PYTHON3)
        .args(["-c", "import yaml"])
        .output();
    found.is_ok_and(|output| output.status.success())
}

/// What another program's reader makes of `text`.
fn read(program: &str, text: &str) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut command = Command::new(tools::PYTHON3);
    command.args([
        "-c",
        &format!("import sys; sys.stdin = open(sys.argv[1]); {program}"),
    ]);
    command.arg(file.path());
    let output = process::run("python", &mut command, Duration::from_secs(20));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{text}", process::text(&output.stderr)))
}
