//! A session: opens are answered, bytes are carried, until it ends.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dialer::{Dialer, Target};
use lan::{Mac, Uuid};
use link::{
    Flow, Hold, Mux, PipeEnd, PipeOptions, SessionEnd, Stream, converse, pipe_holding,
    read_message, write_message,
};
use proto_tunnel::{
    Bye, Command, MAX_TEXT, Message, OpenDatagrams, OpenFailed, OpenFailure, OpenedDatagrams,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::follow;
use crate::life::Life;
use crate::relay::relay;
use crate::{AgentConfig, AllowList};

/// Longest wait for the request on a stream that the gateway opened, and for its answer to be taken.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the camera; the gateway waits a little longer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a goodbye may take that is being said already.
const END_TOLD: Duration = Duration::from_millis(100);
/// Longest wait for one of the addresses that a camera may have.
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) async fn serve(
    mux: &Mux,
    config: &AgentConfig,
    life: &Arc<Life>,
    leave: impl Future<Output = Bye>,
) -> SessionEnd {
    let control = async {
        let mut control = mux.open().await?;
        // The gateway learns of a stream by its first bytes.
        write_message(&mut control, &Message::Opened).await?;
        Ok(control)
    };
    let control = match control.await {
        Ok(control) => control,
        Err(error) => return SessionEnd::Broken(error),
    };
    let hold = Hold::new(mux.state(), config.hold);
    let opens = async {
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                accepted = mux.accept() => match accepted {
                    Ok(stream) => {
                        let (config, life, hold) = (config.clone(), Arc::clone(life), hold.clone());
                        let open = life.note_stream();
                        streams.spawn(async move {
                            let _open = open;
                            answer(stream, &config, &life, &hold).await;
                        });
                    }
                    Err(error) => return error,
                },
                Some(_) = streams.join_next() => {}
            }
        }
    };
    tokio::select! {
        end = converse(control, leave) => end,
        // The end of the session may be seen here before the goodbye that was said first is done.
        error = async {
            let error = opens.await;
            sleep(END_TOLD).await;
            error
        } => SessionEnd::Broken(error),
    }
}

