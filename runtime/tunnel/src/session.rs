//! One agent session, from the first byte to the end: who is it, then keep it alive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use link::quic::Arrival;
use link::{
    CertificateFault, Line, LineState, Mux, MuxConfig, SessionEnd, Transport, converse,
    read_message, write_message,
};
use proto_tunnel::{
    Bye, ByeReason, Hello, Message, OLDEST_VERSION, Refusal, Refused, SECRET_LEN, Secret, VERSION,
    Welcome,
};
use store::{Credential, TokenHash};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::doors::Pending;
use crate::gateway::Shared;
use crate::registry::Session;
use crate::{Authorities, Error, command};

/// How long a goodbye that is already here may take to be read.
const END_TOLD: Duration = Duration::from_millis(100);

pub(crate) async fn run<T: Transport>(
    shared: &Arc<Shared>,
    mut transport: T,
    peer: SocketAddr,
) -> Result<(), Error> {
    let deadline = shared.config.auth_timeout;
    let Ok(Some(pending)) = timeout(deadline, shared.doors.enter(peer)).await else {
        let reason = "too many peers wait at the agents' door".to_owned();
        return Err(Error::Refused { peer, reason });
    };
    // In boxes of their own: a task holds no room for its greeting when that is over, and none for a session that has
    // another task. After an outage of thousands of agents that is a tenth of all they take.
    let greeted = Box::pin(greet(shared, &mut transport, peer, Way::WebSocket));
    let (hello, place) = in_time(shared, peer, greeted).await?;
    match place {
        Place::Old(session) => {
            drop(pending);
            resume(&session, transport, &hello, peer).await
        }
        Place::New(ticket) => {
            let (line, handle) = Line::new(shared.config.resume());
            handle.attach(transport, 0)?;
            let mux = Mux::server((line, handle), MuxConfig::gateway());
            Box::pin(begin(shared, mux, hello, ticket, peer, pending)).await
        }
    }
}

/// The same for a caller by QUIC, whose handshake is not complete yet.
pub(crate) async fn run_quic(
    shared: &Arc<Shared>,
    arrival: Arrival,
    pending: Pending,
    authorities: Option<Authorities>,
) -> Result<(), Error> {
    let peer = arrival.peer();
    let greeted = Box::pin(async {
        let connection = arrival.accept().await.map_err(|error| {
            let alert = link::quic::alert_sent(&error);
            let fault = alert.and_then(CertificateFault::of_alert);
            match (fault, &authorities) {
                (Some(fault), Some(authorities)) => Error::Refused {
                    peer,
                    reason: authorities.explain(fault),
                },
                _ => error.into(),
            }
        })?;
        let mut greeting = connection.accept_greeting().await?;
        let (hello, place) = greet(shared, &mut greeting, peer, Way::Quic).await?;
        Ok((connection, greeting, hello, place))
    });
    let (connection, greeting, hello, place) = in_time(shared, peer, greeted).await?;
    let Place::New(ticket) = place else {
        return Err(link::Error::Closed.into());
    };
    let mux = Mux::quic(connection, MuxConfig::gateway());
    // Dropping it would take back a welcome that is still on its way.
    let _greeting = greeting;
    Box::pin(begin(shared, mux, hello, ticket, peer, pending)).await
}

/// Says why there is no session for a peer that should have shown a certificate, and did not.
pub(crate) async fn turn_away<T: Transport>(
    shared: &Arc<Shared>,
    mut transport: T,
    peer: SocketAddr,
) -> Result<(), Error> {
    let deadline = shared.config.auth_timeout;
    let Ok(Some(_pending)) = timeout(deadline, shared.doors.enter(peer)).await else {
        let reason = "too many peers wait at the agents' door".to_owned();
        return Err(Error::Refused { peer, reason });
    };
    let told = async {
        // An agent hears nothing before it has said hello.
        read_message(&mut transport).await?;
        let refused = Refused {
            reason: Refusal::Unauthorized,
            text: "this gateway takes agents with a certificate of its operator's authority only: start the agent with --certificate FILE --key FILE".to_owned(),
        };
        write_message(&mut transport, &Message::Refused(refused)).await?;
        let _ = transport.shutdown().await;
        Err::<(), _>(Error::Refused {
            peer,
            reason: "it has shown no certificate, and `http.agent_ca` asks for one: start it with --certificate FILE --key FILE (an agent from before there was that option has to be replaced)".to_owned(),
        })
    };
    in_time(shared, peer, told).await
}

