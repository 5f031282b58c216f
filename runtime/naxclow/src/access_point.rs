//! A camera that is its own network: set-up, its SD card, a look at its pictures.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proto_naxclow::{Client, ClientConfig, ClientEvent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use proto_naxclow::recordings::{Day, Index, Minute};
pub use proto_naxclow::{BaseInfo, ClientEvent as Event, Flip, Media, Wifi};

use crate::{Error, Order};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long the farewell may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A conversation with a camera; [`close`](Self::close) it, or the camera hangs until it is rebooted.
#[derive(Debug)]
pub struct AccessPoint {
    stream: TcpStream,
    client: Client,
}

impl AccessPoint {
    /// Connects, and greets. `unix_time` sets the camera's clock, which knows no time zone.
    ///
    /// # Errors
    /// Nothing answers there, or not like a camera.
    pub async fn connect(address: SocketAddr, unix_time: i64) -> Result<Self, Error> {
        let connect = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address)).await;
        let refused = |what: &str| {
            Error::AccessPoint(format!(
                "no camera answers at {address}: {what}. Is this machine in the camera's own network (Nax_…)? It takes one client at a time"
            ))
        };
        let stream = match connect {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(refused(&error.to_string())),
            Err(_) => return Err(refused("no answer within 10 s")),
        };
        let _ = stream.set_nodelay(true);
        let client = Client::new(ClientConfig::new(unix_time), Instant::now());
        let mut this = Self { stream, client };
        loop {
            match this.next().await? {
                ClientEvent::Ready => return Ok(this),
                ClientEvent::Failed { .. } | ClientEvent::Closed => {
                    return Err(refused("it does not greet back"));
                }
                _ => {}
            }
        }
    }

    /// Asks for something; what comes of it is told by [`next`](Self::next).
    ///
    /// # Errors
    /// The conversation is over.
    pub fn ask(
        &mut self,
        ask: impl FnOnce(&mut Client, Instant) -> Result<(), proto_naxclow::Error>,
    ) -> Result<(), Error> {
        ask(&mut self.client, Instant::now()).map_err(|error| Error::AccessPoint(error.to_string()))
    }

    /// Gives an order. Its answer is told by [`next`](Self::next) under the order's code.
    ///
    /// # Errors
    /// The conversation is over.
    pub fn order(&mut self, order: &Order, unix_time: i64) -> Result<(), Error> {
        let command = order.command(unix_time)?;
        self.ask(|client, now| client.command(command, now))
    }

    /// The next thing that happens. Cancel safe.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn next(&mut self) -> Result<ClientEvent, Error> {
        let broke = |error: std::io::Error| {
            Error::AccessPoint(format!("the connection to the camera broke: {error}"))
        };
        let mut buffer = [0; 16 << 10];
        loop {
            while let Some(bytes) = self.client.poll_transmit() {
                self.stream.write_all(&bytes).await.map_err(broke)?;
            }
            if let Some(event) = self.client.poll_event() {
                return Ok(event);
            }
            let timeout = self.client.poll_timeout();
            let timeout = timeout.unwrap_or_else(|| Instant::now() + CONNECT_WITHIN);
            // Both branches are cancel safe.
            tokio::select! {
                read = self.stream.read(&mut buffer) => {
                    let len = read.map_err(broke)?;
                    if len == 0 {
                        return Err(Error::AccessPoint("the camera closed the connection".to_owned()));
                    }
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.client
                        .handle_input(bytes, Instant::now())
                        .map_err(|error| Error::AccessPoint(format!("the camera's answer makes no sense: {error}")))?;
                }
                () = tokio::time::sleep_until(timeout.into()) => {
                    self.client.handle_timeout(Instant::now());
                }
            }
        }
    }

    /// Says farewell.
    pub async fn close(mut self) {
        self.client.close();
        let farewell = async {
            while let Some(bytes) = self.client.poll_transmit() {
                self.stream.write_all(&bytes).await?;
            }
            self.stream.shutdown().await
        };
        let _ = tokio::time::timeout(CLOSE_WITHIN, farewell).await;
    }
}
