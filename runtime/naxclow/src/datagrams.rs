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

pub(crate) async fn serve(socket: Arc<UdpSocket>, cloud: Cloud, shutdown: CancellationToken) {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shutdown.cancelled() => return,
        };
        let (len, from) = match received {
            Ok(received) => received,
            // Somebody we wrote to is gone; the system tells it here.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => continue,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
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
}
