use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use proto_tunnel::ResumeConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime};

use super::allowance::Allowance;
use super::settings::{Role, transport};
use super::stream::QuicStream;
use crate::Error;

/// The name in the handshake. Nobody checks it: the key decides.
const SERVER_NAME: &str = "eyelet";

/// A QUIC connection whose handshake is complete. What flows on it first is a greeting, then it becomes a session by
/// [`crate::Mux::quic`].
#[derive(Debug)]
pub struct QuicConnection {
    pub(super) connection: Connection,
    /// The dialing end's own.
    pub(super) caller: Option<Caller>,
    pub(super) resume: ResumeConfig,
}

/// What the dialing end needs to call again.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) endpoint: Endpoint,
    pub(super) allowance: Allowance,
}

impl QuicConnection {
    /// Calls a gateway at `at`. `tls` checks its key.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no connection.
    pub async fn dial(
        at: SocketAddr,
        mut tls: rustls::ClientConfig,
        resume: ResumeConfig,
    ) -> Result<Self, Error> {
        tls.alpn_protocols = vec![super::ALPN.to_vec()];
        tls.enable_early_data = false;
        let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
        let allowance = Allowance::default();
        let mut config = ClientConfig::new(Arc::new(tls));
        let congestion = Arc::new(allowance.clone());
        config.transport_config(Arc::new(transport(Role::Agent, &resume, congestion)));
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            None,
            socket(at)?,
            Arc::new(TokioRuntime),
        )?;
        let connecting = endpoint
            .connect_with(config, at, SERVER_NAME)
            .map_err(io::Error::other)?;
        let connection = connecting.await?;
        let caller = Some(Caller {
            endpoint,
            allowance,
        });
        Ok(Self {
            connection,
            caller,
            resume,
        })
    }

    /// Opens the stream of the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub async fn open_greeting(&self) -> Result<QuicStream, Error> {
        let (send, recv) = self.connection.open_bi().await?;
        Ok(QuicStream::new(send, recv, None))
    }

    /// Takes the stream of the greeting.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection is gone.
    pub async fn accept_greeting(&self) -> Result<QuicStream, Error> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok(QuicStream::new(send, recv, None))
    }

    /// The far end's address at the moment.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.connection.remote_address()
    }
}

impl Caller {
    /// Calls the peer from a new socket: a new way through any router, and a sign for the peer to answer there.
    pub(super) fn call_again(&self, peer: SocketAddr) -> io::Result<()> {
        self.allowance.add_call();
        self.endpoint.rebind(socket(peer)?)
    }
}

/// A socket that can reach `peer`, from whatever address the system finds right.
fn socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    UdpSocket::bind((any, 0))
}

impl From<quinn::ConnectionError> for Error {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Io(io::Error::new(io::ErrorKind::ConnectionAborted, error))
    }
}
