//! From an address to a welcome: TCP, TLS, WebSocket, hello; or QUIC, hello.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use link::{
    CertificateFault, ReadAhead, TransportKind, WebSocketBytes, read_message, write_message,
};
use proto_tunnel::{Hello, MAX_HOST_NAME, Message, Resume, VERSION, WEBSOCKET_ALPN, Welcome};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use crate::identity::Identity;
use crate::known::Known;
use crate::prospect::Ways;
use crate::unsent::ShortQueue;
use crate::{Error, pin};

/// Longest way from the first SYN to the WebSocket, for one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for TCP in it. SYNs leave after 0 and 1 s; a fresh attempt beats the third, after 3 s, so that a
/// gateway that comes back is found within 2 s.
const TCP_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest wait for a name server when the name's last address is known: at boot there may be none yet.
const NAME_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Head start of each address before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(300);
/// Most resolved addresses that are tried.
const MAX_CANDIDATES: usize = 8;
/// Unacknowledged data for this long means that the path is gone.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Head start of QUIC before a WebSocket is tried beside it. QUIC takes one round trip, the WebSocket three.
const QUIC_FIRST: Duration = Duration::from_millis(500);
/// How long after the start a WebSocket that is there already waits for QUIC.
const QUIC_PREFERRED: Duration = Duration::from_millis(1_000);
/// Longest handshake of QUIC. Its first packet is sent again after 0.3, 0.9, 2.1 and 4.5 s.
#[cfg(feature = "quic")]
const QUIC_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that was welcomed.
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    pub(crate) welcome: Welcome,
    /// This machine's address in it.
    pub(crate) local: Option<IpAddr>,
}

/// An encrypted connection to whoever has the pinned key.
pub(crate) enum Socket {
    WebSocket(Box<WebSocket>),
    #[cfg(feature = "quic")]
    Quic(link::quic::QuicConnection),
}

pub(crate) type WebSocket = WebSocketBytes<TlsStream<ReadAhead<ShortQueue>>>;

impl Socket {
    pub(crate) fn kind(&self) -> TransportKind {
        match self {
            Self::WebSocket(_) => TransportKind::WebSocket,
            #[cfg(feature = "quic")]
            Self::Quic(_) => TransportKind::Quic,
        }
    }
}

/// What a connection says of itself in its hello.
pub(crate) struct Caller<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) instance: u64,
    pub(crate) attempt: u32,
}

/// Says hello to whom was reached. `resume` says what the session has got so far, and is asked as late as can be.
pub(crate) async fn introduce(
    caller: &Caller<'_>,
    known: &mut Known,
    reached: Reached,
    resume: impl FnOnce() -> Option<Resume>,
) -> Result<Connected, Error> {
    let identity = caller.identity;
    let Reached {
        mut socket,
        local,
        address,
        at,
    } = reached;
    known.note(&address, at);
    let hello = Hello {
        version: VERSION,
        name: identity.name.clone(),
        token: identity.token.clone(),
        join_secret: identity.join_secret.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        host_name: host_name(),
        local_addresses: local.into_iter().collect(),
        instance: caller.instance,
        attempt: caller.attempt,
        resume: resume(),
    };
    let greeted = async {
        match &mut socket {
            Socket::WebSocket(socket) => greet(socket, hello).await,
            #[cfg(feature = "quic")]
            Socket::Quic(connection) => {
                let greeted = async { greet(&mut connection.open_greeting().await?, hello).await };
                greeted.await.map_err(|error| {
                    // It has looked at the certificate after this end was content.
                    let fault = connection
                        .alert_received()
                        .and_then(CertificateFault::of_alert);
                    fault.map_or(error, |fault| refused(&address, fault))
                })
            }
        }
    };
    let welcome = timeout(WELCOME_TIMEOUT, greeted).await;
    let welcome = welcome.map_err(|_| Error::TimedOut(identity.addresses.join(", ")))??;
    Ok(Connected {
        socket,
        welcome,
        local,
    })
}

async fn greet<S>(socket: &mut S, hello: Hello) -> Result<Welcome, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write_message(socket, &Message::Hello(hello)).await?;
    match read_message(socket).await? {
        Message::Welcome(welcome) => {
            debug!(
                version = welcome.version,
                gateway = welcome.program,
                "welcome"
            );
            Ok(welcome)
        }
        Message::Refused(refused) => Err(Error::Refused {
            reason: refused.reason,
            text: refused.text,
        }),
        other => Err(link::Error::Unexpected {
            found: other.name(),
            expected: "welcome or refused",
        }
        .into()),
    }
}

