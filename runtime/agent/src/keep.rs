//! Keeps a session's connection alive, whatever becomes of the network beneath.

use std::net::IpAddr;
use std::time::Duration;

use link::{LineHandle, LineState, Mux};
use proto_tunnel::Secret;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::connect::{Connected, Reached, Socket, race};
use crate::known::Known;
use crate::life::Life;
use crate::prospect::Ways;
use crate::redial::Redial;
use crate::{Agent, Error, State, network};

/// How long a gateway may be silent over QUIC before it is looked whether a WebSocket reaches it.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(8);
/// How long QUIC still has after a WebSocket has reached the gateway.
const LAST_CHANCE: Duration = Duration::from_secs(4);
/// Between looks.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

impl Agent {
    /// Keeps the session for as long as it can be kept. Returns a connection for a new one, if there is one, when there
    /// should be a new one.
    pub(crate) async fn keep(
        &self,
        redial: &mut Redial,
        mux: &Mux,
        ticket: &Secret,
        life: &Life,
        local: Option<IpAddr>,
    ) -> Result<Option<Connected>, Error> {
        match mux.line() {
            Some(line) => {
                let replaced = self.keep_attached(redial, line, ticket, life, local).await;
                replaced.map(Some)
            }
            None => self.keep_called(redial, mux, life, local).await,
        }
    }

    /// Gives the session a new connection whenever it has lost one, or may have. Returns a connection for a new session
    /// when the gateway has the old one no more, or when QUIC gets through and nobody would notice.
    async fn keep_attached(
        &self,
        redial: &mut Redial,
        line: &LineHandle,
        ticket: &Secret,
        life: &Life,
        mut local: Option<IpAddr>,
    ) -> Result<Connected, Error> {
        loop {
            let now = *line.state().borrow();
            let attached = match now {
                LineState::Attached(attached) => attached,
                LineState::Detached => {
                    info!(
                        "connection to the gateway lost ({}), redialing",
                        line.lost()
                    );
                    redial.plan_at_once();
                    let connected = redial
                        .dial(&self.identity, &self.state, Some((line, ticket)))
                        .await?;
                    let socket = match (connected.welcome.resumed, connected.socket) {
                        (Some(position), Socket::WebSocket(socket)) => (position, socket),
                        (_, socket) => {
                            warn!(
                                "the gateway has this session no more, connections to cameras end"
                            );
                            return Ok(Connected {
                                socket,
                                ..connected
                            });
                        }
                    };
                    match line.attach(socket.1, socket.0) {
                        Ok(_) => {
                            local = connected.local;
                            life.note_local(local);
                            self.state.send_replace(State::Connected);
                            info!("the session goes on over a new connection");
                        }
                        Err(error) => warn!("the session cannot go on: {error}"),
                    }
                    continue;
                }
                // Whoever serves the session is told, too.
                LineState::Ended => return std::future::pending().await,
            };
            tokio::select! {
                () = line.detached(attached) => {}
                () = redial.prospect.due() => {
                    if !life.is_idle() {
                        redial.prospect.postpone();
                    } else if let Some(connected) = redial.try_quic(&self.identity).await {
                        info!("QUIC gets through to the gateway, and takes the WebSocket's place");
                        return Ok(connected);
                    }
                }
                () = redial.network.changed() => match local {
                    // TCP itself would notice only much later.
                    Some(address) if !network::is_own(address) => {
                        info!(%address, "this machine has lost the connection's address");
                        line.detach_if(attached, "its address is gone");
                    }
                    _ if redial.network.is_told() => line.doubt(),
                    _ => {}
                },
            }
        }
    }

    /// Sees to it that QUIC calls from a new socket when the network has changed. Returns when UDP gets through no more
    /// and a WebSocket does.
    async fn keep_called(
        &self,
        redial: &mut Redial,
        mux: &Mux,
        life: &Life,
        mut local: Option<IpAddr>,
    ) -> Result<Option<Connected>, Error> {
        let mut state = mux.state();
        let mut was_lost = false;
        loop {
            let now = *state.borrow_and_update();
            match now {
                LineState::Attached(_) => {
                    if was_lost {
                        was_lost = false;
                        self.state.send_replace(State::Connected);
                        info!("the gateway is heard again, the session goes on");
                    }
                    tokio::select! {
                        _ = state.changed() => {}
                        () = redial.network.changed() => {
                            let is_moved = local.is_some_and(|local| !network::is_own(local));
                            if is_moved || redial.network.is_told() {
                                mux.doubt();
                            }
                            if let Some(peer) = mux.peer() {
                                local = network::towards(peer);
                                life.note_local(local);
                            }
                        }
                    }
                }
                LineState::Detached => {
                    if !was_lost {
                        was_lost = true;
                        self.state.send_replace(State::Connecting);
                        info!(
                            "the gateway is silent ({}), calling it by other ways",
                            mux.lost()
                        );
                    }
                    let reached = {
                        let elsewhere =
                            self.look_elsewhere(redial.prospect.is_auto(), &redial.known);
                        tokio::pin!(elsewhere);
                        loop {
                            tokio::select! {
                                _ = state.changed() => break None,
                                () = redial.network.changed() => if redial.network.is_told() {
                                    mux.doubt();
                                },
                                reached = &mut elsewhere => break Some(reached),
                            }
                        }
                    };
                    if let Some(reached) = reached {
                        warn!(
                            "UDP gets through to the gateway no more and a WebSocket does: connections to cameras end"
                        );
                        let connected = redial.leave_quic(&self.identity, reached).await;
                        return Ok(connected
                            .inspect_err(|error| debug!("and then not: {}", error.chain()))
                            .ok());
                    }
                }
                // Whoever serves the session is told, too.
                LineState::Ended => return std::future::pending().await,
            }
        }
    }

    /// Resolves when a WebSocket reaches a gateway that has been silent for a while. Where there is no choice, never.
    async fn look_elsewhere(&self, has_choice: bool, known: &Known) -> Reached {
        if !has_choice {
            return std::future::pending().await;
        }
        sleep(LOOK_ELSEWHERE).await;
        loop {
            match race(&self.identity, known, &Ways::websocket()).await {
                Ok(reached) => {
                    sleep(LAST_CHANCE).await;
                    return reached;
                }
                Err(error) => debug!("nor by a WebSocket: {}", error.chain()),
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
