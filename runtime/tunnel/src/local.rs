//! A door for Eyelet's own commands on this machine: they reach cameras through the agents of the gateway that runs.
//!
//! A Unix socket in the data folder, which only the gateway's user may enter. One line asks, one line answers, then
//! the connection is the camera's:
//!
//! ```text
//! DIAL AGENT HOST:PORT\n        OK\n | ERROR reason\n
//! DATAGRAMS AGENT IP:PORT\n     OK PORT\n | ERROR reason\n    (then datagrams as in the tunnel)
//! ```

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dialer::{BoxDatagrams, BoxIo, Dialer, Target};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::Gateway;
use crate::dial::{AgentDialer, Relayed};

/// The socket's name in the data folder.
const NAME: &str = "gateway.sock";

/// Longest line either side may send: a command, an agent's name and a host name, or a reason.
const MAX_LINE: u64 = 1_024;

/// Commands served at once; a person types one at a time, a script a few.
const MAX_COMMANDS: usize = 64;

/// How long a command may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// The door, with its socket taken.
#[derive(Debug)]
pub struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalDoor {
    /// Takes the socket in `data_dir`, which a gateway that died may have left behind.
    ///
    /// # Errors
    /// `AddrInUse` if another gateway runs on this data folder; else what the system says.
    pub async fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(NAME);
        match UnixStream::connect(&path).await {
            Ok(_) => {
                let text = format!(
                    "another eyelet runs on the data folder {}",
                    data_dir.display()
                );
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Only this says that nobody listens; a living gateway that is merely busy keeps its socket.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(&path)?;
            }
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&path)?;
        // The folder may have been there before, open to others.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves commands until `shutdown`.
    pub async fn serve(self, gateway: Gateway, shutdown: CancellationToken) {
        let (tasks, places) = (TaskTracker::new(), Semaphore::new(MAX_COMMANDS));
        let places = std::sync::Arc::new(places);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            let Ok((socket, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let Ok(place) = std::sync::Arc::clone(&places).try_acquire_owned() else {
                continue;
            };
            let (gateway, shutdown) = (gateway.clone(), shutdown.clone());
            tasks.spawn(async move {
                tokio::select! {
                    served = serve_one(socket, &gateway) => {
                        if let Err(error) = served {
                            debug!(%error, "a command's connection ended");
                        }
                    }
                    () = shutdown.cancelled() => {}
                }
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

impl Drop for LocalDoor {
    fn drop(&mut self) {
        // Left behind, it would only be cleared away by the next gateway.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve_one(socket: UnixStream, gateway: &Gateway) -> io::Result<()> {
    let mut socket = BufReader::new(socket);
    let line = tokio::time::timeout(PATIENCE, read_line(&mut socket)).await??;
    let dialed = match parse(&line) {
        Ok((agent, Asked::Connection(target))) => AgentDialer::new(gateway.clone(), agent)
            .open(&target, &mut crate::early::Early::default())
            .await
            .map(|camera| (camera, "OK\n".to_owned())),
        Ok((agent, Asked::Datagrams(towards))) => AgentDialer::new(gateway.clone(), agent)
            .open_datagrams(towards)
            .await
            .map(|(camera, port)| (camera, format!("OK {port}\n"))),
        Err(reason) => Err(io::Error::other(reason)),
    };
    match dialed {
        Ok((mut camera, answer)) => {
            socket.write_all(answer.as_bytes()).await?;
            tokio::io::copy_bidirectional(&mut socket, &mut camera).await?;
        }
        Err(reason) => {
            let reason = reason.to_string().replace(['\n', '\r'], " ");
            socket
                .write_all(format!("ERROR {reason}\n").as_bytes())
                .await?;
        }
    }
    socket.shutdown().await
}

/// What a command wants of an agent.
#[derive(Debug, PartialEq)]
enum Asked {
    Connection(Target),
    Datagrams(SocketAddr),
}

fn parse(line: &str) -> Result<(&str, Asked), String> {
    let mut words = line.split_ascii_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some("DIAL"), Some(agent), Some(target), None) => target
            .parse()
            .map(|target| (agent, Asked::Connection(target)))
            .map_err(|error: dialer::ParseTargetError| error.to_string()),
        (Some("DATAGRAMS"), Some(agent), Some(towards), None) => towards
            .parse()
            .map(|towards| (agent, Asked::Datagrams(towards)))
            .map_err(|error| format!("{towards:?} is no IP:PORT: {error}")),
        _ => Err("expected DIAL AGENT HOST:PORT or DATAGRAMS AGENT IP:PORT".to_owned()),
    }
}

async fn read_line<T>(socket: &mut BufReader<T>) -> io::Result<String>
where
    T: tokio::io::AsyncRead + Unpin,
{
    let mut line = String::new();
    (&mut *socket).take(MAX_LINE).read_line(&mut line).await?;
    if line.ends_with('\n') {
        return Ok(line.trim_end().to_owned());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a line without an end",
    ))
}

/// Reaches cameras through an agent of the gateway that runs on this machine.
#[derive(Clone, Debug)]
pub struct LocalDialer {
    path: PathBuf,
    agent: String,
}

impl LocalDialer {
    /// Through `agent` of the gateway whose data folder this is.
    #[must_use]
    pub fn new(data_dir: &Path, agent: &str) -> Self {
        Self {
            path: data_dir.join(NAME),
            agent: agent.to_owned(),
        }
    }
}

impl LocalDialer {
    /// Asks the gateway, and gives the rest of its answer.
    async fn ask(&self, line: &str) -> io::Result<(BufReader<UnixStream>, String)> {
        let socket = UnixStream::connect(&self.path).await.map_err(|error| {
            let text = format!(
                "no gateway answers at {} ({error}); is `eyelet serve` running on this data folder?",
                self.path.display()
            );
            io::Error::new(error.kind(), text)
        })?;
        let mut socket = BufReader::new(socket);
        socket.write_all(line.as_bytes()).await?;
        let answer = read_line(&mut socket).await?;
        match answer.strip_prefix("OK") {
            Some(rest) => Ok((socket, rest.trim().to_owned())),
            None => {
                let reason = answer.strip_prefix("ERROR ").unwrap_or(&answer);
                Err(io::Error::other(reason.to_owned()))
            }
        }
    }
}

impl Dialer for LocalDialer {
    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(async move {
            let line = format!("DIAL {} {target}\n", self.agent);
            let (socket, _) = self.ask(&line).await?;
            Ok(Box::new(socket) as BoxIo)
        })
    }

    fn datagrams(
        &self,
        towards: SocketAddr,
        _port: Option<u16>,
    ) -> BoxFuture<'_, io::Result<BoxDatagrams>> {
        Box::pin(async move {
            let line = format!("DATAGRAMS {} {towards}\n", self.agent);
            let (socket, port) = self.ask(&line).await?;
            let port = port.parse().map_err(|_| {
                let text = format!("the gateway said {port:?} where a port was due");
                io::Error::new(io::ErrorKind::InvalidData, text)
            })?;
            Ok(Box::new(Relayed::new(socket, port)) as BoxDatagrams)
        })
    }

    fn describe(&self) -> String {
        format!("via agent {}", self.agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_an_agent_and_a_target() {
        let (agent, target) = parse("DIAL shed 192.168.1.10:554").unwrap();
        let expected = Asked::Connection(Target::new("192.168.1.10", 554));
        assert_eq!((agent, target), ("shed", expected));
        let (_, asked) = parse("DATAGRAMS shed 255.255.255.255:2015").unwrap();
        assert_eq!(
            asked,
            Asked::Datagrams("255.255.255.255:2015".parse().unwrap())
        );
        for bad in [
            "",
            "DIAL",
            "DIAL shed",
            "DIAL shed x",
            "DIAL shed a:1 b",
            "DATAGRAMS shed camera:2015",
            "CUT shed a:1",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn without_a_gateway_the_command_is_told_so() {
        let folder = std::env::temp_dir().join("eyelet-no-gateway-here");
        let target = Target::new("127.0.0.1", 554);
        let Err(error) = LocalDialer::new(&folder, "shed").connect(&target).await else {
            panic!("nothing can answer there")
        };
        assert!(
            error.to_string().contains("is `eyelet serve` running"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_socket_is_the_owners_alone_whatever_the_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let _door = LocalDoor::bind(folder.path()).await.unwrap();
        let socket = std::fs::metadata(folder.path().join(NAME)).unwrap();
        assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_on_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let door = LocalDoor::bind(folder.path()).await.unwrap();
        let Err(error) = LocalDoor::bind(folder.path()).await else {
            panic!("the first one has the socket")
        };
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(door);
        assert!(!path.exists());
        // Not a socket's refusal, so nothing is known of who is there.
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(LocalDoor::bind(folder.path()).await.is_err());
        assert!(path.is_symlink());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_at_its_limit() {
        let endless = vec![b'x'; 4_096];
        let error = read_line(&mut BufReader::new(endless.as_slice()))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
