//! The reference and the JSON schema, both written from the table of keys.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::keys::{self, Key, Kind, Section};
use crate::names::{AGENT_PATTERN, CAMERA_PATTERN};
use crate::source::Scheme;

const OPENING: &str = "\
# Configuration

<!-- Generated from the table of keys in runtime/config: edit there, then run
     `EYELET_WRITE=1 cargo nextest run -p config`. -->

Eyelet needs no configuration file. Every command takes one with `-c FILE`; without that it takes
`./eyelet.yaml` if there is one, else the defaults. `eyelet check` tells what is wrong in it without
starting anything.

`eyelet serve` reads its file again on SIGHUP (`kill -HUP PID`) and on `POST /api/v1/config/reload`. Cameras
and forwards that are new start, those that are gone end, those that changed are made anew, and all others
lose nothing. A file with a mistake changes nothing. `data`, `http`, `rtsp`, `a9`, `agents` and `pixels`
are read at the start only; a change of these is told and waits for a restart.

```yaml
";

const MIDDLE: &str = "\
```

The file is YAML (JSON is YAML too). Keys that Eyelet does not know are refused with their place and
the nearest valid key. All problems of a file are reported at once:

```text
eyelet.yaml:4:5: unknown key \"sorce\" in cameras.porch; did you mean \"source\"?
eyelet.yaml:9:11: cameras.shed.idle: expected a duration such as \"10s\", \"500ms\" or \"2m\", found \"10\"; the unit is missing
```

An editor that knows JSON schemas completes and checks the file while you type: point it to
[`eyelet.schema.json`](eyelet.schema.json).

## Values

**Durations** are numbers with units: `500ms`, `10s`, `2m`, `1m30s`, `1h`, `1d`.

**Rates** are numbers of bits a second with a unit of 1000, 1000² or 1000³: `512kbit`, `4mbit`, `1.5mbit`, `1gbit`.

**Variables.** `${NAME}` in a value becomes the environment variable `NAME`; `${NAME:text}` becomes
`text` where `NAME` is not set. A variable that is not set and has no default is an error. Variables
are replaced after the YAML has been read: whatever a variable holds, it stays one value and cannot
add keys. Keys are never replaced. `$${` stands for `${` itself. Between `{` and `}` YAML wants
quotes: `{ listen: \"${LISTEN}\" }`.

**Passwords** may stand in `source`, or under `user` and `password`. In a URL they may hold `@`,
`/`, `#` and `?` as they are, or percent-encoded (`%40`). Eyelet looks for the host like this: of all
places after an `@` where a host can stand (and then `/`, `?` or the end), it takes the last one that is
clearly a host: an address, a name with a dot or a port, or `localhost`. If none is clear it takes the
last. `%` followed by two hexadecimal digits is decoded. If that reads your URL wrongly, use `user` and
`password`: they win over the URL and are taken as they are. YAML itself needs quotes where a value
begins with one of ``@ ` % & * ! | > ' \" # { [`` or holds ` #` or `: `.

Passwords are shown as `***` wherever Eyelet prints, logs or answers.

";

const EXAMPLE: &str = r#"data: ./eyelet-data
http: { listen: "0.0.0.0:8080", public: "eyelet.example.com:8080" }
rtsp:
  listen: "0.0.0.0:8554"
  users:
    watcher: ${RTSP_PASSWORD:change-me}
a9: { mqtt: "0.0.0.0:1883" }
cameras:
  porch: rtsp://admin:secret@192.168.1.10/stream1
  mini: a9://0800c00128F8
  shed:
    source: rtsp://127.0.0.1:554/cam/realmonitor?channel=1&subtype=0
    via: shed
    user: admin
    password: "p@ss/w#rd"
    idle: 30s
  esp:
    source: jpeg+tcp://192.168.1.100:1234
    raw: "127.0.0.1:8081"
agents:
  shed: { limit: 8mbit }
forwards:
  - { listen: "127.0.0.1:8654", agent: shed, target: "127.0.0.1:554" }
"#;

/// The reference of every key, in Markdown. It is committed as `docs/configuration.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = format!("{OPENING}{EXAMPLE}{MIDDLE}## Keys\n\n");
    out.push_str("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    rows(&mut out, "", &keys::ROOT);
    let schemes: Vec<String> = Scheme::ALL
        .iter()
        .map(|scheme| format!("`{}://` (port {})", scheme.as_str(), scheme.default_port()))
        .collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "\n## Sources\n\nThis release has drivers for: {}.",
        schemes.join(", ")
    );
    out
}

