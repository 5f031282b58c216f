//! JPEG cameras of every kind come in: each picture byte by byte, whatever the camera does.
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::esp32::{Board, Pictures, Watcher, without_thumbnail};
use eyelet_tests::eyelet::{Agent, Gateway, eyelet};
use eyelet_tests::media::Media;
use eyelet_tests::world::{Host, House};
use eyelet_tests::{http, process, require, tools};

/// The pictures that the cameras send.
fn pictures() -> Option<Pictures> {
    tools::require(tools::has("ffmpeg"), "ffmpeg").then(|| Pictures::make(40))
}

/// A camera and how its pictures come in.
struct Kind {
    name: String,
    board: Board,
    /// What the gateway's configuration says of it.
    source: String,
}

impl Kind {
    /// A camera that listens.
    fn pull(mode: &str, pictures: &Pictures, more: &[&str]) -> Self {
        let at = free_address();
        let listen = ["--mode", mode, "--listen", &at];
        Self::start(mode, pictures, &[&listen[..], more].concat(), 0)
    }

    /// A camera that comes by itself.
    fn push(mode: &str, pictures: &Pictures, more: &[&str]) -> Self {
        let to = free_address();
        let to = ["--mode", mode, "--to", &to];
        Self::start(mode, pictures, &[&to[..], more].concat(), 0)
    }

    /// A camera with a web server: its stream, or its stills.
    fn web(source: usize, pictures: &Pictures, more: &[&str]) -> Self {
        let (stream, control) = (free_address(), free_address());
        let listen = [
            "--mode",
            "webserver",
            "--listen",
            &stream,
            "--control",
            &control,
        ];
        let mode = ["stream", "stills"][source];
        Self::start(mode, pictures, &[&listen[..], more].concat(), source)
    }

    fn start(mode: &str, pictures: &Pictures, args: &[&str], source: usize) -> Self {
        let folder = pictures.folder().to_str().unwrap();
        let all = [args, &["--pictures", folder]].concat();
        let board = Board::start(&Host::here(), &all);
        let more: Vec<String> = args
            .iter()
            .skip_while(|arg| !["--fault", "--firmware"].contains(*arg))
            .filter(|arg| !arg.starts_with("--"))
            .map(|arg| arg.replace(['=', '@'], "-"))
            .collect();
        Self {
            name: [&[mode.to_owned()], &more[..]].concat().join("-"),
            source: board.urls[source].clone(),
            board,
        }
    }
}

/// Where something may listen, again and again: some of these cameras start anew.
fn free_address() -> String {
    format!("127.0.0.1:{}", tools::free_port())
}

/// A gateway that knows these cameras.
fn gateway(kinds: &[Kind]) -> Gateway {
    let lines: Vec<String> = kinds
        .iter()
        .map(|kind| format!("  {}: {}\n", kind.name, kind.source))
        .collect();
    Gateway::start(&format!("cameras:\n{}", lines.concat()))
}

/// A number of the gateway's metrics.
fn metric(gateway: &Gateway, name: &str, camera: &str) -> u64 {
    let answer = http::request(&Host::here(), gateway.http, "/metrics").unwrap();
    let start = format!("eyelet_{name}{{camera=\"{camera}\"}} ");
    let text = answer.text();
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
}