/// Waits for the end of a greeting, but not for ever.
async fn in_time<T>(
    shared: &Shared,
    peer: SocketAddr,
    greeted: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(shared.config.auth_timeout, greeted).await {
        Ok(Ok(greeted)) => Ok(greeted),
        Ok(Err(error)) => {
            warn!(%peer, %error, "agent refused");
            Err(error)
        }
        Err(_) => {
            warn!(%peer, "a peer at the agents' door did not say who it is in time");
            Err(Error::TimedOut(peer))
        }
    }
}

/// A new session, once the agent has opened its control stream.
async fn begin(
    shared: &Arc<Shared>,
    mux: Mux,
    hello: Hello,
    ticket: Secret,
    peer: SocketAddr,
    pending: Pending,
) -> Result<(), Error> {
    let control = match timeout(shared.config.auth_timeout, accept_control(&mux)).await {
        Ok(control) => control?,
        Err(_) => return Err(Error::TimedOut(peer)),
    };
    drop(pending);
    let id = shared.next_session.fetch_add(1, Ordering::Relaxed);
    let session = Arc::new(Session::new(id, mux, hello, ticket, peer));
    serve(shared, &session, control).await
}

/// The first stream, which the agent opens with one message.
async fn accept_control(mux: &Mux) -> Result<link::Stream, link::Error> {
    let mut control = mux.accept().await?;
    match read_message(&mut control).await? {
        Message::Opened => Ok(control),
        other => Err(link::Error::Unexpected {
            found: other.name(),
            expected: "opened",
        }),
    }
}

/// Gives a session its next connection, and waits until that is used no more.
async fn resume<T: Transport>(
    session: &Arc<Session>,
    transport: T,
    hello: &Hello,
    peer: SocketAddr,
) -> Result<(), Error> {
    let Some(line) = session.mux.line() else {
        return Ok(());
    };
    let attached = match session.attach(transport, hello, peer) {
        Ok(Some(attached)) => attached,
        Ok(None) => return Ok(()),
        Err(error) => {
            warn!(agent = %hello.name, %peer, %error, "agent cannot go on with its session");
            session.leave(ByeReason::Protocol, "this session cannot go on");
            return Err(error.into());
        }
    };
    info!(agent = %hello.name, %peer, "agent goes on with its session over a new connection");
    /// The connection belongs to the caller: it goes when this future is dropped.
    struct Detach<'a>(&'a link::LineHandle, u64);
    impl Drop for Detach<'_> {
        fn drop(&mut self) {
            self.0.detach_if(self.1, "the gateway has dropped it");
        }
    }
    let _detach = Detach(line, attached);
    line.detached(attached).await;
    Ok(())
}