/// Tries all addresses of the gateway, each a little later than the one before, up to a connection behind the pinned
/// key: the first one that gets there wins. (An address of the gateway's own network may belong to a stranger here.)
/// Where both ways are open to it, QUIC begins, and is preferred if it is there within a second.
pub(crate) async fn race(
    identity: &Identity,
    known: &Known,
    ways: &Ways,
) -> Result<Reached, Error> {
    let mut config = pin::client_config(identity.pin, identity.certificate.as_ref())?;
    #[cfg(feature = "quic")]
    let quic = config.clone();
    if identity.certificate.is_some() {
        // Browsers use the same port: who wants to be asked for a certificate there has to say so.
        config.alpn_protocols = vec![WEBSOCKET_ALPN.to_vec()];
    }
    let config = Arc::new(config);
    let (candidates, mut failure) = resolve(&identity.addresses, known).await;
    let start = Instant::now();
    let mut attempts = JoinSet::new();
    let mut websockets = 0;
    for (n, (address, at)) in candidates.into_iter().enumerate() {
        let mut begin = start + STAGGER * u32::try_from(n).unwrap_or(u32::MAX);
        #[cfg(feature = "quic")]
        if let Some((offer, resume)) = ways.quic {
            let (tls, address) = (quic.clone(), address.clone());
            let dialer = ways.dialer.clone();
            attempts.spawn(async move {
                sleep_until(begin).await;
                let called = call(&dialer, address, at, offer, tls, resume).await;
                (TransportKind::Quic, called)
            });
        }
        if !ways.websocket {
            continue;
        }
        if ways.has_quic() {
            begin += QUIC_FIRST;
        }
        let config = Arc::clone(&config);
        attempts.spawn(async move {
            sleep_until(begin).await;
            let done = timeout(CONNECT_TIMEOUT, attempt(&address, at, config)).await;
            let done = done.unwrap_or_else(|_| Err(Error::TimedOut(format!("{address} ({at})"))));
            (TransportKind::WebSocket, done)
        });
        websockets += 1;
    }
    let preferred = start + QUIC_PREFERRED;
    let mut second: Option<Reached> = None;
    loop {
        // Whoever has an answer by one way does not wait long for the other.
        let has_answer = ways.websocket && (second.is_some() || websockets == 0);
        let done = tokio::select! {
            done = attempts.join_next() => done,
            () = sleep_until(preferred), if has_answer => None,
        };
        let Some(done) = done else { break };
        let Ok((kind, done)) = done else { continue };
        if kind == TransportKind::WebSocket {
            websockets -= 1;
        }
        match done {
            Ok(reached) => {
                let is_best = kind == TransportKind::Quic || !ways.has_quic();
                if is_best || Instant::now() >= preferred {
                    return Ok(reached);
                }
                second.get_or_insert(reached);
            }
            // A key that is not ours is the most telling failure, whatever else failed; what QUIC met tells least.
            Err(error) => {
                let is_telling = kind == TransportKind::WebSocket || failure.is_none();
                if is_telling && !matches!(failure, Some(Error::WrongKey(_))) {
                    failure = Some(error);
                }
            }
        }
    }
    if let Some(second) = second {
        return Ok(second);
    }
    Err(failure.unwrap_or_else(|| Error::TimedOut(identity.addresses.join(", "))))
}

/// Calls one address by QUIC.
#[cfg(feature = "quic")]
async fn call(
    dialer: &link::quic::QuicDialer,
    address: String,
    mut at: SocketAddr,
    offer: proto_tunnel::QuicOffer,
    tls: ClientConfig,
    resume: proto_tunnel::ResumeConfig,
) -> Result<Reached, Error> {
    let websocket = at;
    if let proto_tunnel::QuicOffer::Port(port) = offer {
        at.set_port(port);
    }
    let dialed = timeout(QUIC_TIMEOUT, dialer.dial(at, tls, resume));
    let connection = match dialed.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(%at, "no connection by QUIC: {error}");
            let alert = link::quic::alert_received(&error);
            if let Some(fault) = alert.and_then(CertificateFault::of_alert) {
                return Err(refused(&address, fault));
            }
            return Err(Error::Connect {
                address: format!("{address} ({at}) by QUIC"),
                source: io::Error::other(error),
            });
        }
        Err(_) => return Err(Error::TimedOut(format!("{address} ({at}) by QUIC"))),
    };
    Ok(Reached {
        socket: Socket::Quic(connection),
        local: crate::network::towards(at),
        address,
        at: websocket,
    })
}

