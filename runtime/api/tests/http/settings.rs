//! A camera's own settings: passed on, and guarded.

use crate::world::{Gateway, status};

const PORCH: &str = "/api/v1/cameras/porch";

#[tokio::test]
async fn an_allowed_setting_is_changed_and_read_back() {
    let gateway = Gateway::start().await;
    assert_eq!(
        gateway.json(&format!("{PORCH}/status")).await["quality"],
        12
    );
    let changed = gateway
        .get(&format!("{PORCH}/control?var=quality&val=30"))
        .await;
    assert_eq!(status(&changed), 204, "{changed}");
    assert_eq!(
        gateway.json(&format!("{PORCH}/status")).await["quality"],
        30
    );
    let post = "POST /api/v1/cameras/porch/control?var=quality&val=-2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&gateway.say(post).await), 204);
    assert_eq!(
        gateway.json(&format!("{PORCH}/status")).await["quality"],
        -2
    );
    let camera = gateway.json(PORCH).await;
    assert_eq!(camera["settings"], serde_json::json!(["quality", "zoom"]));
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_in_words() {
    let gateway = Gateway::start().await;
    for (path, code, part) in [
        (
            "porch/control?var=reboot&val=1",
            403,
            "allowed are quality, zoom",
        ),
        ("porch/control?var=quality", 400, "?var=framesize&val=8"),
        ("porch/control?var=quality&val=much", 400, "a number"),
        ("porch/control?var=zoom&val=1", 502, "it answered 500"),
        (
            "shed/control?var=quality&val=1",
            404,
            "control: http://ADDRESS",
        ),
        ("shed/status", 404, "control: http://ADDRESS"),
        ("nobody/status", 404, "no camera"),
    ] {
        let answer = gateway.get(&format!("/api/v1/cameras/{path}")).await;
        assert_eq!(status(&answer), code, "{path}: {answer}");
        assert!(answer.contains(part), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let gateway = Gateway::start().await;
    for header in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: http://evil.example\r\n",
    ] {
        let path = format!("{PORCH}/control?var=quality&val=30");
        let answer = gateway.get_with(&path, header).await;
        assert_eq!(status(&answer), 403, "{answer}");
    }
    assert_eq!(
        gateway.json(&format!("{PORCH}/status")).await["quality"],
        12
    );
}
