use std::future::Future;
use std::time::Duration;

use proto_tunnel::{Bye, Message};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::{Error, Stream, read_message, write_message};

/// How long a goodbye may take to be written: the tunnel may have no connection, and then nobody hears it.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why a session is over.
#[derive(Debug)]
pub enum SessionEnd {
    /// This side said goodbye.
    Left(Bye),
    /// The peer said goodbye.
    PeerLeft(Bye),
    /// The tunnel broke for good, or the peer broke the protocol.
    Broken(Error),
}

/// Runs the control stream until the session ends: when `leave` resolves (the goodbye is sent then), when the peer
/// says goodbye, or with the tunnel. Whether the peer is alive is found out beneath, by [`crate::Line`].
pub async fn converse(mut control: Stream, leave: impl Future<Output = Bye>) -> SessionEnd {
    let bye = tokio::select! {
        bye = leave => bye,
        // What is lost of a half-read message is lost with the session.
        read = read_message(&mut control) => return match read {
            Ok(Message::Bye(bye)) => SessionEnd::PeerLeft(bye),
            Ok(other) => SessionEnd::Broken(Error::Unexpected { found: other.name(), expected: "bye" }),
            Err(error) => SessionEnd::Broken(error),
        },
    };
    let goodbye = async {
        write_message(&mut control, &Message::Bye(bye.clone())).await?;
        control.shutdown().await.map_err(Error::from)
    };
    let _ = timeout(GOODBYE, goodbye).await;
    SessionEnd::Left(bye)
}
