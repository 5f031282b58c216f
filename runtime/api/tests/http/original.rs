//! The paths and shapes of the camera agent that came before.

use serde_json::{Value, json};

use crate::world::{Gateway, publish_h264, status};

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn control_restarts_and_tells_the_outcome_in_both_dialects() {
    let gateway = Gateway::start().await;
    for body in [r#"{"command": "restart"}"#, r#"{"action": "restart"}"#] {
        let answer = gateway
            .change("POST", "/agents/shed/control", JSON, body)
            .await;
        assert_eq!(status(&answer), 200, "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"], "restarted");
        assert_eq!(body["agent_id"], "shed");
        assert_eq!(body["took_ms"], 1_234);
        assert_eq!(body["new_process"], true);
    }
    for (path, body, expected) in [
        ("/agents/shed/control", r#"{"command": "explode"}"#, 400),
        ("/agents/shed/control", r#"{"command": 5}"#, 400),
        ("/agents/shed/control", "[]", 400),
        ("/agents/barn/control", r#"{"command": "restart"}"#, 404),
    ] {
        let answer = gateway.change("POST", path, JSON, body).await;
        assert_eq!(status(&answer), expected, "{path} {body}: {answer}");
    }
    let away = gateway
        .change("POST", "/tunnels/shed/restart", JSON, "")
        .await;
    assert_eq!(status(&away), 409, "{away}");
}

#[tokio::test]
async fn the_statistics_have_the_fields_of_the_dhcp_document() {
    let gateway = Gateway::start().await;
    let stats = gateway.json("/agents/shed/stats").await;
    assert_eq!(stats["camera"]["ip"], "192.168.1.10");
    assert_eq!(stats["camera"]["dhcp_enabled"], true);
    assert_eq!(stats["camera"]["auto_detected"], true);
    assert_eq!(stats["camera"]["reachable"], true);
    assert_eq!(stats["tunnel"]["status"], "connected");
    assert_eq!(stats["tunnel"]["server_port"], 8654);
    assert_eq!(stats["tunnel"]["local_port"], 8654);
    assert_eq!(stats["tunnel"]["remote_port"], 554);
    assert_eq!(stats["tunnel"]["bytes_transferred"], 3_000);
    assert_eq!(stats["tunnel"]["connections"], 1);
    assert!(stats["tunnel"]["uptime"].as_u64().unwrap() > 1_000_000);
    // As counted at the agent's end.
    assert_eq!(stats["bytes_sent"], 2_000);
    assert_eq!(stats["bytes_received"], 1_000);
    assert_eq!(stats["reconnections"], 1);
    assert_eq!(stats["last_heartbeat"], "2023-11-14T22:14:19Z");
    assert_eq!(stats["agent"]["uptime"], 61);
    assert_eq!(stats["packets_lost"], 0);
    assert_eq!(stats["buffer_size"], 1_048_576);
    assert_eq!(stats["tunnel"]["sessions"], 2);
    assert_eq!(stats["tunnel"]["sessions_lost"], 0);
    assert_eq!(stats["tunnel"]["bytes_replayed"], 512);
    let agent = gateway.json("/api/v1/agents/shed").await;
    assert_eq!(
        (&agent["sessions"], &agent["sessions_lost"]),
        (&2.into(), &0.into())
    );
    assert_eq!(
        (&agent["reconnecting"], &agent["replayed_bytes"]),
        (&false.into(), &512.into())
    );
}

#[tokio::test]
async fn lists_stand_in_objects_and_items_have_both_sets_of_names() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "shed");
    let agents = gateway.json("/agents").await;
    let agent = &agents["agents"][0];
    assert_eq!(*agent, gateway.json("/agents/shed").await);
    assert_eq!(agent["agent_id"], "shed");
    assert_eq!(agent["status"], "connected");
    assert_eq!(agent["camera_model"], "IPC-HFW2449S-S-IL");
    assert_eq!(agent["ip_address"], "192.168.1.10");
    assert_eq!(agent["streams"], json!(["shed"]));
    assert_eq!(agent["stats"]["bytes_sent"], 2_000);

    let streams = gateway.json("/streams").await;
    let stream = &streams["streams"][0];
    assert_eq!(
        streams["streams"].as_array().unwrap().len(),
        1,
        "porch is behind no agent"
    );
    assert_eq!(*stream, gateway.json("/agents/shed/stream").await);
    assert_eq!(stream["stream_url"], "rtsp://127.0.0.1:8554/shed");
    assert_eq!(stream["viewers_count"], 0);

    let tunnels = gateway.json("/tunnels").await;
    assert_eq!(tunnels["tunnels"][0], gateway.json("/tunnels/shed").await);
    let health = gateway.json("/health").await;
    assert_eq!(health["status"], "healthy");
    assert_eq!(
        (&health["agents"], &health["agents_connected"]),
        (&json!(1), &json!(1))
    );
    let stats = gateway.json("/stats").await;
    assert_eq!(stats["bytes_sent"], 2_000);
    for path in [
        "/agents/barn",
        "/agents/barn/stats",
        "/agents/barn/stream",
        "/tunnels/barn",
    ] {
        assert_eq!(status(&gateway.get(path).await), 404, "{path}");
    }
}
