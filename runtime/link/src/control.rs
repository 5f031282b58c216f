use std::future::Future;
use std::time::Duration;

use proto_tunnel::{Beat, Bye, Heartbeat, HeartbeatConfig, Message, MessageDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{Error, Flow, Stream, write_message};

/// Why a session is over.
#[derive(Debug)]
pub enum SessionEnd {
    /// This side said goodbye.
    Left(Bye),
    /// The peer said goodbye.
    PeerLeft(Bye),
    /// The peer gave no sign of life.
    Dead,
    /// The tunnel broke, or the peer broke the protocol.
    Broken(Error),
}

/// Runs the control stream until the session ends: asks for signs of life, answers the peer's, and ends when
/// `leave` resolves (the goodbye is sent then) or the peer is gone. Each measured round trip goes to `on_trip`.
pub async fn keep_alive(
    control: Stream,
    config: HeartbeatConfig,
    flow: &Flow,
    leave: impl Future<Output = Bye>,
    on_trip: impl Fn(Duration),
) -> SessionEnd {
    let (reader, writer) = tokio::io::split(control);
    // A write that takes longer than the peer may stay silent is a dead peer too.
    let write_timeout = config.busy * config.missed.max(1);
    let mut control = Control {
        reader,
        writer,
        decoder: MessageDecoder::new(),
        heartbeat: Heartbeat::new(config, Instant::now().into_std()),
        write_timeout,
    };
    tokio::pin!(leave);
    let mut buffer = [0; 512];
    loop {
        let wake = Instant::from_std(control.heartbeat.poll_timeout());
        // Cancel-safe: a read that is dropped has taken nothing, and writes happen in the arms' bodies.
        let step = tokio::select! {
            bye = &mut leave => {
                let _ = control.send(&Message::Bye(bye.clone())).await;
                let _ = timeout(control.write_timeout, control.writer.shutdown()).await;
                return SessionEnd::Left(bye);
            }
            read = control.reader.read(&mut buffer) => match read {
                Ok(0) => Err(SessionEnd::Broken(Error::Closed)),
                Ok(n) => control.handle_bytes(&buffer[..n], &on_trip).await,
                Err(error) => Err(SessionEnd::Broken(error.into())),
            },
            () = sleep_until(wake) => {
                let now = Instant::now().into_std();
                match control.heartbeat.handle_timeout(flow.received.value(), flow.sent.value(), now) {
                    Beat::Wait => Ok(()),
                    Beat::Ping(stamp) => control.send(&Message::Ping(stamp)).await,
                    Beat::Dead => Err(SessionEnd::Dead),
                }
            }
        };
        if let Err(end) = step {
            return end;
        }
    }
}

struct Control {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    decoder: MessageDecoder,
    heartbeat: Heartbeat,
    write_timeout: Duration,
}

impl Control {
    async fn handle_bytes(
        &mut self,
        mut bytes: &[u8],
        on_trip: &impl Fn(Duration),
    ) -> Result<(), SessionEnd> {
        while let Some(message) = self
            .decoder
            .decode(&mut bytes)
            .map_err(|error| SessionEnd::Broken(error.into()))?
        {
            match message {
                Message::Ping(stamp) => self.send(&Message::Pong(stamp)).await?,
                Message::Pong(stamp) => {
                    self.heartbeat.handle_pong(stamp, Instant::now().into_std());
                    if let Some(trip) = self.heartbeat.round_trip() {
                        on_trip(trip);
                    }
                }
                Message::Bye(bye) => return Err(SessionEnd::PeerLeft(bye)),
                other => {
                    let expected = "ping, pong or bye";
                    return Err(SessionEnd::Broken(Error::Unexpected {
                        found: other.name(),
                        expected,
                    }));
                }
            }
        }
        Ok(())
    }

    async fn send(&mut self, message: &Message) -> Result<(), SessionEnd> {
        match timeout(self.write_timeout, write_message(&mut self.writer, message)).await {
            Ok(sent) => sent.map_err(SessionEnd::Broken),
            Err(_) => Err(SessionEnd::Dead),
        }
    }
}
