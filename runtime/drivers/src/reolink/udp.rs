//! A session over one UDP socket: the crate's client, driven by tokio.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use dialer::BoxDatagrams;
use proto_baichuan::bcudp::{
    HELLO_PORTS, LOOKUP_PORT, Method, UdpClient, UdpClose, UdpConfig, UdpEvent,
};
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::Instant;

use super::address::{Search, masked};
use super::device::Device;
use super::outage::Outage;

/// How long a search may take. A battery camera wakes within a few seconds, and whoever watches has
/// an answer before the supervisor loses its patience.
const PATIENCE: Duration = Duration::from_secs(18);

/// The vendor's look-up servers: `p2p` and `p2p1` to `p2p11` of this domain. Asked only if the
/// source allows it: they learn the UID and our address.
const SERVERS: (&str, u8) = ("reolink.com", 11);

/// Most addresses of look-up servers that are asked.
const MAX_SERVERS: usize = 24;

/// How long the servers' names may take to resolve.
const RESOLVE: Duration = Duration::from_secs(3);

/// How long the way to the camera may take for our last words.
const GOODBYE: Duration = Duration::from_secs(2);

/// A datagram of ours has at most 1,350 bytes; this takes any.
const READ: usize = 65_536;

pub(super) struct UdpWire {
    socket: BoxDatagrams,
    client: UdpClient,
    buf: Vec<u8>,
    uid: String,
}

impl UdpWire {
    /// Searches the camera and opens a session with it; this wakes it.
    pub(super) async fn open(device: &Device, search: &Search) -> Result<Self, Outage> {
        let is_direct = device.dialer.is_direct();
        if !is_direct && (search.method != Method::Local || search.port.is_some()) {
            return Err(Outage::Unsupported(
                "through an agent a camera with a UID is searched in the agent's network, from any port: leave discovery= and port= out of the source".to_owned(),
            ));
        }
        let hellos: Vec<SocketAddr> = match search.address {
            Some(SocketAddr::V4(known)) if known.port() != 0 => vec![SocketAddr::V4(known)],
            Some(known) => HELLO_PORTS
                .map(|port| SocketAddr::new(known.ip(), port))
                .into(),
            None => HELLO_PORTS
                .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), port))
                .into(),
        };
        let servers = match search.method {
            Method::Local => Vec::new(),
            Method::Remote | Method::Relay => servers(&search.servers).await,
        };
        let unknown = SocketAddr::from((Ipv4Addr::BROADCAST, HELLO_PORTS[0]));
        let towards = hellos.first().or(servers.first()).copied();
        let towards = towards.unwrap_or(unknown);
        let wanted = search
            .port
            .map_or_else(String::new, |port| format!("UDP port {port}: "));
        let failed = |error: io::Error| Outage::Unreachable {
            target: masked(&search.uid),
            path: device.dialer.describe(),
            kind: error.kind(),
            said: format!("{wanted}{error}"),
        };
        let opened = device.dialer.datagrams(towards, search.port).await;
        let socket = opened.map_err(failed)?;
        // An agent's address only the servers would be told, and they are not asked.
        let own = match is_direct {
            true => own_address(towards).await,
            false => Ipv4Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(own, socket.port());
        let config = UdpConfig {
            uid: search.uid.clone(),
            hellos,
            servers,
            method: search.method,
            local,
            seed: getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())),
            patience: PATIENCE,
        };
        let mut wire = Self {
            socket,
            client: UdpClient::new(config, Instant::now().into_std()),
            buf: vec![0; READ],
            uid: masked(&search.uid),
        };
        loop {
            match wire.step().await.map_err(failed)? {
                Some(UdpEvent::Connected { peer, method, .. }) => {
                    tracing::debug!(uid = wire.uid, %peer, ?method, "found the camera");
                    return Ok(wire);
                }
                Some(UdpEvent::Closed(reason)) => return Err(outage(reason, search)),
                None => {}
            }
        }
    }

    pub(super) async fn send(&mut self, message: &Bytes) -> io::Result<()> {
        self.client
            .send(message, Instant::now().into_std())
            .map_err(io::Error::other)?;
        self.flush().await;
        Ok(())
    }

    pub(super) async fn receive(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(bytes) = self.client.poll_input() {
                return Ok(bytes);
            }
            if let Some(UdpEvent::Closed(reason)) = self.step().await? {
                return match reason {
                    UdpClose::Closed => Ok(Bytes::new()),
                    UdpClose::Ended => Err(io::Error::other(
                        "the camera ended it; battery cameras do before they sleep",
                    )),
                    UdpClose::Silent => Err(io::Error::other(
                        "nothing came for 10 s; it may be out of reach",
                    )),
                    reason => Err(io::Error::other(format!("{reason:?}"))),
                };
            }
        }
    }

    pub(super) async fn close(&mut self) {
        self.client.close();
        self.flush().await;
        // Who does not take the goodbye in time notices the silence.
        let _ = tokio::time::timeout(GOODBYE, self.socket.close()).await;
    }

    /// Waits for a datagram or the time of the next one. May be cancelled: nothing is lost but what
    /// the network may lose as well.
    async fn step(&mut self) -> io::Result<Option<UdpEvent>> {
        self.flush().await;
        if let Some(event) = self.client.poll_event() {
            return Ok(Some(event));
        }
        let far = Instant::now() + PATIENCE;
        let due = self.client.poll_timeout().map_or(far, Instant::from_std);
        tokio::select! {
            received = self.socket.receive(&mut self.buf) => match received {
                Ok((len, from)) => {
                    let datagram = self.buf.get(..len).unwrap_or_default();
                    self.client.handle_datagram(from, datagram, Instant::now().into_std());
                }
                // An earlier datagram found a closed port: the camera may open it yet.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            },
            () = tokio::time::sleep_until(due) => {
                self.client.handle_timeout(Instant::now().into_std());
            }
        }
        self.flush().await;
        Ok(None)
    }

    /// Sends what is due. A datagram that does not fit is one that got lost.
    async fn flush(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            let sent = self.socket.send(&transmit.payload, transmit.to).await;
            if let Err(error) = sent {
                tracing::trace!(uid = self.uid, to = %transmit.to, "a datagram was not sent: {error}");
            }
        }
    }
}

