//! The camera on TCP, port 9000.

use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::ReolinkCamera;
use super::conversation::Conversation;
use crate::FaultKind;

/// How long a listener rests when accepting fails, as when files run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Junk goes out so often.
const JUNK_EVERY: Duration = Duration::from_millis(100);
/// Far away, for timers that are not set.
const NEVER: Duration = Duration::from_secs(86_400 * 365);

impl ReolinkCamera {
    /// Serves everyone who connects. Ends only by being dropped, and its connections with it.
    pub async fn serve_tcp(self, listener: TcpListener) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        // Small messages must not wait for acknowledgements; without, it is only slower.
                        drop(socket.set_nodelay(true));
                        let camera = self.clone();
                        connections.spawn(async move { camera.serve_connection(socket).await });
                    }
                    Err(_) => tokio::time::sleep(ACCEPT_REST).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Serves one connection, until either side closes it.
    pub async fn serve_connection<T>(&self, mut io: T) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let shared = &*self.shared;
        let number = shared.counters.connections.fetch_add(1, Ordering::Relaxed);
        let mut conversation = Conversation::new(shared, number, Instant::now());
        let mut cuts = shared.cuts.subscribe();
        let mut faults = shared.fault.subscribe();
        let mut input = BytesMut::with_capacity(16 << 10);
        loop {
            let now = Instant::now();
            let fault = conversation.fault(now);
            let mut wake = now + NEVER;
            match fault {
                Some(FaultKind::Hang) => {
                    tokio::select! {
                        _ = faults.changed() => continue,
                        _ = cuts.changed() => return Ok(()),
                    }
                }
                Some(FaultKind::Cut) => return Ok(()),
                Some(FaultKind::Junk) => {
                    io.write_all(&conversation.junk()).await?;
                    wake = now + JUNK_EVERY;
                }
                Some(FaultKind::Slow { .. }) | None => {}
            }
            conversation.handle_time(false, now);
            while let Some(bytes) = conversation.poll_transmit() {
                io.write_all(&bytes).await?;
            }
            io.flush().await?;
            if conversation.is_closed() {
                return io.shutdown().await;
            }
            wake = wake.min(conversation.wake_at().unwrap_or(wake));
            tokio::select! {
                read = io.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    conversation.handle_input(&input, Instant::now());
                    input.clear();
                }
                () = conversation.noticed() => {}
                () = sleep_until(wake) => {}
                _ = faults.changed() => {}
                _ = cuts.changed() => return Ok(()),
            }
        }
    }
}
