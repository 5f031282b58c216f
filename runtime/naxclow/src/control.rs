//! Control connections: each is one task that owns one session of the protocol.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proto_naxclow::{Channel, CloseReason, CloudConfig, CloudEvent, CloudSession, Media, Uid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Cloud;
use crate::accept::accept_each;
use crate::camera::{Answer, Control, Step, Task};
use crate::live::Item;

/// Most connections at once: a thousand cameras, thrice over while they come back after a power cut.
const MAX_CONNECTIONS: usize = 4096;

/// Most connections of one address that have not registered: many cameras may share one behind NAT, and whoever
/// holds connections open without a word is held to this.
const MAX_STRANGERS: usize = 128;

/// Most things that wait for a session. A full queue means that its camera takes nothing.
const MAX_TASKS: usize = 32;

/// Most datagrams that wait for a session: two large pictures. What is lost the camera sends again.
const MAX_DATAGRAMS: usize = 2048;

/// How long a camera may take to take a message: half-open connections end here, or by silence.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// Unknown messages of one session that are told.
const MAX_TOLD: usize = 4;

/// How many connections each address has that have not registered.
#[derive(Debug, Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

impl Strangers {
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= MAX_STRANGERS {
            return None;
        }
        *count += 1;
        Some(Stranger(Arc::clone(self), address))
    }
}

/// One connection that has not registered.
struct Stranger(Arc<Strangers>, IpAddr);

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.1);
            }
        }
    }
}

pub(crate) async fn serve(
    listener: TcpListener,
    udp: Arc<UdpSocket>,
    cloud: Cloud,
    shutdown: CancellationToken,
) {
    let strangers = Arc::new(Strangers::default());
    accept_each(listener, MAX_CONNECTIONS, &shutdown, |stream, peer| {
        let stranger = strangers.enter(peer.ip())?;
        let (udp, cloud, shutdown) = (Arc::clone(&udp), cloud.clone(), shutdown.clone());
        Some(async move {
            let Ok(local) = stream.local_addr() else {
                return;
            };
            let connection = Connection::new(cloud, udp, peer, local, stranger);
            connection.run(stream, shutdown).await;
        })
    })
    .await;
}

/// Who gets the media.
struct Reader {
    items: mpsc::Sender<Item>,
    number: u64,
}

struct Connection {
    cloud: Cloud,
    udp: Arc<UdpSocket>,
    session: CloudSession,
    control: Control,
    tasks: mpsc::Receiver<Task>,
    datagrams: mpsc::Receiver<(SocketAddr, Bytes)>,
    stranger: Option<Stranger>,
    endpoint: Option<SocketAddr>,
    reader: Option<Reader>,
    /// Who waits for an answer, by the command's code.
    waiting: Vec<(i64, oneshot::Sender<Answer>)>,
    told: usize,
    closed: Option<CloseReason>,
}

impl Connection {
    fn new(
        cloud: Cloud,
        udp: Arc<UdpSocket>,
        peer: SocketAddr,
        local: SocketAddr,
        stranger: Stranger,
    ) -> Self {
        let (tasks, task_receiver) = mpsc::channel(MAX_TASKS);
        let (datagrams, datagram_receiver) = mpsc::channel(MAX_DATAGRAMS);
        let settings = cloud.settings();
        let host = settings.host.unwrap_or(local.ip()).to_canonical();
        let server = SocketAddr::new(host, cloud.addresses().udp.port());
        let unix_time = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut config = CloudConfig::new(server, peer.ip(), unix_time);
        config.any_source = settings.any_source;
        Self {
            control: Control {
                number: cloud.number(),
                peer,
                tasks,
                datagrams,
            },
            session: CloudSession::new(config, Instant::now()),
            cloud,
            udp,
            tasks: task_receiver,
            datagrams: datagram_receiver,
            stranger: Some(stranger),
            endpoint: None,
            reader: None,
            waiting: Vec::new(),
            told: 0,
            closed: None,
        }
    }

