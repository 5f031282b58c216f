//! Whether this machine's address is leased: nothing in the kernel says so for every DHCP client, but each of them
//! leaves traces.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

/// Where clients write down what they were given, as `ADDRESS=…`, `fixed-address …;` or the like.
const LEASES: [&str; 5] = [
    "/run/systemd/netif/leases",
    "/var/lib/NetworkManager",
    "/var/lib/dhcp",
    "/var/lib/dhclient",
    "/var/lib/dhcp3",
];

/// Clients whose files hold no text, or that keep none (BusyBox on a camera).
const CLIENTS: [&str; 4] = ["udhcpc", "dhcpcd", "dhclient", "odhcp6c"];

/// Most files and processes that are looked at: a report is awaited by somebody.
const MAX_LOOKED_AT: usize = 4_096;
/// Largest lease file; dhclient appends for years.
const MAX_FILE: u64 = 1 << 20;

/// `Some(true)` if a DHCP client's traces are found, `None` if not: an address without traces may be leased as well.
pub(crate) fn is_leased(address: IpAddr) -> Option<bool> {
    let is_written = LEASES
        .iter()
        .any(|folder| names(Path::new(folder), &address.to_string()));
    (is_written || client_runs(Path::new("/proc"))).then_some(true)
}

/// Whether a file in `folder` holds `address` as a word of its own.
fn names(folder: &Path, address: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().take(MAX_LOOKED_AT).any(|entry| {
        let is_small = entry
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE);
        let text = is_small.then(|| fs::read_to_string(entry.path()).ok());
        text.flatten().is_some_and(|text| {
            text.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':')
                .any(|word| word == address)
        })
    })
}

fn client_runs(proc: &Path) -> bool {
    let Ok(entries) = fs::read_dir(proc) else {
        return false;
    };
    entries.flatten().take(MAX_LOOKED_AT).any(|entry| {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        let name = is_process.then(|| fs::read_to_string(entry.path().join("comm")).ok());
        name.flatten()
            .is_some_and(|name| CLIENTS.contains(&name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_file_names_the_whole_address() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("2");
        fs::write(&file, "# lease\nADDRESS=192.168.1.20\nROUTER=192.168.1.1\n").unwrap();
        assert!(names(folder.path(), "192.168.1.20"));
        assert!(!names(folder.path(), "192.168.1.2"));
        fs::write(&file, "lease {\n  fixed-address 10.0.0.7;\n}\n").unwrap();
        assert!(names(folder.path(), "10.0.0.7"));
        assert!(!names(&folder.path().join("none"), "10.0.0.7"));
    }

    #[test]
    fn a_running_client_is_a_trace() {
        let proc = tempfile::tempdir().unwrap();
        let process = |pid: &str, name: &str| {
            fs::create_dir(proc.path().join(pid)).unwrap();
            fs::write(proc.path().join(pid).join("comm"), name).unwrap();
        };
        process("self", "udhcpc\n");
        process("1", "init\n");
        assert!(!client_runs(proc.path()));
        process("77", "udhcpc\n");
        assert!(client_runs(proc.path()));
    }
}
