//! A camera that calls its cloud: HTTP, registration, standby, live (facts, section 12.1).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto_naxclow::bootstrap::{Bootstrap, Configuration, Reading, read_reply};
use proto_naxclow::{
    Channel, Cmd, Device, DeviceEvent, HEADER_LEN, Media, Transmit, Uid, Value, flag,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, MissedTickBehavior};

use super::fault::Dice;
use super::{A9Camera, A9Profile, PERIOD, mqtt};

/// How long any step before standby may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Time from the last HTTP reply to the control connection (capture).
const BEFORE_CONTROL: Duration = Duration::from_millis(22);

impl A9Camera {
    /// Calls the cloud, again and again. Drop the future to switch the camera off.
    pub async fn run(self) {
        if self.fault.clash {
            let mut twin = self.clone();
            twin.fault.clash = false;
            // A little later, so that the two come in turns.
            let late = async {
                tokio::time::sleep(self.first_pause / 2).await;
                twin.live().await;
            };
            tokio::join!(self.clone().live(), late);
        } else {
            self.live().await;
        }
    }

    async fn live(self) {
        let mut left_open: Vec<TcpStream> = Vec::new();
        let mut pause = self.first_pause;
        let mut uid = self.uid.clone();
        loop {
            tokio::time::sleep(self.boot).await;
            let before = self.registrations();
            // Whatever went wrong, a camera tries again and tells nobody.
            let ended = self.session(&mut uid).await;
            if let Ok(End::HalfOpen(stream)) = ended {
                left_open.push(stream);
                left_open.drain(..left_open.len().saturating_sub(4));
                continue;
            }
            if self.registrations() > before {
                pause = self.first_pause;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    async fn session(&self, uid: &mut Uid) -> io::Result<End> {
        let http = self.http.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut configuration = None;
        for asked in self.profile.bootstrap() {
            let answer = tokio::time::timeout(PATIENCE, self.ask(http, *asked, uid)).await??;
            match (asked, answer) {
                (Bootstrap::RegisterDevices, Value::String(code)) => {
                    *uid = code.parse().map_err(io::Error::other)?;
                }
                (Bootstrap::Configuration, Value::Object(object)) => {
                    let read = Configuration::read(&object).map_err(io::Error::other)?;
                    configuration = Some(read);
                }
                _ => {}
            }
        }
        if self.profile == A9Profile::MqttOnly {
            let mqtt = self.mqtt.ok_or(io::ErrorKind::AddrNotAvailable)?;
            self.counters.registrations.fetch_add(1, Ordering::Relaxed);
            mqtt::run(mqtt, uid, &self.counters).await?;
            return Ok(End::Closed);
        }
        let configuration = configuration.ok_or(io::ErrorKind::InvalidData)?;
        tokio::time::sleep(BEFORE_CONTROL).await;
        let told = configuration
            .host
            .parse::<IpAddr>()
            .map(|host| SocketAddr::new(host, configuration.tcp_port));
        let control = match self.control {
            Some(control) => control,
            None => told.map_err(io::Error::other)?,
        };
        let control = self.control(uid, control, &configuration);
        match self.mqtt {
            Some(mqtt) => tokio::select! {
                ended = control => ended,
                // Without its broker the camera goes on.
                never = async {
                    let _ = mqtt::run(mqtt, uid, &self.counters).await;
                    std::future::pending().await
                } => never,
            },
            None => control.await,
        }
    }

    /// One question over HTTP.
    async fn ask(&self, http: SocketAddr, asked: Bootstrap, uid: &Uid) -> io::Result<Value> {
        let mut stream = TcpStream::connect(http).await?;
        let device = match asked {
            Bootstrap::RegisterDevices => "A9_X4_V12",
            _ => uid.as_str(),
        };
        let request = asked.request(device, "OPQRST", "2d8c8b52f1", &self.host, "202212011602");
        stream.write_all(request.as_bytes()).await?;
        let reading = match self.profile {
            A9Profile::DevInfo | A9Profile::MqttOnly => Reading::Strict,
            _ => Reading::Lenient,
        };
        let mut reply = Vec::new();
        loop {
            if let Some(data) = read_reply(&reply, reading).map_err(io::Error::other)? {
                return Ok(data);
            }
            if stream.read_buf(&mut reply).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn control(
        &self,
        uid: &Uid,
        to: SocketAddr,
        configuration: &Configuration,
    ) -> io::Result<End> {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(to)).await??;
        stream.set_nodelay(true)?;
        let udp = UdpSocket::bind((stream.local_addr()?.ip(), 0)).await?;
        let local = udp.local_addr()?;
        let mut config = self.profile.config(uid.clone(), local, to);
        config.token.clone_from(&configuration.pwd);
        config.domain.clone_from(&configuration.domain);
        let seed = uid
            .as_str()
            .bytes()
            .fold(7, |seed, byte| seed * 31 + u64::from(byte));
        let (mut reader, writer) = stream.into_split();
        let mut line = Line {
            camera: self,
            writer,
            udp,
            dice: Dice::new(seed),
            held: None,
            pending: Vec::new(),
            heartbeats: 0,
            lasts: 0,
        };
        let mut device = Device::station(config);
        let mut wants = Media::default();
        let mut media = tokio::time::interval(PERIOD);
        media.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut picture, mut block) = (0_u64, 0_u64);
        let mut asked_at = Instant::now();
        let half_open = self.fault.half_open.unwrap_or(Duration::MAX);
        let half_open = tokio::time::sleep(half_open);
        tokio::pin!(half_open);
        let (mut tcp_buffer, mut udp_buffer) = ([0; 4096], [0; 4096]);
        loop {
            while let Some(event) = device.poll_event() {
                match event {
                    DeviceEvent::Registered => {
                        self.counters.registrations.fetch_add(1, Ordering::Relaxed);
                        if self.fault.oversize {
                            let mut header = [0; HEADER_LEN];
                            header[..4].copy_from_slice(&8073_u32.to_le_bytes());
                            line.writer.write_all(&header).await?;
                        }
                    }
                    DeviceEvent::Media(media) => {
                        wants = media;
                        asked_at = Instant::now();
                    }
                    DeviceEvent::Unconfirmed => wants = Media::default(),
                    DeviceEvent::Reboot => {
                        self.counters.reboots.fetch_add(1, Ordering::Relaxed);
                        return Ok(End::Closed);
                    }
                    _ => {}
                }
            }
            while let Some(transmit) = device.poll_transmit() {
                line.send(transmit).await?;
            }
            line.flush().await?;
            let timeout = device.poll_timeout().map(Instant::from_std);
            let timeout = timeout.unwrap_or_else(|| Instant::now() + PATIENCE);
            let is_stalled = self
                .fault
                .stall
                .is_some_and(|after| asked_at.elapsed() > after);
            let is_live = wants != Media::default() && !is_stalled;
            // All branches are cancel safe: each takes one thing, or nothing.
            tokio::select! {
                read = reader.read(&mut tcp_buffer) => match read? {
                    0 => return Ok(End::Closed),
                    len => {
                        let bytes = tcp_buffer.get(..len).unwrap_or_default();
                        let now = Instant::now().into_std();
                        device.handle_input(Channel::Control, bytes, now).map_err(io::Error::other)?;
                    }
                },
                received = line.udp.recv_from(&mut udp_buffer) => {
                    // The other end may be gone for a while; the system tells it here.
                    if let Ok((len, from)) = received {
                        let bytes = udp_buffer.get(..len).unwrap_or_default();
                        let now = Instant::now().into_std();
                        device.handle_input(Channel::Datagram(from), bytes, now).map_err(io::Error::other)?;
                    }
                }
                () = tokio::time::sleep_until(timeout) => device.handle_timeout(Instant::now().into_std()),
                _ = media.tick(), if is_live => {
                    let now = Instant::now().into_std();
                    if wants.video && device.send_picture(&(self.pictures)(picture), now) {
                        self.counters.pictures.fetch_add(1, Ordering::Relaxed);
                    }
                    picture += 1;
                    if wants.audio {
                        device.send_audio(self.sound(block), now);
                        block += 1;
                    }
                }
                () = &mut half_open => {
                    let stream = reader.reunite(line.writer).map_err(io::Error::other)?;
                    return Ok(End::HalfOpen(stream));
                }
            }
        }
    }
}

/// How a session ended.
enum End {
    Closed,
    /// Without a word: the connection still stands.
    HalfOpen(TcpStream),
}

/// The way to the cloud, with its faults.
struct Line<'a> {
    camera: &'a A9Camera,
    writer: OwnedWriteHalf,
    udp: UdpSocket,
    dice: Dice,
    /// A datagram that goes out behind the next.
    held: Option<(Bytes, SocketAddr)>,
    /// Messages that go out in one piece.
    pending: Vec<u8>,
    heartbeats: u64,
    lasts: u64,
}

impl Line<'_> {
    async fn send(&mut self, transmit: Transmit) -> io::Result<()> {
        let fault = self.camera.fault;
        match transmit.channel {
            Channel::Control => {
                let is_heartbeat = number(&transmit.bytes) == Some(u16::from(Cmd::Heartbeat));
                if is_heartbeat && fault.slow_heartbeat {
                    self.heartbeats += 1;
                    if !self.heartbeats.is_multiple_of(3) {
                        return Ok(());
                    }
                }
                if fault.coalesce {
                    self.pending.extend_from_slice(&transmit.bytes);
                } else if fault.split {
                    for byte in &transmit.bytes {
                        self.writer.write_all(&[*byte]).await?;
                    }
                } else {
                    self.writer.write_all(&transmit.bytes).await?;
                }
            }
            Channel::Datagram(to) => self.datagram(transmit.bytes, to),
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            let pending = std::mem::take(&mut self.pending);
            self.writer.write_all(&pending).await?;
        }
        if let Some((bytes, to)) = self.held.take() {
            let _ = self.udp.try_send_to(&bytes, to);
        }
        Ok(())
    }

    fn datagram(&mut self, bytes: Bytes, to: SocketAddr) {
        let fault = self.camera.fault;
        let cmd = number(&bytes);
        let is_picture = cmd == Some(u16::from(Cmd::Jpeg));
        if !is_picture && cmd != Some(u16::from(Cmd::ALaw)) {
            let _ = self.udp.try_send_to(&bytes, to);
            return;
        }
        let position = bytes.get(6).copied();
        let is_last = is_picture && matches!(position, Some(flag::LAST | flag::WHOLE));
        let mut bytes = bytes;
        if is_last {
            // By the picture's own number, so that its repetitions are left out too.
            self.lasts += 1;
            let id = bytes
                .get(16..20)
                .map_or(0, |id| u64::from(id.first().copied().unwrap_or(0)));
            if fault.no_last && id.is_multiple_of(3) {
                return;
            }
            if fault.tail {
                let mut changed = bytes.to_vec();
                if let Some(length) = changed.last_chunk_mut::<4>() {
                    *length = 0xFFFF_u32.to_le_bytes();
                }
                bytes = changed.into();
            }
        }
        if self.dice.falls(fault.drop) {
            return;
        }
        if self.held.is_none() && self.dice.falls(fault.reorder) {
            self.held = Some((bytes, to));
            return;
        }
        let _ = self.udp.try_send_to(&bytes, to);
        if self.dice.falls(fault.duplicate) {
            let _ = self.udp.try_send_to(&bytes, to);
        }
        if let Some((bytes, to)) = self.held.take() {
            let _ = self.udp.try_send_to(&bytes, to);
        }
    }
}

/// The command of a frame.
fn number(bytes: &[u8]) -> Option<u16> {
    let cmd = bytes.get(4..6)?.first_chunk()?;
    Some(u16::from_le_bytes(*cmd))
}
