//! Pictures in datagrams, as the stock TCP/UDP library sends them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use proto_jpeg::{HANDSHAKE, encode_datagram};
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::{Esp32Fault, Shared};
use crate::rtsp::mix;

/// Bytes of picture in a datagram.
const FRAGMENT: usize = 1400;

/// Datagrams between two short rests: a radio link does not take a picture at once.
const BURST: usize = 8;

/// Greets, then sends for ever.
pub(super) async fn send(shared: &Shared, to: SocketAddr, password: &str) -> io::Result<()> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    shared
        .connections
        .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let since = Instant::now();
    let hello = [HANDSHAKE.as_slice(), password.as_bytes()].concat();
    // Nobody may be there yet; the camera does not notice.
    drop(socket.send(&hello).await);
    loop {
        let (number, picture) = shared.capture().await;
        if let Some(after) = shared.faults.hang()
            && since.elapsed() >= after
        {
            continue;
        }
        let mut datagrams = fragments(number, &picture);
        if shared.faults.spoils(Esp32Fault::Cut, number) {
            datagrams.truncate(datagrams.len() / 2);
        }
        if shared.faults.spoils(Esp32Fault::Torn, number) {
            datagrams.remove(datagrams.len() / 2);
        }
        if shared.faults.has(Esp32Fault::Shuffle) {
            shuffle(&mut datagrams, number);
        }
        if shared.faults.has(Esp32Fault::Junk) {
            datagrams.insert(0, super::raw::junk(number, picture.len()));
            datagrams.push(vec![0xff; 1501]);
        }
        for burst in datagrams.chunks(BURST) {
            for datagram in burst {
                drop(socket.send(datagram).await);
            }
            let pause = match shared.faults.rate() {
                Some(rate) => {
                    let bytes: usize = burst.iter().map(Vec::len).sum();
                    Duration::from_secs_f64(bytes as f64 / f64::from(rate))
                }
                None => Duration::from_millis(1),
            };
            tokio::time::sleep(pause).await;
        }
    }
}

fn fragments(number: u64, picture: &[u8]) -> Vec<Vec<u8>> {
    let size = u32::try_from(picture.len()).unwrap_or(u32::MAX);
    let pieces = picture.chunks(FRAGMENT);
    let count = u16::try_from(pieces.len()).unwrap_or(u16::MAX);
    (0..count)
        .zip(pieces)
        .map(|(index, piece)| encode_datagram(number as u32, index, count, size, piece))
        .collect()
}

/// Another order, and every fourth of them twice.
fn shuffle(datagrams: &mut Vec<Vec<u8>>, number: u64) {
    let twice: Vec<Vec<u8>> = datagrams.iter().step_by(4).cloned().collect();
    datagrams.extend(twice);
    let mut state = number;
    for at in (1..datagrams.len()).rev() {
        let other = mix(&mut state) as usize % (at + 1);
        datagrams.swap(at, other);
    }
}