fn rows(out: &mut String, prefix: &str, section: &Section) {
    for key in section.keys {
        let path = format!("{prefix}{}", key.name);
        let default = match key.default {
            None => "must be given".to_owned(),
            Some("") => "none".to_owned(),
            // Words that say what holds; a value has no blanks.
            Some(default) if default.contains(' ') => default.to_owned(),
            Some(default) => format!("`{default}`"),
        };
        let _ = writeln!(
            out,
            "| `{path}` | {} | {default} | {} |",
            describe(&key.kind),
            key.about
        );
        nested_rows(out, &path, &key.kind);
    }
}

fn nested_rows(out: &mut String, path: &str, kind: &Kind) {
    match kind {
        Kind::Section(section) | Kind::SourceOr(section) => rows(out, &format!("{path}."), section),
        Kind::Named(name, kind) => nested_rows(out, &format!("{path}.{name}"), kind),
        Kind::List(section) => rows(out, &format!("{path}[]."), section),
        Kind::Text
        | Kind::Secret
        | Kind::Path
        | Kind::Listen
        | Kind::ListenOrOff
        | Kind::Address
        | Kind::Endpoint
        | Kind::Target
        | Kind::Duration
        | Kind::Rate
        | Kind::Bitrate
        | Kind::Source
        | Kind::Agent
        | Kind::OneOf(_)
        | Kind::Words => {}
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Secret => "password".into(),
        Kind::Path => "path".into(),
        Kind::Rate => "number".into(),
        Kind::Listen => "address:port".into(),
        Kind::ListenOrOff => "address:port or `off`".into(),
        Kind::Bitrate => "bits a second".into(),
        Kind::Address => "IP address".into(),
        Kind::Endpoint => "host or host:port".into(),
        Kind::Target => "host:port".into(),
        Kind::Duration => "duration".into(),
        Kind::Source => "URL".into(),
        Kind::Agent => "agent's name".into(),
        Kind::OneOf(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Kind::Section(_) => "keys".into(),
        Kind::Named(name, kind) => format!("{name} → {}", describe(kind)),
        Kind::SourceOr(_) => "URL or keys".into(),
        Kind::List(_) => "list".into(),
        Kind::Words => "list of words".into(),
    }
}

/// The JSON schema (draft 2020-12) of the file. It is committed as `docs/eyelet.schema.json`.
#[must_use]
pub fn schema() -> String {
    let mut schema = section_schema(&keys::ROOT);
    schema.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    schema.insert("title".into(), "Eyelet configuration".into());
    format!("{:#}\n", Value::Object(schema))
}

fn section_schema(section: &Section) -> Map<String, Value> {
    let properties: Map<String, Value> = section
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), key_schema(key)))
        .collect();
    let required: Vec<&str> = section
        .keys
        .iter()
        .filter(|key| key.default.is_none())
        .map(|key| key.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = kind_schema(&key.kind);
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".into(), key.about.into());
        let is_value = |default: &&str| !default.is_empty() && !default.contains(' ');
        if let Some(default) = key.default.filter(is_value) {
            fields.insert("default".into(), default.into());
        }
        if matches!(key.kind, Kind::Section(_) | Kind::Named(..) | Kind::List(_)) {
            // A key whose lines are all commented out is as good as none.
            let only = fields.get("type").cloned().unwrap_or_default();
            fields.insert("type".into(), json!([only, "null"]));
        }
    }
    schema
}

