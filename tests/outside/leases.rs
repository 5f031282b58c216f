//! The tunnel keeps what it carries: new leases, outages, black holes. A viewer's connection through a forward lasts,
//! and a bulk transfer beside it arrives byte for byte, each byte once.
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use eyelet_tests::camera::{Camera, Model};
use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::lease::{self, Lease};
use eyelet_tests::players::{self, Transport};
use eyelet_tests::process::Running;
use eyelet_tests::rtsp::Viewer;
use eyelet_tests::tools;
use eyelet_tests::world::House;

/// Bytes a second of the bulk transfer.
const BULK_RATE: usize = 1 << 20;

/// Bytes that are no transfer.
const TRICKLE: u64 = 64 << 10;

/// A camera with the agent inside it, on a leased address, and everything that watches.
pub(crate) struct Site {
    pub(crate) lease: Lease,
    pub(crate) gateway: Gateway,
    pub(crate) agent: Agent,
    pub(crate) camera: Camera,
    pub(crate) house: House,
}

impl Site {
    pub(crate) fn build(transport: &str) -> Option<Self> {
        let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
            && tools::require(tools::has_camera(), "GStreamer's RTSP server and ffmpeg")
            && lease::is_possible();
        if !is_possible {
            return None;
        }
        let house = House::build();
        let lease = Lease::start(&house, &house.camera);
        let camera = Camera::start(&house.camera, Model::h264().at("127.0.0.1:554"));
        let gateway = Gateway::start_in(
            &house,
            &format!(
                "cameras:\n  shed: {{ source: \"{}\", via: shed }}\n\
                 forwards:\n  - {{ listen: \"127.0.0.1:8654\", agent: shed, target: \"127.0.0.1:554\" }}\n  \
                 - {{ listen: \"127.0.0.1:8655\", agent: shed, target: \"127.0.0.1:9000\" }}\n",
                camera.url_at("127.0.0.1:554")
            ),
        );
        let code = gateway.add_agent("shed");
        let agent = Agent::join_by(
            &house.camera,
            &code,
            &["127.0.0.1:554", "127.0.0.1:9000"],
            transport,
        );
        gateway.wait_for_agent("shed");
        Some(Self {
            lease,
            gateway,
            agent,
            camera,
            house,
        })
    }
}

fn byte_at(position: u64) -> u8 {
    (position.wrapping_mul(0x9E37_79B9) >> 11 ^ position >> 5).to_le_bytes()[0]
}

/// A transfer through the tunnel at a steady rate, checked byte by byte as it arrives.
pub(crate) struct Bulk {
    arrived: Arc<Mutex<Vec<(Instant, u64)>>>,
    over: Arc<AtomicBool>,
    reader: JoinHandle<u64>,
    sender: JoinHandle<u64>,
}

impl Bulk {
    pub(crate) fn start(site: &Site) -> Self {
        let listener = site
            .house
            .camera
            .inside(|| TcpListener::bind("127.0.0.1:9000").unwrap());
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let sender = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut position = 0;
            while !end.load(Ordering::Relaxed) {
                let piece: Vec<u8> = (position..).take(BULK_RATE / 20).map(byte_at).collect();
                socket
                    .write_all(&piece)
                    .expect("the tunnel cut the transfer");
                position += piece.len() as u64;
                sleep(Duration::from_millis(50));
            }
            position
        });
        let forward = "127.0.0.1:8655".parse().unwrap();
        let mut socket: TcpStream = site.house.gateway.connect(forward).unwrap();
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&arrived);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            let mut position = 0;
            loop {
                let n = socket
                    .read(&mut buffer)
                    .expect("the tunnel cut the transfer");
                if n == 0 {
                    return position;
                }
                for &byte in &buffer[..n] {
                    assert_eq!(byte, byte_at(position), "byte {position} of the transfer");
                    position += 1;
                }
                seen.lock().unwrap().push((Instant::now(), position));
            }
        });
        Self {
            arrived,
            over,
            reader,
            sender,
        }
    }

    /// Waits until bytes arrive again after `moment`, and gives the longest pause since.
    pub(crate) fn longest_pause_since(&self, moment: Instant) -> Duration {
        tools::wait_for("the transfer to go on", Duration::from_secs(60), || {
            assert!(!self.reader.is_finished(), "the transfer ended");
            let arrived = self.arrived.lock().unwrap();
            let is_steady = arrived.last()?.0 > moment && arrived.len() > 20 && {
                let recent = &arrived[arrived.len() - 20..];
                recent[0].0 > moment
                    && recent
                        .windows(2)
                        .all(|pair| pair[1].0 - pair[0].0 < Duration::from_secs(1))
            };
            is_steady.then_some(())
        });
        let arrived = self.arrived.lock().unwrap();
        let mut longest = Duration::ZERO;
        // Where the last silence began. A few packets in the middle of it do not end it.
        let mut silence = (moment, u64::MAX);
        for pair in arrived.windows(2).filter(|pair| pair[1].0 > moment) {
            let gap = pair[1].0 - pair[0].0;
            longest = longest.max(gap);
            if gap > Duration::from_millis(300) {
                if pair[0].1.abs_diff(silence.1) > TRICKLE {
                    silence = pair[0];
                }
                longest = longest.max(pair[1].0 - silence.0);
            }
        }
        longest
    }

    /// Ends it: every byte has arrived, each once.
    pub(crate) fn finish(self) {
        self.over.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let arrived = self.reader.join().unwrap();
        assert_eq!(arrived, sent, "bytes of the transfer");
        eprintln!("{sent} bytes, none lost, none twice");
    }
}

