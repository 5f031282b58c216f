use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use proto_tunnel::ResumeConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectError, Endpoint, EndpointConfig, TokioRuntime};

use super::QuicConnection;
use super::allowance::Allowance;
use super::connection::Caller;
use super::settings::{Role, transport};
use crate::Error;

/// The name in the handshake. Nobody checks it: the key decides.
const SERVER_NAME: &str = "eyelet";

/// What a dialing end calls from, kept from call to call. Clones share it.
///
/// An endpoint has 3 MiB to read into (quinn: 32 batches of 64 datagrams), which cost nothing until datagrams come. But
/// glibc clears them by hand when it has had to allocate so much before: a new endpoint for each call would make an
/// agent twice as large with its second call.
#[derive(Clone, Debug, Default)]
pub struct QuicDialer(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
}

impl QuicDialer {
    /// Calls a gateway at `at`. `tls` checks its key.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no connection.
    pub async fn dial(
        &self,
        at: SocketAddr,
        mut tls: rustls::ClientConfig,
        resume: ResumeConfig,
    ) -> Result<QuicConnection, Error> {
        tls.alpn_protocols = vec![super::ALPN.to_vec()];
        tls.enable_early_data = false;
        let tls = QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
        let allowance = Allowance::default();
        let mut config = ClientConfig::new(Arc::new(tls));
        let congestion = Arc::new(allowance.clone());
        config.transport_config(Arc::new(transport(Role::Agent, &resume, congestion)));
        let mut endpoint = self.endpoint(at)?;
        let mut connecting = endpoint.connect_with(config.clone(), at, SERVER_NAME);
        if let Err(ConnectError::EndpointStopping) = connecting {
            // Its socket has failed for good.
            self.forget(at);
            endpoint = self.endpoint(at)?;
            connecting = endpoint.connect_with(config, at, SERVER_NAME);
        }
        let connection = connecting.map_err(io::Error::other)?.await?;
        let caller = Some(Caller {
            endpoint,
            allowance,
        });
        Ok(QuicConnection {
            connection,
            caller,
            resume,
        })
    }

    /// The endpoint to call `peer` from. Nobody else's call goes through it, or it has a new socket: a router may have
    /// lost the way to the old one.
    fn endpoint(&self, peer: SocketAddr) -> io::Result<Endpoint> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.place(peer);
        if let Some(endpoint) = place {
            if endpoint.open_connections() == 0 {
                endpoint.rebind(socket(peer)?)?;
            }
            return Ok(endpoint.clone());
        }
        let endpoint = Endpoint::new(
            EndpointConfig::default(),
            None,
            socket(peer)?,
            Arc::new(TokioRuntime),
        )?;
        Ok(place.insert(endpoint).clone())
    }

    fn forget(&self, peer: SocketAddr) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *kept.place(peer) = None;
    }
}

impl Kept {
    fn place(&mut self, peer: SocketAddr) -> &mut Option<Endpoint> {
        match peer {
            SocketAddr::V4(_) => &mut self.v4,
            SocketAddr::V6(_) => &mut self.v6,
        }
    }
}

/// A socket that can reach `peer`, from whatever address the system finds right.
pub(super) fn socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if peer.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    UdpSocket::bind((any, 0))
}
