//! A camera whose address moves, named by what does not: its MAC address as a host (`9c-8e-cd-01-02-03`), or the host
//! name that it tells its DHCP server. Looked up where it can be known without privileges: the kernel's neighbour
//! table, and the lease file if this machine is the router.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

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
/// Largest network that is called through; a site's LAN has 254 addresses.
const MAX_CALLED: u32 = 1022;
/// Discard: nobody listens there, but the kernel has to find out who has the address before it can send.
const DISCARD: u16 = 9;
/// Datagrams that wait for a neighbour are charged to their socket; this many fit into what it may have.
const CALLS_OF_A_SOCKET: usize = 64;
/// How long neighbours take to answer.
const ANSWER: Duration = Duration::from_millis(600);

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mac([u8; 6]);

impl Mac {
    /// Reads six pairs of hex digits between dashes or colons.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(['-', ':']);
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2)?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

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
    call(&fs::read_to_string(ROUTES).unwrap_or_default());
    sleep(ANSWER).await;
    look(mac)
}

/// Where the camera with this host name is, by the leases that this machine gives.
pub(crate) fn find_name(name: &str) -> Option<IpAddr> {
    let newest = leases()
        .into_iter()
        .rfind(|lease| lease.name.eq_ignore_ascii_case(name));
    newest.map(|lease| lease.address)
}

fn look(mac: Mac) -> Vec<IpAddr> {
    let leased = leases().into_iter().rfind(|lease| lease.mac == mac);
    // A lease is the newer news: the table keeps an old address for minutes.
    let mut found: Vec<IpAddr> = leased.map(|lease| lease.address).into_iter().collect();
    let table = fs::read_to_string(NEIGHBOURS).unwrap_or_default();
    found.extend(neighbours(&table, mac).into_iter().take(MAX_CANDIDATES));
    found
}

/// Rows of `IP, hardware type, flags, hardware address, mask, device`; flag 2 says that the entry is complete. A camera
/// that has moved is there twice for a while.
fn neighbours(table: &str, mac: Mac) -> Vec<IpAddr> {
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut fields = row.split_whitespace();
        let address: IpAddr = fields.next()?.parse().ok()?;
        let flags = fields.nth(1)?.strip_prefix("0x")?;
        let is_complete = u8::from_str_radix(flags, 16).ok()? & 2 != 0;
        (is_complete && Mac::parse(fields.next()?)? == mac).then_some(address)
    });
    rows.collect()
}

#[derive(Debug, PartialEq)]
struct Lease {
    mac: Mac,
    address: IpAddr,
    name: String,
}

fn leases() -> Vec<Lease> {
    let read = |path: &&str| {
        let is_small = fs::metadata(Path::new(path)).is_ok_and(|meta| meta.len() <= MAX_FILE);
        is_small.then(|| fs::read_to_string(path).ok())?
    };
    let texts: Vec<String> = LEASES.iter().filter_map(read).collect();
    texts.iter().flat_map(|text| parse_leases(text)).collect()
}

/// dnsmasq writes `EXPIRY MAC IP NAME CLIENT` a line, ISC's server blocks `lease IP { … }`, the newest last.
fn parse_leases(text: &str) -> Vec<Lease> {
    let mut found = Vec::new();
    let mut block: Option<(IpAddr, Option<Mac>, String)> = None;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["lease", address, "{"] => {
                block = address
                    .parse()
                    .ok()
                    .map(|address| (address, None, String::new()));
            }
            ["hardware", "ethernet", mac] => {
                if let Some(block) = &mut block {
                    block.1 = Mac::parse(mac.trim_end_matches(';'));
                }
            }
            ["client-hostname", name] => {
                if let Some(block) = &mut block {
                    name.trim_matches(['"', ';']).clone_into(&mut block.2);
                }
            }
            ["}"] => {
                if let Some((address, Some(mac), name)) = block.take() {
                    found.push(Lease { mac, address, name });
                }
            }
            [_, mac, address, name, ..] => {
                if let (Some(mac), Ok(address)) = (Mac::parse(mac), address.parse()) {
                    found.push(Lease {
                        mac,
                        address,
                        name: (*name).to_owned(),
                    });
                }
            }
            _ => {}
        }
    }
    found
}

