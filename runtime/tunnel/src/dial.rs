use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dialer::{BoxIo, Dialer, Target};
use futures_util::future::BoxFuture;
use link::{Stream, read_message, write_message};
use proto_tunnel::{Message, Open, OpenFailed, OpenFailure};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Gateway;
use crate::registry::Session;

/// The end of a session is known this long after the end of its streams at the latest.
const END_TOLD: Duration = Duration::from_millis(200);

/// Reaches cameras through one agent.
pub(crate) struct AgentDialer {
    gateway: Gateway,
    agent: String,
}

impl AgentDialer {
    pub(crate) fn new(gateway: Gateway, agent: &str) -> Self {
        Self {
            gateway,
            agent: agent.to_owned(),
        }
    }

    pub(crate) async fn open(&self, target: &Target) -> io::Result<Stream> {
        let config = self.gateway.shared.config;
        let deadline = Instant::now() + config.agent_wait;
        if !self.gateway.is_connected(&self.agent) && self.is_unknown().await {
            return Err(self.unknown());
        }
        loop {
            let waited = timeout_at(
                deadline,
                self.gateway.shared.registry.wait_live(&self.agent),
            )
            .await;
            let Ok(session) = waited else {
                return Err(self.away().await);
            };
            let opened = match timeout(config.open_timeout, ask(&session, target)).await {
                Ok(opened) => opened,
                Err(_) => Err(Failure::Failed(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "agent {} did not answer when asked for {target}",
                        self.agent
                    ),
                ))),
            };
            match opened {
                Ok(stream) => {
                    session.opened.add(1);
                    return Ok(stream);
                }
                Err(Failure::Failed(error)) => {
                    session.failed.add(1);
                    return Err(error);
                }
                Err(Failure::StreamReset(error)) => {
                    session.failed.add(1);
                    // Either this stream alone was reset, or the session ended under the request and no camera
                    // heard of it; then the next session may do better.
                    let ended = timeout(END_TOLD, session.mux.closed()).await.is_ok();
                    let next = self.gateway.shared.registry.wait_exit(&session);
                    if !ended || timeout_at(deadline, next).await.is_err() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether waiting is in vain: a name that was never given out, or was removed.
    async fn is_unknown(&self) -> bool {
        let (store, name) = (self.gateway.shared.store.clone(), self.agent.clone());
        let known = tokio::task::spawn_blocking(move || store.agent(&name)).await;
        matches!(known, Ok(Ok(None)))
    }

    fn unknown(&self) -> io::Error {
        let text = format!(
            "there is no agent named {}: add it with \"eyelet agent add\"",
            self.agent
        );
        io::Error::new(io::ErrorKind::NotConnected, text)
    }

    /// Why there is no session, as far as is known.
    async fn away(&self) -> io::Error {
        let (store, name) = (self.gateway.shared.store.clone(), self.agent.clone());
        let known = tokio::task::spawn_blocking(move || store.agent(&name)).await;
        let text = match known {
            Ok(Ok(None)) => return self.unknown(),
            Ok(Ok(Some(agent))) if agent.joined.is_none() => {
                format!(
                    "agent {} has never joined: start it with its join code",
                    self.agent
                )
            }
            Ok(Ok(Some(agent))) => {
                let seen = agent.last_seen.map_or_else(String::new, |seen| {
                    format!(" (last seen {} ago)", age(seen))
                });
                format!("agent {} is not connected{seen}", self.agent)
            }
            Ok(Err(_)) | Err(_) => format!("agent {} is not connected", self.agent),
        };
        io::Error::new(io::ErrorKind::NotConnected, text)
    }
}

impl Dialer for AgentDialer {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move { Ok(Box::new(self.open(target).await?) as BoxIo) })
    }

    fn describe(&self) -> String {
        format!("via agent {}", self.agent)
    }
}

enum Failure {
    Failed(io::Error),
    StreamReset(io::Error),
}

async fn ask(session: &Arc<Session>, target: &Target) -> Result<Stream, Failure> {
    let open = Message::Open(Open {
        host: target.host.clone(),
        port: target.port,
    });
    if let Err(error) = open.encode() {
        return Err(Failure::Failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            error,
        )));
    }
    let mut stream = match session.mux.open().await {
        Ok(stream) => stream,
        Err(error @ link::Error::TooManyStreams(_)) => return Err(Failure::Failed(error.into())),
        Err(error) => return Err(Failure::StreamReset(error.into())),
    };
    write_message(&mut stream, &open)
        .await
        .map_err(|error| Failure::StreamReset(error.into()))?;
    match read_message(&mut stream).await {
        Ok(Message::Opened) => Ok(stream),
        Ok(Message::OpenFailed(failed)) => Err(Failure::Failed(explain(session, target, &failed))),
        Ok(other) => {
            let error = link::Error::Unexpected {
                found: other.name(),
                expected: "opened or open-failed",
            };
            Err(Failure::Failed(error.into()))
        }
        Err(link::Error::Io(error)) => Err(Failure::StreamReset(error)),
        Err(error) => Err(Failure::Failed(error.into())),
    }
}

fn explain(session: &Session, target: &Target, failed: &OpenFailed) -> io::Error {
    let name = session.hello().name;
    let kind = match failed.kind {
        OpenFailure::NotAllowed => io::ErrorKind::PermissionDenied,
        OpenFailure::ConnectionRefused => io::ErrorKind::ConnectionRefused,
        OpenFailure::TimedOut => io::ErrorKind::TimedOut,
        OpenFailure::Unreachable => io::ErrorKind::HostUnreachable,
        OpenFailure::Busy => io::ErrorKind::ResourceBusy,
        OpenFailure::Malformed => io::ErrorKind::InvalidInput,
        OpenFailure::Other(_) => io::ErrorKind::Other,
    };
    let text = match failed.kind {
        OpenFailure::NotAllowed => {
            format!(
                "agent {name} does not allow {target}: start it with --allow {target} where the agent runs"
            )
        }
        OpenFailure::ConnectionRefused
        | OpenFailure::TimedOut
        | OpenFailure::Unreachable
        | OpenFailure::Busy
        | OpenFailure::Malformed
        | OpenFailure::Other(_) => format!("agent {name} cannot reach {target}: {}", failed.text),
    };
    io::Error::new(kind, text)
}

fn age(seen: SystemTime) -> String {
    let seconds = seen.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
