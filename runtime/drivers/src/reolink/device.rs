use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dialer::Dialer;
use media::Track;
use proto_baichuan::{Encryption, Hello, MediaPacket, Message, NibbleOrder, StreamKind};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::address::{Address, Place};
use super::care::{Care, Cause};
use super::events::Event;
use super::facts::Facts;
use super::outage::Outage;
use super::{actor, request::Request};
use crate::{Camera, DriverError};

/// Most orders that wait for a session. A page sends one at a time, a talk a few ahead.
const MAX_ORDERS: usize = 64;

/// Most media packets between a session and the one who publishes them: some seconds. Who is
/// slower than that loses pictures up to a keyframe.
pub(super) const MAX_QUEUED_MEDIA: usize = 512;

/// Most events that a slow listener may be behind.
const MAX_QUEUED_EVENTS: usize = 256;

/// How long a session outlives its last viewer. The stream itself was kept for its own idle time
/// before; this only spares a login to who changes from one stream to another.
const AFTER_VIEW: Duration = Duration::from_secs(1);

/// How long a session outlives a command: the next click of the same person.
const AFTER_COMMAND: Duration = Duration::from_secs(5);

/// All Reolink devices of this program: cameras that name the same one share its session.
#[derive(Clone, Default)]
pub struct Devices(Arc<Known>);

#[derive(Default)]
struct Known {
    devices: Mutex<HashMap<Key, Arc<Device>>>,
    tasks: TaskTracker,
    end: End,
}

/// Ends what was started when nobody is left who could.
struct End(
    CancellationToken,
    #[allow(dead_code, reason = "its drop is its work")] DropGuard,
);

impl Default for End {
    fn default() -> Self {
        let token = CancellationToken::new();
        Self(token.clone(), token.drop_guard())
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    place: Place,
    user: String,
    password: String,
    via: String,
}

impl Devices {
    /// No device yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The device that `camera` is a picture of; nothing is sent to it.
    ///
    /// # Errors
    /// What is wrong in the camera's source.
    pub fn device(
        &self,
        camera: &Camera,
        dialer: &Arc<dyn Dialer>,
    ) -> Result<Arc<Device>, DriverError> {
        let address = Address::of(camera)?;
        let key = Key {
            place: address.place.clone(),
            user: camera.user.clone().unwrap_or_else(|| "admin".to_owned()),
            password: camera.password.clone().unwrap_or_default(),
            via: dialer.describe(),
        };
        let mut devices = lock(&self.0.devices);
        if !devices.contains_key(&key) {
            // Devices that a changed configuration no longer names.
            devices.retain(|_, device| Arc::strong_count(device) > 1 || device.is_connected());
        }
        let device = devices.entry(key.clone()).or_insert_with(|| {
            Arc::new(Device {
                place: key.place,
                user: key.user,
                password: key.password,
                encryption: address.encryption,
                nibbles: address.nibbles,
                dialer: Arc::clone(dialer),
                tasks: self.0.tasks.clone(),
                shutdown: self.0.end.0.clone(),
                line: Mutex::new(None),
                care: Mutex::new(Care::default()),
                facts: watch::Sender::new(Facts::default()),
                events: broadcast::Sender::new(MAX_QUEUED_EVENTS),
                hello: Mutex::new(Hello::HeaderOnly),
                sounds: Mutex::new(HashMap::new()),
            })
        });
        if let Some(budget) = address.wakes_per_day {
            lock(&device.care).set_budget(budget);
        }
        Ok(Arc::clone(device))
    }

    /// Logs out everywhere and ends.
    pub async fn close(&self) {
        self.0.end.0.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

/// One device: at most one session at a time, opened by its first user and closed soon after its
/// last. Streams, snapshots, commands and events of all its channels share it.
pub struct Device {
    pub(super) place: Place,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) encryption: Encryption,
    pub(super) nibbles: NibbleOrder,
    pub(super) dialer: Arc<dyn Dialer>,
    tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    line: Mutex<Option<Arc<Line>>>,
    care: Mutex<Care>,
    pub(super) facts: watch::Sender<Facts>,
    pub(super) events: broadcast::Sender<Event>,
    hello: Mutex<Hello>,
    sounds: Mutex<HashMap<(u8, StreamKind), Option<Track>>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({} {})", self.place, self.dialer.describe())
    }
}

impl Device {
    /// Whether a session stands or is being opened.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        lock(&self.line).is_some()
    }

