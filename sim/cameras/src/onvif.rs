//! A device that is asked for by WS-Discovery, as ONVIF cameras are.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use lan::Uuid;
use lan::discovery::{GROUP, MAX_MESSAGE, PORT, probe_match, read_probe};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

/// Answers for one device id. Only discovery: it has no services.
#[derive(Debug)]
pub struct OnvifResponder {
    device: Uuid,
    socket: UdpSocket,
}

impl OnvifResponder {
    /// Listens for questions in the network of this machine's address `local`. Others on this machine may do so too.
    ///
    /// # Errors
    /// The port or the group is not to be had.
    pub fn bind(device: Uuid, local: Ipv4Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
        let interface = InterfaceIndexOrAddress::Address(local);
        socket.join_multicast_v4_n(&GROUP, &interface)?;
        Ok(Self {
            device,
            socket: UdpSocket::from_std(socket.into())?,
        })
    }

    /// Answers until the socket is gone.
    ///
    /// # Errors
    /// It is.
    pub async fn serve(self) -> io::Result<()> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let mut number = 0_u128;
        loop {
            let (len, from) = self.socket.recv_from(&mut buffer).await?;
            let Some(asked) = read_probe(buffer.get(..len).unwrap_or_default()) else {
                continue;
            };
            number += 1;
            let message = Uuid::new(number.to_be_bytes());
            let service = "http://0.0.0.0/onvif/device_service";
            let answer = probe_match(message, asked, self.device, service);
            // Whoever asked may be gone.
            let _ = self.socket.send_to(answer.as_bytes(), from).await;
        }
    }
}
