//! A stand-in for the vendor's look-up, register and relay servers, on three sockets.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use proto_baichuan::bcudp::{
    Introduction, MAX_DATAGRAM, P2pServers, ServerPort, ServersConfig, ServersEvent, Transmit,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// The servers. Clones are the same.
#[derive(Clone, Debug)]
pub struct ReolinkServers {
    inner: Arc<Mutex<Inner>>,
    sockets: Arc<[UdpSocket; 3]>,
}

#[derive(Debug)]
struct Inner {
    servers: P2pServers,
    cameras: HashMap<String, mpsc::Sender<Introduction>>,
}

const PORTS: [ServerPort; 3] = [ServerPort::Lookup, ServerPort::Register, ServerPort::Relay];

impl ReolinkServers {
    /// Servers on these sockets. With `is_direct_told` false, clients hear of nothing but the relay.
    pub fn new(
        lookup: UdpSocket,
        register: UdpSocket,
        relay: UdpSocket,
        is_direct_told: bool,
    ) -> io::Result<Self> {
        let config = ServersConfig {
            register: register.local_addr()?,
            relay: relay.local_addr()?,
            is_direct_told,
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(Inner {
                servers: P2pServers::new(config),
                cameras: HashMap::new(),
            })),
            sockets: Arc::new([lookup, register, relay]),
        })
    }

    /// Datagrams that the relay carried so far.
    #[must_use]
    pub fn relayed(&self) -> u64 {
        self.inner().servers.relayed()
    }

    pub(super) fn attach(
        &self,
        uid: &str,
        session: SocketAddr,
        introduce: mpsc::Sender<Introduction>,
    ) {
        let mut inner = self.inner();
        inner.servers.register(uid, session);
        inner.cameras.insert(uid.to_owned(), introduce);
    }

    /// Serves. Ends only by being dropped.
    pub async fn serve(self) -> io::Result<()> {
        let [lookup, register, relay] = &*self.sockets;
        let mut buffers = [
            vec![0; MAX_DATAGRAM],
            vec![0; MAX_DATAGRAM],
            vec![0; MAX_DATAGRAM],
        ];
        let [a, b, c] = &mut buffers;
        loop {
            let (port, received) = tokio::select! {
                received = lookup.recv_from(a) => (ServerPort::Lookup, received.map(|(len, from)| (a[..len].to_vec(), from))),
                received = register.recv_from(b) => (ServerPort::Register, received.map(|(len, from)| (b[..len].to_vec(), from))),
                received = relay.recv_from(c) => (ServerPort::Relay, received.map(|(len, from)| (c[..len].to_vec(), from))),
            };
            // An error is about a client that is gone.
            let Ok((bytes, from)) = received else {
                continue;
            };
            for (port, transmit) in self.handle(port, from, &bytes) {
                let sockets = PORTS.iter().zip(&*self.sockets);
                for (_, socket) in sockets.filter(|(it, _)| **it == port) {
                    drop(socket.send_to(&transmit.payload, transmit.to).await);
                }
            }
        }
    }

    fn handle(
        &self,
        port: ServerPort,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Vec<(ServerPort, Transmit)> {
        let mut inner = self.inner();
        inner.servers.handle_datagram(port, from, bytes);
        while let Some(ServersEvent::Introduced { uid, client }) = inner.servers.poll_event() {
            if let Some(camera) = inner.cameras.get(&uid) {
                // A camera that is overrun misses some; clients ask again.
                let _ = camera.try_send(client);
            }
        }
        std::iter::from_fn(|| inner.servers.poll_transmit()).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }
}
