//! Networks in memory: a house behind NAT without a kernel.
//!
//! A [`House`] is a LAN of hosts with services. Nothing reaches it from outside: only who holds the
//! house connects, as an agent beside the cameras does. Cables can be pulled and hosts rebooted while
//! connections are open. Delay, loss and datagrams are not simulated.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! let house = sim_net::House::new();
//! house.serve("192.168.1.10", 554, |mut connection| async move {
//!     let _ = connection.write_all(b"hello").await;
//! });
//! let mut camera = house.connect("192.168.1.10", 554).await.unwrap();
//! let mut text = String::new();
//! camera.read_to_string(&mut text).await.unwrap();
//! assert_eq!(text, "hello");
//! # });
//! ```
#![warn(missing_docs)]

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes in flight per direction, as in a small socket buffer: a peer that does not read is felt.
const WINDOW: usize = 64 << 10;

type Handler = Arc<dyn Fn(DuplexStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A LAN behind NAT. Clones are the same house; connections end with the last clone.
#[derive(Clone, Default)]
pub struct House {
    lan: Arc<Mutex<Lan>>,
}

#[derive(Default)]
struct Lan {
    hosts: HashMap<String, Host>,
    connections: JoinSet<()>,
}

struct Host {
    services: HashMap<u16, Handler>,
    cable: watch::Sender<Cable>,
    accepted: u64,
}

/// What the connections of one host have to know.
#[derive(Clone, Copy)]
struct Cable {
    is_plugged: bool,
    /// Rises with every reboot; a connection that has seen a lower number is dead.
    boots: u64,
}

impl House {
    /// An empty house.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a service on a host. `handler` gets one end of each connection and runs until it returns.
    pub fn serve<F>(
        &self,
        host: &str,
        port: u16,
        handler: impl Fn(DuplexStream) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |connection| Box::pin(handler(connection)));
        self.lan().host(host).services.insert(port, handler);
    }

    /// Takes a service away: further connections are refused, open ones stay.
    pub fn stop(&self, host: &str, port: u16) {
        self.lan().host(host).services.remove(&port);
    }

    /// Connects from inside the house.
    ///
    /// # Errors
    /// `HostUnreachable` if there is no such host or its cable is out, `ConnectionRefused` if nothing
    /// listens on the port.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<DuplexStream> {
        // A real network takes its time, too: nobody may rely on a connection without a pause.
        tokio::task::yield_now().await;
        let mut lan = self.lan();
        while lan.connections.try_join_next().is_some() {}
        let unreachable = || {
            io::Error::new(
                io::ErrorKind::HostUnreachable,
                format!("no route to {host}"),
            )
        };
        let found = lan.hosts.get_mut(host).ok_or_else(unreachable)?;
        let cable = found.cable.subscribe();
        let Cable { is_plugged, boots } = *cable.borrow();
        if !is_plugged {
            return Err(unreachable());
        }
        let handler = found.services.get(&port).cloned().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("{host} refuses port {port}"),
            )
        })?;
        found.accepted += 1;
        let (ours, wire_a) = duplex(WINDOW);
        let (wire_b, theirs) = duplex(WINDOW);
        lan.connections.spawn(async move {
            tokio::select! {
                () = rebooted(cable.clone(), boots) => {}
                ((), ()) = async { tokio::join!(carry(wire_a, wire_b, cable), handler(theirs)) } => {}
            }
        });
        Ok(ours)
    }

    /// Pulls a host's cable: open connections fall silent, further ones find no host.
    pub fn unplug(&self, host: &str) {
        self.lan()
            .host(host)
            .cable
            .send_modify(|cable| cable.is_plugged = false);
    }

    /// Puts the cable back: open connections go on where they were.
    pub fn replug(&self, host: &str) {
        self.lan()
            .host(host)
            .cable
            .send_modify(|cable| cable.is_plugged = true);
    }

    /// Reboots a host: open connections end, services stay.
    pub fn reboot(&self, host: &str) {
        self.lan()
            .host(host)
            .cable
            .send_modify(|cable| cable.boots += 1);
    }

    /// How many connections a host has accepted so far.
    #[must_use]
    pub fn accepted(&self, host: &str) -> u64 {
        self.lan().hosts.get(host).map_or(0, |host| host.accepted)
    }

    fn lan(&self) -> MutexGuard<'_, Lan> {
        self.lan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lan {
    fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.entry(name.to_owned()).or_insert_with(|| Host {
            services: HashMap::new(),
            cable: watch::Sender::new(Cable {
                is_plugged: true,
                boots: 0,
            }),
            accepted: 0,
        })
    }
}

