use super::*;

fn parse(text: &str) -> AgentFile {
    AgentFile::parse(text).unwrap()
}

fn notes(file: &AgentFile) -> Vec<String> {
    file.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_builders_dialect_is_understood() {
    let file = parse(
        r#"{
          "camera": { "model": "Dahua IPC-HFW2449S-S-IL", "platform": "dahua", "architecture": "armv7" },
          "agent": { "agent_id": "dahua-2449s-il-001", "cloud_server_url": "wss://hub.example:8080/agent",
                     "cloud_server_token": "eyelet1.x", "log_level": "INFO" },
          "streaming": { "quality": "high", "buffer_size": 1048576, "rtsp_port": 554,
                         "stream_paths": ["/cam/realmonitor?channel=1&subtype=0", "/cam/realmonitor?channel=1&subtype=1"] },
          "network": { "connection_timeout": 30, "reconnect_interval": 10, "heartbeat_interval": 30 }
        }"#,
    );
    assert_eq!(file.agent_id.as_deref(), Some("dahua-2449s-il-001"));
    assert_eq!(
        file.server_url.as_deref(),
        Some("wss://hub.example:8080/agent")
    );
    assert_eq!(file.token.as_ref().unwrap().reveal(), "eyelet1.x");
    assert_eq!(
        (file.rtsp_port, file.heartbeat_interval),
        (Some(554), Some(30))
    );
    assert_eq!(
        file.stream_path(),
        Some("/cam/realmonitor?channel=1&subtype=0")
    );
    let keys: Vec<&str> = file.notes.iter().map(|note| note.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "camera.platform",
            "camera.architecture",
            "streaming.buffer_size",
            "network.connection_timeout",
            "network.reconnect_interval"
        ]
    );
}

#[test]
fn the_shipped_files_dialect_is_understood() {
    let file = parse(
        r#"{
          "camera": { "ip": "192.168.1.108", "rtsp_port": 554, "username": "admin", "password": "hunter2",
                      "auto_detect_ip": false, "stream_paths": ["/main", "/sub"] },
          "agent": { "agent_id": "cam", "connection_mode": "hybrid", "log_level": "DEBUG" },
          "tunnel": { "enabled": true, "server_url": "ws://hub/agent", "server_token": "t", "tunnel_port": 8554,
                      "heartbeat_interval": 20 },
          "p2p": { "enabled": true, "stun_servers": ["stun:a"], "turn_servers": [{"url": "b", "password": "p"}] },
          "streaming": { "quality": "low" }
        }"#,
    );
    assert_eq!(file.camera_host.as_deref(), Some("192.168.1.108"));
    assert_eq!(file.auto_detect_ip, Some(false));
    assert_eq!(file.tunnel_port, Some(8554));
    assert_eq!(file.stream_path(), Some("/sub"), "low is the second stream");
    assert_eq!(
        notes(&file),
        [
            "agent.connection_mode has no effect: the tunnel is the only way",
            "p2p.enabled has no effect: the tunnel is the only way",
            "p2p.stun_servers has no effect: the tunnel is the only way",
            "p2p.turn_servers has no effect: the tunnel is the only way",
        ]
    );
    assert!(
        !format!("{file:?}").contains("hunter2"),
        "secrets do not print"
    );
}

#[test]
fn the_documents_dialects_are_understood() {
    let file = parse(
        r#"{ "agent": { "agent_id": "a", "tunnel_server_url": "wss://h/x", "tunnel_server_token": "t" },
             "tunnel": { "tunnel_port": 8554 } }"#,
    );
    assert_eq!(file.server_url.as_deref(), Some("wss://h/x"));
    assert!(file.notes.is_empty());

    let file =
        parse(r#"{ "camera": { "ip": "127.0.0.1", "auto_detect_ip": true, "rtsp_port": 554 } }"#);
    assert_eq!(file.auto_detect_ip, Some(true));
    assert!(file.notes.is_empty());

    let file = parse(
        r#"{ "agent": { "ssl_cert_file": "/etc/agent.pem", "ssl_root_cert": "/etc/ca.pem" } }"#,
    );
    assert_eq!(file.certificate.as_deref(), Some("/etc/agent.pem"));
    assert_eq!(file.notes[0].key, "agent.ssl_root_cert");

    let file = parse(
        r#"{ "camera": { "codec": "H.265", "storage": {} },
             "network": { "max_retries": 5 },
             "security": { "encryption_enabled": false, "ssl_verify": false },
             "recording": { "enabled": true, "path": "/mnt" },
             "streaming": { "rtsp_username": "admin", "rtsp_password": "x", "rtsp_timeout": 30 } }"#,
    );
    assert_eq!(file.username.as_deref(), Some("admin"));
    let refused: Vec<_> = file
        .notes
        .iter()
        .filter(|note| matches!(note.fate, Fate::Refused(_)))
        .map(|note| note.key.as_str())
        .collect();
    assert_eq!(
        refused,
        ["security.encryption_enabled", "security.ssl_verify"]
    );
}

#[test]
fn what_is_not_known_wrong_or_said_twice_is_told() {
    let file = parse(
        r#"{ "camera": { "ip": "a", "rtsp_port": "554", "colour": 1, "username": 5, "_remark": "x" },
             "streaming": { "rtsp_port": 8554, "quality": "best", "stream_paths": ["main"] },
             "tunnel": { "tunnel_port": 70000 },
             "clouds": {}, "_comment": "y", "agent": null }"#,
    );
    assert_eq!(file.rtsp_port, Some(554), "numbers in quotes are numbers");
    assert_eq!(
        notes(&file),
        [
            "camera.colour is not known and has no effect",
            "camera.username has no effect: expected a text",
            "streaming.rtsp_port has no effect: another key said the same before",
            "streaming.quality has no effect: expected low, medium or high",
            "streaming.stream_paths has no effect: expected paths that begin with '/'",
            "tunnel.tunnel_port has no effect: expected a port",
            "clouds is not known and has no effect",
            "agent is not known and has no effect",
        ]
    );
    assert_eq!(AgentFile::parse("[]"), Err(Error::NoObject));
}
