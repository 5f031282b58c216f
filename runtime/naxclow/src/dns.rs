//! Answers for the vendor's names.

use std::net::IpAddr;
use std::time::Duration;

use proto_naxclow::dns::{MAX_QUERY, answer};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::Cloud;

pub(crate) async fn serve(socket: UdpSocket, cloud: Cloud, shutdown: CancellationToken) {
    let mut buffer = [0; MAX_QUERY + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = shutdown.cancelled() => return,
        };
        let Ok((len, from)) = received else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Some(IpAddr::V4(ours)) = cloud
            .address_for(from.ip().to_canonical())
            .map(|address| address.to_canonical())
        else {
            continue;
        };
        let Some(answer) = answer(buffer.get(..len).unwrap_or_default(), ours) else {
            continue;
        };
        if answer.ours {
            tracing::debug!(%from, name = answer.name, %ours, "the vendor's name leads here");
            cloud.note_dns(from.ip().to_canonical(), answer.name);
        }
        let _ = socket.try_send_to(&answer.bytes, from);
    }
}
