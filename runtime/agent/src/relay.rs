//! Datagrams for the gateway: one UDP socket for each stream that asks for one.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use dialer::BoxDatagrams;
use link::DatagramStream;
use proto_tunnel::MAX_DATAGRAM;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::AllowList;
use crate::site::Site;

/// Most peers of one socket that may be answered; a camera is one, its answer to a broadcast another.
const MAX_PEERS: usize = 16;

/// A socket that carried nothing for so long is closed: a camera's session has a heartbeat each second.
const IDLE: Duration = Duration::from_secs(60);

/// What a relay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// Datagrams from cameras.
    pub(crate) received: u64,
    /// Datagrams to cameras.
    pub(crate) sent: u64,
    /// Datagrams to or from whom the list does not name.
    pub(crate) refused: u64,
    /// Broadcasts beyond what a site is troubled with.
    pub(crate) dropped: u64,
}

/// Carries datagrams both ways until the gateway ends it, or nothing has been said for a while.
pub(crate) async fn relay<S>(
    stream: S,
    mut socket: BoxDatagrams,
    allow: &AllowList,
    site: &Site,
) -> Relayed
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = DatagramStream::new(stream);
    let mut relayed = Relayed::default();
    let mut answered: VecDeque<SocketAddr> = VecDeque::new();
    let mut is_told = false;
    // One byte more than is carried, to tell what was cut.
    let mut buf = vec![0; MAX_DATAGRAM + 1];
    loop {
        let next = poll_fn(|cx| {
            match stream.poll_next(cx) {
                Poll::Ready(Ok((to, payload))) => return Poll::Ready(Ok(Next::To(to, payload))),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            // While the tunnel takes nothing, the camera's datagrams wait in the kernel, or are lost there.
            if !stream.has_room() {
                return Poll::Pending;
            }
            match socket.poll_receive(cx, &mut buf) {
                Poll::Ready(Ok((len, from))) => Poll::Ready(Ok(Next::From(from, len))),
                // An earlier datagram met a closed port.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        });
        let next = tokio::select! {
            next = next => next,
            () = sleep(IDLE) => return end(relayed, "it was silent too long"),
        };
        match next {
            Ok(Next::To(to, payload)) => {
                if to.ip() == Ipv4Addr::BROADCAST && !site.may_broadcast() {
                    relayed.dropped += 1;
                } else if !allow.allows_datagrams(to) && !answered.contains(&to) {
                    relayed.refused += 1;
                    if !is_told {
                        is_told = true;
                        warn!(%to, "a datagram that is not on this agent's list was asked for");
                    }
                } else if socket.send(&payload, to).await.is_ok() {
                    relayed.sent += 1;
                }
            }
            Ok(Next::From(from, len)) => {
                let payload = buf.get(..len).filter(|it| it.len() <= MAX_DATAGRAM);
                let Some(payload) = payload.filter(|_| allow.hears(from.ip(), site)) else {
                    relayed.refused += 1;
                    continue;
                };
                relayed.received += 1;
                if !answered.contains(&from) {
                    if answered.len() == MAX_PEERS {
                        answered.pop_front();
                    }
                    answered.push_back(from);
                }
                stream.push(from, payload);
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return end(relayed, "complete");
            }
            Err(error) => return end(relayed, &error.to_string()),
        }
    }
}

enum Next {
    To(SocketAddr, Vec<u8>),
    From(SocketAddr, usize),
}

fn end(relayed: Relayed, why: &str) -> Relayed {
    let Relayed {
        received,
        sent,
        refused,
        dropped,
    } = relayed;
    info!(received, sent, refused, dropped, "datagrams ended: {why}");
    relayed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use dialer::{Dialer, Direct};
    use tokio::net::UdpSocket;
    use tokio::time::timeout;

    use super::*;
    use crate::allow::Allowed;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_stranger_is_neither_called_nor_heard_and_who_answers_is_answered_at_its_port() {
        let camera = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let session = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
        let hello = camera.local_addr().unwrap();
        let list = [format!("udp:{hello}").parse::<Allowed>().unwrap()];
        let socket = Direct.datagrams(hello, None).await.unwrap();
        let port = socket.port();
        let (gateway, agent) = tokio::io::duplex(64 << 10);
        let task = tokio::spawn(async move {
            relay(agent, socket, &AllowList::of(list), &Site::default()).await
        });
        let mut gateway = DatagramStream::new(gateway);
        let session_at = session.local_addr().unwrap();

        // Before it has said anything, the camera's other port is nobody's.
        gateway.push(session_at, b"early");
        gateway.push(stranger.local_addr().unwrap(), b"scan");
        gateway.push(hello, b"hello");
        poll_fn(|cx| gateway.poll_flush(cx)).await.unwrap();
        let mut buf = [0; 64];
        let (len, from) = timeout(SOON, camera.recv_from(&mut buf))
            .await
            .unwrap()
            .unwrap();
        assert_eq!((&buf[..len], from.port()), (&b"hello"[..], port));
        stranger.send_to(b"injected", from).await.unwrap();
        session.send_to(b"accepted", from).await.unwrap();
        let heard = timeout(SOON, poll_fn(|cx| gateway.poll_next(cx)))
            .await
            .unwrap();
        assert_eq!(heard.unwrap(), (session_at, b"accepted".to_vec()));
        gateway.push(session_at, b"login");
        poll_fn(|cx| gateway.poll_flush(cx)).await.unwrap();
        let (len, _) = timeout(SOON, session.recv_from(&mut buf))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&buf[..len], b"login", "the early one never came");
        drop(gateway);
        let relayed = timeout(SOON, task).await.unwrap().unwrap();
        assert_eq!((relayed.received, relayed.sent), (1, 2));
        assert_eq!(relayed.refused, 3);
        assert_eq!(
            stranger.try_recv(&mut buf).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }
    #[tokio::test]
    async fn a_gateway_cannot_flood_the_site_with_broadcasts() {
        struct Counted(Arc<AtomicU64>);
        impl dialer::Datagrams for Counted {
            fn port(&self) -> u16 {
                1
            }
            fn poll_send(
                &mut self,
                _: &mut std::task::Context<'_>,
                _: &[u8],
                _: SocketAddr,
            ) -> Poll<io::Result<()>> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Ok(()))
            }
            fn poll_receive(
                &mut self,
                _: &mut std::task::Context<'_>,
                _: &mut [u8],
            ) -> Poll<io::Result<(usize, SocketAddr)>> {
                Poll::Pending
            }
        }
        let sent = Arc::new(AtomicU64::new(0));
        let list = AllowList::of(["udp:broadcast".parse::<Allowed>().unwrap()]);
        let site = Site::default();
        let begin = tokio::time::Instant::now();
        let (mut all, mut dropped) = (0, 0);
        // Two sockets share what there is.
        for _ in 0..2 {
            let (gateway, agent) = tokio::io::duplex(64 << 10);
            let socket: BoxDatagrams = Box::new(Counted(Arc::clone(&sent)));
            let mut gateway = DatagramStream::new(gateway);
            let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 2015));
            let hellos = async {
                for _ in 0..200 {
                    gateway.push(everybody, b"hello");
                    poll_fn(|cx| gateway.poll_flush(cx)).await.unwrap();
                }
                drop(gateway);
            };
            let (relayed, ()) = tokio::join!(relay(agent, socket, &list, &site), hellos);
            all += relayed.sent + relayed.dropped;
            dropped += relayed.dropped;
        }
        let seconds = begin.elapsed().as_secs() + 1;
        let most = u64::from(crate::site::MAX_BROADCASTS) * (seconds + 1);
        let sent = sent.load(Ordering::Relaxed);
        assert_eq!((all, sent + dropped), (400, 400));
        assert!(sent >= u64::from(crate::site::MAX_BROADCASTS), "{sent}");
        assert!(sent <= most, "{sent} in {seconds} s");
    }
}
