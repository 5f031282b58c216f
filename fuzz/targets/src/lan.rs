//! What a local network tells of its cameras.

use lan::discovery::{self, Answer};
use lan::{Mac, Uuid, leases, neighbours, networks};

/// Any text as a lease file: no more leases than lines, and each has an address.
pub fn lan_leases(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let found = leases(&text);
    assert!(found.len() <= text.lines().count());
    assert!(found.iter().all(|lease| !lease.name.contains(['\n', ' '])));
}

/// Any text as the kernel's tables: networks hold their own addresses, neighbours are as many as rows.
pub fn lan_tables(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let first = text.split_whitespace().find_map(Mac::parse);
    if let Some(mac) = first {
        assert!(neighbours(&text, mac).len() <= text.lines().count());
    }
    for network in networks(&text) {
        assert!(network.addresses().all(|address| network.contains(address)));
    }
}

/// Any bytes as messages of WS-Discovery: few devices, and a device that is found can be named as a host.
pub fn lan_discovery(data: &[u8]) {
    let answer = Answer::read(data);
    assert!(answer.devices.len() <= discovery::MAX_DEVICES);
    for device in answer.devices.iter().chain(&answer.asked) {
        assert_eq!(Uuid::from_host(&format!("onvif-{device}")), Some(*device));
    }
    if let Some(asked) = discovery::read_probe(data) {
        assert_eq!(Uuid::parse(&asked.to_string()), Some(asked));
    }
}
