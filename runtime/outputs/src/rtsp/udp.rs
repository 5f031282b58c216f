use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hub::{Cursor, ViewerGuard};
use media::MAX_TRACKS;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::block::{Burst, Kind};
use super::muxer::Muxer;

/// Tries to find a free pair of neighbouring ports.
const PAIR_TRIES: u32 = 64;

/// Bytes sent without a pause. Players' sockets hold a few hundred kilobytes, and a burst with a
/// whole GOP would overrun them.
const PACE_BYTES: usize = 32 << 10;

/// The pause after that many bytes: 64 Mbit/s, a multiple of what any camera sends.
const PACE_PAUSE: Duration = Duration::from_millis(4);

/// Room for a keyframe on its way to many viewers.
const SEND_BUFFER: usize = 4 << 20;

/// The server's pair of UDP ports, shared by all sessions.
#[derive(Debug)]
pub(super) struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    port: u16,
    /// Whom to tell that a viewer's report came: its only sign of life.
    heard: Mutex<HashMap<SocketAddr, Arc<Notify>>>,
}

/// One track's way to one viewer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) rtp: SocketAddr,
    pub(super) rtcp: SocketAddr,
}

/// Says who waits for a viewer's reports, for as long as it lives.
#[derive(Debug)]
pub(super) struct Ear {
    ports: Arc<Ports>,
    from: Vec<SocketAddr>,
    pub(super) heard: Arc<Notify>,
}

impl Ports {
    pub(super) async fn bind(ip: IpAddr) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PAIR_TRIES {
            let rtp = UdpSocket::bind((ip, 0)).await?;
            let port = rtp.local_addr()?.port();
            // RFC 3550 section 11: RTP on the even port, RTCP on the next.
            if port % 2 == 1 {
                continue;
            }
            match UdpSocket::bind((ip, port + 1)).await {
                Ok(rtcp) => {
                    // The default still works, for fewer viewers.
                    let _ = socket2::SockRef::from(&rtp).set_send_buffer_size(SEND_BUFFER);
                    return Ok(Self {
                        rtp,
                        rtcp,
                        port,
                        heard: Mutex::default(),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The port numbers for RTP and RTCP.
    pub(super) fn numbers(&self) -> (u16, u16) {
        (self.port, self.port + 1)
    }

    /// Takes viewers' reports until shutdown.
    pub(super) async fn listen(self: Arc<Self>, shutdown: CancellationToken) {
        let mut buffer = [0; 2_048];
        loop {
            let received = tokio::select! {
                received = self.rtcp.recv_from(&mut buffer) => received,
                () = shutdown.cancelled() => return,
            };
            // An error here is an ICMP message of a viewer that left.
            if let Ok((_, from)) = received
                && let Some(heard) = self.lock().get(&from)
            {
                heard.notify_one();
            }
        }
    }

    /// Listens for reports from these addresses.
    pub(super) fn ear(self: &Arc<Self>, from: Vec<SocketAddr>) -> Ear {
        let heard = Arc::new(Notify::new());
        let mut ears = self.lock();
        for address in &from {
            ears.insert(*address, Arc::clone(&heard));
        }
        drop(ears);
        Ear {
            ports: Arc::clone(self),
            from,
            heard,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<Notify>>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut ears = self.ports.lock();
        for address in &self.from {
            if ears
                .get(address)
                .is_some_and(|heard| Arc::ptr_eq(heard, &self.heard))
            {
                ears.remove(address);
            }
        }
    }
}

/// Sends media to one viewer until its stream must be described anew.
pub(super) async fn send(
    ports: Arc<Ports>,
    muxer: Arc<Muxer>,
    mut cursor: Cursor,
    burst: Option<Burst>,
    destinations: [Option<Destination>; MAX_TRACKS],
    viewer: ViewerGuard,
) {
    let ring = &muxer.shared.ring;
    let video = muxer.shared.tracks.video();
    let mut unpaused = 0;
    loop {
        let number = cursor.next();
        let Some((block, skipped)) = cursor.poll_counting(ring) else {
            ring.wait(cursor.next()).await;
            unpaused = 0;
            continue;
        };
        viewer.add_dropped(skipped);
        if block.kind == Kind::End {
            return;
        }
        let Some(destination) = destinations.get(block.track).copied().flatten() else {
            continue;
        };
        let burst = burst.filter(|burst| number < burst.end);
        if burst.is_some() && (block.kind == Kind::Report || video != Some(block.track)) {
            continue;
        }
        let (socket, to) = match block.kind {
            Kind::Report => (&ports.rtcp, destination.rtcp),
            Kind::Media | Kind::End => (&ports.rtp, destination.rtp),
        };
        for datagram in block.datagrams() {
            // A full socket makes us wait; any other error is a packet lost, as UDP loses them.
            let sent = match burst {
                None => socket.send_to(datagram, to).await,
                Some(burst) => {
                    let mut datagram = datagram.to_vec();
                    if let Some(time) = datagram.get_mut(4..8) {
                        time.copy_from_slice(&burst.squeeze(block.rtp_time).to_be_bytes());
                    }
                    socket.send_to(&datagram, to).await
                }
            };
            let sent = sent.unwrap_or(0);
            viewer.add_bytes(sent as u64);
            unpaused += sent;
            if unpaused >= PACE_BYTES {
                unpaused = 0;
                tokio::time::sleep(PACE_PAUSE).await;
            }
        }
    }
}
