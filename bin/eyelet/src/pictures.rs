//! Where `eyelet snapshot` gets its pictures: the gateway that runs here, or the source itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use config::{Config, Source};
use dialer::{Dialer, Direct};
use drivers::{DriverContext, DriverError};
use hub::{Hub, StreamName};
use outputs::mjpeg::Mjpeg;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tunnel::LocalDialer;

use crate::cli::Snapshot;
use crate::{files, wiring};

/// Largest answer of a gateway: a picture and its head.
const MAX_ANSWER: u64 = media::MAX_ACCESS_UNIT as u64 + (64 << 10);

/// The only stream of a session without a gateway.
const STREAM: &str = "camera";

/// A series of pictures.
pub(crate) struct Pictures {
    from: From,
    timeout: Duration,
    last: Option<Bytes>,
}

enum From {
    /// The gateway at this address, and the path of the still there.
    Gateway(SocketAddr, String),
    Session(Session),
}

impl Pictures {
    /// A session with the source is begun at once, a gateway is asked for each picture.
    pub(crate) fn open(command: &Snapshot, timeout: Duration) -> anyhow::Result<Self> {
        let url = match (&command.from, &command.host) {
            (_, Some(host)) if host.contains(':') => {
                format!("jpeg+tcp://[{host}]:{}", command.port)
            }
            (_, Some(host)) => format!("jpeg+tcp://{host}:{}", command.port),
            (Some(from), None) => from.clone(),
            (None, None) => bail!("which camera? Its name, its URL, or --host"),
        };
        let from = if url.contains("://") {
            let source: Source = url.parse().context("this is no source")?;
            let dialer: Arc<dyn Dialer> = match &command.via {
                Some(agent) => {
                    Arc::new(LocalDialer::new(&files::load(&command.files)?.data, agent))
                }
                None => Arc::new(Direct),
            };
            From::Session(Session::start(&source, dialer)?)
        } else {
            From::of_camera(&files::load(&command.files)?, &url)?
        };
        Ok(Self {
            from,
            timeout,
            last: None,
        })
    }

    /// The newest picture.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Bytes> {
        let timeout = self.timeout;
        let picture = match &mut self.from {
            From::Gateway(address, path) => {
                let asked = ask(*address, path);
                let asked = tokio::time::timeout(timeout, asked).await;
                asked.unwrap_or_else(|_| {
                    bail!(
                        "the gateway gave no picture within {} s",
                        timeout.as_secs_f64()
                    )
                })?
            }
            From::Session(session) => session.picture(timeout).await?,
        };
        self.last = Some(picture.clone());
        Ok(picture)
    }

    /// The newest picture, once it is another than the last.
    pub(crate) async fn next_new(&mut self) -> anyhow::Result<Bytes> {
        let last = self.last.clone();
        let limit = tokio::time::Instant::now() + self.timeout;
        loop {
            let picture = self.next().await?;
            if last.as_ref() != Some(&picture) {
                return Ok(picture);
            }
            if tokio::time::Instant::now() >= limit {
                let seconds = self.timeout.as_secs_f64();
                bail!("no new picture came within {seconds} s");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl From {
    fn of_camera(config: &Config, name: &str) -> anyhow::Result<Self> {
        let name: StreamName = StreamName::new(name)?;
        let mut address = config.http.listen;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let path = format!("/api/v1/cameras/{name}/snapshot.jpg");
        Ok(Self::Gateway(address, path))
    }
}

/// Asks a gateway for a still.
async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<Bytes> {
    let mut stream = TcpStream::connect(address).await.with_context(|| {
        format!("no gateway answers at {address}; does `eyelet serve` run with this configuration? A source's URL needs none")
    })?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost:{}\r\nAccept: image/jpeg\r\nConnection: close\r\n\r\n",
        address.port()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("the gateway's answer is no HTTP")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("it does not say why");
        bail!("the gateway at {address} gives no picture ({status}): {detail}");
    }
    Ok(body.into())
}

/// One session with a source, and what makes pictures of it.
struct Session {
    mjpeg: Arc<Mjpeg>,
    driver: JoinHandle<Result<(), DriverError>>,
    shutdown: CancellationToken,
    source: String,
}

impl Session {
    fn start(source: &Source, dialer: Arc<dyn Dialer>) -> anyhow::Result<Self> {
        let hub = Arc::new(Hub::new());
        let stream = hub.add(StreamName::new(STREAM)?);
        let mjpeg = wiring::mjpeg(&hub, &wiring::pixels_without_state()?);
        let camera = wiring::camera(stream.name().clone(), source)?;
        let driver = drivers::driver(source.scheme.as_str())
            .with_context(|| format!("no driver for {source}"))?;
        let shutdown = CancellationToken::new();
        let context = DriverContext {
            publisher: stream.publisher(),
            dialer,
            shutdown: shutdown.clone(),
        };
        let driver = tokio::spawn(async move { driver.run(&camera, context).await });
        Ok(Self {
            mjpeg,
            driver,
            shutdown,
            source: source.to_string(),
        })
    }

    async fn picture(&mut self, timeout: Duration) -> anyhow::Result<Bytes> {
        let picture = self.mjpeg.snapshot(STREAM, timeout);
        tokio::select! {
            // A picture that is there counts, even if the camera has left since.
            biased;
            picture = picture => match picture {
                Ok(snapshot) if snapshot.age < timeout => Ok(snapshot.jpeg),
                Ok(_) | Err(outputs::Error::TimedOut { .. }) => {
                    bail!("{}: no picture came within {} s", self.source, timeout.as_secs_f64())
                }
                Err(error) => Err(error.into()),
            },
            ended = &mut self.driver => match ended? {
                Ok(()) => bail!("{}: the camera left before a picture came", self.source),
                Err(error) => bail!("{}: {error}", self.source),
            },
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.driver.abort();
    }
}