async fn serve(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    control: link::Stream,
) -> Result<(), Error> {
    let name = session.hello().name;
    info!(
        agent = %name, peer = %session.peer(), transport = %session.mux.transport(),
        version = session.hello().program, "agent connected"
    );
    shared.registry.enter(session);
    // The session leaves the registry also when the HTTP server drops this future.
    let _exit = Exit { shared, session };
    shared.note_seen(&name).await;

    let end = tokio::select! {
        end = converse(control, leave(shared, session)) => end,
        // It is there for those who list agents.
        end = async {
            let _ = command::ask_report(session).await;
            std::future::pending().await
        } => end,
        // Agents open nothing but the control stream: what comes is dropped, which resets it.
        // The end of the session may be seen here before the goodbye that was said first.
        error = async {
            let error = refuse_streams(&session.mux).await;
            tokio::time::sleep(END_TOLD).await;
            error
        } => SessionEnd::Broken(error),
        () = watch_line(shared, session) => SessionEnd::Broken(link::Error::Closed),
    };
    let said_goodbye = matches!(end, SessionEnd::PeerLeft(_));
    session.said_goodbye.store(said_goodbye, Ordering::Relaxed);
    let peer = session.peer();
    match &end {
        SessionEnd::Left(Bye { text, .. }) => {
            info!(agent = %name, %peer, reason = text, "agent session ended")
        }
        SessionEnd::PeerLeft(Bye { text, .. }) => {
            info!(agent = %name, %peer, reason = text, "agent left")
        }
        SessionEnd::Broken(error) => {
            session.lost.add(1);
            let cut = session.mux.open_streams();
            warn!(agent = %name, %peer, cut, %error, "agent session lost with its connections");
        }
    }
    shared.registry.exit(session);
    session.mux.close().await;
    shared.note_seen(&name).await;
    match end {
        SessionEnd::Broken(error) => Err(error.into()),
        SessionEnd::Left(_) | SessionEnd::PeerLeft(_) => Ok(()),
    }
}

/// Tells the log and those who wait when the session loses its connection or gets another. Ends with the line.
async fn watch_line(shared: &Arc<Shared>, session: &Session) {
    let mut state = session.mux.state();
    let mut was_lost = false;
    loop {
        let now = *state.borrow_and_update();
        match now {
            LineState::Attached(_) => {
                // Over a WebSocket the new connection has said so itself.
                if was_lost && session.mux.line().is_none() {
                    info!(agent = %session.hello().name, peer = %session.peer(), "agent is heard again, its session goes on");
                }
                was_lost = false;
            }
            LineState::Detached => {
                was_lost = true;
                let name = session.hello().name;
                let reason = session.mux.lost();
                info!(agent = %name, reason, "agent's connection is lost, its session waits for the next");
            }
            // The multiplexer tells why.
            LineState::Ended => std::future::pending().await,
        }
        shared.registry.note_change();
        if state.changed().await.is_err() {
            return;
        }
    }
}

struct Exit<'a> {
    shared: &'a Arc<Shared>,
    session: &'a Session,
}

impl Drop for Exit<'_> {
    fn drop(&mut self) {
        self.shared.registry.exit(self.session);
    }
}

/// By which way an agent comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    WebSocket,
    Quic,
}

/// Where an agent that was let in belongs.
enum Place {
    /// To a session that goes on.
    Old(Arc<Session>),
    /// To a new one with this ticket.
    New(Secret),
}

