//! The A9 cloud's part of the API: orders, foreign pages, the doors of its forerunners.

use crate::world::{A9_UID, Gateway, publish_h264, status};

fn post(path: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[tokio::test]
async fn orders_say_what_is_wrong_with_them() {
    let gateway = Gateway::start().await;
    let order = |uid: &str, body: &str| post(&format!("/api/v1/a9/{uid}/command"), "", body);
    for (request, code, text) in [
        (order(A9_UID, "{"), 400, "no JSON as it is wanted"),
        (
            order(A9_UID, r#"{"name":"explode"}"#),
            400,
            "there are: infrared",
        ),
        (
            order(A9_UID, r#"{"name":"infrared","value":2}"#),
            400,
            "takes 0 to 1",
        ),
        (
            order(A9_UID, r#"{"name":"infrared","value":1}"#),
            404,
            "eyelet a9 doctor",
        ),
        (
            order("nobodyhere", r#"{"name":"reboot"}"#),
            404,
            "no camera nobodyhere",
        ),
        (
            post("/api/v1/a9/nobodyhere/accept", "", ""),
            404,
            "no camera nobodyhere",
        ),
        (
            post(&format!("/api/v1/a9/{A9_UID}/forget"), "", ""),
            400,
            "stands in the configuration",
        ),
    ] {
        let answer = gateway.say(request).await;
        assert_eq!(status(&answer), code, "{answer}");
        assert!(answer.contains(text), "{answer}");
    }
    let accepted = gateway
        .say(post(&format!("/api/v1/a9/{A9_UID}/accept"), "", "{}"))
        .await;
    assert!(accepted.contains(r#""name":"porch""#), "{accepted}");
}

#[tokio::test]
async fn a_page_of_another_site_gives_no_orders() {
    let gateway = Gateway::start().await;
    for what in ["accept", "forget", "command"] {
        let path = format!("/api/v1/a9/{A9_UID}/{what}");
        let request = post(
            &path,
            "Origin: http://evil.example\r\n",
            r#"{"name":"reboot"}"#,
        );
        assert_eq!(status(&gateway.say(request).await), 403, "{what}");
    }
}

#[tokio::test]
async fn cameras_that_a_proxy_leads_here_are_answered() {
    let gateway = Gateway::start().await;
    let request = "POST /app/api/ApiServer/getA9ConfCheck?devicesCode=0800c0000001&random=OPQRST&token=2d8c8b52f1 HTTP/1.1\r\nHost: v720.naxclow.com\r\nversion: 202212011602\r\nConnection: close\r\n\r\n";
    let answer = gateway.say(request).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.contains(r#""host":"127.0.0.1""#), "{answer}");
    let report = gateway.json("/api/v1/a9/0800c0000001").await;
    assert_eq!(report["admission"], "pending");
    assert_eq!(report["firmware"], "202212011602");
    // Known, and nobody's to look at yet.
    let picture = gateway.get("/dev/0800c0000001/snapshot").await;
    assert_eq!(status(&picture), 403, "{picture}");
}

#[tokio::test]
async fn the_doors_of_earlier_servers_are_there() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    assert_eq!(gateway.json("/dev/list").await, serde_json::json!([]));
    let list = gateway.json("/api/cameras").await;
    assert_eq!(list[0]["id"], A9_UID);
    assert_eq!(list[0]["status"], "Disconnected");
    assert_eq!(status(&gateway.get("/dev/nobodyhere/live").await), 404);
    let sound = gateway.get(&format!("/dev/{A9_UID}/audio")).await;
    assert_eq!(status(&sound), 501, "{sound}");
}