#[test]
fn pictures_come_in_byte_for_byte_from_every_kind_of_camera() {
    let Some(pictures) = pictures() else { return };
    let mut kinds = vec![
        Kind::pull("pull", &pictures, &[]),
        Kind::pull("oneshot", &pictures, &[]),
        Kind::push("push", &pictures, &[]),
        Kind::push("push-oneshot", &pictures, &[]),
        Kind::push("udp", &pictures, &[]),
        Kind::web(1, &pictures, &[]),
    ];
    for firmware in [
        "espressif",
        "espressif-old",
        "esphome",
        "bare",
        "wrong-length",
    ] {
        kinds.push(Kind::web(0, &pictures, &["--firmware", firmware]));
    }
    let gateway = gateway(&kinds);
    std::thread::scope(|scope| {
        for kind in &kinds {
            // Three at once, and the camera has one.
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut watcher = Watcher::open(&Host::here(), gateway.http, &kind.name);
                    let seen = watcher.pictures(15);
                    // Stills are asked for half as often as this camera takes pictures, and two
                    // requests may meet one picture or leave one out.
                    if kind.name.starts_with("stills") {
                        for picture in &seen {
                            pictures.place(picture);
                        }
                    } else {
                        pictures.assert_consecutive(&kind.name, &seen);
                    }
                });
            }
        }
    });
    std::thread::sleep(Duration::from_millis(1_500));
    for kind in &kinds {
        let (connections, count) = kind.board.counts();
        assert!(count >= 15, "{}: {count} pictures", kind.name);
        if !kind.name.contains("oneshot") {
            assert_eq!(connections, 1, "{} has one connection", kind.name);
        }
        let camera = gateway.camera(&kind.name);
        assert_eq!(camera["reconnects"], 0, "{camera}");
        assert_eq!(camera["tracks"][0]["width"], 320, "{camera}");
    }
}

/// Watches each camera until `count` good pictures came; none may be anything else.
fn survives(pictures: &Pictures, kinds: &[(Kind, usize)]) -> Gateway {
    let lines: Vec<String> = kinds
        .iter()
        .map(|(kind, _)| format!("  {}: {}\n", kind.name, kind.source))
        .collect();
    let gateway = Gateway::start(&format!("cameras:\n{}", lines.concat()));
    std::thread::scope(|scope| {
        for (kind, count) in kinds {
            let http = gateway.http;
            scope.spawn(move || {
                let mut watcher = Watcher::open(&Host::here(), http, &kind.name);
                for at in 0..*count {
                    let picture = without_thumbnail(&watcher.picture());
                    pictures.place(&picture);
                    if at + 1 == *count {
                        eprintln!("{}: {count} good pictures", kind.name);
                    }
                }
            });
        }
    });
    gateway
}

#[test]
fn damaged_pictures_are_left_out_and_the_next_ones_are_whole() {
    let Some(pictures) = pictures() else { return };
    let fault = |fault| ["--fps", "10", "--fault", fault];
    let mut kinds = Vec::new();
    for name in ["cut", "torn", "junk", "thumbnail"] {
        kinds.push(Kind::pull("pull", &pictures, &fault(name)));
        kinds.push(Kind::push("push", &pictures, &fault(name)));
        kinds.push(Kind::web(0, &pictures, &fault(name)));
    }
    for name in ["cut", "torn", "shuffle", "junk"] {
        kinds.push(Kind::push("udp", &pictures, &fault(name)));
    }
    for name in ["cut", "junk"] {
        kinds.push(Kind::pull("oneshot", &pictures, &fault(name)));
    }
    kinds.push(Kind::web(1, &pictures, &fault("cut")));
    kinds.push(Kind::web(1, &pictures, &fault("torn")));
    kinds.push(Kind::pull("pull", &pictures, &fault("oversized")));
    let kinds: Vec<(Kind, usize)> = kinds.into_iter().map(|kind| (kind, 20)).collect();
    let gateway = survives(&pictures, &kinds);
    for (kind, _) in &kinds {
        let is_spoilt = ["cut", "torn", "oversized"]
            .iter()
            .any(|fault| kind.name.contains(fault));
        let is_told = metric(&gateway, "stream_damaged_pictures_total", &kind.name) > 0;
        // A still that is cut short breaks its HTTP answer and never becomes a picture.
        if is_spoilt && kind.name != "stills-cut" && kind.name != "stream-cut" {
            assert!(is_told, "{}: no damage was counted", kind.name);
        }
        if kind.name.contains("thumbnail") {
            assert!(!is_told, "{}: damage where there is none", kind.name);
        }
    }
}

