//! An agent that reconnects hundreds of times: it must hold no more afterwards.
//!
//! Its pauses between redials would make that take an hour. A change of the network ends a pause, so here the network
//! changes all the time. `cargo xtask bench agents --only reconnects` does the same ten thousand times.
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use eyelet_tests::eyelet::{Agent, Gateway};
use eyelet_tests::world::{GATEWAY, House};
use eyelet_tests::{process, tools};
use serde_json::Value;

/// Reconnects after which an agent's memory is looked at first: by then every table and buffer has had its turn.
const SETTLED: u64 = 20;
/// What it may hold more at the end than then: five kilobytes lost with each reconnect would be seen.
const MAX_GROWTH: u64 = 512 << 10;
/// What it may hold more at the end than before the first reconnect.
const MAX_SETTLING: u64 = 1 << 20;
/// Longest wait for one reconnect on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two changes of the network.
const WEATHER: Duration = Duration::from_millis(25);
/// All agents together; what is not done by then is left out, if it was enough.
const TIME: Duration = Duration::from_secs(30);
/// Reconnects that are enough.
const ENOUGH: u64 = 60;

/// A port in front of the gateway's, whose connections can be cut.
struct Proxy {
    address: SocketAddr,
    pairs: Arc<Mutex<Vec<[TcpStream; 2]>>>,
}

impl Proxy {
    fn start(house: &House) -> Self {
        let listener = house
            .gateway
            .inside(|| TcpListener::bind((GATEWAY, 0)).unwrap());
        let address = listener.local_addr().unwrap();
        let pairs = Arc::new(Mutex::new(Vec::new()));
        let (kept, host) = (Arc::clone(&pairs), house.gateway.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = host.connect("127.0.0.1:8080".parse().unwrap()).unwrap();
                let pair = [near, far];
                for (from, to) in [(0, 1), (1, 0)] {
                    let mut from = pair[from].try_clone().unwrap();
                    let mut to = pair[to].try_clone().unwrap();
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                kept.lock().unwrap().push(pair);
            }
        });
        Self { address, pairs }
    }

    /// Cuts what stands: how many connections.
    fn cut(&self) -> usize {
        let pairs = std::mem::take(&mut *self.pairs.lock().unwrap());
        for socket in pairs.iter().flatten() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        pairs.len()
    }
}

/// What an agent holds: bytes, open files.
fn held(agent: &Agent) -> (u64, usize) {
    let files = std::fs::read_dir(format!("/proc/{}/fd", agent.process.pid()));
    (agent.process.memory(), files.unwrap().count())
}

/// Lets `reconnect` happen again and again: how often it did. What the agent holds at the end is what it held soon after
/// the beginning, and not much more than before.
fn grows_by_nothing(agent: &Agent, name: &str, count: u64, mut reconnect: impl FnMut(u64)) -> u64 {
    let (start, (fresh, _)) = (Instant::now(), held(agent));
    let (mut settled, mut done) = (None, 0);
    while done < count && (done < ENOUGH || start.elapsed() < TIME) {
        done += 1;
        reconnect(done);
        if done == SETTLED {
            settled = Some(held(agent));
        }
    }
    let (memory, files) = settled.unwrap();
    // Sockets are closed a moment after their successors stand.
    sleep(Duration::from_secs(1));
    let (later, still_open) = held(agent);
    eprintln!(
        "{name}: {fresh} bytes, {memory} after {SETTLED} reconnects, {later} after {done}, in {:.0} s",
        start.elapsed().as_secs_f32()
    );
    assert!(
        later < memory + MAX_GROWTH && later < fresh + MAX_SETTLING,
        "{name}: {fresh} bytes, and {memory} after {SETTLED} reconnects, grew to {later}"
    );
    assert!(
        still_open <= files + 3,
        "{name}: {files} open files grew to {still_open}"
    );
    done
}

#[test]
fn an_agent_that_reconnects_hundreds_of_times_grows_by_nothing() {
    let is_possible = tools::require(tools::has_namespaces(), "root, iproute2 and nftables");
    if !is_possible {
        return;
    }
    let count = std::env::var("EYELET_RECONNECTS").map_or(120, |text| text.parse().unwrap());
    let house = House::build();
    let gateway = Gateway::start_in(&house, "");
    let proxy = Proxy::start(&house);
    let added = gateway.run(&[
        "agent",
        "add",
        "cut",
        "--address",
        &proxy.address.to_string(),
    ]);
    assert!(added.status.success(), "{}", process::text(&added.stderr));
    let code = process::text(&added.stdout).trim().to_owned();
    let cut = Agent::join_by(&house.agent, &code, &[], "websocket");
    let ended = ["websocket", "quic"].map(|transport| {
        let code = gateway.add_agent(transport);
        let agent = Agent::join_by(&house.agent, &code, &[], transport);
        (transport, agent)
    });
    for name in ["cut", "websocket", "quic"] {
        gateway.wait_for_agent(name);
    }

    let is_over = AtomicBool::new(false);
    let (resumed, begun) = scope(|scope| {
        scope.spawn(|| {
            for verb in ["add", "delete"].iter().cycle() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let words = format!("address {verb} 10.77.77.77/32 dev lo");
                house.agent.ip(&words);
                sleep(WEATHER);
            }
        });
        // Its connection is cut, and its session goes on over the next.
        let resumed = scope.spawn(|| {
            grows_by_nothing(&cut, "cut", count, |n| {
                assert_eq!(proxy.cut(), 1, "one connection carries everything");
                tools::wait_for("the session to go on", LIMIT, || {
                    let agent = gateway.agent("cut")?;
                    (agent["reconnects"] == n && agent["connected"] == true).then_some(())
                });
            })
        });
        // Its session is ended, and it begins another.
        let begun = ended.each_ref().map(|(name, agent)| {
            let gateway = &gateway;
            scope.spawn(move || {
                grows_by_nothing(agent, name, count, |n| {
                    let path = format!("/api/v1/agents/{name}/reconnect");
                    let answer = gateway.change("POST", &path, "");
                    assert_eq!(answer.status, 200, "time {n}: {}", answer.text());
                })
            })
        });
        let done = (resumed.join(), begun.map(|begun| begun.join()));
        is_over.store(true, Ordering::Relaxed);
        (done.0.unwrap(), done.1.map(Result::unwrap))
    });

    let told = |name: &str| -> Value { gateway.agent(name).unwrap() };
    let status = told("cut");
    assert_eq!(status["sessions"], 1, "{status}");
    assert_eq!(status["reconnects"], resumed, "{status}");
    for ((name, _), begun) in ended.iter().zip(begun) {
        let status = told(name);
        assert_eq!(status["transport"], *name, "{status}");
        assert_eq!(status["sessions"], begun + 1, "{status}");
        assert_eq!(status["sessions_lost"], 0, "{status}");
    }
}
