//! One agent session, from the first byte to the end: who is it, then keep it alive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use link::{Mux, MuxConfig, SessionEnd, Transport, keep_alive, read_message, write_message};
use proto_tunnel::{Bye, Hello, Message, Refusal, Refused, VERSION, Welcome};
use store::{Credential, TokenHash};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::gateway::Shared;
use crate::registry::Session;
use crate::{Error, command};

/// How long a goodbye that is already here may take to be read.
const END_TOLD: Duration = Duration::from_millis(100);

pub(crate) async fn run<T: Transport>(
    shared: &Arc<Shared>,
    mut transport: T,
    peer: SocketAddr,
) -> Result<(), Error> {
    let pending = shared.doors.enter(peer).map_err(|reason| Error::Refused {
        peer,
        reason: reason.to_owned(),
    })?;
    let deadline = shared.config.auth_timeout;
    let greeted = timeout(deadline, greet(shared, &mut transport, peer)).await;
    let hello = match greeted {
        Ok(Ok(hello)) => hello,
        Ok(Err(error)) => {
            warn!(%peer, %error, "agent refused");
            return Err(error);
        }
        Err(_) => {
            warn!(%peer, "a peer at the agents' door did not say who it is in time");
            return Err(Error::TimedOut(peer));
        }
    };
    let mux = Mux::server(transport, MuxConfig::gateway());
    let control = match timeout(deadline, mux.accept()).await {
        Ok(control) => control?,
        Err(_) => return Err(Error::TimedOut(peer)),
    };
    drop(pending);

    let id = shared.next_session.fetch_add(1, Ordering::Relaxed);
    let session = Arc::new(Session::new(id, mux, hello, peer));
    let name = session.hello.name.clone();
    info!(agent = %name, %peer, version = session.hello.program, "agent connected");
    shared.registry.enter(&session);
    // The session leaves the registry also when the HTTP server drops this future.
    let _exit = Exit {
        shared,
        session: &session,
    };
    shared.note_seen(&name).await;

    let end = tokio::select! {
        end = keep_alive(
            control,
            shared.config.heartbeat,
            session.mux.flow(),
            leave(shared, &session),
            |trip| session.note_trip(trip),
        ) => end,
        // It is there for those who list agents; one that is too old to give it is listed without.
        end = async {
            let _ = command::ask_report(&session).await;
            std::future::pending().await
        } => end,
        // Agents open nothing but the control stream: what comes is dropped, which resets it.
        // The end of the session may be seen here before the goodbye that was said first.
        error = async {
            let error = refuse_streams(&session.mux).await;
            tokio::time::sleep(END_TOLD).await;
            error
        } => SessionEnd::Broken(error),
    };
    let said_goodbye = matches!(end, SessionEnd::PeerLeft(_));
    session.said_goodbye.store(said_goodbye, Ordering::Relaxed);
    shared.registry.exit(&session);
    match &end {
        SessionEnd::Left(Bye { text, .. }) => {
            info!(agent = %name, %peer, reason = text, "agent session ended")
        }
        SessionEnd::PeerLeft(Bye { text, .. }) => {
            info!(agent = %name, %peer, reason = text, "agent left")
        }
        SessionEnd::Dead => {
            warn!(agent = %name, %peer, "agent gives no sign of life, session dropped")
        }
        SessionEnd::Broken(error) => warn!(agent = %name, %peer, %error, "agent session broke"),
    }
    session.mux.close().await;
    shared.note_seen(&name).await;
    match end {
        SessionEnd::Broken(error) => Err(error.into()),
        SessionEnd::Left(_) | SessionEnd::PeerLeft(_) | SessionEnd::Dead => Ok(()),
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

/// Takes the hello and answers it. Nothing is remembered of a peer that is refused, but that it failed.
async fn greet<T: Transport>(
    shared: &Arc<Shared>,
    transport: &mut T,
    peer: SocketAddr,
) -> Result<Hello, Error> {
    let refusal = match read_message(transport).await {
        Ok(Message::Hello(hello)) => match judge(shared, &hello, peer).await? {
            Ok(credential) => {
                if credential == Credential::Joined {
                    info!(agent = %hello.name, %peer, "agent joined");
                }
                let version = hello.version.min(VERSION);
                let program = env!("CARGO_PKG_VERSION").to_owned();
                write_message(transport, &Message::Welcome(Welcome { version, program })).await?;
                return Ok(hello);
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

async fn judge(
    shared: &Arc<Shared>,
    hello: &Hello,
    peer: SocketAddr,
) -> Result<Result<Credential, Refused>, Error> {
    if hello.version == 0 {
        let text = format!("this gateway speaks versions 1 to {VERSION}");
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
    let token = TokenHash::of(&session.hello.token);
    loop {
        tokio::time::sleep(shared.config.heartbeat.busy).await;
        let (store, name) = (shared.store.clone(), session.hello.name.clone());
        let enrolled = tokio::task::spawn_blocking(move || store.is_enrolled(&name, token)).await;
        // A store that cannot be read is no reason to cut every camera off.
        if let Ok(Ok(false)) = enrolled {
            return Bye {
                reason: proto_tunnel::ByeReason::Removed,
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
