//! The camera on UDP: hellos, sessions, and the sleep of a battery camera.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto_baichuan::bcudp::{
    CameraPort, Datagram, Discovery, Introduction, MAX_DATAGRAM, Timers, UdpCamera,
    UdpCameraConfig, UdpCameraEvent,
};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::conversation::Conversation;
use super::servers::ReolinkServers;
use super::state::count;
use super::{ReolinkCamera, ReolinkModel, Shared};
use crate::FaultKind;
use crate::rtsp::mix;

/// Datagrams that wait to be looked at; what is more gets lost, as in a small device.
const MAX_WAITING: usize = 256;
/// Packets that wait for a client; beyond, pictures are left out.
const MAX_QUEUED: usize = 512;
/// Hellos kept while it boots.
const MAX_EARLY: usize = 8;
/// Whom the servers want us to meet.
const MAX_INTRODUCED: usize = 16;
/// Far away, for timers that are not set.
const NEVER: Duration = Duration::from_secs(86_400 * 365);
/// Notices are looked for so often while somebody is here.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How awake a camera is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sleep {
    Awake,
    /// Hears hellos, and nothing else.
    Light,
    /// Booting until then.
    Waking(Instant),
}

/// The camera's sockets.
struct Sockets {
    session: Arc<UdpSocket>,
    datagrams: mpsc::Receiver<(CameraPort, SocketAddr, Vec<u8>)>,
    _readers: JoinSet<()>,
}

impl Sockets {
    fn new(hello: Vec<UdpSocket>, session: UdpSocket) -> Self {
        let session = Arc::new(session);
        let (sender, datagrams) = mpsc::channel(MAX_WAITING);
        let mut readers = JoinSet::new();
        let hello = hello
            .into_iter()
            .map(|it| (CameraPort::Hello, Arc::new(it)));
        for (port, socket) in hello.chain([(CameraPort::Session, session.clone())]) {
            let sender = sender.clone();
            readers.spawn(async move {
                let mut buffer = vec![0; MAX_DATAGRAM + 1];
                loop {
                    // An error is about a client that is gone.
                    let Ok((len, from)) = socket.recv_from(&mut buffer).await else {
                        continue;
                    };
                    let bytes = buffer.get(..len).unwrap_or_default().to_vec();
                    if sender.try_send((port, from, bytes)).is_err() && sender.is_closed() {
                        return;
                    }
                }
            });
        }
        Self {
            session,
            datagrams,
            _readers: readers,
        }
    }
}

impl ReolinkCamera {
    /// Serves everyone who says hello on `hello` (ports 2015 and 2018 on real cameras); sessions run on `session`.
    /// Ends only by being dropped.
    pub async fn serve_udp(
        self,
        hello: Vec<UdpSocket>,
        session: UdpSocket,
        servers: Option<ReolinkServers>,
    ) -> io::Result<()> {
        let mut address = session.local_addr()?;
        // Servers on this machine need an address that leads somewhere.
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        let sockets = Sockets::new(hello, session);
        let (introduce, introduced) = mpsc::channel(MAX_INTRODUCED);
        if let Some(servers) = &servers {
            servers.attach(&self.shared.config.uid, address, introduce);
        }
        let now = Instant::now();
        let mut seed = u64::from_le_bytes(*self.shared.seed.first_chunk().unwrap_or(&[0; 8]));
        let config = UdpCameraConfig {
            uid: self.shared.config.uid.clone(),
            timers: Timers::default(),
            first_did: (mix(&mut seed) as u32) >> 8,
        };
        let awake = Awake {
            shared: &self.shared,
            camera: UdpCamera::new(config, now.into_std()),
            conversations: HashMap::new(),
            sleep: match self.shared.config.model {
                ReolinkModel::Battery => Sleep::Light,
                ReolinkModel::Mains | ReolinkModel::Recorder { .. } => Sleep::Awake,
            },
            lonely_since: now,
            opened: 0,
            early: Vec::new(),
        };
        awake.run(sockets, introduced).await
    }
}

struct Awake<'a> {
    shared: &'a Shared,
    camera: UdpCamera,
    conversations: HashMap<u32, Conversation<'a>>,
    sleep: Sleep,
    lonely_since: Instant,
    opened: u64,
    /// What came while it booted.
    early: Vec<(CameraPort, SocketAddr, Vec<u8>)>,
}

