//! Requests that change something, and who may send them.

use crate::world::{Gateway, status};

const JSON: &str = "Content-Type: application/json\r\n";
const RESTART: &str = "/api/v1/agents/shed/restart";

#[tokio::test]
async fn a_restart_answers_with_its_outcome() {
    let gateway = Gateway::start().await;
    let answer = gateway.change("POST", RESTART, "", "").await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(
        answer.contains(r#"{"new_process":true,"outcome":"restarted","took_ms":1234}"#),
        "{answer}"
    );
    let unknown = gateway
        .change("POST", "/api/v1/agents/shet/restart", "", "")
        .await;
    assert_eq!(status(&unknown), 404);
    assert!(unknown.contains(r#""nearest":"shed""#), "{unknown}");
    let away = gateway
        .change("POST", "/api/v1/agents/shed/reconnect", "", "")
        .await;
    assert_eq!(status(&away), 409, "{away}");
    assert_eq!(status(&gateway.get(RESTART).await), 405);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let gateway = Gateway::start().await;
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://127.0.0.1:9\r\nSec-Fetch-Site: same-site\r\n",
    ] {
        let answer = gateway.change("POST", RESTART, headers, "").await;
        assert_eq!(status(&answer), 403, "{headers}: {answer}");
    }
    let own = "Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n";
    assert_eq!(status(&gateway.change("POST", RESTART, own, "").await), 200);
    // A form needs no permission of ours to be sent, but cannot say that it is JSON.
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let answer = gateway
            .change(
                "POST",
                "/agents/shed/control",
                kind,
                r#"{"command":"restart"}"#,
            )
            .await;
        assert_eq!(status(&answer), 415, "{kind}: {answer}");
    }
}

#[tokio::test]
async fn a_form_of_another_site_says_nothing_through_a_camera() {
    let gateway = Gateway::start().await;
    let talk = async |kind: &str| {
        let path = "/api/v1/cameras/porch/talk";
        status(&gateway.change("POST", path, kind, "RIFF").await)
    };
    for kind in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=audio/wav\r\n",
        "Content-Type: application/json\r\n",
    ] {
        assert_eq!(talk(kind).await, 415, "{kind}");
    }
    // This camera takes no commands; its sound was looked at.
    for kind in [
        "audio/wav",
        "Audio/x-wav; codec=1",
        "application/octet-stream",
    ] {
        let kind = format!("Content-Type: {kind}\r\n");
        assert_eq!(talk(&kind).await, 501, "{kind}");
    }
}

#[tokio::test]
async fn forwards_are_made_and_removed() {
    let gateway = Gateway::start().await;
    let make = |body: &'static str| {
        let gateway = &gateway;
        async move { gateway.change("POST", "/api/v1/forwards", JSON, body).await }
    };
    let made = make(r#"{"agent":"shed","target":"127.0.0.1:554"}"#).await;
    assert_eq!(status(&made), 201, "{made}");
    assert!(made.contains(r#""listen":"127.0.0.1:8654""#), "{made}");
    for (body, expected) in [
        (r#"{"agent":"barn","target":"127.0.0.1:554"}"#, 404),
        (r#"{"agent":"shed","target":"camera"}"#, 400),
        (r#"{"agent":"shed"}"#, 400),
        (
            r#"{"agent":"shed","target":"127.0.0.1:554","lisen":"x"}"#,
            400,
        ),
        (
            r#"{"agent":"shed","target":"127.0.0.1:554","listen":"0.0.0.0:9000"}"#,
            403,
        ),
        (
            r#"{"agent":"shed","target":"127.0.0.1:554","listen":"127.0.0.1:9000"}"#,
            409,
        ),
        ("not json", 400),
        ("", 400),
    ] {
        let answer = make(body).await;
        assert_eq!(status(&answer), expected, "{body}: {answer}");
    }
    for (listen, expected) in [
        ("127.0.0.1:18554", 204),
        ("127.0.0.1:1", 404),
        // The configuration file's.
        ("127.0.0.1:8654", 409),
        ("camera", 400),
    ] {
        let path = format!("/api/v1/forwards/{listen}");
        let answer = gateway.change("DELETE", &path, "", "").await;
        assert_eq!(status(&answer), expected, "{listen}: {answer}");
    }
}

#[tokio::test]
async fn the_log_of_an_agent_is_lines_with_times() {
    let gateway = Gateway::start().await;
    let log = gateway.json("/api/v1/agents/shed/log").await;
    assert_eq!(log["lines"][0]["at"], "1970-01-01T00:00:00Z");
    assert_eq!(log["lines"][0]["text"], "info: connected to the gateway");
}
