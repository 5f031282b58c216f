//! `docs/openapi.json` says what the routes do.

use serde_json::{Value, json};

use crate::world::{A9_UID, Gateway, publish_h264, status};

#[tokio::test]
async fn every_described_path_is_there_and_answers_as_described() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let name = if path.contains("cameras") {
            "porch"
        } else {
            "shed"
        };
        let filled = path
            .replace("{name}", name)
            .replace("{id}", name)
            .replace("{uid}", A9_UID)
            .replace("{listen}", "127.0.0.1:18554");
        for (method, described) in item.as_object().unwrap() {
            let answer = match method.as_str() {
                // Pictures have no end; the head tells what would come.
                "get" if is_endless(described) => {
                    let head = format!(
                        "HEAD {filled} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                    );
                    gateway.say(&head).await
                }
                "get" => gateway.get(&filled).await,
                method => {
                    let (method, json) =
                        (method.to_uppercase(), "Content-Type: application/json\r\n");
                    let body = r#"{"command":"restart","agent":"shed","target":"127.0.0.1:554"}"#;
                    gateway.change(&method, &filled, json, body).await
                }
            };
            assert!(
                described["responses"]
                    .get(status(&answer).to_string())
                    .is_some(),
                "{method} {path} answers {answer}"
            );
            assert_ne!(status(&answer), 404, "{path}");
            assert_ne!(status(&answer), 405, "{path}");
        }
    }
}

#[tokio::test]
async fn described_objects_have_exactly_the_fields_that_are_sent() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let overview = gateway.json("/api/v1/overview").await;
    let camera = &overview["cameras"][0];
    let objects = [
        ("Overview", &overview),
        ("Camera", camera),
        ("State", &camera["state"]),
        ("Viewers", &camera["viewers"]),
        ("Urls", &camera["urls"]),
        ("Agent", &overview["agents"][0]),
        ("AgentReport", &overview["agents"][0]["report"]),
        ("AgentCamera", &overview["agents"][0]["report"]["camera"]),
        ("Forward", &overview["forwards"][0]),
        ("A9", &overview["a9"]),
        ("A9Camera", &overview["a9"]["cameras"][0]),
        (
            "LogLine",
            &gateway.json("/api/v1/agents/shed/log").await["lines"][0],
        ),
        ("OriginalHealth", &gateway.json("/health").await),
        ("OriginalTotals", &gateway.json("/stats").await),
        ("OriginalAgent", &gateway.json("/agents/shed").await),
        (
            "OriginalCounters",
            &gateway.json("/agents/shed").await["stats"],
        ),
        ("OriginalStats", &gateway.json("/agents/shed/stats").await),
        ("OriginalStream", &gateway.json("/agents/shed/stream").await),
        ("OriginalTunnel", &gateway.json("/tunnels/shed").await),
    ];
    let document = document();
    for (name, object) in objects {
        let described = &document["components"]["schemas"][name]["properties"];
        assert_eq!(fields(described), fields(object), "{name}");
        for (field, value) in object.as_object().unwrap() {
            let schema = &described[field];
            let allowed = match &schema["type"] {
                Value::Null => continue, // A reference, which has its own turn.
                Value::Array(types) => types.clone(),
                single => vec![single.clone()],
            };
            let is_allowed = allowed.contains(&json!(type_of(value)))
                || value.is_u64() && allowed.contains(&json!("number"));
            assert!(
                is_allowed,
                "{name}.{field} is {value}, described as {schema}"
            );
        }
    }
}

fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn fields(object: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    fields
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether an answer is described as pictures one after the other.
fn is_endless(described: &Value) -> bool {
    let content = &described["responses"]["200"]["content"];
    content.get("multipart/x-mixed-replace").is_some()
}
