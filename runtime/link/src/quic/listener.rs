use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use proto_tunnel::ResumeConfig;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime, ValidationTokenConfig, VarInt,
};
use quinn_proto::RandomConnectionIdGenerator;

use super::QuicConnection;
use super::settings::{Role, transport};
use crate::Error;

/// Most callers that wait to be taken or sent away, in memory.
pub const MAX_ARRIVALS: usize = 256;
/// Bytes of each of them: a hello in TLS takes one datagram, or two.
const ARRIVAL_BUFFER: u64 = 4 << 10;
/// How long a caller may take to come back with its token.
const RETRY_LIFETIME: Duration = Duration::from_secs(10);
/// Bytes of a connection's name.
const CONNECTION_ID: usize = 8;
/// Goodbye without a fault.
pub(super) const DONE: VarInt = VarInt::from_u32(0);

/// A gateway's UDP port.
#[derive(Debug)]
pub struct QuicListener {
    endpoint: Endpoint,
    resume: ResumeConfig,
}

impl QuicListener {
    /// Takes callers on `socket`. `reset_seed` lets a gateway that has started anew tell the callers of its predecessor
    /// that their connection is gone; it must stay the same, and secret.
    ///
    /// # Errors
    /// When the socket or the TLS configuration cannot be used.
    pub fn new(
        socket: UdpSocket,
        mut tls: rustls::ServerConfig,
        reset_seed: [u8; 32],
        resume: ResumeConfig,
    ) -> io::Result<Self> {
        tls.alpn_protocols = vec![super::ALPN.to_vec()];
        // No early data, and no tickets that could carry it.
        tls.max_early_data_size = 0;
        tls.send_tls13_tickets = 0;
        let tls = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
        let mut config = ServerConfig::with_crypto(Arc::new(tls));
        let mut no_tokens = ValidationTokenConfig::default();
        no_tokens.sent(0);
        let congestion = Arc::new(CubicConfig::default());
        config
            .transport_config(Arc::new(transport(Role::Gateway, &resume, congestion)))
            .validation_token_config(no_tokens)
            .retry_token_lifetime(RETRY_LIFETIME)
            .max_incoming(MAX_ARRIVALS)
            .incoming_buffer_size(ARRIVAL_BUFFER)
            .incoming_buffer_size_total(ARRIVAL_BUFFER * MAX_ARRIVALS as u64);
        let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &reset_seed);
        let mut endpoint = EndpointConfig::new(Arc::new(reset_key));
        // Names that any process takes for possible: those of a predecessor get the answer that they are gone.
        endpoint.cid_generator(|| Box::new(RandomConnectionIdGenerator::new(CONNECTION_ID)));
        let endpoint = Endpoint::new(endpoint, Some(config), socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint, resume })
    }

    /// The next caller; nothing after the end. Cancel-safe.
    pub async fn next(&self) -> Option<Arrival> {
        let incoming = self.endpoint.accept().await?;
        Some(Arrival {
            incoming,
            resume: self.resume,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }
}

impl Drop for QuicListener {
    fn drop(&mut self) {
        self.endpoint.close(DONE, b"the gateway is stopping");
    }
}

/// A caller that has said its first word and got no answer yet.
#[derive(Debug)]
pub struct Arrival {
    incoming: Incoming,
    resume: ResumeConfig,
}

impl Arrival {
    /// Where it says it is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Whether it has proved that it is there.
    #[must_use]
    pub fn is_validated(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Asks it to call again with a token that is sent to where it says it is. Nothing is remembered of it.
    pub fn retry(self) {
        if let Err(error) = self.incoming.retry() {
            error.into_incoming().ignore();
        }
    }

    /// Sends it away.
    pub fn refuse(self) {
        self.incoming.refuse();
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// [`Error::Io`] when that fails.
    pub async fn accept(self) -> Result<QuicConnection, Error> {
        let connection = self.incoming.accept()?.await?;
        Ok(QuicConnection {
            connection,
            caller: None,
            resume: self.resume,
        })
    }
}
