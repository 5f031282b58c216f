//! `docs/openapi.json` says what the routes do.

use serde_json::{Value, json};

use crate::world::{Gateway, publish_h264, status};

#[tokio::test]
async fn every_described_path_is_there_and_answers_as_described() {
    let gateway = Gateway::start().await;
    publish_h264(&gateway.hub, "porch");
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let name = if path.contains("/agents/") {
            "shed"
        } else {
            "porch"
        };
        let answer = gateway.get(&path.replace("{name}", name)).await;
        let described = &item["get"]["responses"];
        assert!(
            described.get(status(&answer).to_string()).is_some(),
            "{path} answers {answer}"
        );
        assert_ne!(status(&answer), 404, "{path}");
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
        ("Forward", &overview["forwards"][0]),
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
