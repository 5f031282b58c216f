//! A camera on UDP in memory and in virtual time, for tests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use dialer::Datagrams;
use proto_baichuan::bcudp::{
    CameraPort, HELLO_PORTS, Timers, UdpCamera, UdpCameraConfig, UdpCameraEvent,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::tests::Fake;

/// The camera's UID.
pub(super) const UID: &str = "95270000ABCDEFGH";

/// More than any test has under way.
const MAX_UNDER_WAY: usize = 4_096;

/// Our end.
pub(super) struct Air {
    out: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    incoming: mpsc::Receiver<Vec<u8>>,
}

impl Air {
    /// A socket that the camera hears.
    pub(super) fn open(fake: Fake) -> Self {
        let (out, heard) = mpsc::channel(MAX_UNDER_WAY);
        let (sender, incoming) = mpsc::channel(MAX_UNDER_WAY);
        tokio::spawn(live(fake, heard, sender));
        Self { out, incoming }
    }
}

fn here() -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 2], 50_000))
}

fn there() -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 44], 40_000))
}

impl Datagrams for Air {
    fn port(&self) -> u16 {
        here().port()
    }

    fn poll_send(
        &mut self,
        _cx: &mut Context<'_>,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        // What does not fit gets lost, as in the air.
        let _ = self.out.try_send((to, payload.to_vec()));
        Poll::Ready(Ok(()))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        match ready!(self.incoming.poll_recv(cx)) {
            Some(payload) => {
                buf[..payload.len()].copy_from_slice(&payload);
                Poll::Ready(Ok((payload.len(), there())))
            }
            None => Poll::Pending,
        }
    }
}

async fn live(
    fake: Fake,
    mut heard: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    sender: mpsc::Sender<Vec<u8>>,
) {
    let config = UdpCameraConfig {
        uid: UID.to_owned(),
        timers: Timers::default(),
        first_did: 80,
    };
    let mut camera = UdpCamera::new(config, Instant::now().into_std());
    let mut session: Option<(u32, DuplexStream)> = None;
    let mut buf = vec![0; 65_536];
    loop {
        while let Some(event) = camera.poll_event() {
            match event {
                UdpCameraEvent::Opened { .. } => {}
                UdpCameraEvent::Closed { did } => {
                    session.take_if(|(ours, _)| *ours == did);
                }
                UdpCameraEvent::Input { did, bytes } => {
                    let (_, io) = session.get_or_insert_with(|| {
                        let (ours, theirs) = tokio::io::duplex(1 << 20);
                        tokio::spawn(fake.clone().counted(theirs));
                        (did, ours)
                    });
                    if io.write_all(&bytes).await.is_err() {
                        session = None;
                    }
                }
            }
        }
        while let Some(transmit) = camera.poll_transmit() {
            let _ = sender.try_send(transmit.payload.to_vec());
        }
        let never = Instant::now() + std::time::Duration::from_secs(86_400);
        let due = camera.poll_timeout().map_or(never, Instant::from_std);
        let said = async {
            match &mut session {
                Some((did, io)) => (*did, io.read(&mut buf).await.unwrap_or(0)),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            datagram = heard.recv() => match datagram {
                Some((to, payload)) => {
                    let seen = Arc::clone(&fake.seen);
                    seen.datagrams.fetch_add(1, Ordering::Relaxed);
                    *seen.last.lock().unwrap() = Some(Instant::now());
                    let port = match HELLO_PORTS.contains(&to.port()) {
                        true => CameraPort::Hello,
                        false => CameraPort::Session,
                    };
                    let now = Instant::now().into_std();
                    camera.handle_datagram(port, here(), &payload, now);
                }
                None => return,
            },
            (did, len) = said => match len {
                0 => session = None,
                len => {
                    let bytes = buf[..len].to_vec().into();
                    camera.send(did, &bytes, Instant::now().into_std());
                }
            },
            () = sleep_until(due) => camera.handle_timeout(Instant::now().into_std()),
        }
    }
}
