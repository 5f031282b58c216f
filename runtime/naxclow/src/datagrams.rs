//! The media socket: finds out whose each datagram is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto_naxclow::address_answer;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::Cloud;
use crate::cloud::Way;

/// Longest datagram that is read: the vendor's own limit is 8092 bytes, cameras stay below 1025.
const MAX_DATAGRAM: usize = 8192;

/// Most datagrams that are taken before others of this machine's tasks have their turn: a picture of each of four cameras.
const BATCH: usize = 64;

pub(crate) async fn serve(socket: Arc<UdpSocket>, cloud: Cloud, shutdown: CancellationToken) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let ready = tokio::select! {
            ready = socket.readable() => ready,
            () = shutdown.cancelled() => return,
        };
        if ready.is_err() || take(&socket, &cloud, &mut buffer).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::task::yield_now().await;
    }
}

/// Takes what waits in the socket: many cameras send more between two looks than one datagram.
fn take(socket: &UdpSocket, cloud: &Cloud, buffer: &mut [u8]) -> std::io::Result<()> {
    use std::io::ErrorKind;
    for _ in 0..BATCH {
        let (len, from) = match socket.try_recv_from(buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // Somebody we wrote to is gone; the system tells it here.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let bytes = buffer.get(..len).unwrap_or_default();
        match cloud.way(from, bytes) {
            Way::Answer => {
                let _ = socket.try_send_to(&address_answer(from), from);
            }
            Way::To(session) => {
                // A session that is behind loses it; the camera sends it again.
                let _ = session.try_send((from, Bytes::copy_from_slice(bytes)));
            }
            Way::Nowhere => {}
        }
    }
    Ok(())
}