    async fn run(mut self, stream: TcpStream, shutdown: CancellationToken) {
        // Cameras are told one message at a time.
        let _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = stream.into_split();
        let why = self.serve(&mut reader, &mut writer, shutdown).await;
        if let Some(reader) = self.reader.take() {
            let _ = reader.items.try_send(Item::Ended(why.clone()));
        }
        if let Some(uid) = self.session.uid().cloned() {
            self.cloud.ended(&uid, &self.control, &why);
            tracing::info!(camera = %uid, peer = %self.control.peer, "camera left: {why}");
        } else {
            tracing::debug!(peer = %self.control.peer, "a connection that was no camera's ended: {why}");
        }
    }

    /// Serves until the end, and tells why it came.
    async fn serve(
        &mut self,
        reader: &mut OwnedReadHalf,
        writer: &mut OwnedWriteHalf,
        shutdown: CancellationToken,
    ) -> String {
        let mut buffer = [0; 4096];
        loop {
            self.events();
            if let Err(error) = self.transmit(writer).await {
                return format!("the connection broke ({error})");
            }
            if let Some(reason) = self.closed {
                return reason.to_string();
            }
            self.follow_endpoint();
            let timeout = self.session.poll_timeout();
            let timeout = timeout.unwrap_or_else(|| Instant::now() + WRITE_WITHIN);
            // All branches are cancel safe: each takes one thing, or nothing.
            tokio::select! {
                read = reader.read(&mut buffer) => match read {
                    Ok(0) => return "it closed the connection".to_owned(),
                    Ok(len) => {
                        let bytes = buffer.get(..len).unwrap_or_default();
                        self.input(Channel::Control, bytes);
                    }
                    Err(error) => return format!("the connection broke ({error})"),
                },
                // The session holds a sender itself, so these two never end.
                Some((from, bytes)) = self.datagrams.recv() => {
                    self.input(Channel::Datagram(from), &bytes);
                    // A picture's datagrams come together.
                    while let Ok((from, bytes)) = self.datagrams.try_recv() {
                        self.input(Channel::Datagram(from), &bytes);
                        self.events();
                    }
                }
                Some(task) = self.tasks.recv() => self.obey(task),
                () = tokio::time::sleep_until(timeout.into()) => {
                    self.session.handle_timeout(Instant::now());
                }
                () = shutdown.cancelled() => {
                    self.session.stop();
                    let _ = self.transmit(writer).await;
                    return "the gateway stops".to_owned();
                }
            }
        }
    }

    fn input(&mut self, channel: Channel, bytes: &[u8]) {
        if let Err(error) = self.session.handle_input(channel, bytes, Instant::now()) {
            let peer = self.control.peer;
            match self.session.uid() {
                Some(uid) => tracing::warn!(camera = %uid, %peer, "unreadable bytes: {error}"),
                None => tracing::debug!(%peer, "unreadable bytes: {error}"),
            }
        }
    }

    async fn transmit(&mut self, writer: &mut OwnedWriteHalf) -> std::io::Result<()> {
        while let Some(transmit) = self.session.poll_transmit() {
            match transmit.channel {
                Channel::Datagram(to) => {
                    // A full buffer loses a datagram, as any network may.
                    let _ = self.udp.try_send_to(&transmit.bytes, to);
                }
                Channel::Control => {
                    let write = writer.write_all(&transmit.bytes);
                    match tokio::time::timeout(WRITE_WITHIN, write).await {
                        Ok(written) => written?,
                        Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
                    }
                }
            }
        }
        Ok(())
    }

