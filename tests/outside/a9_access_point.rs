//! A9 cameras that are their own network: the commands of `eyelet a9 … --host`.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use eyelet_tests::process::{self, Running};
use eyelet_tests::world::Host;
use eyelet_tests::{eyelet, require, tools};

const JSON: u16 = 0;
const AVI: u16 = 7;
const GREETING: u16 = 115;

/// A simulated camera and where it listens.
fn camera(more: &[&str]) -> (Running, String) {
    let mut command = Command::new(tools::program("eyelet"));
    command.args(["simulate", "a9", "--access-point", "127.0.0.1:0"]);
    let mut camera = Running::start("eyelet simulate a9", command.args(more));
    let host = camera.wait_for_line("where it is", Duration::from_secs(40), |line| {
        Some(line.split_once(" network at ")?.1.to_owned())
    });
    (camera, host)
}

fn a9(host: &str, args: &[&str]) -> Output {
    let mut all = vec!["a9"];
    all.extend(args);
    all.extend(["--host", host]);
    eyelet::eyelet(&Host::here(), &all)
}

/// What `args` complain of; they must fail.
fn complaint(host: &str, args: &[&str]) -> String {
    let output = a9(host, args);
    let said = process::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
    said
}

/// Bytes that no cutting and joining leaves alike.
fn bytes(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}

/// How many pictures ffmpeg makes of a file, and its complaints.
fn decode(path: &str, format: &[&str]) -> (usize, String) {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error"]).args(format);
    command.args(["-i", path, "-f", "framemd5", "-"]);
    let output = process::run("ffmpeg", &mut command, Duration::from_secs(40));
    let lines = process::text(&output.stdout);
    (
        lines.lines().filter(|line| !line.starts_with('#')).count(),
        process::text(&output.stderr),
    )
}

#[test]
fn recordings_come_off_the_card_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["20240229-00-59", "20241231-23-00", "20241231-23-59"];
    for (seed, name) in (1..).zip(names) {
        let recording = bytes(700_000 + seed as usize, seed);
        std::fs::write(folder.path().join(format!("{name}.avi")), recording).unwrap();
    }
    let (_camera, host) = camera(&["--sd-card", folder.path().to_str().unwrap()]);
    let list = a9(&host, &["list"]);
    let listed = process::text(&list.stdout);
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    let json = a9(&host, &["list", "--json"]);
    let json: Vec<String> = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json, names);
    for name in names {
        let to = folder.path().join("got");
        let got = a9(&host, &["download", name, "-o", to.to_str().unwrap()]);
        assert!(got.status.success(), "{}", process::text(&got.stderr));
        let sent = std::fs::read(folder.path().join(format!("{name}.avi"))).unwrap();
        assert!(
            std::fs::read(&to).unwrap() == sent,
            "{name} is another file"
        );
        assert!(process::text(&got.stdout).contains(&format!("({} bytes)", sent.len())));
        assert_eq!(
            process::text(&got.stderr),
            "",
            "no progress without a terminal"
        );
    }
}

#[test]
fn a_download_shows_its_progress_on_a_terminal() {
    require!(tools::has("script"), "script, of util-linux");
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("20240229-00-59.avi");
    std::fs::write(recording, bytes(2 << 20, 7)).unwrap();
    let (_camera, host) = camera(&["--sd-card", folder.path().to_str().unwrap()]);
    let program = tools::program("eyelet");
    let line = format!(
        "{} a9 download 20240229-00-59 -o {} --host {host}",
        program.display(),
        folder.path().join("got").display()
    );
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", &line, "/dev/null"]);
    let shown = process::run("script", &mut command, Duration::from_secs(45));
    let shown = process::text(&shown.stdout);
    assert!(shown.contains("% of 2048 KiB"), "{shown:?}");
    assert!(shown.contains("(2097152 bytes)"), "{shown:?}");
}

#[test]
fn a_camera_that_is_its_own_network_shows_films_and_itself() {
    require!(tools::has("ffmpeg"), "ffmpeg");
    let (_camera, host) = camera(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cat.avi");
    let file = file.to_str().unwrap();
    let got = a9(&host, &["download", "20230124-02-10", "-o", file]);
    assert!(got.status.success(), "{}", process::text(&got.stderr));
    assert_eq!(decode(file, &[]), (20, String::new()));
    let live = folder.path().join("live.mjpeg");
    let live = live.to_str().unwrap();
    let watched = a9(&host, &["live", "--seconds", "4", "-o", live]);
    assert!(
        watched.status.success(),
        "{}",
        process::text(&watched.stderr)
    );
    let (pictures, complaints) = decode(live, &["-f", "mjpeg"]);
    assert!(
        pictures > 10 && complaints.is_empty(),
        "{pictures} pictures: {complaints}"
    );
}

#[test]
fn orders_reach_a_camera_that_is_its_own_network() {
    let (_camera, host) = camera(&[]);
    for (order, shown) in [
        (["infrared", "1"], "infrared   on"),
        (["led", "0"], "led        off"),
        (["flip", "4"], "flip       4"),
    ] {
        let told = a9(&host, &["command", order[0], order[1]]);
        let said = process::text(&told.stdout);
        assert!(said.contains(shown), "{order:?}: {said}");
    }
    let json = a9(&host, &["command", "refresh", "--json"]);
    let state: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&state["firmware"], &state["sd_status"]),
        (&"202212011602".into(), &1.into())
    );
    let reboot = a9(&host, &["command", "reboot"]);
    assert!(process::text(&reboot.stdout).contains("was told to reboot"));
    assert!(complaint(&host, &["command", "explode"]).contains("there are: infrared"));
    assert!(complaint(&host, &["command", "flip", "9"]).contains("flip takes 0 to 4, not 9"));
}

