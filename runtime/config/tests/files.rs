//! Whole files in, configurations or messages out.

use std::time::Duration;

use config::{Config, Error, Transport};

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse_with(text, "eyelet.yaml", |name| match name {
        "PASSWORD" => Some("x\ncameras: { evil: rtsp://evil }".into()),
        "HOST" => Some("10.0.0.9".into()),
        "ODD" => Some("]}: '\"#".into()),
        _ => None,
    })
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

fn problems(text: &str) -> Vec<String> {
    let Err(Error::Invalid(problems)) = parse(text) else {
        panic!("no problem was found in {text}");
    };
    problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn assert_problems(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "{text}");
}

#[test]
fn an_empty_file_means_the_defaults() {
    for text in [
        "",
        "# nothing\n",
        "---\n",
        "cameras:\nforwards:\nhttp:\nrtsp:\n  users:\n",
        "\u{feff}cameras: {}",
    ] {
        assert_eq!(good(text), Config::default(), "{text:?}");
    }
    let config = Config::default();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.rtsp.listen.to_string(), "127.0.0.1:8554");
    assert!(config.warnings().is_empty());
}

#[test]
fn short_and_long_forms_of_a_camera_mean_the_same() {
    let short = good("cameras: { a: 'rtsp://me:pw@10.0.0.9/x' }");
    let long = good(
        "cameras:\n  a:\n    source: rtsp://other:no@10.0.0.9/x\n    user: me\n    password: pw\n    idle: 10s\n    transport: tcp\n",
    );
    assert_eq!(short, long);
    let camera = long.camera("a").unwrap();
    assert_eq!(
        (camera.transport, camera.idle),
        (Transport::Tcp, Duration::from_secs(10))
    );
}

#[test]
fn cameras_keep_the_order_of_the_file_and_the_case_of_their_names() {
    let config = good("cameras: { porch: 'rtsp://h', Porch: 'rtsp://h', a.b-c_1: 'rtsp://h' }");
    let names: Vec<&str> = config.cameras.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["porch", "Porch", "a.b-c_1"]);
}

#[test]
fn cameras_that_come_by_themselves_share_a_port_if_they_can_be_told_apart() {
    let config = good(
        "cameras:\n  a: jpeg+push://0.0.0.0:4444?from=10.0.0.1\n  b: jpeg+push://0.0.0.0:4444?from=10.0.0.2\n  \
         c: { source: 'jpeg+udp://0.0.0.0', password: ESP32CAM, interval: 500ms, timeout: 20s }\n",
    );
    let c = &config.cameras[2];
    assert_eq!(c.awaited_at().unwrap().to_string(), "0.0.0.0:8081");
    assert_eq!(c.interval, Some(Duration::from_millis(500)));
    assert_eq!(c.timeout, Duration::from_secs(20));
    assert_eq!(c.source.to_string(), "jpeg+udp://:***@0.0.0.0");
    assert_eq!(config.warnings(), [""; 0]);

    for (text, part) in [
        (
            "cameras:\n  a: jpeg+push://0.0.0.0\n  b: jpeg+push://0.0.0.0:4444\n",
            "eyelet.yaml:3:6: cameras.b: camera a is awaited on 0.0.0.0:4444 already; name each",
        ),
        (
            "rtsp: { listen: '127.0.0.1:4444' }\ncameras: { a: 'jpeg+push://127.0.0.1' }\n",
            "cameras.a: 127.0.0.1:4444 is taken by rtsp.listen already",
        ),
        (
            "cameras: { a: { source: 'jpeg+push://0.0.0.0', via: shed } }\n",
            "cameras.a.via: a jpeg+push:// camera connects to this machine by itself",
        ),
        (
            "cameras: { a: { source: 'jpeg+udp://0.0.0.0', password: short } }\n",
            "has 8 characters",
        ),
    ] {
        let found = problems(text).join("\n");
        assert!(found.contains(part), "{text}: {found}");
    }
    let open = good("cameras: { a: 'jpeg+push://0.0.0.0:4444' }");
    assert!(open.warnings()[0].contains("anyone who can reach that port"));
}

#[test]
fn json_is_read_too() {
    let config = good(
        r#"{"http": {"listen": "localhost:9000", "public": "cam.example.com"},
        "cameras": {"shed": {"source": "rtsp://127.0.0.1/1", "via": "site-7", "password": 1234, "user": "u"}},
        "forwards": [{"listen": "127.0.0.1:8654", "agent": "site-7", "target": "127.0.0.1:554"}]}"#,
    );
    assert_eq!(
        config.http.public.unwrap().to_string(),
        "cam.example.com:9000"
    );
    let shed = &config.cameras[0];
    assert_eq!(shed.via.as_ref().unwrap().as_str(), "site-7");
    assert_eq!(
        shed.source.credentials.as_ref().unwrap().password.reveal(),
        "1234"
    );
    assert_eq!(config.forwards[0].target.to_string(), "127.0.0.1:554");
}

