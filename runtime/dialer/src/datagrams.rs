use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

/// Most networks of this machine that a broadcast goes to; who has more names the address.
const MAX_NETWORKS: usize = 16;

/// A UDP socket, here or beside an agent. What does not fit anywhere is dropped, as networks do.
pub trait Datagrams: Send + Unpin {
    /// The port that answers come to.
    fn port(&self) -> u16;

    /// Sends one datagram. To 255.255.255.255 means: into every network that the socket's machine is in.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>>;

    /// The next datagram: its length in `buf`, and whence it came.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;

    /// Ends it so that what was sent last still arrives.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }
}

/// A boxed UDP socket.
pub type BoxDatagrams = Box<dyn Datagrams>;

impl dyn Datagrams {
    /// Sends one datagram.
    ///
    /// # Errors
    /// What the network said.
    pub async fn send(&mut self, payload: &[u8], to: SocketAddr) -> io::Result<()> {
        poll_fn(|cx| self.poll_send(cx, payload, to)).await
    }

    /// Ends it so that what was sent last still arrives.
    ///
    /// # Errors
    /// What the network said.
    pub async fn close(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    /// Waits for a datagram. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// What the network said.
    pub async fn receive(&mut self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        poll_fn(|cx| self.poll_receive(cx, buf)).await
    }
}

/// A socket of this machine.
pub(crate) struct Here {
    socket: UdpSocket,
    port: u16,
    /// Where the broadcast that is being sent has still to go.
    rest: Vec<SocketAddr>,
}

impl Here {
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        socket.set_broadcast(true)?;
        let port = socket.local_addr()?.port();
        let rest = Vec::new();
        Ok(Self { socket, port, rest })
    }

    fn poll_broadcast(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        port: u16,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            self.rest = subnets()
                .into_iter()
                .map(Subnet::broadcast)
                .chain([Ipv4Addr::BROADCAST])
                .map(|address| SocketAddr::from((address, port)))
                .collect();
        }
        let (mut is_sent, mut failure) = (false, None);
        while let Some(&to) = self.rest.last() {
            // One network that is down does not keep the others from being asked.
            match ready!(self.socket.poll_send_to(cx, payload, to)) {
                Ok(_) => is_sent = true,
                Err(error) => failure = Some(error),
            }
            self.rest.pop();
        }
        Poll::Ready(match failure {
            Some(error) if !is_sent => Err(error),
            _ => Ok(()),
        })
    }
}

impl Datagrams for Here {
    fn port(&self) -> u16 {
        self.port
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        if to.ip() == Ipv4Addr::BROADCAST {
            return self.poll_broadcast(cx, payload, to.port());
        }
        self.rest.clear();
        self.socket.poll_send_to(cx, payload, to).map_ok(drop)
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        let from = ready!(self.socket.poll_recv_from(cx, &mut buf))?;
        Poll::Ready(Ok((buf.filled().len(), from)))
    }
}

/// A network that this machine reaches without a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: u32,
    mask: u32,
}

impl Subnet {
    /// Its lowest address, which nobody has.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        self.address.into()
    }

    /// Where a datagram goes that is for all who are there.
    #[must_use]
    pub fn broadcast(self) -> Ipv4Addr {
        (self.address | !self.mask).into()
    }

    /// Whether `address` belongs to it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask == self.address
    }
}

/// The networks that this machine reaches without a gateway, as far as the system tells: those that a broadcast goes to.
#[must_use]
pub fn subnets() -> Vec<Subnet> {
    subnets_in(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

/// From the kernel's table of routes (proc(5), the file's columns are named in its first line; addresses are in the
/// machine's byte order).
fn subnets_in(routes: &str) -> Vec<Subnet> {
    const UP: u32 = 1;
    const GATEWAY: u32 = 2;
    let mut found = Vec::new();
    for line in routes.lines().skip(1) {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| {
            let text = columns.get(at)?;
            u32::from_str_radix(text, 16).ok()
        };
        let (Some(network), Some(flags), Some(mask)) = (number(1), number(3), number(7)) else {
            continue;
        };
        let host = |raw: u32| u32::from_be_bytes(raw.to_ne_bytes());
        let (address, mask) = (host(network), host(mask));
        // Two addresses or one have no broadcast (RFC 3021), and no mask at all is no network.
        let is_network = (1..=30).contains(&mask.leading_ones());
        if flags & UP == 0 || flags & GATEWAY != 0 || !is_network {
            continue;
        }
        let subnet = Subnet { address, mask };
        if !found.contains(&subnet) && found.len() < MAX_NETWORKS {
            found.push(subnet);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn every_network_beside_this_machine_has_its_broadcast_address() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
             eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
             wlan0\t0000000A\t00000000\t0001\t0\t0\t600\t0000FFFF\t0\t0\t0\n\
             tun0\t0500000A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n\
             nonsense\n";
        let found = subnets_in(routes);
        let broadcasts: Vec<_> = found.iter().map(|subnet| subnet.broadcast()).collect();
        let expected = [
            Ipv4Addr::new(192, 168, 1, 255),
            Ipv4Addr::new(10, 0, 255, 255),
        ];
        assert_eq!(broadcasts, expected);
        assert_eq!(found[0].address(), Ipv4Addr::new(192, 168, 1, 0));
        assert!(found[0].contains(Ipv4Addr::new(192, 168, 1, 44)));
        assert!(!found[0].contains(Ipv4Addr::new(192, 168, 2, 44)));
        assert!(subnets_in("").is_empty());
    }

    #[tokio::test]
    async fn a_datagram_goes_and_its_answer_comes() {
        let mut here: Box<dyn Datagrams> = Box::new(Here::bind(0).await.unwrap());
        let there = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        here.send(b"hello", there.local_addr().unwrap())
            .await
            .unwrap();
        let mut buf = [0; 64];
        let (len, from) = there.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..len], from.port()), (&b"hello"[..], here.port()));
        there.send_to(b"yes", from).await.unwrap();
        let (len, from) = here.receive(&mut buf).await.unwrap();
        assert_eq!(&buf[..len], b"yes");
        assert_eq!(from, there.local_addr().unwrap());
    }
}
