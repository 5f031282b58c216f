//! A house behind NAT, made of network namespaces.
//!
//! ```text
//!  camera 192.168.1.10 ─┐
//!                       ├─ router (NAT, drops all that comes in) ─ provider ─ gateway 198.51.100.10
//!  agent  192.168.1.20 ─┘        203.0.113.2      203.0.113.1   198.51.100.1
//! ```
//!
//! No packet leaves: the namespaces have no link to the machine's own network. The provider knows a
//! route into the house, so that it is the router's firewall that keeps strangers out.
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fd::AsFd;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::process;

/// The camera's address in the house.
pub const CAMERA: &str = "192.168.1.10";
/// The address of the machine on which the agent runs.
pub const AGENT: &str = "192.168.1.20";
/// The house's address outside.
pub const ROUTER: &str = "203.0.113.2";
/// The gateway's address.
pub const GATEWAY: &str = "198.51.100.10";

/// A machine: this one, or one in a namespace.
#[derive(Clone, Debug, Default)]
pub struct Host {
    namespace: Option<String>,
}

impl Host {
    /// The machine that runs the test.
    pub fn here() -> Self {
        Self::default()
    }

    /// Whether this machine has all its ports to itself.
    pub fn is_own_network(&self) -> bool {
        self.namespace.is_some()
    }

    /// A command that runs on this machine.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        match &self.namespace {
            None => Command::new(program.as_ref()),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program.as_ref());
                command
            }
        }
    }

    /// Runs `work` with this machine's network. Sockets opened in there keep it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let Some(name) = &self.namespace else {
            return work();
        };
        let namespace = File::open(format!("/run/netns/{name}")).unwrap();
        // A thread of its own: a thread cannot be trusted to come back from another network.
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                work()
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Connects from this machine.
    pub fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(3)))
    }

    /// Changes this machine's firewall.
    pub fn nft(&self, rules: &str) {
        succeed(self.command("nft").arg(rules));
    }
}

/// A host, its ports with their addresses, and its way out.
type Plan<'a> = (&'a Host, &'a [(&'a str, &'a str)], Option<&'a str>);

/// The house, its provider, and the gateway. Taken down when dropped.
pub struct House {
    /// Where the camera runs.
    pub camera: Host,
    /// A small computer beside it, for the agent.
    pub agent: Host,
    /// The house's router.
    pub router: Host,
    /// What lies between.
    pub provider: Host,
    /// The server that anyone can reach.
    pub gateway: Host,
}

/// Where `ip netns exec` finds a namespace's own files of /etc.
const SETTINGS: &str = "/etc/netns";

static HOUSES: AtomicU32 = AtomicU32::new(0);

impl House {
    /// Builds it.
    pub fn build() -> Self {
        sweep();
        let prefix = format!(
            "eyelet-{}-{}",
            std::process::id(),
            HOUSES.fetch_add(1, Ordering::Relaxed)
        );
        let host = |role: &str| {
            let name = format!("{prefix}-{role}");
            succeed(Command::new("ip").args(["netns", "add", &name]));
            Host {
                namespace: Some(name),
            }
        };
        // From here on a panic takes down what stands already.
        let house = Self {
            camera: host("camera"),
            agent: host("agent"),
            router: host("router"),
            provider: host("provider"),
            gateway: host("gateway"),
        };
        house.lay_cables();
        house.address();
        house.close_the_door();
        house
    }

    fn hosts(&self) -> [&Host; 5] {
        [
            &self.camera,
            &self.agent,
            &self.router,
            &self.provider,
            &self.gateway,
        ]
    }

    fn lay_cables(&self) {
        let cable = |from: &Host, port: &str, to: &Host, peer: &str| {
            let (from, to) = (from.name(), to.name());
            succeed(
                Command::new("ip")
                    .args(["link", "add", port, "netns", from, "type", "veth"])
                    .args(["peer", "name", peer, "netns", to]),
            );
        };
        cable(&self.camera, "lan", &self.router, "port1");
        cable(&self.agent, "lan", &self.router, "port2");
        cable(&self.router, "wan", &self.provider, "house");
        cable(&self.gateway, "wan", &self.provider, "server");
        self.router.ip("link add lan type bridge");
        self.router.ip("link set port1 master lan up");
        self.router.ip("link set port2 master lan up");
    }