/// Returns when the host reboots (or the house is gone).
async fn rebooted(mut cable: watch::Receiver<Cable>, boots: u64) {
    // An error means that the host is gone, which ends connections, too.
    let _ = cable.wait_for(|cable| cable.boots != boots).await;
}

/// Carries bytes both ways until both ends are closed.
async fn carry(a: DuplexStream, b: DuplexStream, cable: watch::Receiver<Cable>) {
    let (a_read, a_write) = split(a);
    let (b_read, b_write) = split(b);
    tokio::join!(
        carry_one_way(a_read, b_write, cable.clone()),
        carry_one_way(b_read, a_write, cable)
    );
}

async fn carry_one_way(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    mut cable: watch::Receiver<Cable>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if cable.wait_for(|cable| cable.is_plugged).await.is_err() {
            return;
        }
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            // The other end may be gone already, which is as good as closed.
            let _ = to.shutdown().await;
            return;
        };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const CAMERA: &str = "192.168.1.10";

    /// A house with a camera that sends back what it gets.
    fn house_with_echo() -> House {
        let house = House::new();
        house.serve(CAMERA, 554, |connection| async move {
            let (mut read, mut write) = split(connection);
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        });
        house
    }

    async fn echo(connection: &mut DuplexStream, text: &[u8]) -> io::Result<Vec<u8>> {
        connection.write_all(text).await?;
        let mut back = vec![0; text.len()];
        connection.read_exact(&mut back).await?;
        Ok(back)
    }

    #[tokio::test(start_paused = true)]
    async fn many_bytes_come_back_in_order() {
        let house = house_with_echo();
        let (mut read, mut write) = split(house.connect(CAMERA, 554).await.unwrap());
        let sent: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writer = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        writer.await.unwrap();
        assert!(received == expected);
        assert_eq!(house.accepted(CAMERA), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_told_apart() {
        let house = house_with_echo();
        let kind = async |host, port| house.connect(host, port).await.unwrap_err().kind();
        assert_eq!(
            kind("192.168.1.11", 554).await,
            io::ErrorKind::HostUnreachable
        );
        assert_eq!(kind(CAMERA, 80).await, io::ErrorKind::ConnectionRefused);
        house.stop(CAMERA, 554);
        assert_eq!(kind(CAMERA, 554).await, io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unplugged_host_is_silent_and_goes_on_afterwards() {
        let house = house_with_echo();
        let mut connection = house.connect(CAMERA, 554).await.unwrap();
        assert_eq!(echo(&mut connection, b"one").await.unwrap(), b"one");
        house.unplug(CAMERA);
        let mut two = Box::pin(echo(&mut connection, b"two"));
        assert!(timeout(Duration::from_secs(60), &mut two).await.is_err());
        let error = house.connect(CAMERA, 554).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::HostUnreachable);
        house.replug(CAMERA);
        assert_eq!(two.await.unwrap(), b"two");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reboot_ends_connections_and_accepts_new_ones() {
        let house = house_with_echo();
        let mut old = house.connect(CAMERA, 554).await.unwrap();
        assert_eq!(echo(&mut old, b"one").await.unwrap(), b"one");
        house.reboot(CAMERA);
        assert!(
            timeout(Duration::from_secs(1), echo(&mut old, b"two"))
                .await
                .unwrap()
                .is_err()
        );
        let mut new = house.connect(CAMERA, 554).await.unwrap();
        assert_eq!(echo(&mut new, b"three").await.unwrap(), b"three");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_end_with_the_house() {
        let house = house_with_echo();
        let mut connection = house.connect(CAMERA, 554).await.unwrap();
        drop(house);
        let ended = timeout(Duration::from_secs(1), connection.read(&mut [0; 8]))
            .await
            .unwrap();
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}
