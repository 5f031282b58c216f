//! `settings.json` of the Reolink MJPEG proxy, as configuration: so that its users change the program and nothing else.

use std::fmt::Write as _;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

/// The port on which that proxy answers in its own instructions.
const PORT: u16 = 9090;

/// Most cameras of a file; a person writes them by hand.
const MAX_CAMERAS: usize = 1_000;

/// Every key of a camera there.
const KEYS: [&str; 7] = [
    "name",
    "deviceSid",
    "username",
    "password",
    "ipaddress",
    "comm_port",
    "backupImage",
];

/// The lines for `eyelet.yaml` that mean the same. `None`: this is no such file.
pub(crate) fn lines(text: &str) -> Option<anyhow::Result<String>> {
    let file: Value = serde_json::from_str(text).ok()?;
    let cameras = file.get("cameras")?.as_array()?;
    Some(convert(cameras))
}

fn convert(cameras: &[Value]) -> anyhow::Result<String> {
    ensure!(
        cameras.len() <= MAX_CAMERAS,
        "{} cameras; at most {MAX_CAMERAS} are taken",
        cameras.len()
    );
    let mut out = format!("http: {{ listen: \"0.0.0.0:{PORT}\" }}\ncameras:\n");
    for (at, camera) in cameras.iter().enumerate() {
        let camera = camera
            .as_object()
            .with_context(|| format!("cameras[{at}] is no object"))?;
        camera_lines(camera, &mut out).with_context(|| format!("cameras[{at}]"))?;
    }
    Ok(out)
}

fn camera_lines(camera: &Map<String, Value>, out: &mut String) -> anyhow::Result<()> {
    for key in camera.keys() {
        ensure!(
            KEYS.contains(&key.as_str()),
            "there is no key {key:?}; there are {}",
            KEYS.join(", ")
        );
    }
    let text = |key: &str| match camera.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => bail!("{key} is no text"),
    };
    let needed = |key: &str| text(key)?.with_context(|| format!("there is no {key}"));
    let (name, uid) = (needed("name")?, needed("deviceSid")?);
    let mut options = Vec::new();
    if let Some(address) = text("ipaddress")?.filter(|address| !address.is_empty()) {
        options.push(format!("address={address}"));
    }
    let port = match camera.get("comm_port") {
        None | Some(Value::Null) => None,
        Some(Value::Number(port)) => Some(port.to_string()),
        Some(Value::String(port)) => Some(port.clone()),
        Some(_) => bail!("comm_port is no number"),
    };
    options.extend(port.map(|port| format!("port={port}")));
    let query = match options.as_slice() {
        [] => String::new(),
        options => format!("?{}", options.join("&")),
    };
    // The original stops a stream so long after its last viewer; writing to a string cannot fail.
    let _ = writeln!(out, "  {}:", quoted(name));
    let _ = writeln!(
        out,
        "    source: {}",
        quoted(&format!("reolink+uid://{uid}{query}"))
    );
    let _ = writeln!(out, "    user: {}", quoted(needed("username")?));
    let _ = writeln!(
        out,
        "    password: {}",
        quoted(text("password")?.unwrap_or_default())
    );
    let _ = writeln!(out, "    idle: 30s");
    if let Some(image) = text("backupImage")? {
        let _ = writeln!(out, "    backup: {}", quoted(image));
    }
    Ok(())
}

/// A YAML text between quotes. The configuration would replace `${…}`.
fn quoted(text: &str) -> String {
    Value::from(text.replace("${", "$${")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_original_means_the_same_here() {
        let text = r#"{ "cameras": [
            { "name": "Klingel", "deviceSid": "95270000ABCDEFGH", "username": "admin", "password": "p${x}\"w",
              "ipaddress": "192.168.1.44", "comm_port": 12345, "backupImage": "../public/images/klingel.jpg" },
            { "name": "klingel", "deviceSid": "95270000ABCDEFGJ", "username": "admin", "password": "password" }
        ] }"#;
        let yaml = lines(text).unwrap().unwrap();
        let config = config::Config::parse(&yaml, "settings.json").unwrap();
        assert_eq!(config.http.listen, "0.0.0.0:9090".parse().unwrap());
        let names: Vec<&str> = config
            .cameras
            .iter()
            .map(|camera| camera.name.as_str())
            .collect();
        assert_eq!(names, ["Klingel", "klingel"], "case matters");
        let source = &config.cameras[0].source;
        assert_eq!(
            source.url(),
            "reolink+uid://95270000ABCDEFGH?address=192.168.1.44&port=12345"
        );
        let login = source.credentials.as_ref().unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.reveal()),
            ("admin", "p${x}\"w")
        );
        assert_eq!(
            config.cameras[1].source.url(),
            "reolink+uid://95270000ABCDEFGJ"
        );
        let image = "../public/images/klingel.jpg";
        assert_eq!(config.cameras[0].backup, config::Backup::File(image.into()));
    }

    #[test]
    fn other_files_are_none_of_its_and_mistakes_are_named() {
        assert!(lines("cameras:\n  porch: rtsp://h\n").is_none());
        assert!(lines(r#"{ "cameras": { "porch": "rtsp://h" } }"#).is_none());
        for (text, said) in [
            (r#"{ "cameras": [{ "name": "a" }] }"#, "no deviceSid"),
            (r#"{ "cameras": [{ "nam": "a" }] }"#, "no key \"nam\""),
            (r#"{ "cameras": [7] }"#, "no object"),
        ] {
            let error = lines(text).unwrap().unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
    }
}
