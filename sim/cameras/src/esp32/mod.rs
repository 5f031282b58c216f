//! An ESP32-CAM with the firmware that people load onto it.

mod datagrams;
mod fault;
mod line;
mod raw;
mod sensor;
mod web;

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proto_rtsp::Authenticator;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use fault::{Esp32Fault, Esp32FaultError};

use fault::Faults;
use sensor::Sensor;

/// How long it is away when it starts anew.
const BOOT: Duration = Duration::from_secs(2);

/// How long it waits before it connects again after a push failed. The stock firmware waits 5 s;
/// nobody learns more from that.
const RECONNECT: Duration = Duration::from_millis(500);

/// How long a listener rests when accepting fails, as when files run out.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a simulated ESP32 is like.
#[derive(Clone, Debug)]
pub struct Esp32 {
    /// Pictures a second; 0 for as many as the line takes.
    pub fps: f64,
    /// Size of drawn pictures by Espressif's number: 5 QVGA, 8 VGA, 13 UXGA.
    pub framesize: i32,
    /// JPEG pictures to show in a loop, instead of drawn ones.
    pub pictures: Vec<Bytes>,
    /// How it misbehaves.
    pub faults: Vec<Esp32Fault>,
    /// Whose HTTP it speaks.
    pub firmware: Firmware,
    /// The login that its HTTP wants.
    pub login: Option<(String, String)>,
}

impl Default for Esp32 {
    fn default() -> Self {
        Self {
            fps: 10.0,
            framesize: 8,
            pictures: Vec::new(),
            faults: Vec::new(),
            firmware: Firmware::Espressif,
            login: None,
        }
    }
}

/// Whose HTTP a simulated ESP32 speaks; they differ in how they frame a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// CameraWebServer: chunked, the boundary before each part.
    Espressif,
    /// Its older versions: chunked, the boundary behind each part.
    EspressifOld,
    /// ESPHome: HTTP/1.0, one boundary ahead and one behind each part.
    EspHome,
    /// As some small sketches do: parts without a length.
    Bare,
    /// As others do: parts whose length is wrong.
    WrongLength,
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "espressif" => Self::Espressif,
            "espressif-old" => Self::EspressifOld,
            "esphome" => Self::EspHome,
            "bare" => Self::Bare,
            "wrong-length" => Self::WrongLength,
            other => {
                return Err(format!(
                    "{other:?} is no firmware: expected espressif, espressif-old, esphome, bare or wrong-length"
                ));
            }
        })
    }
}

/// What stands behind a port of the camera.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Esp32Port {
    /// Bare pictures back to back, for one client at a time.
    Continuous,
    /// One bare picture for each connection.
    OneShot,
    /// The stream server of CameraWebServer, for one client at a time.
    Stream,
    /// Its other server: stills, settings.
    Control,
}

/// A simulated ESP32-CAM. Clones are the same camera: pictures are counted over all its ports.
#[derive(Clone, Debug)]
pub struct Esp32Camera {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sensor: Sensor,
    period: Duration,
    faults: Faults,
    firmware: Firmware,
    authenticator: Option<Authenticator>,
    started: Instant,
    /// When the next picture can be taken.
    due: Mutex<Instant>,
    /// Held by whom the camera serves.
    turn: Mutex<()>,
    number: AtomicU64,
    pictures: AtomicU64,
    connections: AtomicU64,
}

impl Esp32Camera {
    /// Switches it on.
    #[must_use]
    pub fn new(model: Esp32) -> Self {
        let started = Instant::now();
        let period = if model.fps > 0.0 {
            Duration::try_from_secs_f64(1.0 / model.fps).unwrap_or(Duration::MAX)
        } else {
            Duration::ZERO
        };
        let authenticator = model
            .login
            .map(|login| Authenticator::new("esp32", vec![login], [7; 32], started.into_std()));
        Self {
            shared: Arc::new(Shared {
                sensor: Sensor::new(model.pictures, model.framesize),
                period,
                faults: Faults(model.faults),
                firmware: model.firmware,
                authenticator,
                started,
                due: Mutex::new(started),
                turn: Mutex::new(()),
                number: AtomicU64::new(0),
                pictures: AtomicU64::new(0),
                connections: AtomicU64::new(0),
            }),
        }
    }

