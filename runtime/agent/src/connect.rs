//! From an address to a welcome: TCP, TLS, WebSocket, hello.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use link::{ReadAhead, WebSocketBytes, read_message, write_message};
use proto_tunnel::{Hello, MAX_HOST_NAME, Message, Resume, VERSION, Welcome};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use crate::identity::Identity;
use crate::known::Known;
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

/// Bytes that the kernel takes beyond what is on the way. Without this limit a slow uplink has megabytes of old video
/// queued before each ping and each other stream.
#[cfg(target_os = "linux")]
const MAX_UNSENT: u32 = 64 << 10;

/// A connection that was welcomed.
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    pub(crate) welcome: Welcome,
    /// This machine's address in it.
    pub(crate) local: Option<IpAddr>,
}

pub(crate) type Socket = WebSocketBytes<TlsStream<ReadAhead<TcpStream>>>;

/// What a connection says of itself in its hello.
pub(crate) struct Caller<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) instance: u64,
    pub(crate) attempt: u32,
}

/// Dials. `resume` is asked as late as can be, for what the session has got so far.
pub(crate) async fn connect(
    caller: &Caller<'_>,
    known: &mut Known,
    resume: impl FnOnce() -> Option<Resume>,
) -> Result<Connected, Error> {
    let identity = caller.identity;
    let Reached {
        mut socket,
        local,
        address,
        at,
    } = race(identity, known).await?;
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
    let welcome = timeout(WELCOME_TIMEOUT, greet(&mut socket, hello)).await;
    let welcome = welcome.map_err(|_| Error::TimedOut(identity.addresses.join(", ")))??;
    Ok(Connected {
        socket,
        welcome,
        local,
    })
}

async fn greet(socket: &mut Socket, hello: Hello) -> Result<Welcome, Error> {
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

/// Tries all addresses of the gateway, each a little later than the one before, up to a WebSocket behind the pinned
/// key: the first one that gets there wins. (An address of the gateway's own network may belong to a stranger here.)
async fn race(identity: &Identity, known: &Known) -> Result<Reached, Error> {
    let config = pin::client_config(identity.pin).map_err(|error| Error::Tls {
        address: identity.addresses.join(", "),
        source: io::Error::other(error),
    })?;
    let config = Arc::new(config);
    let (candidates, mut failure) = resolve(&identity.addresses, known).await;
    let mut attempts = JoinSet::new();
    for (n, (address, at)) in candidates.into_iter().enumerate() {
        let config = Arc::clone(&config);
        attempts.spawn(async move {
            sleep(STAGGER * u32::try_from(n).unwrap_or(u32::MAX)).await;
            match timeout(CONNECT_TIMEOUT, attempt(&address, at, config)).await {
                Ok(done) => done,
                Err(_) => Err(Error::TimedOut(format!("{address} ({at})"))),
            }
        });
    }
    while let Some(done) = attempts.join_next().await {
        match done {
            Ok(Ok(reached)) => return Ok(reached),
            // A key that is not ours is the most telling failure, whatever else failed.
            Ok(Err(error)) => {
                if !matches!(failure, Some(Error::WrongKey(_))) {
                    failure = Some(error);
                }
            }
            Err(_) => {}
        }
    }
    Err(failure.unwrap_or_else(|| Error::TimedOut(identity.addresses.join(", "))))
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

/// A WebSocket behind the pinned key, and the way there.
struct Reached {
    socket: Socket,
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
        .connect(name, ReadAhead::new(tcp))
        .await
        .map_err(|source| tls_error(address, source))?;
    let mut nonce = [0; 16];
    // It only shows that the answer is no old one, and TLS shows that, too.
    let _ = getrandom::fill(&mut nonce);
    let socket = link::upgrade(tls, address, "/agent", nonce).await;
    let socket = socket.map_err(|error| Error::WebSocket {
        address: address.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Reached {
        socket,
        local,
        address: address.to_owned(),
        at,
    })
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
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(MAX_UNSENT)?;
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