#[test]
fn cameras_that_hang_crawl_or_restart_come_back() {
    let Some(pictures) = pictures() else { return };
    let with = |fault: &'static str, fps: &'static str| ["--fps", fps, "--fault", fault];
    let mut kinds = Vec::new();
    for (fault, count) in [("hang@2", 40), ("reboot@3", 60)] {
        kinds.push((Kind::pull("pull", &pictures, &with(fault, "10")), count));
        kinds.push((Kind::push("push", &pictures, &with(fault, "10")), count));
        kinds.push((Kind::web(0, &pictures, &with(fault, "10")), count));
        kinds.push((Kind::web(1, &pictures, &with(fault, "10")), count / 2));
    }
    kinds.push((
        Kind::pull("oneshot", &pictures, &with("reboot@3", "10")),
        60,
    ));
    kinds.push((Kind::push("udp", &pictures, &with("reboot@3", "10")), 60));
    // A picture in about half a second.
    kinds.push((Kind::pull("pull", &pictures, &with("slow=20000", "10")), 5));
    kinds.push((Kind::push("udp", &pictures, &with("slow=40000", "10")), 5));
    survives(&pictures, &kinds);
}

#[test]
fn a_gapless_camera_gives_its_full_rate() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::pull("pull", &pictures, &["--fps", "0"]);
    let gateway = gateway(std::slice::from_ref(&kind));
    let mut watcher = Watcher::open(&Host::here(), gateway.http, &kind.name);
    pictures.place(&watcher.picture());
    std::thread::sleep(Duration::from_secs(4));
    let taken = |gateway: &Gateway| metric(gateway, "stream_access_units_total", "pull");
    // The camera tells its count each second; what came in must catch up with it.
    let (connections, sent) = kind.board.counts();
    assert!(sent > 200, "{sent} pictures in four seconds");
    tools::wait_for(
        "every picture to have come in",
        Duration::from_secs(20),
        || (taken(&gateway) >= sent).then_some(()),
    );
    assert_eq!(connections, 1);
    assert_eq!(metric(&gateway, "stream_damaged_pictures_total", "pull"), 0);
    eprintln!("{sent} pictures in about four seconds");
}

#[test]
fn thousands_of_connections_leave_nothing_behind() {
    // Small pictures at a bounded rate: what the rings keep is little, and soon there.
    let small = [
        "--mode",
        "oneshot",
        "--listen",
        "127.0.0.1:0",
        "--fps",
        "0",
        "--framesize",
        "0",
    ];
    let board = Board::start(&Host::here(), &small);
    let gateway = Gateway::start(&format!(
        "cameras:\n  esp: {{ source: \"{}\", interval: 5ms }}\n",
        board.urls[0]
    ));
    let pid = gateway.process.pid();
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{pid}/{what}"))
            .unwrap()
            .count()
    };
    let wait = |connections: u64| {
        let what = format!("{connections} connections");
        tools::wait_for(&what, Duration::from_secs(100), || {
            (board.counts().0 >= connections).then_some(())
        });
        (gateway.process.memory(), count("fd"), count("task"))
    };
    let is_over = AtomicBool::new(false);
    let (first, second) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut watcher = Watcher::open(&Host::here(), gateway.http, "esp");
            while !is_over.load(Ordering::Relaxed) {
                watcher.picture();
            }
        });
        let found = (wait(1_000), wait(4_000));
        is_over.store(true, Ordering::Relaxed);
        found
    });
    let ((memory, files, tasks), (later, more_files, more_tasks)) = (first, second);
    eprintln!("{memory} bytes after 1000 connections, {later} after 4000");
    assert!(later < memory + (8 << 20), "{memory} bytes grew to {later}");
    assert!(
        more_files <= files + 2,
        "{files} open files became {more_files}"
    );
    assert!(
        more_tasks <= tasks + 1,
        "{tasks} threads became {more_tasks}"
    );
}

