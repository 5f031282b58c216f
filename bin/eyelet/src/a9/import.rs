//! The `config.json` of an earlier A9 server, as lines for `eyelet.yaml`.

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Map, Value};

/// Keys that only such a file has, of which it needs one.
const OWN_KEYS: [&str; 5] = ["server_ip", "tcp_port", "udp_port", "web_port", "is_bind"];

/// The lines, and what of the file means nothing here. `None` for a file of another kind.
pub(crate) fn lines(text: &str) -> Option<(String, Vec<String>)> {
    let Ok(Value::Object(file)) = serde_json::from_str(text) else {
        return None;
    };
    if !OWN_KEYS.iter().any(|key| file.contains_key(*key)) {
        return None;
    }
    let mut notes = Vec::new();
    let address = file.get("server_ip").and_then(Value::as_str);
    let address: Option<IpAddr> = address.and_then(|text| text.parse().ok());
    let mut out = String::from("a9:\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "  http: \"0.0.0.0:{}\"", port(&file, "http_port", 80));
    let tcp = port(&file, "tcp_port", 6123);
    let _ = writeln!(out, "  tcp: \"0.0.0.0:{tcp}\"");
    let udp = port(&file, "udp_port", tcp);
    if udp != tcp {
        notes.push(format!("udp_port {udp}: that server never used it, and cameras come to the number of tcp_port; left out"));
    }
    match address.filter(|address| !address.is_unspecified()) {
        Some(address) => {
            let _ = writeln!(out, "  host: {address}");
        }
        None => notes.push("server_ip is no address that cameras can reach: Eyelet tells them the one that they came to".to_owned()),
    }
    if file.contains_key("web_port") {
        let _ = writeln!(
            out,
            "http:\n  listen: \"0.0.0.0:{}\"",
            port(&file, "web_port", 8080)
        );
    }
    for (key, value) in &file {
        match key.as_str() {
            "server_ip" | "http_port" | "tcp_port" | "udp_port" | "web_port" => {}
            "domain" if value.as_str() == Some("v720.naxclow.com") => {}
            "is_bind" if value.as_str() == Some("8") => {}
            _ => notes.push(format!("{key}: has no meaning here; left out")),
        }
    }
    Some((out, notes))
}

/// A port, written as a number or as text.
fn port(file: &Map<String, Value>, key: &str, default: u16) -> u16 {
    let number = match file.get(key) {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(value) => value.as_u64(),
        None => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_servers_file_becomes_lines_that_are_valid() {
        let file = r#"{ "server_ip": "192.168.1.2", "http_port": 80, "tcp_port": 6123, "udp_port": 6124, "web_port": 1234,
            "domain": "v720.naxclow.com", "is_bind": "1", "default_status": 200, "default_timeout": 30 }"#;
        let (yaml, notes) = lines(file).unwrap();
        let config = config::Config::parse(&yaml, "imported").unwrap();
        let a9 = config.a9.unwrap();
        assert_eq!(
            (a9.http.port(), a9.tcp.port(), a9.udp.port()),
            (80, 6123, 6123)
        );
        assert_eq!(a9.host, Some("192.168.1.2".parse().unwrap()));
        assert_eq!(config.http.listen.port(), 1234);
        assert_eq!(notes.len(), 4, "{notes:?}");
    }

    #[test]
    fn other_files_are_not_taken_for_it() {
        for file in ["", "[]", "{}", r#"{"agent_id": "shed"}"#, "streams: {}"] {
            assert!(lines(file).is_none(), "{file}");
        }
    }
}