async fn answer(mut stream: Stream, config: &AgentConfig, life: &Life, hold: &Hold) {
    let Ok(Ok(message)) = timeout(REQUEST_TIMEOUT, read_message(&mut stream)).await else {
        return;
    };
    match message {
        Message::Open(open) => {
            let target = Target::new(open.host, open.port);
            carry(stream, &target, config, life, hold).await;
        }
        Message::OpenDatagrams(OpenDatagrams { towards }) => {
            carry_datagrams(stream, towards, config, life).await;
        }
        Message::Command(command) => obey(stream, command, config, life).await,
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
async fn obey(mut stream: Stream, command: Command, config: &AgentConfig, life: &Life) {
    match command {
        Command::Restart => {
            info!("the gateway asks for a restart");
            finish(&mut stream, &Message::Opened, "").await;
            life.restart.notify_one();
        }
        Command::Log => finish(&mut stream, &Message::Opened, &config.log.text()).await,
        Command::Report => {
            let report = life.report(&config.allow, &config.notes).await;
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

async fn carry(
    mut stream: Stream,
    target: &Target,
    config: &AgentConfig,
    life: &Life,
    hold: &Hold,
) {
    let dialed = dial(target, &config.allow, &*config.dialer).await;
    let found = dialed.as_ref().map(|(_, found)| *found).ok();
    life.note_dial(target, &config.allow, found);
    let mut camera = match dialed {
        Ok((camera, _)) => camera,
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
    let options = PipeOptions::default();
    let end = pipe_holding(&mut stream, &mut camera, options, &flow, hold).await;
    let (received, sent) = (flow.received.value(), flow.sent.value());
    match end {
        PipeEnd::Complete => info!(%target, received, sent, "camera connection complete"),
        PipeEnd::Idle => info!(%target, received, sent, "camera connection was silent too long"),
        PipeEnd::Broken(error) => {
            info!(%target, received, sent, "camera connection ended: {error}")
        }
    }
}

async fn carry_datagrams(
    mut stream: Stream,
    towards: SocketAddr,
    config: &AgentConfig,
    life: &Life,
) {
    let socket = match config.allow.allows_datagrams(towards) {
        true => match config.dialer.datagrams(towards, None).await {
            Ok(socket) => Ok(socket),
            Err(error) => Err(failed(&error)),
        },
        false => Err(OpenFailed {
            kind: OpenFailure::NotAllowed,
            text: format!("datagrams to {towards} are not on this agent's list"),
        }),
    };
    life.note_socket(socket.is_ok());
    let socket = match socket {
        Ok(socket) => socket,
        Err(failed) => {
            warn!(%towards, kind = ?failed.kind, "datagrams refused: {}", failed.text);
            finish(&mut stream, &Message::OpenFailed(failed), "").await;
            return;
        }
    };
    let port = socket.port();
    let opened = Message::OpenedDatagrams(OpenedDatagrams { port });
    if let Ok(Ok(())) = timeout(REQUEST_TIMEOUT, write_message(&mut stream, &opened)).await {
        info!(%towards, port, "a socket for datagrams");
        relay(stream, socket, &config.allow, &life.site).await;
    }
}

/// Connects to a target that is named by what does not move (see [`follow`]) wherever it is now, and to any other as it
/// is named. Tells at which address it was found.
async fn reach(
    target: &Target,
    dialer: &dyn Dialer,
) -> io::Result<(dialer::BoxIo, Option<IpAddr>)> {
    if let Some(mac) = Mac::parse(&target.host) {
        return reach_mac(mac, target, dialer).await;
    }
    let at = |address: IpAddr| Target::new(address.to_string(), target.port);
    if let Some(device) = Uuid::from_host(&target.host) {
        let found = follow::find_device(device).await;
        let address = found.ok_or_else(|| unseen("device", &target.host))?;
        return Ok((dialer.connect(&at(address)).await?, found));
    }
    match dialer.connect(target).await {
        Ok(camera) => Ok((camera, None)),
        Err(error) => match follow::find_name(&target.host) {
            Some(address) => Ok((dialer.connect(&at(address)).await?, Some(address))),
            None => Err(error),
        },
    }
}

async fn reach_mac(
    mac: Mac,
    target: &Target,
    dialer: &dyn Dialer,
) -> io::Result<(dialer::BoxIo, Option<IpAddr>)> {
    let mut failure = None;
    for is_called in [false, true] {
        let found = if is_called {
            follow::call_mac(mac).await
        } else {
            follow::find_mac(mac).await
        };
        for address in found {
            let at = Target::new(address.to_string(), target.port);
            match timeout(CANDIDATE_TIMEOUT, dialer.connect(&at)).await {
                Ok(Ok(camera)) => return Ok((camera, Some(address))),
                Ok(Err(error)) => failure = Some(error),
                Err(_) => {}
            }
        }
    }
    Err(failure.unwrap_or_else(|| unseen("address", &target.host)))
}

fn unseen(what: &str, host: &str) -> io::Error {
    let text = format!("no camera with the {what} {host} is seen near this agent");
    io::Error::new(io::ErrorKind::HostUnreachable, text)
}

async fn dial(
    target: &Target,
    allow: &AllowList,
    dialer: &dyn Dialer,
) -> Result<(dialer::BoxIo, Option<IpAddr>), OpenFailed> {
    if !allow.allows(target) {
        let text = format!("{target} is not on this agent's list");
        return Err(OpenFailed {
            kind: OpenFailure::NotAllowed,
            text,
        });
    }
    let dialed = timeout(DIAL_TIMEOUT, reach(target, dialer)).await;
    let error = match dialed {
        Ok(Ok(camera)) => return Ok(camera),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer in 10 s"),
    };
    Err(failed(&error))
}

fn failed(error: &io::Error) -> OpenFailed {
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
    OpenFailed { kind, text }
}