/// Takes the hello and answers it. Nothing is remembered of a peer that is refused, but that it failed.
async fn greet<T: Transport>(
    shared: &Arc<Shared>,
    transport: &mut T,
    peer: SocketAddr,
    way: Way,
) -> Result<(Hello, Place), Error> {
    let refusal = match read_message(transport).await {
        Ok(Message::Hello(hello)) => match judge(shared, &hello, peer).await? {
            Ok(credential) => {
                if credential == Credential::Joined {
                    info!(agent = %hello.name, %peer, "agent joined");
                }
                match place(shared, &hello, way) {
                    Ok((place, resumed)) => {
                        let ticket = match &place {
                            Place::Old(session) => session.ticket.clone(),
                            Place::New(ticket) => ticket.clone(),
                        };
                        let welcome = Welcome {
                            version: hello.version.min(VERSION),
                            program: env!("CARGO_PKG_VERSION").to_owned(),
                            ticket,
                            resumed,
                            quic: shared.quic_offer(),
                        };
                        write_message(transport, &Message::Welcome(welcome)).await?;
                        return Ok((hello, place));
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(refusal) => refusal,
        },
        Ok(other) => Refused {
            reason: Refusal::Malformed,
            text: format!("hello was due, {} came", other.name()),
        },
        Err(link::Error::Malformed(error)) => Refused {
            reason: Refusal::Malformed,
            text: error.to_string(),
        },
        Err(error) => return Err(error.into()),
    };
    let reason = refusal.text.clone();
    write_message(transport, &Message::Refused(refusal)).await?;
    let _ = transport.shutdown().await;
    Err(Error::Refused { peer, reason })
}

/// The session that the hello's ticket names, if this agent still has it; else a new one.
fn place(shared: &Shared, hello: &Hello, way: Way) -> Result<(Place, Option<u64>), Refused> {
    if let Some(session) = shared.registry.live(hello.name.as_str()) {
        let stale = || Refused {
            reason: Refusal::Stale,
            text: "a later connection of this agent has overtaken this one".to_owned(),
        };
        if let Some(resume) = &hello.resume
            && session.is_ticket(&resume.ticket)
            && way == Way::WebSocket
            && session.mux.line().is_some_and(link::LineHandle::is_alive)
        {
            let consumed = session.claim(hello).ok_or_else(stale)?;
            return Ok((Place::Old(session), Some(consumed)));
        }
        if session.is_overtaking(hello) {
            return Err(stale());
        }
    }
    let mut ticket = [0; SECRET_LEN];
    getrandom::fill(&mut ticket).map_err(|_| Refused {
        reason: Refusal::Busy,
        text: "the gateway has no random numbers".to_owned(),
    })?;
    Ok((Place::New(Secret::new(ticket)), None))
}

async fn judge(
    shared: &Arc<Shared>,
    hello: &Hello,
    peer: SocketAddr,
) -> Result<Result<Credential, Refused>, Error> {
    if hello.version < OLDEST_VERSION {
        let text = format!("this gateway speaks versions {OLDEST_VERSION} to {VERSION}");
        return Ok(Err(Refused {
            reason: Refusal::Version,
            text,
        }));
    }
    if shared
        .throttle
        .is_blocked(peer.ip(), hello.name.as_str(), Instant::now())
    {
        let text = "too many failed attempts, try again in a minute".to_owned();
        return Ok(Err(Refused {
            reason: Refusal::RateLimited,
            text,
        }));
    }
    let (store, asked) = (shared.store.clone(), hello.clone());
    let admitted = tokio::task::spawn_blocking(move || {
        store.admit_agent(&asked.name, &asked.token, asked.join_secret.as_ref())
    });
    match admitted.await {
        Ok(Ok(Some(credential))) => Ok(Ok(credential)),
        Ok(Ok(None)) => {
            shared
                .throttle
                .note_failure(peer.ip(), hello.name.as_str(), Instant::now());
            let text = "unknown agent, or its join code is wrong, used or expired: make a new one with \"eyelet agent add\"";
            Ok(Err(Refused {
                reason: Refusal::Unauthorized,
                text: text.to_owned(),
            }))
        }
        Ok(Err(error)) => {
            warn!(%error, "the state file cannot be read, an agent is sent away");
            Ok(Err(Refused {
                reason: Refusal::Busy,
                text: "the gateway cannot check agents now".to_owned(),
            }))
        }
        Err(_) => Ok(Err(Refused {
            reason: Refusal::Busy,
            text: "the gateway is stopping".to_owned(),
        })),
    }
}

/// Resolves when the session has to end by the gateway's will.
async fn leave(shared: &Arc<Shared>, session: &Session) -> Bye {
    tokio::select! {
        bye = session.asked_to_leave() => bye,
        bye = removed(shared, session) => bye,
    }
}

/// Looks again and again whether the agent is still in the store, which another process may have changed.
async fn removed(shared: &Arc<Shared>, session: &Session) -> Bye {
    let hello = session.hello();
    let token = TokenHash::of(&hello.token);
    let start = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(shared.config.heartbeat.busy).await;
        // A store that cannot be read is no reason to cut every camera off.
        if shared.is_enrolled(&hello.name, token, start).await == Some(false) {
            return Bye {
                reason: ByeReason::Removed,
                text: "this agent was removed".to_owned(),
            };
        }
    }
}

async fn refuse_streams(mux: &Mux) -> link::Error {
    loop {
        if let Err(error) = mux.accept().await {
            return error;
        }
    }
}
