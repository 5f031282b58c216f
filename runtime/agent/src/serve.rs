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
use proto_tunnel::{Bye, Command, MAX_TEXT, Message, OpenFailed, OpenFailure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::connect::Connected;
use crate::life::Life;
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
    life: &Arc<Life>,
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
                        let (config, life) = (config.clone(), Arc::clone(life));
                        streams.spawn(async move { answer(stream, &config, &life, local).await });
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

async fn answer(mut stream: Stream, config: &AgentConfig, life: &Life, local: Option<IpAddr>) {
    let Ok(Ok(message)) = timeout(REQUEST_TIMEOUT, read_message(&mut stream)).await else {
        return;
    };
    match message {
        Message::Open(open) => {
            let target = Target::new(open.host, open.port);
            carry(stream, &target, config, life).await;
        }
        Message::Command(command) => obey(stream, command, config, life, local).await,
        other => warn!(
            message = other.name(),
            "the gateway sent a message where open was due"
        ),
    }
}

/// Says one thing, then whatever text belongs to it, and sees that it arrives.
async fn finish(stream: &mut Stream, message: &Message, text: &str) {
    let answer = async {
        write_message(stream, message).await?;
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await?;
        // The gateway ends the stream when it has read the answer.
        stream.read(&mut [0; 1]).await
    };
    let _: Result<io::Result<usize>, _> = timeout(REQUEST_TIMEOUT, async {
        answer.await.map_err(io::Error::other)
    })
    .await;
}

/// Does what the gateway asks of this program. Nothing of it widens what the gateway may reach.
async fn obey(
    mut stream: Stream,
    command: Command,
    config: &AgentConfig,
    life: &Life,
    local: Option<IpAddr>,
) {
    match command {
        Command::Restart => {
            info!("the gateway asks for a restart");
            finish(&mut stream, &Message::Opened, "").await;
            life.restart.notify_one();
        }
        Command::Log => finish(&mut stream, &Message::Opened, &config.log.text()).await,
        Command::Report => {
            let report = life.report(&config.allow, &config.notes, local).await;
            finish(&mut stream, &Message::Report(report), "").await;
        }
        Command::Other(number) => {
            let text = format!("this agent does not know command {number}");
            let kind = OpenFailure::Malformed;
            let failed = Message::OpenFailed(OpenFailed { kind, text });
            finish(&mut stream, &failed, "").await;
        }
    }
}

async fn carry(mut stream: Stream, target: &Target, config: &AgentConfig, life: &Life) {
    let dialed = dial(target, &config.allow, &*config.dialer).await;
    life.note_dial(target, &config.allow, dialed.is_ok());
    let mut camera = match dialed {
        Ok(camera) => camera,
        Err(failed) => {
            warn!(%target, kind = ?failed.kind, "open refused: {}", failed.text);
            finish(&mut stream, &Message::OpenFailed(failed), "").await;
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
