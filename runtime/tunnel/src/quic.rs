//! The agents' door for QUIC: a UDP port.

use std::net::{SocketAddr, UdpSocket};

use link::quic::{Arrival, QuicListener};
use proto_tunnel::QuicOffer;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{Authorities, Error, Gateway, Identity, session};

/// So many unproven agents may come without a proof of where they are. Beyond it each has to call again with a token
/// that was sent there: whoever makes addresses up fills these places and no more. Fewer than an address has places, so
/// that nobody can take all of another one's.
const MAX_UNPROVEN_PLACES: usize = 16;

/// Takes agents that come by QUIC.
#[derive(Debug)]
pub struct QuicDoor {
    listener: QuicListener,
    gateway: Gateway,
    /// Whose certificates callers have to show, if any.
    authorities: Option<Authorities>,
}

impl QuicDoor {
    /// Takes the port, and has agents told of it from now on. `websocket` is where they come by WebSocket.
    ///
    /// # Errors
    /// [`Error::Quic`] when the port cannot be had.
    pub fn bind(
        gateway: &Gateway,
        identity: &Identity,
        listen: SocketAddr,
        websocket: SocketAddr,
    ) -> Result<Self, Error> {
        let fail = |source| Error::Quic { listen, source };
        let socket = UdpSocket::bind(listen).map_err(fail)?;
        let resume = gateway.shared.config.resume();
        let (tls, seed) = (identity.quic_config(), identity.reset_seed());
        let listener = QuicListener::new(socket, tls, seed, resume).map_err(fail)?;
        let port = listener.local_addr().map_err(fail)?.port();
        gateway.shared.offer_quic(if port == websocket.port() {
            QuicOffer::SamePort
        } else {
            QuicOffer::Port(port)
        });
        Ok(Self {
            listener,
            gateway: gateway.clone(),
            authorities: identity.agents_tls().map(|tls| tls.authorities),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves agents until `shutdown`. Sessions belong to it and end with it.
    pub async fn serve(self, shutdown: CancellationToken) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some(_) = sessions.join_next() => {}
                arrival = self.listener.next() => match arrival {
                    Some(arrival) => self.receive(arrival, &mut sessions),
                    None => return,
                }
            }
        }
    }

    fn receive(&self, arrival: Arrival, sessions: &mut JoinSet<()>) {
        let (shared, peer) = (&self.gateway.shared, arrival.peer());
        if !arrival.is_validated() && shared.doors.crowd() >= MAX_UNPROVEN_PLACES {
            arrival.retry();
            return;
        }
        match shared.doors.try_enter(peer) {
            Some(pending) => {
                let shared = std::sync::Arc::clone(shared);
                let authorities = self.authorities.clone();
                sessions.spawn(async move {
                    // It reports its ends by itself.
                    let _ = session::run_quic(&shared, arrival, pending, authorities).await;
                });
            }
            None => {
                debug!(%peer, "no place at the door for a caller by QUIC");
                arrival.refuse();
            }
        }
    }
}
