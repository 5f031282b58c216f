//! This machine's addresses and routes: told by the kernel as they change, so that nobody waits for a time-out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::sleep;

/// How long changes may follow one another before they count as one: a new lease takes an address away, gives another,
/// and sets routes.
const SETTLE: Duration = Duration::from_millis(150);
/// How often to look where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(2);

/// Tells of changes.
pub(crate) struct Network {
    /// Somebody wants to hear of them.
    is_watched: bool,
    #[cfg(target_os = "linux")]
    kernel: Option<kernel::News>,
}

impl Network {
    pub(crate) fn new(is_watched: bool) -> Self {
        Self {
            is_watched,
            // A sandbox may forbid it; then it is looked every now and then.
            #[cfg(target_os = "linux")]
            kernel: is_watched
                .then(kernel::News::subscribe)
                .and_then(Result::ok),
        }
    }

    /// Resolves some time after an address, a link or a route has changed, or when it is time to look. Cancel-safe: a
    /// change that was heard of while the caller was away counts.
    pub(crate) async fn changed(&mut self) {
        if !self.is_watched {
            std::future::pending().await
        }
        #[cfg(target_os = "linux")]
        if let Some(kernel) = &mut self.kernel {
            kernel.wait().await;
            sleep(SETTLE).await;
            kernel.forget();
            return;
        }
        sleep(LOOK).await;
    }

    /// Whether the kernel tells of changes; else [`Self::changed`] says nothing of whether there are any.
    pub(crate) fn is_told(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.kernel.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// Forgets changes so far: what is dialed from here on knows of them.
    pub(crate) fn forget(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(kernel) = &mut self.kernel {
            kernel.forget();
        }
    }
}

/// Whether `address` is one of this machine's own. Binding a TCP socket without listening shows it.
pub(crate) fn is_own(address: IpAddr) -> bool {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let bound = socket.and_then(|socket| socket.bind(SocketAddr::new(address, 0)));
    !bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// This machine's address towards `peer`. Connecting a UDP socket sends nothing.
pub(crate) fn towards(peer: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::io;

    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    use tokio::net::UnixDatagram;

    /// Multicast groups of `rtnetlink(7)`: links, IPv4 and IPv6 addresses, IPv4 and IPv6 routes.
    const GROUPS: u32 = 0x1 | 0x10 | 0x100 | 0x40 | 0x400;

    /// The kernel's messages about the network. Only that one came matters, not what it says.
    pub(super) struct News {
        /// A netlink socket: to read datagrams from it, one kind of datagram socket is as good as another.
        socket: UnixDatagram,
        has_come: bool,
    }

    impl News {
        pub(super) fn subscribe() -> io::Result<Self> {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            // Without a protocol it is number 0, the network's own.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            let socket = UnixDatagram::from_std(socket.into())?;
            Ok(Self {
                socket,
                has_come: false,
            })
        }

        /// Resolves when a message has come since [`Self::forget`]. Cancel-safe.
        pub(super) async fn wait(&mut self) {
            while !self.has_come {
                if self.socket.readable().await.is_err() {
                    return std::future::pending().await;
                }
                self.read();
            }
        }

        pub(super) fn forget(&mut self) {
            self.read();
            self.has_come = false;
        }

        fn read(&mut self) {
            let mut message = [0; 1024];
            loop {
                match self.socket.try_recv(&mut message) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Ok(_) => self.has_come = true,
                    // An overflow of the queue is news, too; what else fails will fail again.
                    Err(_) => {
                        self.has_come = true;
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn own_addresses_are_told_from_others() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.77".parse().unwrap()));
    }
}
