//! Bare pictures, one behind the other.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::line::Line;
use super::{Esp32Fault, Shared};

/// What an oversized picture holds beside its head: more than any camera sends.
const OVERSIZED: usize = 9 << 20;

/// Sends `count` pictures, or pictures for ever, then closes.
pub(super) async fn send<T>(shared: &Shared, io: T, count: Option<u64>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut line = Line::new(io, &shared.faults);
    let mut left = count;
    while left != Some(0) {
        let (number, picture) = shared.capture().await;
        if shared.faults.spoils(Esp32Fault::Cut, number) {
            line.write(Shared::half(&picture)).await?;
            return line.close().await;
        }
        if shared.faults.spoils(Esp32Fault::Torn, number) {
            line.write(Shared::half(&picture)).await?;
        } else if shared.faults.spoils(Esp32Fault::Oversized, number) {
            line.write(Shared::half(&picture)).await?;
            line.write(&vec![0x55; OVERSIZED]).await?;
        } else {
            line.write(&picture).await?;
        }
        if shared.faults.has(Esp32Fault::Junk) {
            line.write(&junk(number, picture.len())).await?;
        }
        left = left.map(|left| left - 1);
    }
    line.close().await
}

/// What stands behind a picture: zeros up to a multiple of 16 bytes, at times hundreds of bytes
/// without meaning, at times an end marker too many.
pub(super) fn junk(number: u64, len: usize) -> Vec<u8> {
    let mut junk = vec![0; len.next_multiple_of(16) - len];
    if number.is_multiple_of(3) {
        let mut state = number + 1;
        junk.extend((0..333).map(|_| crate::rtsp::mix(&mut state).to_le_bytes()[0] & 0x7f));
    }
    if number.is_multiple_of(7) {
        junk.extend([0xff, 0xd9, 0, 0xff, 0xd8]);
    }
    junk
}