#[test]
fn a_password_of_digits_keeps_its_zeros() {
    let config = good("cameras: { a: { source: 'rtsp://h', user: 007, password: 0123 } }");
    let login = config.cameras[0].source.credentials.clone().unwrap();
    assert_eq!(
        (login.user.as_str(), login.password.reveal()),
        ("007", "0123")
    );
}

#[test]
fn a_variable_stays_one_value_whatever_it_holds() {
    let config = good(
        "rtsp:\n  users:\n    u: ${PASSWORD}\n    v: ${ODD}\n    w: ${NONE:a:b}\ncameras:\n  a: rtsp://${HOST}/x\n",
    );
    assert_eq!(
        config.rtsp.users["u"].reveal(),
        "x\ncameras: { evil: rtsp://evil }"
    );
    assert_eq!(config.rtsp.users["v"].reveal(), "]}: '\"#");
    assert_eq!(config.rtsp.users["w"].reveal(), "a:b");
    assert_eq!(config.cameras.len(), 1);
    assert_eq!(config.cameras[0].source.url(), "rtsp://10.0.0.9/x");
}

#[test]
fn a_missing_variable_is_named_with_its_line() {
    assert_problems(
        "cameras:\n  a: rtsp://${NOWHERE}/x\n",
        &[
            "eyelet.yaml:2:6: the environment variable NOWHERE is not set, and ${NOWHERE} has no default; ${NOWHERE:text} gives it one",
        ],
    );
}

#[test]
fn an_unquoted_variable_between_braces_is_explained() {
    let found = problems("http: { listen: ${LISTEN} }\n");
    assert!(
        found[0].contains("a variable needs quotes: \"${NAME}\""),
        "{found:?}"
    );
}

