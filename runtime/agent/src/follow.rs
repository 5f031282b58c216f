//! A camera whose address moves, named by what does not: its MAC address as a host (`9c-8e-cd-01-02-03`), the host name
//! that it tells its DHCP server, or its ONVIF device id (`onvif-2419d68a-2dd2-21b2-a205-9c8ecd010203`). Looked up where
//! it can be known without privileges: the kernel's neighbour table, the lease file if this machine is the router, and
//! the answers to a question to all devices of the network.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use lan::discovery::{self, Answer};
use lan::{Lease, Mac, Network, Uuid, leases, neighbours, networks};
use socket2::SockRef;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

/// `arp(7)`'s table.
const NEIGHBOURS: &str = "/proc/net/arp";
/// Networks that this machine stands in, among its routes.
const ROUTES: &str = "/proc/net/route";
/// Lease files of dnsmasq (OpenWrt, Debian) and of ISC's server.
const LEASES: [&str; 5] = [
    "/tmp/dhcp.leases",
    "/var/lib/misc/dnsmasq.leases",
    "/var/lib/dnsmasq/dnsmasq.leases",
    "/var/lib/dhcp/dhcpd.leases",
    "/var/lib/dhcpd/dhcpd.leases",
];
/// Largest lease file that is read; ISC's server appends to it for a while.
const MAX_FILE: u64 = 1 << 20;
/// Most addresses that are tried for one camera.
const MAX_CANDIDATES: usize = 3;
/// Discard: nobody listens there, but the kernel has to find out who has the address before it can send.
const DISCARD: u16 = 9;
/// Datagrams that wait for a neighbour are charged to their socket; this many fit into what it may have.
const CALLS_OF_A_SOCKET: usize = 64;
/// How long neighbours take to answer.
const ANSWER: Duration = Duration::from_millis(600);
/// When devices are asked: datagrams get lost, and a device may wait half a second before it answers (WS-Discovery,
/// section 2.4).
const ASKED_AT: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_millis(1_000),
];
/// When the last answer is waited for no longer.
const ANSWERED_WITHIN: Duration = Duration::from_millis(2_000);
/// Most networks in which devices are asked at once.
const MAX_NETWORKS: usize = 8;
/// Most answers that are read to one question: whoever floods the network ends the search, and nothing else.
const MAX_ANSWERS: usize = 1_024;

/// Where the camera with this MAC address may be now, the likeliest first. Neighbours that are not known yet are called.
pub(crate) async fn find_mac(mac: Mac) -> Vec<IpAddr> {
    let found = look(mac);
    if !found.is_empty() {
        return found;
    }
    call_mac(mac).await
}

/// As [`find_mac`], after calling all neighbours: what was known may be old.
pub(crate) async fn call_mac(mac: Mac) -> Vec<IpAddr> {
    call();
    sleep(ANSWER).await;
    look(mac)
}

/// Where the camera with this host name is, by the leases that this machine gives.
pub(crate) fn find_name(name: &str) -> Option<IpAddr> {
    let newest = all_leases()
        .into_iter()
        .rfind(|lease| lease.name.eq_ignore_ascii_case(name));
    newest.map(|lease| lease.address)
}

/// `Some(true)` if this machine has given that address by DHCP; else nobody here knows.
pub(crate) fn is_given(address: IpAddr) -> Option<bool> {
    let is_given = all_leases().iter().any(|lease| lease.address == address);
    is_given.then_some(true)
}

/// Where the camera with this ONVIF device id answers from, of the networks that this machine stands in.
pub(crate) async fn find_device(device: Uuid) -> Option<IpAddr> {
    let mut asking = JoinSet::new();
    for network in own_networks().into_iter().take(MAX_NETWORKS) {
        asking.spawn(ask(network, device));
    }
    // Dropping the set ends the other networks' questions.
    while let Some(found) = asking.join_next().await {
        match found {
            Ok(Ok(Some(address))) => return Some(address),
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => debug!("a network cannot be asked for its devices: {error}"),
        }
    }
    None
}

