//! Ports at which cameras come in. Several cameras may share one: they are told apart by the
//! address they come from.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use proto_jpeg::MAX_DATAGRAM;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::{Camera, DriverError};

/// Connections that wait for a camera's session. A camera has one, and a second while the first dies.
const MAX_CALLERS: usize = 4;

/// Datagrams that wait for a camera's session: ten large pictures. More are lost, as on any
/// overrun socket.
const MAX_DATAGRAMS: usize = 512;

/// Receive buffer asked of the system: a camera sends all fragments of a picture at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How long a door rests when accepting fails, as when files run out.
const REST: Duration = Duration::from_millis(100);

/// Where a camera that sends by itself is awaited, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) address: SocketAddr,
    /// Only the camera at this address; any if none is named.
    pub(super) from: Option<IpAddr>,
}

impl Listen {
    /// Reads `SCHEME://ADDRESS[:PORT][?from=ADDRESS]`.
    pub(super) fn of(camera: &Camera, default_port: u16) -> Result<Self, DriverError> {
        let wrong = |what: String| DriverError::Configuration(what);
        let host = camera.url.host_str().unwrap_or_default();
        let ip = match host.trim_matches(['[', ']']) {
            "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| {
                wrong(format!(
                    "{host:?} is no address of this machine: write 0.0.0.0 for all of them"
                ))
            })?,
        };
        let mut from = None;
        for (key, value) in camera.url.query_pairs() {
            match &*key {
                "from" => {
                    from = Some(value.parse().map_err(|_| {
                        wrong(format!(
                            "from={value} is no address: write the camera's, such as from=192.168.1.50"
                        ))
                    })?);
                }
                other => {
                    return Err(wrong(format!(
                        "unknown option {other:?} after \"?\"; there is from=ADDRESS"
                    )));
                }
            }
        }
        let port = camera.url.port().unwrap_or(default_port);
        Ok(Self {
            address: SocketAddr::new(ip, port),
            from,
        })
    }

    /// The place of one camera's session at a TCP port.
    pub(super) async fn open_tcp(self) -> Result<Place<(TcpStream, SocketAddr)>, DriverError> {
        let sender = |callers| async move {
            let listener = TcpListener::bind(self.address).await?;
            Ok(tokio::spawn(accept(listener, callers)))
        };
        TCP.open(self, MAX_CALLERS, sender).await
    }

    /// The place of one camera's session at a UDP port.
    pub(super) async fn open_udp(self) -> Result<Place<(Bytes, SocketAddr)>, DriverError> {
        let sender = |callers| async move {
            let socket = UdpSocket::bind(self.address).await?;
            // The system may give less than that, or nothing.
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            Ok(tokio::spawn(receive(socket, callers)))
        };
        UDP.open(self, MAX_DATAGRAMS, sender).await
    }
}

/// One camera's place at a door. The door closes with the last place.
pub(super) struct Place<T> {
    queue: mpsc::Receiver<T>,
    route: Route,
    door: Arc<Door<T>>,
}

impl<T> Place<T> {
    /// The next caller.
    pub(super) async fn next(&mut self) -> Option<T> {
        self.queue.recv().await
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        lock(&self.door.routes).remove(&self.route);
    }
}

/// The address whose callers come here; none takes all that nobody else takes.
type Route = Option<IpAddr>;

type Routes<T> = Arc<Mutex<HashMap<Route, mpsc::Sender<T>>>>;

/// An open port and who answers at it.
struct Door<T> {
    routes: Routes<T>,
    task: JoinHandle<()>,
}

impl<T> Drop for Door<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The open ports of this process. It is one table because ports are one resource: two cameras that
/// name the same one share it, whoever started their sessions.
struct Doors<T>(tokio::sync::Mutex<HashMap<SocketAddr, Weak<Door<T>>>>);

static TCP: LazyLock<Doors<(TcpStream, SocketAddr)>> = LazyLock::new(Doors::new);
static UDP: LazyLock<Doors<(Bytes, SocketAddr)>> = LazyLock::new(Doors::new);

impl<T> Doors<T> {
    fn new() -> Self {
        Self(tokio::sync::Mutex::new(HashMap::new()))
    }

    async fn open<F>(
        &self,
        listen: Listen,
        queue: usize,
        bind: impl FnOnce(Routes<T>) -> F,
    ) -> Result<Place<T>, DriverError>
    where
        F: Future<Output = io::Result<JoinHandle<()>>>,
    {
        let mut doors = self.0.lock().await;
        doors.retain(|_, door| door.strong_count() > 0);
        let open = doors.get(&listen.address).and_then(Weak::upgrade);
        let door = match open {
            Some(door) => door,
            None => {
                let routes = Routes::default();
                let task = bind(Arc::clone(&routes)).await.map_err(|error| {
                    DriverError::Configuration(format!(
                        "cannot listen on {} for the camera: {error} (another program may hold the port)",
                        listen.address
                    ))
                })?;
                let door = Arc::new(Door { routes, task });
                // Port 0 is another port each time.
                if listen.address.port() != 0 {
                    doors.insert(listen.address, Arc::downgrade(&door));
                }
                door
            }
        };
        let (sender, receiver) = mpsc::channel(queue);
        {
            let mut routes = lock(&door.routes);
            if routes.contains_key(&listen.from) {
                return Err(DriverError::Configuration(format!(
                    "another camera is awaited on {} already: name each camera's address with ?from=ADDRESS, or give each its own port",
                    listen.address
                )));
            }
            routes.insert(listen.from, sender);
        }
        Ok(Place {
            queue: receiver,
            route: listen.from,
            door,
        })
    }
}

/// Hands `caller` to whom it is for; false if nobody awaits it or its queue is full.
fn hand_over<T>(routes: &Routes<T>, from: SocketAddr, caller: T) -> bool {
    let ip = from.ip().to_canonical();
    let routes = lock(routes);
    let place = routes.get(&Some(ip)).or_else(|| routes.get(&None));
    place.is_some_and(|place| place.try_send(caller).is_ok())
}

async fn accept(listener: TcpListener, routes: Routes<(TcpStream, SocketAddr)>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if !hand_over(&routes, from, (stream, from)) {
                    tracing::debug!(%from, "a caller that no camera is expected from was sent away");
                }
            }
            Err(error) => {
                tracing::warn!("cameras cannot be let in: {error}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn receive(socket: UdpSocket, routes: Routes<(Bytes, SocketAddr)>) {
    // One byte more than is taken, so that what is too long shows.
    let mut buf = [0; MAX_DATAGRAM + 1];
    loop {
        match socket.recv_from(&mut buf).await {
            Ok((len, from)) => {
                let datagram = Bytes::copy_from_slice(buf.get(..len).unwrap_or_default());
                hand_over(&routes, from, (datagram, from));
            }
            Err(error) => {
                tracing::debug!("a datagram was lost: {error}");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