#[test]
fn the_way_through_to_an_agents_camera_is_for_this_machine_unless_told_otherwise() {
    let config = good("rtsp: { passthrough: shed }");
    let way = config.rtsp.passthrough.as_ref().unwrap();
    assert_eq!((way.agent.as_str(), way.target.as_ref()), ("shed", None));
    assert!(!way.is_for_anyone);
    assert!(config.warnings().is_empty());

    let config = good(
        "rtsp: { listen: \"0.0.0.0:8554\", users: { a: b }, passthrough: shed, passthrough_to: \"192.168.1.10:554\", passthrough_from: anyone }",
    );
    let way = config.rtsp.passthrough.as_ref().unwrap();
    assert_eq!(way.target.as_ref().unwrap().to_string(), "192.168.1.10:554");
    assert!(way.is_for_anyone);
    let warnings = config.warnings().join("\n");
    assert!(
        warnings.contains("only the camera's own login"),
        "{warnings}"
    );

    assert_problems(
        "rtsp: { passthrough_from: everybody, passthrough_to: camera }",
        &[
            "eyelet.yaml:1:27: rtsp.passthrough_from: expected loopback or anyone, found \"everybody\"",
            "eyelet.yaml:1:27: rtsp.passthrough_from has no effect without rtsp.passthrough, which names the agent",
            "eyelet.yaml:1:54: rtsp.passthrough_to: expected a host and a port as the agent sees them, such as \"127.0.0.1:554\", found \"camera\"",
            "eyelet.yaml:1:54: rtsp.passthrough_to has no effect without rtsp.passthrough, which names the agent",
        ],
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    assert_problems(
        "data: x\ncameras:\n  porch:\n    sorce: rtsp://h\n    source: rtsp://h\nhtpp: {}\nrtsp: { zzz: 1 }\nevents: {}\n",
        &[
            "eyelet.yaml:4:5: unknown key \"sorce\" in cameras.porch; did you mean \"source\"?",
            "eyelet.yaml:6:1: unknown key \"htpp\"; did you mean \"http\"?",
            "eyelet.yaml:7:9: unknown key \"zzz\" in rtsp; valid keys: listen, users, passthrough, passthrough_to, passthrough_from",
            "eyelet.yaml:8:1: unknown key \"events\"; this release does not have it yet",
        ],
    );
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    let schemes: Vec<&str> = config::Scheme::ALL.iter().map(|s| s.as_str()).collect();
    assert_problems(
        r#"http: { listen: ":8080", public: "a b" }
rtsp: { listen: 8554 }
cameras:
  "a/b": rtsp://h
  c: { source: "rtspz://u:pw@hhh", idle: 10, transport: tpc, via: "no way" }
  d: { source: "rtsp://h", password: x }
  e: { idle: 1s }
  f:
  g: [1]
forwards:
  - { listen: "127.0.0.1:1", agent: x }
  - 7
"#,
        &[
            "eyelet.yaml:1:17: http.listen: expected an address and a port such as \"127.0.0.1:8080\", found \":8080\"; for every address of this machine write \"0.0.0.0:8080\"",
            "eyelet.yaml:1:34: http.public: expected a host and a port such as \"eyelet.example.com:8080\", found \"a b\"",
            "eyelet.yaml:2:17: rtsp.listen: expected an address and a port such as \"127.0.0.1:8080\", found \"8554\"; for every address of this machine write \"0.0.0.0:8554\"",
            "eyelet.yaml:4:3: \"a/b\" cannot name a camera: a name is 1 to 64 letters, digits, '_', '-' or '.', and not dots alone",
            &format!(
                "eyelet.yaml:5:16: cameras.c.source: unknown scheme rtspz://; did you mean rtsp://? (this build has: {})",
                schemes.join(", ")
            ),
            "eyelet.yaml:5:42: cameras.c.idle: expected a duration such as \"10s\", \"500ms\" or \"2m\", found \"10\"; the unit is missing",
            "eyelet.yaml:5:57: cameras.c.transport: expected tcp or udp, found \"tpc\"",
            "eyelet.yaml:5:67: cameras.c.via: \"no way\" cannot be an agent's name: it needs 1 to 63 letters, digits, \"-\", \"_\" or \".\", the first a letter or digit",
            "eyelet.yaml:6:3: cameras.d: there is a password but no user",
            "eyelet.yaml:7:3: cameras.e has no source; expected a line such as source: rtsp://192.168.1.10/stream1",
            "eyelet.yaml:8:3: cameras.f: expected a source such as \"rtsp://192.168.1.10/stream1\" or the key source, found nothing",
            "eyelet.yaml:9:6: cameras.g: expected a source or keys, found a list",
            "eyelet.yaml:11:5: forwards[0] has no target; a forward needs listen, agent and target",
            "eyelet.yaml:12:5: forwards[1]: expected keys and values (lines such as \"key: value\"), found a single value",
        ],
    );
}

#[test]
fn a_name_given_twice_is_refused() {
    assert_problems(
        "cameras:\n  a: rtsp://h\n  a: rtsp://i\ndata: x\ndata: y\n",
        &[
            "eyelet.yaml:3:3: cameras.a is there twice; the first is in line 2",
            "eyelet.yaml:5:1: data is there twice; the first is in line 4",
        ],
    );
}

#[test]
fn two_listeners_on_one_port_are_refused() {
    let forward = |listen: &str| {
        format!("  - {{ listen: \"{listen}\", agent: a, target: \"127.0.0.1:554\" }}\n")
    };
    let text = format!(
        "http: {{ listen: \"0.0.0.0:8554\" }}\nforwards:\n{}{}{}{}",
        forward("127.0.0.1:1"),
        forward("127.0.0.2:1"),
        forward("127.0.0.1:1"),
        forward("127.0.0.1:0")
    );
    assert_problems(
        &text,
        &[
            "eyelet.yaml:1:17: rtsp.listen: 127.0.0.1:8554 is taken by http.listen already",
            "eyelet.yaml:5:15: forwards[2].listen: 127.0.0.1:1 is taken by forwards[0].listen already",
        ],
    );
}

#[test]
fn datagrams_through_the_tunnel_are_refused() {
    let found = problems("cameras: { a: { source: 'rtsp://h', via: shed, transport: udp } }");
    assert!(
        found[0].contains("the tunnel to agent shed carries connections, not datagrams"),
        "{found:?}"
    );
}

#[test]
fn what_is_no_mapping_is_said_to_be_none() {
    assert_problems(
        "hello",
        &[
            "eyelet.yaml:1:1: the file: expected keys and values (lines such as \"key: value\"), found a single value",
        ],
    );
    let found = problems("a: [1\n");
    assert!(found[0].contains("this is no valid YAML"), "{found:?}");
    let found = problems("data: x\n---\ndata: y\n");
    assert!(found[0].contains("a second one"), "{found:?}");
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        text += &format!("b{level}: &a{level} [{}]\n", vec![before; 10].join(","));
    }
    let found = problems(&text);
    assert!(found[0].contains("more than 200000 values"), "{found:?}");
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*a"; 1000].join(",")
    );
    assert!(problems(&long)[0].contains("more than 200000 values"));
    let deep = problems(&"[".repeat(1000));
    assert_eq!(deep.len(), 1);
}