    fn address(&self) {
        let plan: [Plan<'_>; 5] = [
            (
                &self.camera,
                &[("lan", "192.168.1.10/24")],
                Some("192.168.1.1"),
            ),
            (
                &self.agent,
                &[("lan", "192.168.1.20/24")],
                Some("192.168.1.1"),
            ),
            (
                &self.router,
                &[("lan", "192.168.1.1/24"), ("wan", "203.0.113.2/24")],
                Some("203.0.113.1"),
            ),
            (
                &self.provider,
                &[("house", "203.0.113.1/24"), ("server", "198.51.100.1/24")],
                None,
            ),
            (
                &self.gateway,
                &[("wan", "198.51.100.10/24")],
                Some("198.51.100.1"),
            ),
        ];
        for (host, addresses, default) in plan {
            host.ip("link set lo up");
            for (port, address) in addresses {
                host.ip(&format!("address add {address} dev {port}"));
                host.ip(&format!("link set {port} up"));
            }
            if let Some(default) = default {
                host.ip(&format!("route add default via {default}"));
            }
        }
        self.provider.ip("route add 192.168.1.0/24 via 203.0.113.2");
        for host in [&self.router, &self.provider] {
            host.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        }
    }

    fn close_the_door(&self) {
        self.router.nft(
            "table inet house {
                counter turned_away { }
                chain disguise {
                    type nat hook postrouting priority srcnat; oifname wan masquerade
                }
                chain forwarded {
                    type filter hook forward priority filter; policy drop;
                    ct state established,related accept
                    iifname lan accept
                    counter name \"turned_away\"
                }
                chain incoming {
                    type filter hook input priority filter; policy drop;
                    ct state established,related accept
                    iifname { lan, lo } accept
                    counter name \"turned_away\"
                }
            }",
        );
    }

    /// Packets from outside that the router refused.
    pub fn turned_away(&self) -> u64 {
        self.counter("house", "turned_away")
    }

    fn counter(&self, table: &str, name: &str) -> u64 {
        let mut list = self.router.command("nft");
        let list = list.args(["list", "counter", "inet", table, name]);
        let output = process::run("nft", list, Duration::from_secs(5));
        let text = process::text(&output.stdout);
        let after = text.split("packets ").nth(1).unwrap();
        after.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Makes the gateway deaf to everyone outside on `port`, without a word to either side.
    pub fn cut_listener(&self, port: u16) {
        self.gateway.nft(&format!(
            "table inet cut {{
                chain incoming {{
                    type filter hook input priority filter; iifname wan meta l4proto {{ tcp, udp }} th dport {port} drop
                }}
            }}"
        ));
    }

    /// The house has no line for `length`.
    pub fn cut_line(&self, length: Duration) {
        self.provider.ip("link set house down");
        std::thread::sleep(length);
        self.provider.ip("link set house up");
        self.provider
            .ip("route replace 192.168.1.0/24 via 203.0.113.2");
    }

    /// The router is off for `length`, and has another public address and no memory of connections afterwards.
    pub fn reboot_router(&self, length: Duration) {
        for port in ["wan", "lan"] {
            self.router.ip(&format!("link set {port} down"));
        }
        // Disguised connections are forgotten with the address.
        self.router.ip("address flush dev wan scope global");
        std::thread::sleep(length);
        self.router.ip("address add 203.0.113.77/24 dev wan");
        for port in ["lan", "wan"] {
            self.router.ip(&format!("link set {port} up"));
        }
        self.router.ip("route replace default via 203.0.113.1");
    }

    /// The router swallows every packet of the TCP connections that stand to `port` outside, without a word. New ones pass.
    pub fn swallow_connections(&self, from: &Host, port: u16) -> usize {
        let ending = format!(":{port:04X}");
        let rows = from.inside(|| std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
        let mut ports = Vec::new();
        for row in rows.lines().skip(1) {
            let fields: Vec<&str> = row.split_whitespace().collect();
            if fields[2].ends_with(&ending) && fields[3] == "01" {
                let local = fields[1].rsplit_once(':').unwrap().1;
                ports.push(u16::from_str_radix(local, 16).unwrap().to_string());
            }
        }
        let ports_set = ports.join(", ");
        self.router.nft(&format!(
            "table inet swallow {{
                chain forwarded {{
                    type filter hook forward priority filter - 10;
                    tcp sport {{ {ports_set} }} drop
                    tcp dport {{ {ports_set} }} drop
                }}
            }}"
        ));
        ports.len()
    }

    /// The same for the datagrams of every UDP socket that `from` has now.
    pub fn swallow_datagrams(&self, from: &Host) -> usize {
        let rows = from.inside(|| std::fs::read_to_string("/proc/thread-self/net/udp").unwrap());
        let mut ports = Vec::new();
        for row in rows.lines().skip(1) {
            let local = row.split_whitespace().nth(1).unwrap();
            let port = u16::from_str_radix(local.rsplit_once(':').unwrap().1, 16).unwrap();
            // Leases have to go on.
            if port > 1024 {
                ports.push(port.to_string());
            }
        }
        self.router.nft(&format!(
            "table inet swallow {{
                chain forwarded {{
                    type filter hook forward priority filter - 10;
                    udp sport {{ {0} }} drop
                    udp dport {{ {0} }} drop
                }}
            }}",
            ports.join(", ")
        ));
        ports.len()
    }

    /// The router lets no datagram to or from outside through.
    pub fn block_datagrams(&self) {
        self.router.nft(
            "table inet block {
                chain forwarded {
                    type filter hook forward priority filter - 10; meta l4proto udp drop
                }
            }",
        );
    }

    /// The router loses so many of a hundred packets, both ways.
    pub fn lose_packets(&self, percent: u32) {
        self.router.nft(&format!(
            "table inet lossy {{
                counter lost {{ }}
                chain forwarded {{
                    type filter hook forward priority filter - 10;
                    numgen random mod 100 < {percent} counter name \"lost\" drop
                }}
            }}"
        ));
    }

    /// Packets that were lost that way.
    pub fn lost_packets(&self) -> u64 {
        self.counter("lossy", "lost")
    }

    /// Undoes [`House::cut_listener`].
    pub fn restore_listener(&self) {
        self.gateway.nft("delete table inet cut");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for host in self.hosts() {
            let _ = Command::new("ip")
                .args(["netns", "delete", host.name()])
                .output();
            let _ = std::fs::remove_dir_all(host.settings());
        }
    }
}

impl Host {
    fn name(&self) -> &str {
        self.namespace.as_deref().unwrap()
    }

    fn settings(&self) -> std::path::PathBuf {
        Path::new(SETTINGS).join(self.name())
    }

    /// Programs on this machine ask this name server from now on.
    pub fn ask_names_of(&self, server: &str) {
        std::fs::create_dir_all(self.settings()).unwrap();
        let text = format!("nameserver {server}\noptions timeout:1 attempts:1\n");
        std::fs::write(self.settings().join("resolv.conf"), text).unwrap();
    }

    /// Runs `ip` for this machine, which must do what is asked.
    pub fn ip(&self, words: &str) {
        let mut command = Command::new("ip");
        succeed(
            command
                .args(["-netns", self.name()])
                .args(words.split_whitespace()),
        );
    }
}

/// Removes houses whose test was killed before it could.
fn sweep() {
    let Ok(folder) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for entry in folder.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("eyelet-")
            .and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = Command::new("ip").args(["netns", "delete", &name]).output();
            let _ = std::fs::remove_dir_all(Path::new(SETTINGS).join(name));
        }
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
