//! What each route answers, and what it keeps to itself.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::world::{Gateway, publish_h264, publish_jpeg, read_all, status};

#[tokio::test]
async fn the_dashboard_and_all_its_files_are_inside_the_program() {
    let gateway = Gateway::start().await;
    let page = gateway.get("/").await;
    assert!(
        page.contains("content-type: text/html") && page.contains("/assets/app.js"),
        "{page}"
    );
    for file in [
        "app.js",
        "cards.js",
        "device.js",
        "dom.js",
        "picture.js",
        "player.js",
        "settings.js",
        "tables.js",
        "words.js",
        "style.css",
        "icon.svg",
    ] {
        let answer = gateway.get(&format!("/assets/{file}")).await;
        assert_eq!(status(&answer), 200, "{file}");
    }
    assert_eq!(status(&gateway.get("/assets/nothing.js").await), 404);
    assert_eq!(
        status(&gateway.get("/assets/..%2f..%2fCargo.toml").await),
        404
    );
}

#[tokio::test]
async fn a_file_that_did_not_change_is_not_sent_again() {
    let gateway = Gateway::start().await;
    let first = gateway.get("/assets/app.js").await;
    let tag = first
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let again = gateway
        .get_with("/assets/app.js", &format!("If-None-Match: {tag}\r\n"))
        .await;
    assert_eq!(status(&again), 304);
    assert!(again.ends_with("\r\n\r\n"), "{again}");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let gateway = Gateway::start().await;
    for path in ["/", "/api/v1/cameras", "/nowhere", "/assets/app.js"] {
        let answer = gateway.get(path).await;
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{path} lacks {header}: {answer}");
        }
        assert!(!answer.contains("access-control-allow-origin"), "{answer}");
        assert!(!answer.contains("unsafe-inline"), "{answer}");
    }
}

#[tokio::test]
async fn readiness_tells_what_is_missing() {
    let gateway = Gateway::start().await;
    assert_eq!(status(&gateway.get("/readyz").await), 200);
    gateway
        .readiness
        .set_pending("rtsp", "127.0.0.1:8554 is in use");
    let answer = gateway.get("/readyz").await;
    assert!(
        status(&answer) == 503 && answer.contains("127.0.0.1:8554 is in use"),
        "{answer}"
    );
    assert_eq!(status(&gateway.get("/healthz").await), 200);
    gateway.readiness.set_ready("rtsp");
    assert_eq!(status(&gateway.get("/readyz").await), 200);
}