async fn resolve(
    addresses: &[String],
    known: &Known,
) -> (Vec<(String, SocketAddr)>, Option<Error>) {
    let mut candidates: Vec<(String, SocketAddr)> = Vec::new();
    let mut failure = None;
    for address in addresses {
        let before = known.find(address);
        let patience = if before.is_some() {
            NAME_TIMEOUT
        } else {
            CONNECT_TIMEOUT
        };
        let found = match timeout(patience, lookup_host(address.as_str())).await {
            Ok(found) => found.map_err(|source| Error::Resolve {
                address: address.clone(),
                source,
            }),
            Err(_) => Err(Error::TimedOut(format!(
                "the name server, asked for {address},"
            ))),
        };
        match found {
            Ok(found) => candidates.extend(found.map(|at| (address.clone(), at))),
            Err(error) => failure = Some(error),
        }
        if let Some(before) = before
            && !candidates.iter().any(|(_, at)| *at == before)
        {
            candidates.push((address.clone(), before));
        }
    }
    candidates.truncate(MAX_CANDIDATES);
    (candidates, failure)
}

/// A connection to whoever has the pinned key, and the way there.
pub(crate) struct Reached {
    pub(crate) socket: Socket,
    local: Option<IpAddr>,
    address: String,
    at: SocketAddr,
}

async fn attempt(
    address: &str,
    at: SocketAddr,
    config: Arc<ClientConfig>,
) -> Result<Reached, Error> {
    let connect = |source| Error::Connect {
        address: format!("{address} ({at})"),
        source,
    };
    let tcp = timeout(TCP_TIMEOUT, TcpStream::connect(at));
    let tcp = tcp
        .await
        .map_err(|_| Error::TimedOut(format!("{address} ({at})")))?
        .map_err(connect)?;
    tune(&tcp).map_err(connect)?;
    let local = tcp.local_addr().ok().map(|local| local.ip());
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = ServerName::try_from(
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
    );
    // A name that TLS cannot carry is no obstacle: the key decides.
    let name = name.unwrap_or(ServerName::IpAddress(at.ip().into()));
    let tls = TlsConnector::from(config)
        .connect(name, ReadAhead::new(ShortQueue::new(tcp)))
        .await
        .map_err(|source| tls_error(address, source))?;
    let mut nonce = [0; 16];
    // It only shows that the answer is no old one, and TLS shows that, too.
    let _ = getrandom::fill(&mut nonce);
    let socket = link::upgrade(tls, address, "/agent", nonce).await;
    let socket = socket.map_err(|error| match fault(&error) {
        Some(fault) => refused(address, fault),
        None => Error::WebSocket {
            address: address.to_owned(),
            reason: error.to_string(),
        },
    })?;
    Ok(Reached {
        socket: Socket::WebSocket(Box::new(socket)),
        local,
        address: address.to_owned(),
        at,
    })
}

/// What the gateway has against this agent's certificate. With TLS 1.3 it looks at it when this end has long begun.
fn fault(error: &link::Error) -> Option<CertificateFault> {
    let link::Error::Io(error) = error else {
        return None;
    };
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => CertificateFault::of_alert((*alert).into()),
        _ => None,
    }
}

fn refused(address: &str, fault: CertificateFault) -> Error {
    Error::CertificateRefused {
        address: address.to_owned(),
        fault,
    }
}

fn tls_error(address: &str, source: io::Error) -> Error {
    let rustls = source
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) = rustls
        && other.0.is::<pin::OtherKey>()
    {
        return Error::WrongKey(address.to_owned());
    }
    Error::Tls {
        address: address.to_owned(),
        source,
    }
}

/// Small packets leave at once, and a path that swallows packets is noticed by the kernel as well.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(10));
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default();
    name.chars()
        .filter(|c| c.is_ascii_graphic())
        .take(MAX_HOST_NAME)
        .collect()
}