    /// What is known of it. Asks nobody.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.facts.borrow().clone()
    }

    /// What it notices from here on, while there is a session. Opens none.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Sessions opened so far, by cause. Each one wakes a battery camera.
    #[must_use]
    pub fn wakes(&self) -> BTreeMap<Cause, u64> {
        lock(&self.care).wakes()
    }

    /// How many wakes the budget still allows today; `None` without a budget.
    #[must_use]
    pub fn wakes_left(&self) -> Option<u32> {
        lock(&self.care).left(Instant::now())
    }

    /// Takes part in the session, which is opened if there is none.
    pub(super) fn join(self: &Arc<Self>, cause: Cause) -> Result<User, Outage> {
        let mut line = lock(&self.line);
        let linger = if cause == Cause::View {
            AFTER_VIEW
        } else {
            AFTER_COMMAND
        };
        if let Some(open) = &*line {
            return Ok(User::new(Arc::clone(open), linger));
        }
        if self.shutdown.is_cancelled() {
            return Err(Outage::Closed("the gateway stops".to_owned()));
        }
        lock(&self.care).check(Instant::now())?;
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        let open = Arc::new(Line {
            orders: sender,
            users: watch::Sender::new(0),
            linger: Mutex::new(AFTER_VIEW),
            outage: watch::Sender::new(None),
        });
        let user = User::new(Arc::clone(&open), linger);
        let session = actor::run(Arc::clone(self), Arc::clone(&open), orders, cause);
        self.tasks.spawn(session);
        *line = Some(open);
        Ok(user)
    }

    /// Takes the line away if nobody is on it; the session then closes.
    pub(super) fn hang_up_if_unused(&self, ours: &Arc<Line>) -> bool {
        let mut line = lock(&self.line);
        if *ours.users.borrow() > 0 {
            return false;
        }
        line.take_if(|line| Arc::ptr_eq(line, ours));
        true
    }

    /// Takes the line away: its session ended.
    pub(super) fn hang_up(&self, ours: &Arc<Line>) {
        lock(&self.line).take_if(|line| Arc::ptr_eq(line, ours));
    }

    pub(super) fn care(&self) -> MutexGuard<'_, Care> {
        lock(&self.care)
    }

    pub(super) fn hello(&self) -> Hello {
        *lock(&self.hello)
    }

    pub(super) fn set_hello(&self, hello: Hello) {
        *lock(&self.hello) = hello;
    }

    /// The sound track of a stream as it was last time; the inner `None` is "it had none".
    pub(super) fn sound(&self, channel: u8, kind: StreamKind) -> Option<Option<Track>> {
        lock(&self.sounds).get(&(channel, kind)).cloned()
    }

    pub(super) fn remember_sound(&self, channel: u8, kind: StreamKind, track: Option<Track>) {
        lock(&self.sounds).insert((channel, kind), track);
    }
}

/// What the users of a session and the session itself share.
pub(super) struct Line {
    orders: mpsc::Sender<Order>,
    pub(super) users: watch::Sender<usize>,
    pub(super) linger: Mutex<Duration>,
    /// Why the session ended.
    pub(super) outage: watch::Sender<Option<Outage>>,
}

/// What a session is told to do.
pub(super) enum Order {
    /// Start a stream; it ends when the receiver of its media is gone.
    Watch {
        channel: u8,
        kind: StreamKind,
        media: mpsc::Sender<Media>,
    },
    /// Look whose receivers are gone.
    Tidy,
    /// Send a request; no message is a silence that means success.
    Ask {
        request: Request,
        reply: oneshot::Sender<Result<Option<Message>, Outage>>,
    },
    /// Fetch a picture.
    Snapshot {
        channel: u8,
        kind: StreamKind,
        reply: oneshot::Sender<Result<Bytes, Outage>>,
    },
    /// Send a piece of talk.
    Talk { channel: u8, packet: MediaPacket },
    /// Ask the device to tell what it notices.
    Listen,
}

/// What a watched stream gives.
#[derive(Debug)]
pub(super) enum Media {
    Packet(MediaPacket, std::time::Instant),
    Refused(Outage),
}

/// Somebody who needs the session, for as long as this lives.
pub(super) struct User {
    line: Arc<Line>,
    linger: Duration,
}

impl User {
    fn new(line: Arc<Line>, linger: Duration) -> Self {
        line.users.send_modify(|users| *users += 1);
        Self { line, linger }
    }

    /// Tells the session to do something.
    pub(super) async fn order(&self, order: Order) -> Result<(), Outage> {
        match self.line.orders.send(order).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.outage().await),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn ask(&self, request: Request) -> Result<Option<Message>, Outage> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Ask { request, reply }).await?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.outage().await),
        }
    }

    /// Fetches a picture.
    pub(super) async fn snapshot(&self, channel: u8, kind: StreamKind) -> Result<Bytes, Outage> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Snapshot {
            channel,
            kind,
            reply,
        };
        self.order(order).await?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.outage().await),
        }
    }

    /// Why the session ended; waits for its end.
    pub(super) async fn outage(&self) -> Outage {
        let mut outage = self.line.outage.subscribe();
        match outage.wait_for(Option::is_some).await {
            Ok(outage) => outage.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| Outage::Closed("its session ended".to_owned()))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        {
            let mut linger = lock(&self.line.linger);
            *linger = self.linger;
        }
        self.line.users.send_modify(|users| *users -= 1);
        // A full queue means that the session is awake anyway, and looks by itself.
        let _ = self.line.orders.try_send(Order::Tidy);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