#[test]
fn an_esp32_behind_nat_is_seen_and_set_through_an_agent() {
    require!(tools::has_namespaces(), "root, iproute2 and nftables");
    let Some(pictures) = pictures() else { return };
    let house = House::build();
    let folder = pictures.folder().to_str().unwrap();
    let bare = [
        "--mode",
        "pull",
        "--listen",
        "0.0.0.0:1234",
        "--pictures",
        folder,
    ];
    let _bare = Board::start(&house.camera, &bare);
    let web = [
        "--mode",
        "webserver",
        "--listen",
        "0.0.0.0:81",
        "--control",
        "0.0.0.0:80",
    ];
    let _web = Board::start(&house.camera, &web);
    let gateway = Gateway::start_in(
        &house,
        "cameras:\n  bare: { source: \"jpeg+tcp://192.168.1.10\", via: shed }\n  \
         web: { source: \"mjpeg+http://192.168.1.10:81/stream\", via: shed, control: \"http://192.168.1.10\" }\n  \
         still: { source: \"http://192.168.1.10/capture\", via: shed }\n",
    );
    let code = gateway.add_agent("shed");
    let allow = ["192.168.1.10:1234", "192.168.1.10:80", "192.168.1.10:81"];
    let _agent = Agent::join(&house.agent, &code, &allow);
    gateway.wait_for_agent("shed");

    let mut watcher = Watcher::open(&house.gateway, gateway.http, "bare");
    pictures.assert_consecutive("through the tunnel", &watcher.pictures(30));
    for camera in ["web", "still"] {
        let mut watcher = Watcher::open(&house.gateway, gateway.http, camera);
        let picture = watcher.picture();
        assert!(picture.starts_with(&[0xff, 0xd8]) && picture.ends_with(&[0xff, 0xd9]));
    }
    changes_its_size(&house.gateway, &gateway, "web");
}

/// Sets the size of the camera's pictures, and sees it in the next.
fn changes_its_size(host: &Host, gateway: &Gateway, camera: &str) {
    let path = format!("/api/v1/cameras/{camera}");
    let _watcher = Watcher::open(host, gateway.http, camera);
    assert_eq!(gateway.api(&format!("{path}/status"))["framesize"], 8);
    let set = |what: &str| http::request(host, gateway.http, &format!("{path}/control?{what}"));
    assert_eq!(set("var=framesize&val=5").unwrap().status, 204);
    assert_eq!(gateway.api(&format!("{path}/status"))["framesize"], 5);
    tools::wait_for("smaller pictures", Duration::from_secs(20), || {
        (gateway.camera(camera)["tracks"][0]["width"] == 320).then_some(())
    });
    let refused = set("var=reboot&val=1").unwrap();
    assert_eq!(refused.status, 403, "{}", refused.text());
}

#[test]
fn settings_of_a_camera_are_read_and_changed_as_far_as_the_configuration_allows() {
    let board = Board::start(
        &Host::here(),
        &[
            "--mode",
            "webserver",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--login",
            "admin:s3cret",
        ],
    );
    let control = board.urls[1].trim_end_matches("/capture").to_owned();
    let gateway = Gateway::start(&format!(
        "cameras:\n  esp: {{ source: \"{}\", user: admin, password: s3cret, control: \"{control}\" }}\n  \
         few: {{ source: \"{}\", control: {{ source: \"{}\", allow: [vflip] }} }}\n",
        board.urls[0],
        board.urls[0],
        control.replace("://", "://admin:s3cret@"),
    ));
    changes_its_size(&Host::here(), &gateway, "esp");
    let set = |what: &str| {
        let path = format!("/api/v1/cameras/few/control?{what}");
        http::request(&Host::here(), gateway.http, &path).unwrap()
    };
    assert_eq!(set("var=vflip&val=1").status, 204);
    let refused = set("var=framesize&val=8");
    assert_eq!(refused.status, 403);
    assert!(
        refused.text().contains("allowed are vflip"),
        "{}",
        refused.text()
    );
    assert_eq!(gateway.api("/api/v1/cameras/esp/status")["vflip"], 1);
}