#[test]
fn an_alias_repeats_a_value() {
    let config = good(
        "cameras:\n  a: { source: 'rtsp://h', user: u, password: &pw secret }\n  b: { source: 'rtsp://i', user: u, password: *pw }\n",
    );
    assert_eq!(
        config.cameras[0].source.credentials,
        config.cameras[1].source.credentials
    );
}

#[test]
fn wide_listeners_are_warned_about() {
    let wide = good(
        "http: { listen: '0.0.0.0:8080' }\nrtsp: { listen: '[::]:8554' }\nforwards: [{ listen: '0.0.0.0:1', agent: a, target: '127.0.0.1:554' }]",
    );
    let warnings = wide.warnings();
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("no accounts yet"));
    let with_users = good("rtsp: { listen: '0.0.0.0:8554', users: { u: p } }");
    assert!(with_users.warnings().is_empty());
}

#[test]
fn a_whole_configuration_prints_no_password() {
    let config = good("rtsp: { users: { u: hunter2 } }\ncameras: { a: 'rtsp://u:hunter2@h/x' }");
    let printed = format!("{config:?} {config:#?}");
    assert!(
        !printed.contains("hunter2") && printed.contains("***"),
        "{printed}"
    );
}

#[test]
fn a_file_is_loaded_with_its_name_in_messages() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.yaml");
    std::fs::write(&path, "cameras:\n  a: rtsp://h\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().cameras.len(), 1);
    std::fs::write(&path, "x: 1\n").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}:1:1: unknown key", path.display())),
        "{error}"
    );
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains("not UTF-8")
    );
    let missing = Config::load(folder.path().join("none.yaml")).unwrap_err();
    assert!(matches!(missing, Error::Unreadable { .. }), "{missing}");
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of files, so that chance builds more than noise.
    fn piece() -> impl Strategy<Value = String> {
        let words = vec![
            "cameras:",
            "http:",
            "rtsp:",
            "users:",
            "forwards:",
            "listen:",
            "source:",
            "a:",
            "porch:",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ",",
            ": ",
            "\"",
            "'",
            "&a ",
            "*a",
            "${HOST}",
            "${PASSWORD}",
            "${",
            "rtsp://",
            "u:p@",
            "h",
            "/x",
            "127.0.0.1:1",
            "10s",
            "<<:",
            "---",
            "|",
            ">",
            "!t ",
            "? ",
            "#",
            "~",
            "\t",
            "%YAML 1.2\n",
        ];
        prop_oneof![9 => proptest::sample::select(words).prop_map(String::from), 1 => "\\PC{0,6}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn is_read_or_refused_with_places(pieces in proptest::collection::vec(piece(), 0..40)) {
            match parse(&pieces.concat()) {
                Ok(config) => { let _ = config.warnings(); }
                Err(error) => for line in error.to_string().lines() {
                    prop_assert!(line.starts_with("eyelet.yaml:"), "{}", error);
                },
            }
        }
    }
}

#[test]
fn an_a9_camera_needs_the_cloud_and_a_code_of_its_own() {
    let errors = |text: &str| {
        Config::parse_with(text, "eyelet.yaml", |_| None)
            .unwrap_err()
            .to_string()
    };
    let camera = "cameras:\n  mini: a9://0800c00128F8\n";
    assert!(
        errors(camera).contains("eyelet.yaml:2:3: cameras.mini: an a9:// camera comes by itself")
    );
    let twice = format!("a9: {{}}\n{camera}  maxi: a9://0800C00128f8\n");
    assert!(errors(&twice).contains("device code 0800C00128f8 is cameras.mini already"));
    let through = "a9: {}\ncameras:\n  mini: { source: \"a9://0800c00128F8\", via: shed }\n";
    assert!(errors(through).contains("no agent can reach it"));
    let ports = "a9: { http: \"0.0.0.0:8080\", tcp: \"0.0.0.0:7000\", host: here, any_source: maybe }\nhttp: { listen: \"0.0.0.0:8080\" }\n";
    let ports = errors(ports);
    assert!(
        ports.contains("a9.http: 0.0.0.0:8080 is taken by http.listen already"),
        "{ports}"
    );
    assert!(ports.contains("expected an IP address"), "{ports}");
    assert!(ports.contains("expected true or false"), "{ports}");
    let good = format!("a9: {{ tcp: \"0.0.0.0:7000\" }}\n{camera}");
    let good = Config::parse_with(&good, "eyelet.yaml", |_| None).unwrap();
    assert_eq!(good.a9.unwrap().udp.port(), 7000);
}
