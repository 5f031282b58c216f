//! A router between two ends, on loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Passes datagrams on, each caller's from a port of its own.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    manners: Mutex<Manners>,
    ways: Mutex<HashMap<SocketAddr, Way>>,
}

struct Way {
    socket: Arc<UdpSocket>,
    back: JoinHandle<()>,
}

#[derive(Default)]
struct Manners {
    swallows: bool,
    /// Callers whose datagrams go nowhere.
    dead: Vec<SocketAddr>,
    delay: Duration,
    /// Sizes of which the next one is lost.
    lose_one: Option<Range<usize>>,
    /// One of so many is lost.
    lose_each: usize,
    passed: usize,
    lost: usize,
}

impl Relay {
    pub(crate) async fn start(to: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = front.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let work = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let Ok((n, from)) = front.recv_from(&mut buffer).await else {
                    continue;
                };
                let way = work.way(from, to, &front).await;
                let datagram = buffer[..n].to_vec();
                if let Some(delay) = work.passes(from, n) {
                    tokio::spawn(async move {
                        sleep(delay).await;
                        let _ = way.send(&datagram).await;
                    });
                }
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    /// Whether everything is lost, both ways.
    pub(crate) fn swallow(&self, does: bool) {
        self.shared.manners.lock().unwrap().swallows = does;
    }

    /// Loses everything of all callers so far.
    pub(crate) fn swallow_known(&self) {
        let known = self.shared.ways.lock().unwrap().keys().copied().collect();
        self.shared.manners.lock().unwrap().dead = known;
    }

    /// Forgets all callers: the next datagram of each leaves from another port.
    pub(crate) fn move_house(&self) {
        for (_, way) in self.shared.ways.lock().unwrap().drain() {
            way.back.abort();
        }
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.shared.manners.lock().unwrap().delay = delay;
    }

    /// Loses one datagram of such a size.
    pub(crate) fn lose_one(&self, sizes: Range<usize>) {
        self.shared.manners.lock().unwrap().lose_one = Some(sizes);
    }

    /// Loses one datagram of `each`.
    pub(crate) fn lose_each(&self, each: usize) {
        self.shared.manners.lock().unwrap().lose_each = each;
    }

    pub(crate) fn lost(&self) -> usize {
        self.shared.manners.lock().unwrap().lost
    }
}

impl Shared {
    async fn way(
        self: &Arc<Self>,
        from: SocketAddr,
        to: SocketAddr,
        front: &Arc<UdpSocket>,
    ) -> Arc<UdpSocket> {
        if let Some(way) = self.ways.lock().unwrap().get(&from) {
            return Arc::clone(&way.socket);
        }
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        socket.connect(to).await.unwrap();
        let (this, inward, outward) = (Arc::clone(self), Arc::clone(&socket), Arc::clone(front));
        let back = tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let Ok(n) = inward.recv(&mut buffer).await else {
                    continue;
                };
                if let Some(delay) = this.passes(from, n) {
                    let (outward, datagram) = (Arc::clone(&outward), buffer[..n].to_vec());
                    tokio::spawn(async move {
                        sleep(delay).await;
                        let _ = outward.send_to(&datagram, from).await;
                    });
                }
            }
        });
        let way = Way {
            socket: Arc::clone(&socket),
            back,
        };
        self.ways.lock().unwrap().insert(from, way);
        socket
    }

    /// How long a datagram takes, if it arrives.
    fn passes(&self, from: SocketAddr, size: usize) -> Option<Duration> {
        let mut manners = self.manners.lock().unwrap();
        if manners.swallows || manners.dead.contains(&from) {
            return None;
        }
        manners.passed += 1;
        let is_chosen = manners
            .lose_one
            .as_ref()
            .is_some_and(|sizes| sizes.contains(&size));
        if is_chosen {
            manners.lose_one = None;
        }
        if is_chosen || manners.lose_each > 0 && manners.passed.is_multiple_of(manners.lose_each) {
            manners.lost += 1;
            return None;
        }
        Some(manners.delay)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.move_house();
    }
}