    /// Connections so far, in whatever direction.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Pictures taken so far.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.shared.pictures.load(Ordering::Relaxed)
    }

    /// Serves everyone who connects. Ends only by being dropped, and its connections with it.
    ///
    /// # Errors
    /// The port is taken by somebody else after a reboot.
    pub async fn serve(&self, mut listener: TcpListener, port: Esp32Port) -> io::Result<()> {
        let address = listener.local_addr()?;
        loop {
            let Some(every) = self.shared.faults.reboot() else {
                return self.serve_life(listener, port).await;
            };
            // Its end closes the listener and all connections.
            let _ = tokio::time::timeout(every, self.serve_life(listener, port)).await;
            tokio::time::sleep(BOOT).await;
            self.shared.number.store(0, Ordering::Relaxed);
            listener = TcpListener::bind(address).await?;
        }
    }

    async fn serve_life(&self, listener: TcpListener, port: Esp32Port) -> io::Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => {
                        tokio::time::sleep(ACCEPT_REST).await;
                        continue;
                    }
                },
                Some(_) = connections.join_next() => continue,
            };
            drop(stream.set_nodelay(true));
            match port {
                Esp32Port::Control => {
                    let camera = self.clone();
                    connections.spawn(async move { camera.serve_connection(stream, port).await });
                }
                // Whoever comes meanwhile waits in the backlog. How a connection ended, the other
                // side knows.
                Esp32Port::Continuous | Esp32Port::OneShot | Esp32Port::Stream => {
                    drop(self.serve_connection(stream, port).await);
                }
            }
        }
    }

    /// Serves one connection, until either side closes it.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn serve_connection<T>(&self, io: T, port: Esp32Port) -> io::Result<()>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let shared = &*self.shared;
        shared.connections.fetch_add(1, Ordering::Relaxed);
        match port {
            Esp32Port::Control => web::control(shared, io).await,
            Esp32Port::Continuous => {
                let _turn = shared.turn.lock().await;
                raw::send(shared, io, None).await
            }
            Esp32Port::OneShot => {
                let _turn = shared.turn.lock().await;
                raw::send(shared, io, Some(1)).await
            }
            Esp32Port::Stream => {
                let _turn = shared.turn.lock().await;
                web::stream(shared, io).await
            }
        }
    }

    /// Connects to `to` and sends, again and again; one picture per connection, or as many as the
    /// other side takes. Ends only by being dropped.
    pub async fn push(&self, to: SocketAddr, is_one_shot: bool) {
        loop {
            let life = self.push_life(to, is_one_shot);
            match self.shared.faults.reboot() {
                None => life.await,
                Some(every) => drop(tokio::time::timeout(every, life).await),
            }
            tokio::time::sleep(BOOT).await;
            self.shared.number.store(0, Ordering::Relaxed);
        }
    }

    async fn push_life(&self, to: SocketAddr, is_one_shot: bool) {
        loop {
            if let Ok(stream) = TcpStream::connect(to).await {
                self.shared.connections.fetch_add(1, Ordering::Relaxed);
                drop(stream.set_nodelay(true));
                let sent = raw::send(&self.shared, stream, is_one_shot.then_some(1)).await;
                if is_one_shot && sent.is_ok() {
                    continue;
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Sends datagrams to `to`, with a handshake that has this password of eight bytes. Ends only
    /// by being dropped.
    ///
    /// # Errors
    /// No socket can be had.
    pub async fn push_datagrams(&self, to: SocketAddr, password: &str) -> io::Result<()> {
        loop {
            let life = datagrams::send(&self.shared, to, password);
            match self.shared.faults.reboot() {
                None => return life.await,
                Some(every) => {
                    if let Ok(ended) = tokio::time::timeout(every, life).await {
                        return ended;
                    }
                }
            }
            tokio::time::sleep(BOOT).await;
            self.shared.number.store(0, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// Waits until the next picture can be taken, and takes it.
    async fn capture(&self) -> (u64, Bytes) {
        let mut due = self.due.lock().await;
        sleep_until(*due).await;
        // Nothing is made up for while nobody took pictures.
        *due = (*due + self.period).max(Instant::now());
        drop(due);
        self.pictures.fetch_add(1, Ordering::Relaxed);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut picture = self.sensor.picture(number);
        if self.faults.has(Esp32Fault::Thumbnail) {
            picture = sensor::with_thumbnail(&picture).into();
        }
        (number, picture)
    }

    /// `picture` without its end, for the faults that leave it away.
    fn half(picture: &[u8]) -> &[u8] {
        picture.get(..picture.len() * 3 / 5).unwrap_or(picture)
    }
}