#[test]
fn a_camera_that_asks_for_a_login_is_answered_and_a_wrong_one_is_told() {
    let board = Board::start(
        &Host::here(),
        &[
            "--mode",
            "webserver",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--login",
            "admin:s3 cret",
        ],
    );
    let gateway = Gateway::start(&format!(
        "cameras:\n  good: {{ source: \"{}\", user: admin, password: \"s3 cret\" }}\n",
        board.urls[0]
    ));
    let mut watcher = Watcher::open(&Host::here(), gateway.http, "good");
    assert!(watcher.picture().starts_with(&[0xff, 0xd8]));
    drop(watcher);
    for (login, part) in [("", "names no user"), ("admin:wrong@", "refused the login")] {
        let url = board.urls[1].replace("://", &format!("://{login}"));
        let said = probe_fails(&url);
        assert!(said.contains(part) && !said.contains("wrong@"), "{said}");
    }
}

/// What `eyelet probe` says of a source that gives nothing.
fn probe_fails(url: &str) -> String {
    let output = eyelet(&Host::here(), &["probe", url, "--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1), "{url}");
    process::text(&output.stderr)
}

#[test]
fn probe_tells_what_is_wrong_with_a_jpeg_source_and_what_to_try() {
    let web = Board::start(
        &Host::here(),
        &[
            "--mode",
            "webserver",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
        ],
    );
    let bare = Board::start(
        &Host::here(),
        &["--mode", "pull", "--listen", "127.0.0.1:0"],
    );
    let (stream, still, tcp) = (&web.urls[0], &web.urls[1], &bare.urls[0]);
    let nobody = tools::free_port();
    for (url, parts) in [
        (
            still.replace("/capture", "/picture"),
            ["no stream at \"/picture\"", "/capture"],
        ),
        (
            still.replace("/capture", "/"),
            ["a web page", "http://HOST/capture"],
        ),
        (
            stream
                .replace("mjpeg+http", "jpeg+tcp")
                .replace("/stream", ""),
            ["sent nothing for 10 s", "mjpeg+http://"],
        ),
        (
            tcp.replace("jpeg+tcp", "mjpeg+http"),
            ["is this an HTTP port", "jpeg+tcp://"],
        ),
        (
            format!("jpeg+tcp://127.0.0.1:{nobody}"),
            ["cannot reach", "1234"],
        ),
        (
            format!("jpeg+push://127.0.0.1:{nobody}"),
            ["no camera has connected", "firewall"],
        ),
        (
            format!("jpeg+udp://127.0.0.1:{nobody}"),
            ["no picture has come", "firewall"],
        ),
    ] {
        let said = probe_fails(&url);
        for part in parts {
            assert!(said.contains(part), "{url}: {part:?} is not in {said}");
        }
    }
}

#[test]
fn probe_tells_what_a_jpeg_camera_gives() {
    let to = format!("127.0.0.1:{}", tools::free_port());
    let web = [
        "--mode",
        "webserver",
        "--listen",
        "127.0.0.1:0",
        "--control",
        "127.0.0.1:0",
    ];
    let boards = [
        Board::start(&Host::here(), &web),
        Board::start(
            &Host::here(),
            &["--mode", "oneshot", "--listen", "127.0.0.1:0"],
        ),
        Board::start(&Host::here(), &["--mode", "push", "--to", &to]),
        Board::start(&Host::here(), &["--mode", "udp", "--to", &to]),
    ];
    for board in &boards {
        let url = &board.urls[0];
        let output = eyelet(&Host::here(), &["probe", url, "--seconds", "2", "--json"]);
        assert!(
            output.status.success(),
            "{url}: {}",
            process::text(&output.stderr)
        );
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(found["tracks"][0]["codec"], "JPEG", "{found}");
        assert_eq!(found["tracks"][0]["width"], 640, "{found}");
    }
}

/// A forwarded port, as `ssh -R` makes one; it can be taken away and put back.
struct Forwarded {
    address: SocketAddr,
    is_up: Arc<AtomicBool>,
}

impl Forwarded {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_up = Arc::new(AtomicBool::new(true));
        let up = Arc::clone(&is_up);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let Ok(mut near) = near else { return };
                // The listener stays while the tunnel is down: each connection ends at once.
                if !up.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(mut far) = TcpStream::connect(target) else {
                    continue;
                };
                let up = Arc::clone(&up);
                std::thread::spawn(move || {
                    let mut piece = [0; 16 << 10];
                    while let Ok(len @ 1..) = far.read(&mut piece) {
                        if !up.load(Ordering::Relaxed) || near.write_all(&piece[..len]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, is_up }
    }
}

#[test]
fn a_forwarded_port_that_drops_is_noticed_and_taken_again() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::pull("pull", &pictures, &["--fps", "10"]);
    let target = kind
        .source
        .trim_start_matches("jpeg+tcp://")
        .parse()
        .unwrap();
    let forwarded = Forwarded::to(target);
    let port = forwarded.address.port();
    let gateway = Gateway::start(&format!("cameras:\n  esp: jpeg+tcp://localhost:{port}\n"));
    let mut watcher = Watcher::open(&Host::here(), gateway.http, "esp");
    pictures.assert_consecutive("before", &watcher.pictures(5));
    forwarded.is_up.store(false, Ordering::Relaxed);
    tools::wait_for("the loss to be told", Duration::from_secs(20), || {
        let camera = gateway.camera("esp");
        let reason = camera["state"]["reason"].as_str()?.to_owned();
        reason.contains("closed the connection").then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    forwarded.is_up.store(true, Ordering::Relaxed);
    let mut back = std::time::Instant::now();
    // Some of before may still be on their way.
    let mut seen = watcher.pictures(5);
    while seen.windows(2).any(|pair| pair[0] == pair[1]) {
        back = std::time::Instant::now();
        seen = watcher.pictures(5);
    }
    let took = back.elapsed();
    assert!(took < Duration::from_secs(8), "back after {took:?}");
    for picture in &seen {
        pictures.place(picture);
    }
}

#[test]
fn a_silent_camera_is_said_to_be_silent_and_is_asked_again() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::pull("pull", &pictures, &["--fps", "10", "--fault", "hang@1"]);
    let gateway = gateway(std::slice::from_ref(&kind));
    let mut watcher = Watcher::open(&Host::here(), gateway.http, &kind.name);
    pictures.place(&watcher.picture());
    tools::wait_for("the silence to be told", Duration::from_secs(30), || {
        let camera = gateway.camera(&kind.name);
        let stalled = camera["reconnects_by_reason"]["stalled"].as_u64()?;
        (stalled >= 2).then_some(())
    });
    // The rate is told as none while nothing comes, and right again once it does.
    tools::wait_for("a rate of none", Duration::from_secs(30), || {
        (gateway.camera(&kind.name)["fps"] == 0.0).then_some(())
    });
    assert!(kind.board.counts().0 >= 2);
}

#[test]
fn rates_are_told_over_a_window_and_are_none_after_the_camera_left() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::push("push", &pictures, &["--fps", "10"]);
    let gateway = gateway(std::slice::from_ref(&kind));
    let fps = |gateway: &Gateway| gateway.camera("push")["fps"].as_f64().unwrap();
    tools::wait_for("a rate of ten", Duration::from_secs(30), || {
        (9.0..11.0).contains(&fps(&gateway)).then_some(())
    });
    drop(kind);
    tools::wait_for("a rate of none", Duration::from_secs(30), || {
        (fps(&gateway) == 0.0).then_some(())
    });
    let camera = gateway.camera("push");
    assert_eq!(camera["state"]["name"], "waiting", "{camera}");
    let reason = camera["state"]["reason"].as_str().unwrap();
    assert!(reason.contains("has sent no picture"), "{reason}");
}

#[test]
fn a_picture_of_a_camera_that_pushes_is_there_for_the_first_who_looks() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::push("push", &pictures, &["--fps", "0.2"]);
    let gateway = gateway(std::slice::from_ref(&kind));
    tools::wait_for("a picture to have come", Duration::from_secs(30), || {
        (metric(&gateway, "stream_access_units_total", "push") > 0).then_some(())
    });
    let path = "/api/v1/cameras/push/snapshot.jpg";
    let answer = http::request(&Host::here(), gateway.http, path).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    pictures.place(&answer.body);
}

#[test]
fn an_interval_thins_out_what_a_camera_sends() {
    let Some(pictures) = pictures() else { return };
    let kind = Kind::pull("pull", &pictures, &["--fps", "20"]);
    let one = Kind::pull("oneshot", &pictures, &["--fps", "0"]);
    let gateway = Gateway::start(&format!(
        "cameras:\n  pull: {{ source: \"{}\", interval: 200ms }}\n  oneshot: {{ source: \"{}\", interval: 500ms }}\n",
        kind.source, one.source
    ));
    std::thread::scope(|scope| {
        for (name, most) in [("pull", 6.0), ("oneshot", 2.5)] {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut watcher = Watcher::open(&Host::here(), gateway.http, name);
                watcher.pictures(12);
                let fps = gateway.camera(name)["fps"].as_f64().unwrap();
                assert!(fps > 0.0 && fps < most, "{name}: {fps}");
            });
        }
    });
}

