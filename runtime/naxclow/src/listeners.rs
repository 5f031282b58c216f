use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Cloud, Error, Settings, bootstrap, control, datagrams, dns, mqtt};

/// Bytes of media that the system keeps while we are busy: 50 cameras for half a second.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Connections that may wait to be accepted: a thousand cameras come back together after a power cut.
const BACKLOG: i32 = 1024;

/// The cloud's ports, taken.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    tcp: TcpListener,
    udp: Arc<UdpSocket>,
    mqtt: Option<TcpListener>,
    dns: Option<UdpSocket>,
}

/// Where the cloud listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The HTTP bootstrap.
    pub http: SocketAddr,
    /// Control.
    pub tcp: SocketAddr,
    /// Media.
    pub udp: SocketAddr,
    /// The broker's part.
    pub mqtt: Option<SocketAddr>,
    /// Answers for the vendor's names.
    pub dns: Option<SocketAddr>,
}

impl Listeners {
    /// Takes the ports.
    ///
    /// # Errors
    /// [`Error::Listen`] tells which, and what to do.
    pub fn bind(settings: &Settings) -> Result<Self, Error> {
        let tcp = |what, key, address| {
            let listener = listen(address);
            listener.map_err(|source| Error::Listen {
                what,
                key,
                address,
                source,
            })
        };
        let udp = |what, key, address| {
            let socket = datagram_socket(address);
            socket.map_err(|source| Error::Listen {
                what,
                key,
                address,
                source,
            })
        };
        let mqtt = settings.mqtt.map(|at| tcp("MQTT", "a9.mqtt", at));
        let dns = settings.dns.map(|at| udp("DNS", "a9.dns", at));
        Ok(Self {
            http: tcp("the HTTP bootstrap", "a9.http", settings.http)?,
            tcp: tcp("control connections", "a9.tcp", settings.tcp)?,
            udp: Arc::new(udp("media", "a9.udp", settings.udp)?),
            mqtt: mqtt.transpose()?,
            dns: dns.transpose()?,
        })
    }

    /// Where it listens; port 0 of the settings has become a real one.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let mqtt = self.mqtt.as_ref().map(TcpListener::local_addr);
        let dns = self.dns.as_ref().map(UdpSocket::local_addr);
        Ok(Addresses {
            http: self.http.local_addr()?,
            tcp: self.tcp.local_addr()?,
            udp: self.udp.local_addr()?,
            mqtt: mqtt.transpose()?,
            dns: dns.transpose()?,
        })
    }

    /// Serves cameras until `shutdown`.
    pub async fn serve(self, cloud: Cloud, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let udp = self.udp;
        tasks.spawn(bootstrap::serve(self.http, cloud.clone(), shutdown.clone()));
        tasks.spawn(control::serve(
            self.tcp,
            Arc::clone(&udp),
            cloud.clone(),
            shutdown.clone(),
        ));
        tasks.spawn(datagrams::serve(udp, cloud.clone(), shutdown.clone()));
        if let Some(listener) = self.mqtt {
            tasks.spawn(mqtt::serve(listener, cloud.clone(), shutdown.clone()));
        }
        if let Some(socket) = self.dns {
            tasks.spawn(dns::serve(socket, cloud.clone(), shutdown.clone()));
        }
        tasks.spawn(cloud.sweep(shutdown));
        tasks.close();
        tasks.wait().await;
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn datagram_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    // The system may allow less; cameras repeat what is lost. Who may set the system's limits is not held to them.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
