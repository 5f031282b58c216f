use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use dialer::{BoxDatagrams, BoxIo, Datagrams, Dialer, Target};
use futures_util::future::BoxFuture;
use link::{DatagramStream, Stream, read_message};
use proto_tunnel::{Message, Open, OpenDatagrams, OpenFailed, OpenFailure, OpenedDatagrams};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Gateway;
use crate::early::Early;
use crate::limit::Limited;
use crate::registry::Session;

/// The end of a session is known this long after the end of its streams at the latest.
const END_TOLD: Duration = Duration::from_millis(200);

/// Ports that an agent's `udp:ADDRESS` stands for: those of Reolink's hellos.
const HELLO_PORTS: [u16; 2] = [2015, 2018];

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

    /// A connection to `target`; `early` is said to it at once.
    pub(crate) async fn open(
        &self,
        target: &Target,
        early: &mut Early<'_>,
    ) -> io::Result<Limited<Stream>> {
        let (stream, _) = self.ask(&Wanted::Connection(target), early).await?;
        Ok(self.limited(stream))
    }

    /// A stream of datagrams, and the port that the agent has for them.
    pub(crate) async fn open_datagrams(
        &self,
        towards: SocketAddr,
    ) -> io::Result<(Limited<Stream>, u16)> {
        let wanted = Wanted::Datagrams(towards);
        let (stream, port) = self.ask(&wanted, &mut Early::default()).await?;
        Ok((self.limited(stream), port))
    }

    fn limited(&self, stream: Stream) -> Limited<Stream> {
        Limited::new(stream, self.gateway.shared.limit(&self.agent))
    }

    async fn ask(&self, wanted: &Wanted<'_>, early: &mut Early<'_>) -> io::Result<(Stream, u16)> {
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
            let opened = match timeout(config.open_timeout, ask(&session, wanted, early)).await {
                Ok(opened) => opened,
                Err(_) => Err(Failure::Failed(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "agent {} did not answer when asked for {wanted}",
                        self.agent
                    ),
                ))),
            };
            match opened {
                Ok(opened) => {
                    session.opened.add(1);
                    return Ok(opened);
                }
                Err(Failure::Failed(error)) => {
                    session.failed.add(1);
                    return Err(error);
                }
                Err(Failure::StreamReset(error)) => {
                    session.failed.add(1);
                    // Either this stream alone was reset, or the session ended under the request; then the next
                    // session may do better.
                    let ended = timeout(END_TOLD, session.mux.closed()).await.is_ok();
                    let next = self.gateway.shared.registry.wait_exit(&session);
                    if !ended || timeout_at(deadline, next).await.is_err() {
                        return Err(wanted.why_reset(&self.agent, error));
                    }
                    // Its last breath may have brought the camera what the viewer said first.
                    if !early.is_repeatable() {
                        let text = format!(
                            "agent {}'s session ended while it was asked for {wanted}, and the camera may have heard what the viewer said first: it is not said twice",
                            self.agent
                        );
                        return Err(io::Error::new(io::ErrorKind::ConnectionReset, text));
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
        Box::pin(
            async move { Ok(Box::new(self.open(target, &mut Early::default()).await?) as BoxIo) },
        )
    }

    /// At any port: which one, the agent's machine decides.
    fn datagrams(
        &self,
        towards: SocketAddr,
        _port: Option<u16>,
    ) -> BoxFuture<'_, io::Result<BoxDatagrams>> {
        Box::pin(async move {
            let (stream, port) = self.open_datagrams(towards).await?;
            Ok(Box::new(Relayed::new(stream, port)) as BoxDatagrams)
        })
    }

    fn describe(&self) -> String {
        format!("via agent {}", self.agent)
    }
}

/// What an agent is asked for.
enum Wanted<'a> {
    Connection(&'a Target),
    Datagrams(SocketAddr),
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(target) => target.fmt(f),
            Self::Datagrams(towards) => write!(f, "datagrams to {towards}"),
        }
    }
}