#[test]
fn the_jpeg_of_an_rtsp_firmware_comes_out_as_decodable_pictures() {
    require!(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    let model = Model {
        video: Media::Mjpeg,
        audio: None,
        login: None,
        path: "/mjpeg/1",
        ..Model::h264()
    };
    let camera = Camera::start(&Host::here(), model);
    let gateway = Gateway::start(&format!("cameras:\n  esp: {}\n", camera.url()));
    let mut watcher = Watcher::open(&Host::here(), gateway.http, "esp");
    let seen = watcher.pictures(20);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.mjpeg");
    std::fs::write(&file, seen.concat()).unwrap();
    let mut decode = std::process::Command::new("ffmpeg");
    decode.args(["-v", "error", "-f", "mjpeg", "-i"]).arg(&file);
    decode.args(["-fps_mode", "passthrough", "-f", "framemd5", "-"]);
    let output = process::run("ffmpeg", &mut decode, Duration::from_secs(60));
    assert_eq!(process::text(&output.stderr), "");
    let mut hashes = eyelet_tests::frames::parse_framemd5(&process::text(&output.stdout));
    assert_eq!(hashes.len(), 20);
    hashes.sort();
    hashes.dedup();
    assert!(hashes.len() >= 19, "the pictures move");
}

#[test]
fn check_says_that_no_agent_fetches_a_camera_that_comes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("eyelet.yaml");
    std::fs::write(
        &file,
        "cameras:\n  esp: { source: \"jpeg+push://0.0.0.0:4444\", via: shed }\n",
    )
    .unwrap();
    let output = eyelet(&Host::here(), &["check", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = process::text(&output.stderr);
    assert!(
        said.contains("connects to this machine by itself"),
        "{said}"
    );
    std::fs::write(&file, "cameras:\n  esp: jpeg+push://0.0.0.0:4444\n").unwrap();
    let output = eyelet(&Host::here(), &["check", "-c", file.to_str().unwrap()]);
    let said = process::text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("anyone who can reach that port"), "{said}");
}
