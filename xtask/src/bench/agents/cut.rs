//! Cuts connections of other processes in the kernel: for both ends it is the network that failed, and neither needs to
//! know how to be cut.
use anyhow::{Context, Result};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::collections::HashSet;
use std::fs::File;
use std::os::linux::fs::MetadataExt;

/// Ends all TCP connections of process `id` to `port`, wherever it is: how many there were. Both ends read the end of
/// the stream at once.
pub(super) fn cut(id: u32, port: u16) -> Result<usize> {
    let wanted = connections(id, port)?;
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    let process = pidfd_open(
        pid.context("no process has this number")?,
        PidfdFlags::empty(),
    )?;
    let mut cut = 0;
    for entry in std::fs::read_dir(format!("/proc/{id}/fd"))? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        // Files are closed and opened meanwhile.
        let (Ok(link), Some(number)) = (std::fs::read_link(&path), number) else {
            continue;
        };
        let Some(inode) = socket_inode(&link.to_string_lossy()) else {
            continue;
        };
        if !wanted.contains(&inode) {
            continue;
        }
        let Ok(socket) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = File::from(socket);
        if socket.metadata()?.st_ino() == inode && shutdown(&socket, Shutdown::Both).is_ok() {
            cut += 1;
        }
    }
    Ok(cut)
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// The sockets of established TCP connections to `port` that process `id` may see.
fn connections(id: u32, port: u16) -> Result<HashSet<u64>> {
    let table = std::fs::read_to_string(format!("/proc/{id}/net/tcp"))?;
    let ending = format!(":{port:04X}");
    let inode = |row: &str| {
        // sl local remote state queues timer retransmissions uid timeout inode
        let fields: Vec<&str> = row.split_whitespace().collect();
        let is_wanted = fields.get(2)?.ends_with(&ending) && *fields.get(3)? == "01";
        is_wanted
            .then(|| fields.get(9)?.parse::<u64>().ok())
            .flatten()
    };
    Ok(table.lines().skip(1).filter_map(inode).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn connections_to_the_port_end_at_both_ends_and_others_stay() {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [mut cut_here, stays_here] =
            [0, 1].map(|n| TcpStream::connect(listeners[n].local_addr().unwrap()).unwrap());
        let [mut cut_there, mut stays_there] = [0, 1].map(|n| listeners[n].accept().unwrap().0);
        let port = listeners[0].local_addr().unwrap().port();
        assert_eq!(cut(std::process::id(), port).unwrap(), 1);
        let mut byte = [0; 1];
        assert_eq!(cut_here.read(&mut byte).unwrap(), 0);
        assert_eq!(cut_there.read(&mut byte).unwrap(), 0);
        std::io::Write::write_all(&mut &stays_here, b"x").unwrap();
        assert_eq!(stays_there.read(&mut byte).unwrap(), 1);
    }
}