    fn follow_endpoint(&mut self) {
        let endpoint = self.session.endpoint();
        if endpoint != self.endpoint
            && let Some(uid) = self.session.uid()
        {
            self.endpoint = endpoint;
            self.cloud.bind_endpoint(uid, self.control.number, endpoint);
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                CloudEvent::Registered { uid, token, .. } => self.registered(&uid, &token),
                CloudEvent::Heartbeat => self.note(|camera| {
                    camera.hear();
                    camera.steps.reached(Step::Heartbeat);
                }),
                CloudEvent::BaseInfo(info) => self.note(|camera| {
                    camera.hear();
                    camera.base_info = info;
                }),
                CloudEvent::Answer { code, content } => self.answer(code, content),
                CloudEvent::Live => self.note(|camera| {
                    camera.steps.reached(Step::Media);
                    camera.is_live = true;
                    camera.last_error = None;
                }),
                CloudEvent::Picture(jpeg) => self.item(Item::Picture(jpeg)),
                CloudEvent::Audio(codec, block) => self.item(Item::Audio(codec, block)),
                CloudEvent::Restarting => self.tell("pictures stopped; started once more"),
                CloudEvent::LiveFailed(failure) => {
                    self.note(|camera| {
                        camera.is_live = false;
                        camera.last_error = Some(failure.to_string());
                    });
                    if let Some(reader) = self.reader.take() {
                        let _ = reader.items.try_send(Item::Failed(failure));
                    }
                }
                CloudEvent::Unknown(what) if self.told < MAX_TOLD => {
                    self.told += 1;
                    self.tell(&format!("it sent something unknown: {what}"));
                }
                CloudEvent::Closed(reason) => self.closed = Some(reason),
                // Told often enough; and the enum may grow, what is new is nothing to act on.
                _ => {}
            }
        }
    }

    fn tell(&self, text: &str) {
        if let Some(uid) = self.session.uid() {
            tracing::info!(camera = %uid, "{text}");
        }
    }

    fn note(&self, update: impl FnOnce(&mut crate::camera::Camera)) {
        if let Some(uid) = self.session.uid() {
            self.cloud.update(uid, update);
        }
    }

    fn registered(&mut self, uid: &Uid, token: &str) {
        if self.cloud.settings().strict_token && !self.cloud.knows_token(uid, token) {
            return self.session.close(CloseReason::WrongToken);
        }
        self.stranger = None;
        if let Err(reason) = self.cloud.registered(uid, self.control.clone()) {
            self.session.close(reason);
        }
    }

    fn answer(&mut self, code: i64, content: Answer) {
        let at = self
            .waiting
            .iter()
            .position(|(waiting, _)| *waiting == code);
        if let Some(at) = at {
            let (_, sender) = self.waiting.remove(at);
            // Whoever asked may have left.
            let _ = sender.send(content);
        }
    }

    fn item(&mut self, item: Item) {
        let Some(reader) = &self.reader else {
            return;
        };
        // A reader that is slow loses this one; one that is gone ends the stream.
        if let Err(mpsc::error::TrySendError::Closed(_)) = reader.items.try_send(item) {
            self.stop();
        }
    }

    fn stop(&mut self) {
        self.reader = None;
        self.session.stop();
        self.note(|camera| camera.is_live = false);
    }

    fn obey(&mut self, task: Task) {
        let now = Instant::now();
        match task {
            Task::Start(media, items, number) => {
                let older = self.reader.replace(Reader { items, number });
                if let Some(older) = older {
                    let why = "somebody else took its pictures".to_owned();
                    let _ = older.items.try_send(Item::Ended(why));
                }
                if self.session.start(media, now).is_err() {
                    self.reader = None;
                }
            }
            Task::Stop(number) => {
                let is_ours = |reader: &Reader| reader.number == number;
                if self.reader.as_ref().is_some_and(is_ours) {
                    self.stop();
                }
            }
            Task::Command(command, sender) => {
                let code = command.code();
                let is_media = (0..=Media::BOTH.code()).contains(&code);
                // Media is the readers' business; everything else may fail only for want of a place.
                if is_media || self.session.command(&command, now).is_err() {
                    return;
                }
                if code == proto_naxclow::Command::Reboot.code() {
                    let _ = sender.send(None);
                } else {
                    self.waiting.push((code, sender));
                }
            }
            Task::Close(reason) => self.session.close(reason),
        }
    }
}

impl Cloud {
    fn knows_token(&self, uid: &Uid, token: &str) -> bool {
        let mut knows = false;
        self.update(uid, |camera| knows = camera.pwd.as_deref() == Some(token));
        knows
    }
}