/// Asks the devices of one network which of them it is. The address is the one that the answer comes from, and must be
/// of this network: what an answer says of addresses could lead anywhere.
async fn ask(network: Network, device: Uuid) -> std::io::Result<Option<IpAddr>> {
    let local = local_address(network)?;
    let socket = UdpSocket::bind((local, 0))?;
    socket.set_nonblocking(true)?;
    SockRef::from(&socket).set_multicast_if_v4(&local)?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut message = [0; 16];
    getrandom::fill(&mut message).map_err(|error| std::io::Error::other(error.to_string()))?;
    let message = Uuid::new(message);
    let question = discovery::probe(message);
    let start = Instant::now();
    let mut until = ASKED_AT.iter().skip(1).chain([&ANSWERED_WITHIN]);
    let mut buffer = vec![0; discovery::MAX_MESSAGE];
    let mut answers = 0;
    for _ in ASKED_AT {
        let group = (discovery::GROUP, discovery::PORT);
        socket.send_to(question.as_bytes(), group).await?;
        let deadline = start + *until.next().unwrap_or(&ANSWERED_WITHIN);
        while let Ok(received) = timeout_at(deadline, socket.recv_from(&mut buffer)).await {
            let (len, from) = received?;
            answers += 1;
            if answers > MAX_ANSWERS {
                return Ok(None);
            }
            let IpAddr::V4(address) = from.ip() else {
                continue;
            };
            let answer = Answer::read(buffer.get(..len).unwrap_or_default());
            if answer.asked == Some(message)
                && answer.devices.contains(&device)
                && network.contains(address)
            {
                return Ok(Some(address.into()));
            }
        }
    }
    Ok(None)
}

/// This machine's own address in a network.
fn local_address(network: Network) -> std::io::Result<Ipv4Addr> {
    let someone = network.addresses().next().unwrap_or(network.address);
    // Sends nothing: it asks the kernel for the way there.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((someone, DISCARD))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(std::io::ErrorKind::AddrNotAvailable.into()),
    }
}

fn look(mac: Mac) -> Vec<IpAddr> {
    let leased = all_leases().into_iter().rfind(|lease| lease.mac == mac);
    // A lease is the newer news: the table keeps an old address for minutes.
    let mut found: Vec<IpAddr> = leased.map(|lease| lease.address).into_iter().collect();
    let table = fs::read_to_string(NEIGHBOURS).unwrap_or_default();
    found.extend(neighbours(&table, mac).into_iter().take(MAX_CANDIDATES));
    found
}

fn all_leases() -> Vec<Lease> {
    let read = |path: &&str| {
        // A pipe in its place would never end.
        let is_small = fs::metadata(Path::new(path))
            .is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
        is_small.then(|| fs::read_to_string(path).ok())?
    };
    let texts: Vec<String> = LEASES.iter().filter_map(read).collect();
    let all = texts.iter().flat_map(|text| leases(text));
    // Anybody may have written what lies in /tmp: no lease leads out of the networks that this machine stands in.
    let networks = own_networks();
    let is_near = |lease: &Lease| match lease.address {
        IpAddr::V4(address) => networks.iter().any(|network| network.contains(address)),
        IpAddr::V6(_) => true,
    };
    all.filter(is_near).collect()
}

fn own_networks() -> Vec<Network> {
    networks(&fs::read_to_string(ROUTES).unwrap_or_default())
}

/// Sends an empty datagram to every address of the networks that this machine stands in: the kernel then asks who they
/// are, and those who are there get into its table.
fn call() {
    for network in own_networks() {
        let addresses: Vec<Ipv4Addr> = network.addresses().collect();
        for some in addresses.chunks(CALLS_OF_A_SOCKET) {
            let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else {
                return;
            };
            // The kernel takes a datagram at once and keeps it until the neighbour has answered; who does not is let go.
            let _ = socket.set_nonblocking(true);
            for &address in some {
                let _ = socket.send_to(&[], SocketAddr::from((address, DISCARD)));
            }
        }
    }
}