#[tokio::test]
async fn cameras_are_listed_without_their_secrets() {
    let gateway = Gateway::start().await;
    let list = gateway.json("/api/v1/cameras").await;
    assert_eq!(list["cameras"].as_array().unwrap().len(), 2);
    let shed = gateway.json("/api/v1/cameras/shed").await;
    assert_eq!(shed, list["cameras"][1]);
    assert_eq!(shed["kind"], "rtsp");
    assert_eq!(shed["via"], "shed");
    assert_eq!(shed["state"]["name"], "idle");
    assert_eq!(shed["urls"]["rtsp"], "rtsp://127.0.0.1:8554/shed");
    assert_eq!(shed["urls"]["ws"], "/api/v1/cameras/shed/ws");
    for path in [
        "/api/v1/cameras",
        "/api/v1/overview",
        "/api/v1/cameras/shed",
        "/api/v1/agents",
        "/metrics",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(
            !answer.contains("hun") && !answer.contains("ter2"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_live_camera_tells_what_it_sends() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let stream = gateway.hub.stream("porch").unwrap();
    stream.set_status(hub::State::Live, None, None);
    let _viewer = stream.viewer("rtsp");
    let porch = gateway.json("/api/v1/cameras/porch").await;
    assert_eq!(
        porch["tracks"],
        json!([{ "kind": "video", "codec": "H.264", "width": 64, "height": 64 }])
    );
    assert_eq!(porch["viewers"]["total"], 1);
    assert_eq!(porch["viewers"]["by_output"]["rtsp"], 1);
    assert_eq!(porch["state"]["name"], "live");
    // Pictures are made of video, too.
    assert_eq!(porch["urls"]["mjpeg"], "/api/v1/cameras/porch/stream");
}

#[tokio::test]
async fn a_waiting_camera_tells_why_and_when_it_tries_again() {
    let gateway = Gateway::start().await;
    let stream = gateway.hub.stream("porch").unwrap();
    let retry = std::time::Instant::now() + std::time::Duration::from_secs(5);
    stream.set_status(
        hub::State::Waiting,
        Some("the camera refuses the password".into()),
        Some(retry),
    );
    let state = &gateway.json("/api/v1/cameras/porch").await["state"];
    assert_eq!(state["name"], "waiting");
    assert_eq!(state["reason"], "the camera refuses the password");
    let retry_in = state["retry_in_ms"].as_u64().unwrap();
    assert!((1..=5_000).contains(&retry_in), "{retry_in}");
    assert!(state["since"].as_str().unwrap().ends_with('Z'), "{state}");
}

#[tokio::test]
async fn an_unknown_camera_names_the_nearest() {
    let gateway = Gateway::start().await;
    for path in [
        "/api/v1/cameras/prch",
        "/api/v1/cameras/prch/ws",
        "/api/v1/cameras/prch/stream",
        "/api/v1/cameras/prch/snapshot.jpg",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(status(&answer), 404, "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        assert!(
            answer.contains("the nearest name is \\\"porch\\\""),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_camera_is_a_page_for_browsers_and_json_for_programs() {
    let gateway = Gateway::start().await;
    let browser = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let page = gateway.get_with("/api/v1/cameras/porch", browser).await;
    assert!(
        status(&page) == 200 && page.contains("<!doctype html>"),
        "{page}"
    );
    assert!(page.contains("vary: accept"), "{page}");
    let missing = gateway.get_with("/api/v1/cameras/nobody", browser).await;
    assert!(
        status(&missing) == 404 && missing.contains("<!doctype html>"),
        "{missing}"
    );
    for accept in [
        "",
        "Accept: */*\r\n",
        "Accept: application/json, text/html\r\n",
    ] {
        let answer = gateway.get_with("/api/v1/cameras/porch", accept).await;
        assert!(
            answer.contains("content-type: application/json"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn agents_and_forwards_are_told() {
    let gateway = Gateway::start().await;
    let agents = gateway.json("/api/v1/agents").await;
    assert_eq!(agents["agents"][0]["name"], "shed");
    assert_eq!(agents["agents"][0]["since"], "2023-11-14T22:13:20Z");
    assert_eq!(
        gateway.json("/api/v1/agents/shed").await,
        agents["agents"][0]
    );
    assert_eq!(status(&gateway.get("/api/v1/agents/shad").await), 404);
    let forwards = gateway.json("/api/v1/forwards").await;
    assert_eq!(forwards["forwards"][0]["target"], "127.0.0.1:554");
}

#[tokio::test]
async fn metrics_tell_of_streams_and_agents() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let text = gateway.get("/metrics").await;
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    for line in [
        "eyelet_stream_up{camera=\"shed\"} 0",
        "eyelet_stream_access_units_total{camera=\"porch\"} 2",
        "eyelet_agent_up{agent=\"shed\"} 1",
        "eyelet_tunnel_bytes_total{agent=\"shed\",direction=\"in\"} 2000",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[tokio::test]
async fn a_jpeg_camera_gives_stills_and_motion() {
    let gateway = Gateway::start().await;
    publish_jpeg(&gateway.hub, "porch");
    let answer = gateway.get("/api/v1/cameras/porch/snapshot.jpg").await;
    assert!(
        answer.contains("content-type: image/jpeg") && answer.contains("age: 0"),
        "{answer}"
    );
    let mut viewer = gateway.connect().await;
    viewer
        .write_all(b"GET /api/v1/cameras/porch/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let porch = gateway.json("/api/v1/cameras/porch").await;
    assert_eq!(porch["viewers"]["by_output"]["mjpeg"], 1, "{porch}");
    // A stream has no end of its own: the shutdown gives it one.
    gateway.shutdown.cancel();
    let answer = read_all(&mut viewer).await;
    assert!(
        answer.contains("multipart/x-mixed-replace") && answer.contains("JFIF"),
        "{answer}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with("--eyelet\r\nContent-Type: image/jpeg\r\nContent-Length: "));
    // It ends with the connection; a length would end it at once.
    assert!(head.ends_with("\r\nconnection: close"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    assert!(
        head.contains("no-store") && head.contains("nosniff"),
        "{head}"
    );
}

#[tokio::test]
async fn a_decoder_that_cannot_be_started_is_a_problem() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let answer = gateway.get("/api/v1/cameras/porch/snapshot.jpg").await;
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(
        answer.contains("problem+json") && answer.contains("/nonexistent/decoder"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_a_problem() {
    let gateway = Gateway::start().await;
    assert_eq!(status(&gateway.get("/api/v1/nothing").await), 404);
    let post = gateway.say("POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    assert!(
        status(&post) == 405 && post.contains("problem+json"),
        "{post}"
    );
    let long = format!("/api/v1/cameras?x={}", "a".repeat(3000));
    assert_eq!(status(&gateway.get(&long).await), 414);
}

#[tokio::test]
async fn a_foreign_host_name_is_refused_on_loopback() {
    let gateway = Gateway::start().await;
    for foreign in ["evil.example", "127.0.0.1.evil.example:8080", "10.0.0.1"] {
        let answer = gateway
            .get_with("/api/v1/cameras", &format!("Host: {foreign}\r\n"))
            .await;
        assert_eq!(status(&answer), 421, "{answer}");
    }
    for ours in [
        "localhost:8080",
        "127.0.0.1",
        "[::1]:8080",
        "cam.example",
        "LOCALHOST",
    ] {
        let answer = gateway
            .get_with("/api/v1/cameras", &format!("Host: {ours}\r\n"))
            .await;
        assert_eq!(status(&answer), 200, "{ours}: {answer}");
    }
    let none = gateway.say("GET /api/v1/cameras HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&none), 421, "{none}");
}

#[tokio::test]
async fn cameras_come_and_go_with_the_configuration() {
    let gateway = Gateway::start().await;
    gateway.state.set_cameras(Vec::new());
    assert_eq!(
        gateway.json("/api/v1/cameras").await,
        json!({ "cameras": [] })
    );
    assert_eq!(status(&gateway.get("/api/v1/cameras/porch").await), 404);
}

#[tokio::test]
async fn a_request_for_two_hosts_or_for_another_sites_page_is_refused() {
    let gateway = Gateway::start().await;
    for (headers, expected) in [
        ("Host: localhost\r\nHost: evil.example\r\n", 400),
        ("Host: evil.example\r\n", 421),
        (
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
            403,
        ),
    ] {
        let answer = gateway.get_with("/api/v1/overview", headers).await;
        assert_eq!(status(&answer), expected, "{headers}: {answer}");
    }
}
