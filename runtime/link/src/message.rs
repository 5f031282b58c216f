use proto_tunnel::{HEADER_LEN, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Error;

/// Reads exactly one message, not one byte more: after `Opened` the camera's bytes follow. Not cancel-safe.
///
/// # Errors
/// [`Error::Io`] when the stream ends or fails, [`Error::Malformed`] when the bytes are no message.
pub async fn read_message<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Message, Error> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).await?;
    let mut body = vec![0; Message::body_len(header)?];
    stream.read_exact(&mut body).await?;
    Ok(Message::decode(&body)?)
}

/// Writes one message and flushes it.
///
/// # Errors
/// [`Error::Malformed`] when a field is beyond its limit, [`Error::Io`] when the stream fails.
pub async fn write_message<S: AsyncWrite + Unpin>(
    stream: &mut S,
    message: &Message,
) -> Result<(), Error> {
    stream.write_all(&message.encode()?).await?;
    stream.flush().await?;
    Ok(())
}