#[test]
fn set_wifi_says_to_the_camera_what_the_reference_client_says() {
    let camera = ByHand::start(|_, payload| {
        match code(payload) {
        501 => vec![frame(JSON, br#"{ "code":501, "target":"deadbeef","status":200}"#)],
        502 if payload.contains("\"code\": 4,") => vec![frame(
            JSON,
            br#"{"code":502 , "target": "deadbeef", "content": { "code": 4, "devPower": 73, "version":"202509111709"} }"#,
        )],
        // The answer to a network is recorded nowhere: silence.
        _ => Vec::new(),
    }
    });
    let set = a9(&camera.host, &["set-wifi", "mifi", "mifimifi"]);
    let (said, talk) = (process::text(&set.stdout), process::text(&set.stderr));
    assert!(set.status.success(), "{talk}");
    assert!(talk.contains("firmware 202509111709, power 73 %"), "{talk}");
    assert!(
        said.contains("joins \"mifi\"") && said.contains("eyelet a9 doctor"),
        "{said}"
    );
    assert!(!talk.contains("mifimifi") && !said.contains("mifimifi"));
    let heard = camera.heard();
    let at = |text: &str| {
        let found = heard.iter().position(|payload| payload == text);
        found.unwrap_or_else(|| panic!("{text} is not among {heard:#?}"))
    };
    let network = r#"{"code": 502, "content": {"code": 204, "devTarget": "deadbeef", "s": "mifi", "p": "mifimifi"}}"#;
    let reboot = r#"{"code": 502, "content": {"code": 299, "devTarget": "deadbeef"}}"#;
    assert!(at(network) < at(reboot));
}

#[test]
fn a_recording_that_ends_early_is_called_incomplete() {
    let camera = ByHand::start(|_, payload| match code(payload) {
        501 => vec![frame(
            JSON,
            br#"{ "code":501, "target":"deadbeef","status":200}"#,
        )],
        404 => vec![frame(
            JSON,
            br#"{"code":405, "status":200, "fileName":"x", "fileSize": 1000}"#,
        )],
        406 => vec![
            frame(JSON, br#"{"code":407,"status":200}"#),
            frame(AVI, &[7; 400]),
            frame(JSON, br#"{"code":411}"#),
        ],
        _ => Vec::new(),
    });
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("cat.avi");
    let said = complaint(
        &camera.host,
        &["download", "20230124-02-10", "-o", to.to_str().unwrap()],
    );
    assert!(said.contains("incomplete: 400 bytes came"), "{said}");
    assert!(said.contains("try again"), "{said}");
}

#[test]
fn what_goes_wrong_is_said_with_what_to_do() {
    // A port that is held, and on which nobody listens.
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = format!("127.0.0.1:{}", held.local_addr().unwrap().port());
    let said = complaint(&nobody, &["list"]);
    for part in ["no camera answers at", "Nax_", "one client at a time"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let web =
        ByHand::raw(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nno such page here");
    let said = complaint(&web, &["list"]);
    assert!(said.contains("makes no sense"), "{said}");
    let (_camera, host) = camera(&[]);
    let said = complaint(&host, &["set-wifi", "home", "short"]);
    assert!(
        said.contains("8 to 63") && !said.contains("short"),
        "{said}"
    );
    let said = complaint(&host, &["download", "yesterday"]);
    assert!(said.contains("such as 20230124-02-10"), "{said}");
    let said = complaint(
        &host,
        &["download", "20230124-03-10", "-o", "/nowhere/at/all"],
    );
    assert!(
        said.contains("`eyelet a9 list` names those it has"),
        "{said}"
    );
    let said = complaint(
        &host,
        &["download", "20230124-02-10", "-o", "/nowhere/at/all"],
    );
    assert!(said.contains("/nowhere/at/all cannot be written"), "{said}");
    let usage = a9(&host, &["download"]);
    assert_eq!(usage.status.code(), Some(2));
}

/// A camera written down byte by byte, so that what the commands say meets another hand's reading.
struct ByHand {
    host: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl ByHand {
    /// Answers each message of a client, one client after the other; the greeting by itself.
    fn start(answer: impl Fn(u16, &str) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = converse(stream, &answer, &log);
            }
        });
        Self { host, heard }
    }

    /// Something else that says `bytes` to whoever comes.
    fn raw(bytes: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at: SocketAddr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(bytes);
                let _ = stream.read(&mut [0; 1024]);
            }
        });
        at.to_string()
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn converse(
    mut stream: TcpStream,
    answer: &impl Fn(u16, &str) -> Vec<Vec<u8>>,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut header = [0; 20];
        stream.read_exact(&mut header)?;
        let len = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
        assert!(len < 8_073, "{len} bytes are more than a camera takes");
        let command = u16::from_le_bytes(header[4..6].try_into().unwrap());
        let mut payload = vec![0; len];
        stream.read_exact(&mut payload)?;
        let payload = process::text(&payload);
        let replies = match command {
            GREETING => vec![frame(GREETING, b"")],
            _ => answer(command, &payload),
        };
        heard.lock().unwrap().push(payload);
        for reply in replies {
            stream.write_all(&reply)?;
        }
    }
}

/// The outermost code of a message.
fn code(payload: &str) -> i64 {
    let object: Option<serde_json::Value> = serde_json::from_str(payload).ok();
    object
        .and_then(|object| object["code"].as_i64())
        .unwrap_or(-1)
}

/// A message as a camera sends it.
fn frame(command: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_le_bytes().to_vec();
    out.extend(command.to_le_bytes());
    // Complete in one packet, where it is media.
    out.push(if command == AVI { 255 } else { 0 });
    out.extend([0; 13]);
    out.extend(payload);
    out
}
