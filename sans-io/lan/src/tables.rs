//! The kernel's tables and DHCP servers' lease files.

use std::net::{IpAddr, Ipv4Addr};

/// Most rows that are read of any of these texts: a large site has a thousand devices, and a server's file a few rows
/// for each.
pub const MAX_ROWS: usize = 16 << 10;

/// Largest network that is told of; a site's LAN has 254 addresses.
const MAX_HOSTS: u32 = 1022;

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac([u8; 6]);

impl Mac {
    /// Reads six pairs of hex digits between dashes or colons.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(['-', ':']);
        for byte in &mut bytes {
            let pair = pairs
                .next()
                .filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }
}

/// Where `mac` is, by `/proc/net/arp`: rows of `IP, hardware type, flags, hardware address, mask, device`; flag 2 says
/// that the entry is complete. A camera that has moved is there twice for a while.
#[must_use]
pub fn neighbours(table: &str, mac: Mac) -> Vec<IpAddr> {
    let rows = table.lines().skip(1).take(MAX_ROWS).filter_map(|row| {
        let mut fields = row.split_whitespace();
        let address: IpAddr = fields.next()?.parse().ok()?;
        let flags = fields.nth(1)?.strip_prefix("0x")?;
        let is_complete = u8::from_str_radix(flags, 16).ok()? & 2 != 0;
        (is_complete && Mac::parse(fields.next()?)? == mac).then_some(address)
    });
    rows.collect()
}

/// An address that a DHCP server has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// To whom.
    pub mac: Mac,
    /// What.
    pub address: IpAddr,
    /// What it calls itself; empty or `*` if it does not say.
    pub name: String,
}

/// The leases of a file, the newest last: dnsmasq writes `EXPIRY MAC IP NAME CLIENT` a line, ISC's server blocks
/// `lease IP { … }`.
#[must_use]
pub fn leases(text: &str) -> Vec<Lease> {
    let mut found = Vec::new();
    let mut block: Option<(IpAddr, Option<Mac>, String)> = None;
    for line in text.lines().take(MAX_ROWS) {
        let words: Vec<&str> = line.split_whitespace().take(5).collect();
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

/// A network that this machine stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its lowest address, which nobody has.
    pub address: Ipv4Addr,
    /// How many addresses follow it, without the broadcast address.
    pub hosts: u32,
}

impl Network {
    /// Every address that somebody may have.
    pub fn addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        let network = u32::from(self.address);
        (1..=self.hosts).map(move |host| Ipv4Addr::from(network.wrapping_add(host)))
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        let host = u32::from(address).wrapping_sub(u32::from(self.address));
        (1..=self.hosts).contains(&host)
    }
}

/// Networks without a gateway and of a site's size, from `/proc/net/route`: `iface destination gateway flags refcount use
/// metric mask …`, addresses in hex as they lie in memory.
#[must_use]
pub fn networks(routes: &str) -> Vec<Network> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let row = |row: &str| {
        let fields: Vec<&str> = row.split_whitespace().take(8).collect();
        let (network, gateway) = (hex(fields.get(1)?)?, hex(fields.get(2)?)?);
        let hosts = (!hex(fields.get(7)?)?).saturating_sub(1);
        (gateway == 0 && network != 0 && (1..=MAX_HOSTS).contains(&hosts)).then_some(Network {
            address: network.into(),
            hosts,
        })
    };
    let rows = routes.lines().skip(1).take(MAX_ROWS);
    rows.filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            "9c-8e-cd-01-02-+3",
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
        let address = |text: &str| leases(text).last().unwrap().address.to_string();
        assert_eq!(address(dnsmasq), "192.168.1.10");
        assert_eq!(address(isc), "192.168.1.21");
        assert_eq!(leases(isc)[0].name, "shed-cam");
        assert!(leases("}\nlease x {\nhardware ethernet y;\n}\n").is_empty());
    }

    #[test]
    fn the_networks_to_call_are_those_without_a_gateway_and_of_a_sites_size() {
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            lan 00000000 0101A8C0 0003 0 0 0 00000000 0 0 0\n\
            lan 0001A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
            vpn 0000000A 00000000 0001 0 0 0 000000FF 0 0 0\n";
        let address = Ipv4Addr::new(192, 168, 1, 0);
        let network = Network {
            address,
            hosts: 254,
        };
        assert_eq!(networks(routes), [network]);
        assert_eq!(network.addresses().count(), 254);
        assert!(network.contains(Ipv4Addr::new(192, 168, 1, 254)));
        assert!(!network.contains(Ipv4Addr::new(192, 168, 1, 255)));
        assert!(!network.contains(Ipv4Addr::new(192, 168, 2, 1)));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC*", rows in prop::collection::vec("[0-9a-fx:. *{};\"]{0,60}", 0..30)) {
            for text in [text, rows.join("\n")] {
                let _ = (neighbours(&text, mac()), leases(&text));
                for network in networks(&text) {
                    prop_assert!(network.addresses().all(|address| network.contains(address)));
                }
            }
        }
    }
}