/// Sends an empty datagram to every address of the networks that this machine stands in: the kernel then asks who they
/// are, and those who are there get into its table.
fn call(routes: &str) {
    for (network, hosts) in networks(routes) {
        let addresses: Vec<u32> = (1..=hosts).map(|host| network.wrapping_add(host)).collect();
        for some in addresses.chunks(CALLS_OF_A_SOCKET) {
            let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else {
                return;
            };
            // The kernel takes a datagram at once and keeps it until the neighbour has answered; who does not is let go.
            let _ = socket.set_nonblocking(true);
            for &address in some {
                let _ = socket.send_to(&[], SocketAddr::from((Ipv4Addr::from(address), DISCARD)));
            }
        }
    }
}

/// Networks without a gateway, with the number of their hosts, from the kernel's table: `iface destination gateway flags
/// refcount use metric mask …`, addresses in hex as they lie in memory.
fn networks(routes: &str) -> Vec<(u32, u32)> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let row = |row: &str| {
        let fields: Vec<&str> = row.split_whitespace().collect();
        let (network, gateway) = (hex(fields.get(1)?)?, hex(fields.get(2)?)?);
        let hosts = (!hex(fields.get(7)?)?).saturating_sub(1);
        (gateway == 0 && network != 0 && (1..=MAX_CALLED).contains(&hosts))
            .then_some((network, hosts))
    };
    routes.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac() -> Mac {
        Mac::parse("9c-8e-cd-01-02-03").unwrap()
    }

    #[test]
    fn a_mac_address_is_told_from_a_host_name() {
        assert_eq!(Mac::parse("9C:8E:CD:01:02:03"), Some(mac()));
        for text in [
            "camera",
            "9c-8e-cd-01-02",
            "9c-8e-cd-01-02-03-04",
            "9c8ecd010203",
            "9c-8e-cd-01-02-0g",
            "",
        ] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_neighbour_is_found_when_its_entry_is_complete() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            192.168.1.9      0x1         0x0         9c:8e:cd:01:02:03     *        br-lan\n\
            192.168.1.10     0x1         0x2         9c:8e:cd:01:02:03     *        br-lan\n\
            192.168.1.11     0x1         0x2         00:00:00:00:00:01     *        br-lan\n";
        let expected: IpAddr = "192.168.1.10".parse().unwrap();
        assert_eq!(neighbours(table, mac()), [expected]);
        assert!(neighbours("", mac()).is_empty());
    }

    #[test]
    fn leases_of_dnsmasq_and_of_isc_are_read_and_the_newest_counts() {
        let dnsmasq =
            "1765000000 9c:8e:cd:01:02:03 192.168.1.10 shed-cam 01:9c:8e:cd:01:02:03\nduid 00:01\n";
        let isc = "lease 192.168.1.20 {\n  starts 4;\n  hardware ethernet 9c:8e:cd:01:02:03;\n  client-hostname \"shed-cam\";\n}\n\
            lease 192.168.1.21 {\n  hardware ethernet 9c:8e:cd:01:02:03;\n}\n";
        let address = |text: &str| parse_leases(text).last().unwrap().address.to_string();
        assert_eq!(address(dnsmasq), "192.168.1.10");
        assert_eq!(address(isc), "192.168.1.21");
        assert_eq!(parse_leases(isc)[0].name, "shed-cam");
        assert!(parse_leases("}\nlease x {\nhardware ethernet y;\n}\n").is_empty());
    }

    #[test]
    fn the_networks_to_call_are_those_without_a_gateway_and_of_a_sites_size() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            lan 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n\
            lan 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
            vpn 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n";
        let expected = u32::from(Ipv4Addr::new(192, 168, 1, 0));
        assert_eq!(networks(routes), [(expected, 254)]);
    }
}