fn kind_schema(kind: &Kind) -> Value {
    match kind {
        // YAML makes numbers of passwords such as 1234; Eyelet takes them as typed.
        Kind::Text | Kind::Secret => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Path
        | Kind::Listen
        | Kind::ListenOrOff
        | Kind::Address
        | Kind::Endpoint
        | Kind::Target => {
            json!({ "type": "string" })
        }
        Kind::Source => json!({ "type": "string", "pattern": "^[A-Za-z0-9+]+://|\\$\\{" }),
        Kind::Duration => json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$|\\$\\{" }),
        Kind::Rate => json!({ "type": ["number", "string"] }),
        Kind::Bitrate => {
            json!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(kbit|mbit|gbit)$|\\$\\{" })
        }
        Kind::Agent => json!({ "type": "string", "pattern": format!("{AGENT_PATTERN}|\\$\\{{") }),
        // YAML reads these two words as what they say.
        Kind::OneOf(["false", "true"]) => json!({ "type": "boolean" }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Section(section) => Value::Object(section_schema(section)),
        Kind::Named("NAME", kind) => json!({
            "type": "object",
            "propertyNames": { "pattern": CAMERA_PATTERN },
            "additionalProperties": kind_schema(kind),
        }),
        Kind::Named(_, kind) => {
            json!({ "type": "object", "additionalProperties": kind_schema(kind) })
        }
        Kind::SourceOr(section) => {
            json!({ "anyOf": [kind_schema(&Kind::Source), section_schema(section)] })
        }
        Kind::List(section) => json!({ "type": "array", "items": section_schema(section) }),
        Kind::Words => json!({ "type": "array", "items": { "type": "string" } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    /// Compares with the committed file, or writes it if `EYELET_WRITE` is set.
    fn compare(file: &str, text: &str) {
        let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("EYELET_WRITE").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            committed, text,
            "run: EYELET_WRITE=1 cargo nextest run -p config"
        );
    }

    #[test]
    fn the_committed_reference_is_the_generated_one() {
        compare("configuration.md", &reference());
    }

    #[test]
    fn the_committed_schema_is_the_generated_one() {
        compare("eyelet.schema.json", &schema());
    }

    #[test]
    fn the_example_of_the_reference_is_valid() {
        let config = Config::parse_with(EXAMPLE, "example", |_| None).unwrap();
        assert_eq!(
            config
                .camera("shed")
                .unwrap()
                .source
                .credentials
                .as_ref()
                .unwrap()
                .password
                .reveal(),
            "p@ss/w#rd"
        );
        assert_eq!(config.rtsp.users["watcher"].reveal(), "change-me");
    }

    #[test]
    fn the_defaults_of_the_reference_are_the_real_ones() {
        let text = format!(
            "data: {}\nhttp: {{ listen: \"{}\" }}\nrtsp: {{ listen: \"{}\" }}\n",
            default(&keys::ROOT, "data"),
            default(&keys::HTTP, "listen"),
            default(&keys::RTSP, "listen"),
        );
        assert_eq!(
            Config::parse_with(&text, "defaults", |_| None).unwrap(),
            Config::default()
        );
        let a9 = format!(
            "a9: {{ http: \"{}\", tcp: \"{}\", udp: \"{}\", strict_token: {}, any_source: {} }}",
            default(&keys::A9, "http"),
            default(&keys::A9, "tcp"),
            default(&keys::A9, "udp"),
            default(&keys::A9, "strict_token"),
            default(&keys::A9, "any_source"),
        );
        let a9 = Config::parse_with(&a9, "defaults", |_| None).unwrap();
        let none = Config::parse_with("a9: {}", "defaults", |_| None).unwrap();
        assert_eq!(a9, none);
        assert!(a9.a9.is_some() && Config::default().a9.is_none());
        let camera = format!(
            "pixels: {{ fps: {}, decoder: {}, ffmpeg: {} }}\ncameras:\n  a: {{ source: \"rtsp://h\", transport: {}, idle: {}, backup: {}, raw_mode: {} }}\n  b: rtsp://h\n",
            default(&keys::PIXELS, "fps"),
            default(&keys::PIXELS, "decoder"),
            default(&keys::PIXELS, "ffmpeg"),
            default(&keys::CAMERA, "transport"),
            default(&keys::CAMERA, "idle"),
            default(&keys::CAMERA, "backup"),
            default(&keys::CAMERA, "raw_mode"),
        );
        let config = Config::parse_with(&camera, "defaults", |_| None).unwrap();
        let (a, b) = (config.camera("a").unwrap(), config.camera("b").unwrap());
        assert_eq!(
            (a.transport, a.idle, &a.backup),
            (b.transport, b.idle, &b.backup)
        );
        assert_eq!(config.pixels, Config::default().pixels);
        assert_eq!(a.raw_mode, b.raw_mode);
    }

    fn default(section: &Section, name: &str) -> &'static str {
        section
            .keys
            .iter()
            .find(|key| key.name == name)
            .unwrap()
            .default
            .unwrap()
    }
}