impl Awake<'_> {
    async fn run(
        mut self,
        mut sockets: Sockets,
        mut introduced: mpsc::Receiver<Introduction>,
    ) -> io::Result<()> {
        let mut cuts = self.shared.cuts.subscribe();
        loop {
            let now = Instant::now();
            self.handle_time(now);
            while let Some(transmit) = self.camera.poll_transmit() {
                // Whom it does not reach is gone, or a network is down: the protocol repeats.
                drop(
                    sockets
                        .session
                        .send_to(&transmit.payload, transmit.to)
                        .await,
                );
            }
            let wake = self.wake_at(now);
            tokio::select! {
                Some((port, from, bytes)) = sockets.datagrams.recv() => {
                    self.handle_datagram(port, from, &bytes, Instant::now());
                }
                Some(client) = introduced.recv() => {
                    let now = Instant::now();
                    self.wake(now);
                    self.camera.meet(client, now.into_std());
                }
                () = self.shared.motion.notified() => self.rouse(Instant::now()),
                () = sleep_until(wake) => {}
                Ok(()) = cuts.changed() => self.hang_up(),
            }
        }
    }

    fn handle_datagram(&mut self, port: CameraPort, from: SocketAddr, bytes: &[u8], now: Instant) {
        count(&self.shared.counters.datagrams);
        match self.sleep {
            Sleep::Awake => {}
            Sleep::Waking(_) => return self.keep(port, from, bytes),
            Sleep::Light => {
                // The chip that listens while the camera sleeps knows one word.
                let uid = &self.shared.config.uid;
                let Ok(Some(Datagram::Discovery { message, .. })) = Datagram::decode(bytes) else {
                    return;
                };
                match (port, message) {
                    (CameraPort::Hello, Discovery::C2dC { uid: wanted, .. }) if wanted == *uid => {}
                    // Whoever comes through the servers has been introduced.
                    (CameraPort::Session, Discovery::C2dT { .. }) => {}
                    _ => return,
                }
                self.wake(now);
                return self.keep(port, from, bytes);
            }
        }
        let is_hung = |it: &Conversation<'_>| it.fault(now) == Some(FaultKind::Hang);
        if self.conversations.values().any(is_hung) {
            return;
        }
        self.camera
            .handle_datagram(port, from, bytes, now.into_std());
        self.handle_events(now);
    }

    /// The hello that wakes it is answered after the boot: some clients say it once only.
    fn keep(&mut self, port: CameraPort, from: SocketAddr, bytes: &[u8]) {
        if self.early.len() < MAX_EARLY {
            self.early.push((port, from, bytes.to_vec()));
        }
    }

    /// Somebody on the network wants it.
    fn wake(&mut self, now: Instant) {
        if self.sleep == Sleep::Light {
            count(&self.shared.counters.wakes);
            self.rouse(now);
        }
    }

    /// Its own sensor wakes it: no client did that.
    fn rouse(&mut self, now: Instant) {
        if self.sleep == Sleep::Light {
            self.sleep = Sleep::Waking(now + self.shared.config.boot);
        }
    }

    fn handle_time(&mut self, now: Instant) {
        if let Sleep::Waking(until) = self.sleep
            && now >= until
        {
            self.sleep = Sleep::Awake;
            self.lonely_since = now;
            for (port, from, bytes) in std::mem::take(&mut self.early) {
                self.camera
                    .handle_datagram(port, from, &bytes, now.into_std());
            }
        }
        if self.sleep != Sleep::Awake {
            return;
        }
        self.camera.handle_timeout(now.into_std());
        self.handle_events(now);
        let mut cut = Vec::new();
        for (did, conversation) in &mut self.conversations {
            let fault = conversation.fault(now);
            match fault {
                Some(FaultKind::Hang) => continue,
                Some(FaultKind::Cut) => cut.push(*did),
                Some(FaultKind::Junk) => {
                    let junk = conversation.junk();
                    self.camera.send(*did, &junk, now.into_std());
                }
                Some(FaultKind::Slow { .. }) | None => {}
            }
            let is_full = self.camera.unsent(*did) > MAX_QUEUED;
            conversation.handle_time(is_full, now);
            while let Some(bytes) = conversation.poll_transmit() {
                if !self.camera.send(*did, &bytes, now.into_std()) {
                    // A hole in the stream cannot be mended.
                    cut.push(*did);
                    break;
                }
            }
            if conversation.is_closed() {
                cut.push(*did);
            }
        }
        for did in cut {
            self.camera.close(did);
        }
        self.handle_events(now);
        self.fall_asleep(now);
    }

    fn fall_asleep(&mut self, now: Instant) {
        if self.camera.sessions() > 0 {
            self.lonely_since = now;
        }
        let is_battery = self.shared.config.model == ReolinkModel::Battery;
        if is_battery && now >= self.lonely_since + self.shared.config.asleep_after {
            self.sleep = Sleep::Light;
            count(&self.shared.counters.sleeps);
        }
    }

    fn hang_up(&mut self) {
        for did in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.camera.close(did);
        }
        self.handle_events(Instant::now());
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.camera.poll_event() {
            match event {
                UdpCameraEvent::Opened { .. } => self.lonely_since = now,
                UdpCameraEvent::Input { did, bytes } => {
                    let (shared, opened) = (self.shared, &mut self.opened);
                    let conversation = self.conversations.entry(did).or_insert_with(|| {
                        *opened += 1;
                        let number = shared.counters.connections.load(Ordering::Relaxed);
                        Conversation::new(shared, number << 20 | *opened, now)
                    });
                    conversation.handle_input(&bytes, now);
                }
                UdpCameraEvent::Closed { did } => {
                    self.conversations.remove(&did);
                }
            }
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let mut wake = match self.sleep {
            Sleep::Light => return now + NEVER,
            Sleep::Waking(until) => return until,
            Sleep::Awake => now + NEVER,
        };
        if self.shared.config.model == ReolinkModel::Battery {
            wake = wake.min(self.lonely_since + self.shared.config.asleep_after);
        }
        if let Some(at) = self.camera.poll_timeout() {
            wake = wake.min(Instant::from_std(at));
        }
        for conversation in self.conversations.values() {
            if conversation.fault(now) == Some(FaultKind::Hang) {
                return now + LOOK_EVERY;
            }
            wake = wake.min(conversation.wake_at().unwrap_or(wake));
            wake = wake.min(now + LOOK_EVERY);
        }
        // Not busier than a clock, whatever is due.
        wake.max(now + Duration::from_millis(1))
    }
}
