//! A DHCP server in the house's router and a DHCP client in one of its machines, both other people's.
use std::time::Duration;

use crate::process::Running;
use crate::tools;
use crate::world::{Host, House};

/// Whether there are a server and a client.
pub fn is_possible() -> bool {
    tools::require(
        tools::has("dnsmasq") && tools::has("udhcpc"),
        "dnsmasq and udhcpc",
    )
}

/// The server and the client.
pub struct Lease {
    server: Running,
    client: Running,
    folder: tempfile::TempDir,
}

impl Lease {
    /// Takes the host's fixed address away; it asks for one from now on.
    pub fn start(house: &House, host: &Host) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(&house.router, folder.path(), "192.168.1");
        host.ip("address flush dev lan scope global");
        let mut client = host.command("udhcpc");
        client.args(["-f", "-i", "lan", "-t", "20", "-T", "1", "-A", "1", "-s"]);
        client.arg(tools::script("dhcp.sh"));
        let mut client = Running::start("udhcpc", &mut client);
        client.wait_for_line("that it has a lease", Duration::from_secs(20), lease);
        Self {
            server,
            client,
            folder,
        }
    }

    /// The router has another network from now on; the client learns of it when it wants to keep its lease. Gives the
    /// new address.
    pub fn move_to(&mut self, house: &House, network: &str) -> String {
        self.server.kill();
        house.router.ip("address flush dev lan scope global");
        house
            .router
            .ip(&format!("address add {network}.1/24 dev lan"));
        let _ = std::fs::remove_file(self.folder.path().join("leases"));
        self.server = serve(&house.router, self.folder.path(), network);
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.client.pid()).unwrap());
        let seen = self.client.said().len();
        rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::USR1).unwrap();
        let client = &self.client;
        tools::wait_for(
            "a lease of the new network",
            Duration::from_secs(30),
            || {
                let said = client.said();
                said[seen..]
                    .iter()
                    .filter_map(|line| lease(line))
                    .find(|address| address.starts_with(network))
            },
        )
    }
}

fn lease(line: &str) -> Option<String> {
    line.strip_prefix("lease ").map(str::to_owned)
}

fn serve(router: &Host, folder: &std::path::Path, network: &str) -> Running {
    let mut command = router.command("dnsmasq");
    command.args([
        "--no-daemon",
        "--conf-file=/dev/null",
        "--port=0",
        "--user=root",
    ]);
    command.args([
        "--interface=lan",
        "--bind-interfaces",
        "--dhcp-authoritative",
    ]);
    command.args(["--no-ping", "--log-dhcp", "--pid-file="]);
    command.arg(format!(
        "--dhcp-range={network}.100,{network}.200,255.255.255.0,2m"
    ));
    command.arg(format!(
        "--dhcp-leasefile={}",
        folder.join("leases").display()
    ));
    let mut server = Running::start("dnsmasq", &mut command);
    server.wait_for_line("that it serves", Duration::from_secs(10), |line| {
        line.contains("DHCP, IP range").then_some(())
    });
    server
}