impl Wanted<'_> {
    fn message(&self) -> Message {
        match *self {
            Self::Connection(target) => Message::Open(Open {
                host: target.host.clone(),
                port: target.port,
            }),
            Self::Datagrams(towards) => Message::OpenDatagrams(OpenDatagrams { towards }),
        }
    }

    /// What the agent's `--allow` has to say.
    fn allow(&self) -> String {
        match *self {
            Self::Connection(target) => target.to_string(),
            Self::Datagrams(towards) if towards.ip() == Ipv4Addr::BROADCAST => {
                "udp:broadcast".to_owned()
            }
            Self::Datagrams(towards) if HELLO_PORTS.contains(&towards.port()) => {
                format!("udp:{}", towards.ip())
            }
            Self::Datagrams(towards) => format!("udp:{towards}"),
        }
    }

    fn why_reset(&self, agent: &str, error: io::Error) -> io::Error {
        match self {
            Self::Connection(_) => error,
            Self::Datagrams(_) => io::Error::new(
                error.kind(),
                format!(
                    "agent {agent} ended the request for datagrams ({error}): an agent from before it could relay them needs an update"
                ),
            ),
        }
    }
}

/// A socket beside an agent.
pub(crate) struct Relayed<S> {
    stream: DatagramStream<S>,
    port: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relayed<S> {
    pub(crate) fn new(stream: S, port: u16) -> Self {
        let stream = DatagramStream::new(stream);
        Self { stream, port }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Datagrams for Relayed<S> {
    fn port(&self) -> u16 {
        self.port
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<()>> {
        self.stream.push(to, payload);
        match self.stream.poll_flush(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The rest leaves while something is waited for.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let (from, payload) = ready!(self.stream.poll_next(cx))?;
        let len = payload.len().min(buf.len());
        if let (Some(space), Some(payload)) = (buf.get_mut(..len), payload.get(..len)) {
            space.copy_from_slice(payload);
        }
        Poll::Ready(Ok((len, from)))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_close(cx)
    }
}

enum Failure {
    Failed(io::Error),
    StreamReset(io::Error),
}

async fn ask(
    session: &Arc<Session>,
    wanted: &Wanted<'_>,
    early: &mut Early<'_>,
) -> Result<(Stream, u16), Failure> {
    let request = wanted
        .message()
        .encode()
        .map_err(|error| Failure::Failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let stream = match session.mux.open().await {
        Ok(stream) => stream,
        Err(error @ link::Error::TooManyStreams(_)) => return Err(Failure::Failed(error.into())),
        Err(error) => return Err(Failure::StreamReset(error.into())),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    early.note_said();
    let asked = async {
        writer.write_all(&request).await?;
        writer.write_all(early.bytes()).await?;
        writer.flush().await
    };
    asked.await.map_err(Failure::StreamReset)?;
    let answer = {
        let answer = read_message(&mut reader);
        tokio::pin!(answer);
        loop {
            let from = tokio::select! {
                answer = &mut answer => break answer,
                from = early.more() => from,
            };
            early.note_said();
            // Far less than a stream's first window, so it does not wait. The answer tells of a failure.
            let more = early.bytes().get(from..).unwrap_or_default();
            let _ = writer.write_all(more).await;
            let _ = writer.flush().await;
        }
    };
    let stream = reader.unsplit(writer);
    match answer {
        Ok(Message::Opened) if matches!(wanted, Wanted::Connection(_)) => Ok((stream, 0)),
        Ok(Message::OpenedDatagrams(OpenedDatagrams { port }))
            if matches!(wanted, Wanted::Datagrams(_)) =>
        {
            Ok((stream, port))
        }
        Ok(Message::OpenFailed(failed)) => Err(Failure::Failed(explain(session, wanted, &failed))),
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

fn explain(session: &Session, wanted: &Wanted<'_>, failed: &OpenFailed) -> io::Error {
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
                "agent {name} does not allow {wanted}: start it with --allow {} where the agent runs",
                wanted.allow()
            )
        }
        OpenFailure::ConnectionRefused
        | OpenFailure::TimedOut
        | OpenFailure::Unreachable
        | OpenFailure::Busy
        | OpenFailure::Malformed
        | OpenFailure::Other(_) => format!("agent {name} cannot reach {wanted}: {}", failed.text),
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
