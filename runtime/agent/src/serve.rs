//! A session: opens are answered, bytes are carried, until it ends.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dialer::{Dialer, Target};
use link::{
    Error, Flow, PipeEnd, PipeOptions, SessionEnd, Stream, keep_alive, pipe, read_message,
    write_message,
};
use proto_tunnel::{Bye, MAX_TEXT, Message, OpenFailed, OpenFailure};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::connect::Connected;
use crate::{AgentConfig, AllowList};

/// Longest wait for the request on a stream that the gateway opened, and for its answer to be taken.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the camera; the gateway waits a little longer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to look whether this machine still has the session's address.
const ADDRESS_CHECK: Duration = Duration::from_secs(2);

pub(crate) async fn serve(
    session: Connected,
    config: &AgentConfig,
    leave: impl Future<Output = Bye>,
) -> SessionEnd {
    let Connected {
        mux,
        control,
        local,
    } = session;
    let opens = async {
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                accepted = mux.accept() => match accepted {
                    Ok(stream) => {
                        let (allow, dialer) = (config.allow.clone(), Arc::clone(&config.dialer));
                        streams.spawn(async move { carry(stream, &allow, &*dialer).await });
                    }
                    Err(error) => return error,
                },
                Some(_) = streams.join_next() => {}
            }
        }
    };
    let end = tokio::select! {
        end = keep_alive(control, config.heartbeat, mux.flow(), leave, |trip| debug!(?trip, "round trip")) => end,
        error = opens => SessionEnd::Broken(error),
        address = address_lost(local) => {
            info!(%address, "this machine has lost the address of the session, redialing");
            // Nothing can be sent from an address that is gone: no goodbye.
            return SessionEnd::Broken(Error::Closed);
        }
    };
    mux.close().await;
    end
}

/// Resolves when a new lease has taken the session's address away; TCP itself would notice only much later. Binding
/// a TCP socket without listening shows whether an address is the machine's own.
async fn address_lost(local: Option<IpAddr>) -> IpAddr {
    let Some(address) = local else {
        return std::future::pending().await;
    };
    loop {
        sleep(ADDRESS_CHECK).await;
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let bound = socket.and_then(|socket| socket.bind(SocketAddr::new(address, 0)));
        if bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable) {
            return address;
        }
    }
}

async fn carry(mut stream: Stream, allow: &AllowList, dialer: &dyn Dialer) {
    let Ok(Ok(message)) = timeout(REQUEST_TIMEOUT, read_message(&mut stream)).await else {
        return;
    };
    let (target, dialed) = match message {
        Message::Open(open) => {
            let target = Target::new(open.host, open.port);
            let dialed = dial(&target, allow, dialer).await;
            (target, dialed)
        }
        other => {
            warn!(
                message = other.name(),
                "the gateway sent a message where open was due"
            );
            return;
        }
    };
    let mut camera = match dialed {
        Ok(camera) => camera,
        Err(failed) => {
            warn!(%target, kind = ?failed.kind, "open refused: {}", failed.text);
            let answer = async {
                write_message(&mut stream, &Message::OpenFailed(failed)).await?;
                tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
                // The gateway ends the stream when it has read the answer.
                tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1]).await
            };
            let _: Result<io::Result<usize>, _> = timeout(REQUEST_TIMEOUT, async {
                answer.await.map_err(io::Error::other)
            })
            .await;
            return;
        }
    };
    match timeout(
        REQUEST_TIMEOUT,
        write_message(&mut stream, &Message::Opened),
    )
    .await
    {
        Ok(Ok(())) => {}
        Ok(Err(_)) | Err(_) => return,
    }
    info!(%target, "camera connected");
    let flow = Flow::default();
    let end = pipe(&mut stream, &mut camera, PipeOptions::default(), &flow).await;
    let (received, sent) = (flow.received.value(), flow.sent.value());
    match end {
        PipeEnd::Complete => info!(%target, received, sent, "camera connection complete"),
        PipeEnd::Idle => info!(%target, received, sent, "camera connection was silent too long"),
        PipeEnd::Broken(error) => {
            info!(%target, received, sent, "camera connection ended: {error}")
        }
    }
}

async fn dial(
    target: &Target,
    allow: &AllowList,
    dialer: &dyn Dialer,
) -> Result<dialer::BoxIo, OpenFailed> {
    if !allow.allows(target) {
        let text = format!("{target} is not on this agent's list");
        return Err(OpenFailed {
            kind: OpenFailure::NotAllowed,
            text,
        });
    }
    let dialed = timeout(DIAL_TIMEOUT, dialer.connect(target)).await;
    let error = match dialed {
        Ok(Ok(camera)) => return Ok(camera),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s"),
    };
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => OpenFailure::ConnectionRefused,
        io::ErrorKind::TimedOut => OpenFailure::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => OpenFailure::Unreachable,
        _ => OpenFailure::Other(0),
    };
    let mut text: String = error
        .to_string()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    while text.len() > MAX_TEXT {
        text.pop();
    }
    Err(OpenFailed { kind, text })
}