/// The servers that are named, or the vendor's.
async fn servers(named: &[String]) -> Vec<SocketAddr> {
    let (domain, last) = SERVERS;
    let own: Vec<String> = match named {
        [] => std::iter::once(format!("p2p.{domain}:{LOOKUP_PORT}"))
            .chain((1..=last).map(|n| format!("p2p{n}.{domain}:{LOOKUP_PORT}")))
            .collect(),
        named => named.to_vec(),
    };
    let resolve = futures_util::future::join_all(own.into_iter().map(|name| async move {
        match tokio::time::timeout(RESOLVE, lookup_host(name)).await {
            Ok(Ok(found)) => found.filter(SocketAddr::is_ipv4).collect::<Vec<_>>(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    }));
    let mut servers = resolve.await.concat();
    servers.truncate(MAX_SERVERS);
    servers
}

/// Our address as it is seen from `peer`; asks the routing table and sends nothing.
async fn own_address(peer: SocketAddr) -> IpAddr {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let probe = async {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        socket.set_broadcast(true)?;
        socket.connect(peer).await?;
        socket.local_addr()
    };
    probe.await.map_or(unknown, |address| address.ip())
}

/// What a search's end means to a person.
fn outage(reason: UdpClose, search: &Search) -> Outage {
    let uid = masked(&search.uid);
    let unreachable = |said: String| Outage::Unreachable {
        target: format!("camera {uid}"),
        path: "by UDP".to_owned(),
        kind: io::ErrorKind::TimedOut,
        said,
    };
    match reason {
        UdpClose::NotFound { servers_answered } => unreachable(match (search.method, servers_answered) {
            (Method::Local, _) => format!(
                "nobody answered within {} s: it is off, in deep sleep (its button or a movement wakes it) or in another network; address=IP in the source asks that address, discovery=remote asks the vendor's servers",
                PATIENCE.as_secs()
            ),
            (Method::Remote | Method::Relay, false) => "neither it nor the look-up servers answered: is UDP to port 9999 let out?".to_owned(),
            (Method::Remote, true) => "the look-up servers know it, but it cannot be reached from here; discovery=relay passes everything through the vendor's relay".to_owned(),
            (Method::Relay, true) => "the look-up servers know it, but neither it nor the relay answered".to_owned(),
        }),
        UdpClose::Unknown { rsp } => unreachable(format!(
            "the look-up servers know no such camera, or it is not connected to them (code {rsp}): check the UID, which stands on the camera and in the app"
        )),
        UdpClose::Refused { rsp } => Outage::Protocol(format!(
            "it answered and refused the session (code {rsp}): too many viewers at the camera"
        )),
        UdpClose::Ended => Outage::Closed("it ended the session; battery cameras do before they sleep".to_owned()),
        UdpClose::Silent => Outage::Closed("nothing came for 10 s".to_owned()),
        UdpClose::Broken(error) => Outage::Protocol(error.to_string()),
        _ => Outage::Closed("the search ended".to_owned()),
    }
}