/// Watches by forward and by restream while something happens, which ends when the second function returns.
fn lasts(transport: &str, name: &str, seconds: u32, happens: impl FnOnce(&mut Site)) {
    let Some(mut site) = Site::build(transport) else {
        return;
    };
    let url = site.camera.url_at("127.0.0.1:8654");
    let host = site.house.gateway.clone();
    let player = std::thread::spawn(move || {
        players::ffmpeg(&host, Path::new("ffmpeg"), &url, Transport::Tcp, seconds)
    });
    let (http, rtsp) = (site.house.gateway.clone(), site.gateway.rtsp);
    let restream = site.gateway.url("shed");
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    let watcher = std::thread::spawn(move || {
        let mut viewer = Viewer::play(&http, rtsp, &restream);
        viewer.set_patience(Duration::from_secs(60));
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while !end.load(Ordering::Relaxed) {
            let unit = viewer.unit().expect("the restream's viewer was cut off");
            longest = longest.max(unit.arrived.saturating_duration_since(last));
            last = unit.arrived;
        }
        longest
    });
    let bulk = Bulk::start(&site);
    sleep(Duration::from_secs(4));
    site.gateway.mark(name);
    let start = Instant::now();
    happens(&mut site);
    let pause = bulk.longest_pause_since(start);
    let status = site.gateway.agent("shed").unwrap();
    let played = player.join().unwrap();
    over.store(true, Ordering::Relaxed);
    let restream_pause = watcher.join().unwrap();
    bulk.finish();
    eprintln!(
        "{name} ({transport}): the forward was silent for {:.2} s, the restream for {:.2} s; ffmpeg decoded {} pictures; {}",
        pause.as_secs_f32(),
        restream_pause.as_secs_f32(),
        played.pictures.len(),
        played.complaints,
    );
    eprintln!("{status}");
    assert_eq!(status["transport"], transport);
    assert_eq!(
        (&status["sessions"], &status["sessions_lost"]),
        (&1.into(), &0.into()),
        "one session over all connections"
    );
    assert!(
        played.is_ok,
        "ffmpeg on the forward ended: {}",
        played.complaints
    );
    let forwards = site.gateway.api("/api/v1/forwards");
    let accepted: Vec<_> = forwards["forwards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|forward| &forward["accepted"])
        .collect();
    assert_eq!(
        accepted,
        [1, 1],
        "each viewer of a forward has the connection that it began with"
    );
    assert!(site.agent.process.is_running());
}

#[test]
fn a_viewer_of_a_forward_outlives_a_new_lease_in_another_network() {
    lasts("websocket", "new lease", 25, |site| {
        let address = site.lease.move_to(&site.house, "192.168.77");
        eprintln!("the camera is at {address} now");
    });
}

#[test]
fn a_viewer_of_a_forward_outlives_a_reboot_of_the_router_with_a_new_public_address() {
    lasts("websocket", "router reboot", 30, |site| {
        site.house.reboot_router(Duration::from_secs(5));
    });
}

#[test]
fn a_viewer_of_a_forward_outlives_twenty_seconds_without_a_line() {
    lasts("websocket", "no line for 20 s", 45, |site| {
        site.house.cut_line(Duration::from_secs(20));
    });
}

#[test]
fn a_viewer_of_a_forward_outlives_a_black_hole() {
    lasts("websocket", "black hole", 25, |site| {
        let swallowed = site.house.swallow_connections(&site.house.camera, 8080);
        assert_eq!(swallowed, 1, "one connection carries everything");
    });
}

#[test]
fn a_viewer_of_a_forward_outlives_a_frozen_agent() {
    lasts("websocket", "agent frozen", 28, freeze_until_noticed);
}

/// Nothing tells the gateway that the agent's program stands still: its connection does, and packets are taken.
fn freeze_until_noticed(site: &mut Site) {
    let pid = i32::try_from(site.agent.process.pid()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let start = Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    tools::wait_for(
        "the frozen agent to be noticed",
        Duration::from_secs(15),
        || {
            let agent = site.gateway.agent("shed")?;
            (agent["connected"] == false).then_some(())
        },
    );
    let noticed = start.elapsed();
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    let running = Instant::now();
    site.gateway.wait_for_agent("shed");
    eprintln!(
        "offline {:.2} s after it froze, back {:.2} s after it went on",
        noticed.as_secs_f32(),
        running.elapsed().as_secs_f32()
    );
}

#[test]
fn over_quic_a_viewer_of_a_forward_outlives_a_new_lease_in_another_network() {
    lasts("quic", "new lease", 25, |site| {
        let address = site.lease.move_to(&site.house, "192.168.77");
        eprintln!("the camera is at {address} now");
    });
}

#[test]
fn over_quic_a_viewer_of_a_forward_outlives_a_reboot_of_the_router_with_a_new_public_address() {
    lasts("quic", "router reboot", 30, |site| {
        site.house.reboot_router(Duration::from_secs(5));
    });
}

#[test]
fn over_quic_a_viewer_of_a_forward_outlives_twenty_seconds_without_a_line() {
    lasts("quic", "no line for 20 s", 45, |site| {
        site.house.cut_line(Duration::from_secs(20));
    });
}

#[test]
fn over_quic_a_viewer_of_a_forward_outlives_a_black_hole() {
    lasts("quic", "black hole", 25, |site| {
        let swallowed = site.house.swallow_datagrams(&site.house.camera);
        assert_eq!(swallowed, 1, "one socket carries everything");
    });
}

#[test]
fn over_quic_a_viewer_of_a_forward_outlives_a_frozen_agent() {
    lasts("quic", "agent frozen", 28, freeze_until_noticed);
}

/// When bytes came to one who connects again whenever the connection ends, and how connections ended.
#[derive(Default)]
struct Diary {
    came: Mutex<Vec<Instant>>,
    ends: Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Diary {
    /// Keeps calling `visit`, which notes what comes until its connection ends, and says how.
    fn keep(visit: impl Fn(&Self) -> io::Result<()> + Send + 'static) -> Arc<Self> {
        let diary = Arc::new(Self::default());
        let kept = Arc::clone(&diary);
        std::thread::spawn(move || {
            while !kept.over.load(Ordering::Relaxed) {
                let end = visit(&kept).map_or_else(|error| error.to_string(), |()| "end".into());
                kept.ends.lock().unwrap().push(end);
                sleep(Duration::from_millis(100));
            }
        });
        diary
    }

    fn note(&self) -> io::Result<()> {
        self.came.lock().unwrap().push(Instant::now());
        match self.over.load(Ordering::Relaxed) {
            true => Err(io::Error::other("over")),
            false => Ok(()),
        }
    }

    fn next_after(&self, moment: Instant) -> Duration {
        tools::wait_for("something to come again", Duration::from_secs(60), || {
            let came = self.came.lock().unwrap();
            came.iter().find(|&&at| at > moment).copied()
        }) - moment
    }
}

/// The gateway's process is killed and started again: viewers of the restream and of the forward connect again, and see
/// pictures again.
fn a_restart_is_survived(transport: &str) {
    let Some(mut site) = Site::build(transport) else {
        return;
    };
    let listener = site
        .house
        .camera
        .inside(|| TcpListener::bind("127.0.0.1:9000").unwrap());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            std::thread::spawn(move || {
                while socket.write_all(&[7; 1000]).is_ok() {
                    sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let (host, rtsp, url) = (
        site.house.gateway.clone(),
        site.gateway.rtsp,
        site.gateway.url("shed"),
    );
    let restream = Diary::keep(move |diary| {
        let mut viewer = Viewer::connect(&host, rtsp, &url)?;
        viewer.try_to_play()?;
        loop {
            viewer.unit()?;
            diary.note()?;
        }
    });
    let host = site.house.gateway.clone();
    let forward = Diary::keep(move |diary| {
        let mut socket = host.connect("127.0.0.1:8655".parse().unwrap())?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut buffer = [0; 4096];
        while socket.read(&mut buffer)? > 0 {
            diary.note()?;
        }
        Ok(())
    });
    for diary in [&restream, &forward] {
        diary.next_after(Instant::now());
    }
    sleep(Duration::from_secs(4));
    let ends = forward.ends.lock().unwrap().len();
    let killed = Instant::now();
    site.gateway.restart();
    let ready = killed.elapsed();
    // What was under way to a viewer when the process died may still come.
    let begin = killed + ready.min(Duration::from_millis(300));
    let (pictures, bytes) = (restream.next_after(begin), forward.next_after(begin));
    let seen = forward.ends.lock().unwrap()[ends].clone();
    eprintln!(
        "gateway restarted ({transport}): it was ready after {:.2} s, the restream's viewer had pictures again after \
         {:.2} s, the forward's bytes after {:.2} s; the forward's viewer saw: {seen}",
        ready.as_secs_f32(),
        (pictures + (begin - killed)).as_secs_f32(),
        (bytes + (begin - killed)).as_secs_f32(),
    );
    let status = site.gateway.agent("shed").unwrap();
    eprintln!("{status}");
    assert_eq!(status["transport"], transport);
    for diary in [restream, forward] {
        diary.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn viewers_come_back_after_a_restart_of_the_gateway() {
    a_restart_is_survived("websocket");
}

#[test]
fn over_quic_viewers_come_back_after_a_restart_of_the_gateway() {
    a_restart_is_survived("quic");
}

/// A house with a camera in it, if this machine can have them.
fn house_with_camera() -> Option<(House, Camera)> {
    let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables")
        && tools::require(tools::has_camera(), "GStreamer's RTSP server and ffmpeg");
    is_possible.then(|| {
        let house = House::build();
        let camera = Camera::start(&house.camera, Model::h264().at("0.0.0.0:554"));
        (house, camera)
    })
}

/// Plays the camera that the agent knows as `host`, before and after its address changes.
fn is_found_where_it_has_moved(house: &House, camera: &Camera, host: &str) {
    let target = format!("{host}:554");
    let gateway = Gateway::start_in(
        house,
        &format!(
            "forwards:\n  - {{ listen: \"127.0.0.1:8654\", agent: shed, target: \"{target}\" }}\n"
        ),
    );
    let code = gateway.add_agent("shed");
    let _agent = Agent::join(&house.agent, &code, &[&target]);
    gateway.wait_for_agent("shed");
    let url = camera.url_at("127.0.0.1:8654");
    for address in ["192.168.1.10", "192.168.1.55"] {
        house.camera.ip("address flush dev lan scope global");
        house
            .camera
            .ip(&format!("address add {address}/24 dev lan"));
        let played = players::ffmpeg(&house.gateway, Path::new("ffmpeg"), &url, Transport::Tcp, 2);
        assert!(played.is_ok, "at {address}: {}", played.complaints);
        assert!(
            played.pictures.len() >= 45,
            "at {address}: {}",
            played.pictures.len()
        );
        // The gateway is told where it was found.
        let statistics = gateway.api("/agents/shed/stats");
        assert_eq!(statistics["camera"]["ip"], address);
        assert_eq!(statistics["camera"]["auto_detected"], true);
    }
}

#[test]
fn a_camera_that_is_named_by_its_mac_address_is_found_where_it_has_moved() {
    let Some((house, camera)) = house_with_camera() else {
        return;
    };
    let mut cat = house.camera.command("cat");
    let mac = cat.arg("/sys/class/net/lan/address").output().unwrap();
    let mac = String::from_utf8(mac.stdout)
        .unwrap()
        .trim()
        .replace(':', "-");
    is_found_where_it_has_moved(&house, &camera, &mac);
}

#[test]
fn a_camera_that_is_named_by_its_onvif_device_id_is_found_where_it_has_moved() {
    let Some((house, camera)) = house_with_camera() else {
        return;
    };
    let device = "5f3e0a11-77aa-4b1e-9d52-00408cb4c9e1";
    let answers = |device: &str| {
        let mut command = house.camera.command(tools::program("eyelet"));
        command.args([
            "simulate",
            "onvif",
            "--address",
            "192.168.1.10",
            "--device",
            device,
        ]);
        let mut responder = Running::start("eyelet simulate onvif", &mut command);
        responder.wait_for_line("that it answers", Duration::from_secs(20), |line| {
            line.contains("answers in the network").then_some(())
        });
        responder
    };
    // Another device in the same machine answers first; it is not the one.
    let _devices = ["00000000-0000-0000-0000-00000000beef", device].map(answers);
    is_found_where_it_has_moved(&house, &camera, &format!("onvif-{device}"));
}
