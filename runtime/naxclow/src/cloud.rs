//! All cameras, and who may ask what of them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use proto_naxclow::{CloseReason, Command, Media, Uid};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::camera::{Answer, Broker, Camera, Control, Step, Task};
use crate::live::Live;
use crate::report::{Admission, Asker, CameraReport, Report};
use crate::{Addresses, Error, Settings};

/// Most cameras that are known at once: ten times what one machine streams.
pub const MAX_CAMERAS: usize = 8192;

/// Most cameras among them that nobody has accepted: anybody in the network can invent device codes.
pub const MAX_PENDING: usize = 2048;

/// How long a camera that nobody accepted stays listed after it went away (facts, section 17, row 24).
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// How often forgotten cameras are swept out.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Most addresses whose DNS questions are remembered: the devices of a large home.
const MAX_ASKERS: usize = 256;

/// How often the same clash is told.
const TELL_CLASH_EVERY: Duration = Duration::from_secs(60);

/// How long an answer to a command may take; the session itself gives up after 2 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Most items of one camera that wait for its reader: half a second of a busy one.
const MAX_ITEMS: usize = 64;

/// The cloud; clones are the same.
#[derive(Clone, Debug)]
pub struct Cloud(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Settings,
    addresses: Addresses,
    store: Option<store::Store>,
    table: Mutex<Table>,
    next_number: AtomicU64,
    /// Counts changes of who is accepted.
    admissions: watch::Sender<u64>,
    /// Counts registrations, for those who wait for one.
    arrivals: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Table {
    /// By device code in lower case.
    cameras: BTreeMap<String, Camera>,
    endpoints: HashMap<SocketAddr, String>,
    /// Addresses of registered cameras, with how many are there.
    peers: HashMap<IpAddr, usize>,
    /// What addresses asked our DNS for.
    askers: HashMap<IpAddr, Asked>,
    refused: u64,
    unreadable_datagrams: u64,
    stray_datagrams: u64,
}

#[derive(Clone, Debug)]
struct Asked {
    name: String,
    at: SystemTime,
    since: Instant,
}

/// A datagram's way.
pub(crate) enum Way {
    /// Answer it: it asks for its address.
    Answer,
    /// Pass it on.
    To(mpsc::Sender<(SocketAddr, Bytes)>),
    /// Drop it.
    Nowhere,
}

fn key(uid: &str) -> String {
    uid.to_ascii_lowercase()
}

/// The cameras that may come, by store and configuration.
fn admitted(
    store: Option<&store::Store>,
    configured: &[(String, String)],
) -> Result<BTreeMap<String, (Uid, Admission)>, Error> {
    let known = store.map_or(Ok(Vec::new()), store::Store::a9_cameras)?;
    let accepted = known
        .into_iter()
        .filter_map(|camera| Some((camera.uid, Admission::Accepted { name: camera.name? })));
    let configured = configured.iter().map(|(uid, name)| {
        let name = name.clone();
        (uid.clone(), Admission::Configured { name })
    });
    // The configuration's word comes last, and counts.
    let all = accepted.chain(configured);
    all.map(|(uid, admission)| {
        let uid: Uid = uid.parse().map_err(|_| Error::Uid(uid))?;
        Ok((key(uid.as_str()), (uid, admission)))
    })
    .collect()
}

impl Cloud {
    /// A cloud with the cameras of `store`, and those that the configuration names: device code, and the camera's
    /// name.
    ///
    /// # Errors
    /// What the store says, and a configured text that is no device code.
    pub fn new(
        settings: Settings,
        addresses: Addresses,
        store: Option<store::Store>,
        configured: &[(String, String)],
    ) -> Result<Self, Error> {
        let cameras = admitted(store.as_ref(), configured)?
            .into_iter()
            .map(|(key, (uid, admission))| (key, Camera::new(uid, admission)))
            .collect();
        Ok(Self(Arc::new(Shared {
            settings,
            addresses,
            store,
            table: Mutex::new(Table {
                cameras,
                ..Table::default()
            }),
            next_number: AtomicU64::new(1),
            admissions: watch::Sender::new(0),
            arrivals: watch::Sender::new(0),
        })))
    }

    /// Takes the cameras that a changed configuration names, as [`new`](Self::new) does. What is connected stays so;
    /// a camera that nobody names any more waits to be accepted.
    ///
    /// # Errors
    /// As of [`new`](Self::new); nothing has changed then.
    pub fn configure(&self, configured: &[(String, String)]) -> Result<(), Error> {
        let mut admitted = admitted(self.0.store.as_ref(), configured)?;
        let mut table = self.table();
        table.cameras.retain(|key, camera| {
            let was_pending = camera.admission == Admission::Pending;
            let (is_named, admission) = match admitted.remove(key) {
                Some((_, admission)) => (true, admission),
                None => (false, Admission::Pending),
            };
            camera.admission = admission;
            is_named || was_pending || camera.is_connected()
        });
        for (key, (uid, admission)) in admitted {
            table.cameras.insert(key, Camera::new(uid, admission));
        }
        drop(table);
        self.0.admissions.send_modify(|count| *count += 1);
        Ok(())
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Where the cloud listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Our address as a camera at `peer` reaches it, when its own connection does not tell.
    pub(crate) fn address_for(&self, peer: IpAddr) -> Option<IpAddr> {
        if self.0.settings.host.is_some() {
            return self.0.settings.host;
        }
        // Sends nothing: it asks the system for the way there.
        let unspecified: IpAddr = match peer {
            IpAddr::V4(_) => [0; 4].into(),
            IpAddr::V6(_) => [0_u16; 8].into(),
        };
        let probe = std::net::UdpSocket::bind((unspecified, 0)).ok()?;
        probe.connect((peer, 9)).ok()?;
        Some(probe.local_addr().ok()?.ip())
    }

    // What listeners report.

    pub(crate) fn note_dns(&self, from: IpAddr, name: String) {
        let mut table = self.table();
        if table.askers.len() >= MAX_ASKERS && !table.askers.contains_key(&from) {
            let oldest = table.askers.iter().min_by_key(|(_, asked)| asked.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                table.askers.remove(&oldest);
            }
        }
        let asked = Asked {
            name,
            at: SystemTime::now(),
            since: Instant::now(),
        };
        table.askers.insert(from, asked);
        for camera in table.cameras.values_mut() {
            if camera.address == Some(from) {
                camera.steps.reached(Step::Dns);
            }
        }
    }

    /// Notes that a camera did something; makes it known if it is new. `None` when there is no place for it.
    pub(crate) fn note<T>(
        &self,
        uid: &Uid,
        from: IpAddr,
        update: impl FnOnce(&mut Camera) -> T,
    ) -> Option<T> {
        let mut table = self.table();
        let asked = table.askers.get(&from).cloned();
        let camera = table.admit(uid)?;
        // As the camera itself writes it.
        camera.uid.clone_from(uid);
        camera.address = Some(from);
        camera.hear();
        if let Some(asked) = asked {
            camera.steps.reached_at(Step::Dns, asked.at);
        }
        Some(update(camera))
    }

    /// Updates a camera that is known.
    pub(crate) fn update(&self, uid: &Uid, update: impl FnOnce(&mut Camera)) {
        if let Some(camera) = self.table().cameras.get_mut(&key(uid.as_str())) {
            update(camera);
        }
    }

    /// A device code that no camera has, for one that asks.
    pub(crate) fn issue(&self) -> Result<Uid, Error> {
        loop {
            let mut random = [0; 4];
            // Without randomness of the system nothing else works either.
            let _ = getrandom::fill(&mut random);
            let number = u32::from_le_bytes(random) % 100_000;
            let code = format!("0800c00{number:05}");
            let is_taken = self.table().cameras.contains_key(&key(&code));
            if is_taken {
                continue;
            }
            let is_new = match &self.0.store {
                Some(store) => store.issue_a9(&code)?,
                None => true,
            };
            if is_new {
                return code.parse().map_err(|_| Error::Uid(code));
            }
        }
    }

    /// A camera has registered on the connection of `control`. The connection before it is closed.
    pub(crate) fn registered(&self, uid: &Uid, control: Control) -> Result<(), CloseReason> {
        let peer = control.peer.ip();
        let mut told = None;
        let older = self.note(uid, peer, |camera| {
            let older = camera.control.replace(control.clone());
            camera.registrations += 1;
            camera.steps.reached(Step::Registered);
            camera.last_error = None;
            if let Some(older) = &older
                && camera.is_clash(older, peer)
            {
                camera.clashes += 1;
                let is_due = camera
                    .clash_told
                    .is_none_or(|at| at.elapsed() >= TELL_CLASH_EVERY);
                if is_due {
                    camera.clash_told = Some(Instant::now());
                    told = Some(older.peer.ip());
                }
            }
            older
        });
        let Some(older) = older else {
            self.count_refused(uid);
            return Err(CloseReason::Unwanted);
        };
        if let Some(elsewhere) = told {
            tracing::warn!(camera = %uid, "two cameras use one device code: from {elsewhere} and from {peer}; the newer connection counts (told once a minute)");
        }
        let mut table = self.table();
        table.enter(peer);
        if let Some(older) = older {
            let _ = older.tasks.try_send(Task::Close(CloseReason::Replaced));
        }
        drop(table);
        self.0.arrivals.send_modify(|count| *count += 1);
        tracing::info!(camera = %uid, %peer, "camera registered");
        Ok(())
    }

    pub(crate) fn count_refused(&self, uid: &Uid) {
        let mut table = self.table();
        table.refused += 1;
        // Whoever floods us must not flood the log.
        if table.refused.is_power_of_two() {
            let refused = table.refused;
            tracing::warn!(camera = %uid, refused, "{MAX_PENDING} cameras wait to be accepted: no place for another");
        }
    }

    /// The connection of this number ended.
    pub(crate) fn ended(&self, uid: &Uid, control: &Control, why: &str) {
        let mut table = self.table();
        table.leave(control.peer.ip());
        table.unbind(&key(uid.as_str()), control.number);
        let Some(camera) = table.cameras.get_mut(&key(uid.as_str())) else {
            return;
        };
        if camera.control.as_ref().map(|known| known.number) == Some(control.number) {
            camera.control = None;
            camera.is_live = false;
            camera.last_error = Some(why.to_owned());
        }
    }

    /// Media of this camera comes from there, or from nowhere any more.
    pub(crate) fn bind_endpoint(&self, uid: &Uid, number: u64, endpoint: Option<SocketAddr>) {
        let mut table = self.table();
        let key = key(uid.as_str());
        table.unbind(&key, number);
        let Some(camera) = table.cameras.get_mut(&key) else {
            return;
        };
        if camera.control.as_ref().map(|known| known.number) != Some(number) {
            return;
        }
        camera.endpoint = endpoint;
        if let Some(endpoint) = endpoint {
            camera.steps.reached(Step::Probe);
            table.endpoints.insert(endpoint, key);
        }
    }

    pub(crate) fn broker_connected(&self, uid: &Uid, broker: Broker) -> bool {
        let peer = broker.peer.ip();
        let older = self.note(uid, peer, |camera| {
            camera.steps.reached(Step::Mqtt);
            camera.broker.replace(broker)
        });
        match older {
            Some(Some(older)) => {
                let _ = older.commands.try_send(None);
                true
            }
            Some(None) => true,
            None => {
                self.count_refused(uid);
                false
            }
        }
    }

    pub(crate) fn broker_ended(&self, uid: &Uid, number: u64) {
        self.update(uid, |camera| {
            if camera.broker.as_ref().map(|known| known.number) == Some(number) {
                camera.broker = None;
            }
        });
    }

    /// Where a datagram goes.
    pub(crate) fn way(&self, from: SocketAddr, bytes: &[u8]) -> Way {
        use proto_naxclow::Datagram;
        let mut table = self.table();
        let to = match Datagram::of(bytes) {
            Datagram::AddressQuery => {
                let is_known = table.peers.contains_key(&from.ip().to_canonical());
                return match is_known || self.0.settings.any_source {
                    true => Way::Answer,
                    false => Way::Nowhere,
                };
            }
            Datagram::Of(uid) => Some(key(uid.as_str())),
            Datagram::FromEndpoint => table.endpoints.get(&from).cloned(),
            Datagram::Unreadable => {
                table.unreadable_datagrams += 1;
                return Way::Nowhere;
            }
        };
        let camera = to.and_then(|key| table.cameras.get(&key));
        match camera.and_then(|camera| camera.control.as_ref()) {
            Some(control) => Way::To(control.datagrams.clone()),
            None => {
                table.stray_datagrams += 1;
                Way::Nowhere
            }
        }
    }

    /// Forgets cameras that nobody accepted and that are gone.
    pub(crate) async fn sweep(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            self.forget_strangers(Instant::now());
        }
    }

    fn forget_strangers(&self, now: Instant) {
        self.table().cameras.retain(|_, camera| {
            camera.admission != Admission::Pending
                || camera.is_connected()
                || camera
                    .heard
                    .is_some_and(|heard| now.saturating_duration_since(heard) < FORGET_AFTER)
        });
    }

    // What people and drivers ask.

    /// Everything that the dashboard shows.
    #[must_use]
    pub fn report(&self) -> Report {
        let table = self.table();
        let cameras: Vec<CameraReport> = table
            .cameras
            .values()
            .map(|camera| CameraReport::new(camera, &self.0.settings))
            .collect();
        // An address that asked for the vendor's names, and never came: set-up has failed there.
        let lost = table.askers.iter().filter(|(address, _)| {
            !table
                .cameras
                .values()
                .any(|camera| camera.address == Some(**address))
        });
        let mut askers: Vec<Asker> = lost
            .map(|(address, asked)| Asker {
                address: *address,
                name: asked.name.clone(),
                at: asked.at,
            })
            .collect();
        askers.sort_by_key(|asker| asker.address);
        Report::new(&self.0.addresses, cameras, askers)
    }

    /// One camera.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn camera(&self, uid: &str) -> Result<CameraReport, Error> {
        let table = self.table();
        let camera = table.cameras.get(&key(uid));
        let camera = camera.ok_or_else(|| Error::Unknown(uid.to_owned()))?;
        Ok(CameraReport::new(camera, &self.0.settings))
    }

    /// Device codes and names of the cameras that were accepted here, not by the configuration.
    #[must_use]
    pub fn accepted(&self) -> Vec<(String, String)> {
        let table = self.table();
        let accepted = table.cameras.values().filter_map(|camera| {
            let Admission::Accepted { name } = &camera.admission else {
                return None;
            };
            Some((camera.uid.to_string(), name.clone()))
        });
        accepted.collect()
    }

    /// Changes whenever [`accepted`](Self::accepted) does.
    #[must_use]
    pub fn admissions(&self) -> watch::Receiver<u64> {
        self.0.admissions.subscribe()
    }

    /// Accepts a camera under a name, for good.
    ///
    /// # Errors
    /// A camera that is not known, a name that is taken or impossible, and what the store says.
    pub fn accept(&self, uid: &str, name: Option<&str>) -> Result<String, Error> {
        let name = {
            let table = self.table();
            let camera = table.cameras.get(&key(uid));
            let camera = camera.ok_or_else(|| Error::Unknown(uid.to_owned()))?;
            if let Admission::Configured { name } = &camera.admission {
                return Ok(name.clone());
            }
            let name = name.unwrap_or(camera.uid.as_str()).to_owned();
            hub::StreamName::new(&name).map_err(|error| Error::Name(error.to_string()))?;
            if name.contains('/') || name.len() > 64 {
                return Err(Error::Name(format!(
                    "{name:?} cannot name a camera: it has 1 to 64 letters, digits, '_', '-' or '.'"
                )));
            }
            let taken = table.cameras.values().find(|other| {
                other.uid != camera.uid && other.admission.name() == Some(name.as_str())
            });
            if let Some(other) = taken {
                return Err(Error::Name(format!(
                    "camera {} has the name {name:?} already",
                    other.uid
                )));
            }
            name
        };
        if let Some(store) = &self.0.store {
            store.accept_a9(uid, &name)?;
        }
        if let Some(camera) = self.table().cameras.get_mut(&key(uid)) {
            camera.admission = Admission::Accepted { name: name.clone() };
        }
        self.0.admissions.send_modify(|count| *count += 1);
        Ok(name)
    }

    /// Takes back that a camera was accepted; it is listed as pending when it comes.
    ///
    /// # Errors
    /// A camera that is not known or stands in the configuration, and what the store says.
    pub fn forget(&self, uid: &str) -> Result<(), Error> {
        {
            let mut table = self.table();
            let camera = table.cameras.get_mut(&key(uid));
            let camera = camera.ok_or_else(|| Error::Unknown(uid.to_owned()))?;
            if let Admission::Configured { name } = &camera.admission {
                return Err(Error::Name(format!(
                    "camera {name} stands in the configuration: take it out there"
                )));
            }
            camera.admission = Admission::Pending;
            if !camera.is_connected() {
                table.cameras.remove(&key(uid));
            }
        }
        if let Some(store) = &self.0.store {
            store.forget_a9(uid)?;
        }
        self.0.admissions.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Waits until a camera is registered, at most for `patience`.
    pub(crate) async fn wait_for(&self, uid: &str, patience: Duration) -> Result<(), Error> {
        let mut arrivals = self.0.arrivals.subscribe();
        let arrived = async {
            loop {
                arrivals.borrow_and_update();
                let is_there = {
                    let table = self.table();
                    let camera = table.cameras.get(&key(uid));
                    camera.is_some_and(|camera| camera.control.is_some())
                };
                if is_there || arrivals.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(patience, arrived).await.is_ok() {
            return Ok(());
        }
        Err(self.absence(uid))
    }

    /// Why nothing can be asked of a camera.
    fn absence(&self, uid: &str) -> Error {
        let table = self.table();
        let uid = uid.to_owned();
        match table.cameras.get(&key(&uid)) {
            None => Error::Unknown(uid),
            Some(camera) if camera.broker.is_some() => Error::OnlyMqtt(uid),
            Some(camera) if camera.heard.is_none() => Error::Unknown(uid),
            Some(camera) => Error::Away {
                uid,
                ago: camera.silent_for(),
            },
        }
    }

    fn control(&self, uid: &str) -> Option<Control> {
        let table = self.table();
        table.cameras.get(&key(uid))?.control.clone()
    }

    /// Starts a camera's pictures and sound; they end when the returned value is dropped.
    ///
    /// # Errors
    /// The camera is away or busy.
    pub async fn live(&self, uid: &str, media: Media) -> Result<Live, Error> {
        let control = self.control(uid).ok_or_else(|| self.absence(uid))?;
        let (sender, items) = mpsc::channel(MAX_ITEMS);
        let number = self.number();
        let sent = control
            .tasks
            .send_timeout(Task::Start(media, sender, number), ANSWER_WITHIN)
            .await;
        sent.map_err(|_| Error::Busy(uid.to_owned()))?;
        Ok(Live {
            items,
            control,
            number,
        })
    }

    /// Sends a command, over TCP or else over MQTT, and gives the answer if there is one.
    ///
    /// # Errors
    /// The camera is away or busy.
    pub async fn command(&self, uid: &str, command: Command) -> Result<Answer, Error> {
        let Some(control) = self.control(uid) else {
            let broker = {
                let table = self.table();
                let camera = table.cameras.get(&key(uid));
                camera.and_then(|camera| camera.broker.clone())
            };
            let broker = broker.ok_or_else(|| self.absence(uid))?;
            let sent = broker.commands.send_timeout(Some(command), ANSWER_WITHIN);
            sent.await.map_err(|_| Error::Busy(uid.to_owned()))?;
            return Ok(None);
        };
        let (sender, answer) = oneshot::channel();
        let task = Task::Command(command, sender);
        let sent = control.tasks.send_timeout(task, ANSWER_WITHIN).await;
        sent.map_err(|_| Error::Busy(uid.to_owned()))?;
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            _ => Err(Error::NoAnswer(uid.to_owned())),
        }
    }
}

impl Table {
    /// The camera of that code; a new one is entered as pending if there is a place.
    fn admit(&mut self, uid: &Uid) -> Option<&mut Camera> {
        let key = key(uid.as_str());
        if !self.cameras.contains_key(&key) {
            let pending = |camera: &&Camera| camera.admission == Admission::Pending;
            if self.cameras.values().filter(pending).count() >= MAX_PENDING
                || self.cameras.len() >= MAX_CAMERAS
            {
                // One that is away makes place for one that is here.
                let away = self.cameras.iter().filter(|(_, camera)| {
                    camera.admission == Admission::Pending && !camera.is_connected()
                });
                let (oldest, _) = away.min_by_key(|(_, camera)| camera.heard)?;
                let oldest = oldest.clone();
                self.cameras.remove(&oldest);
            }
            let camera = Camera::new(uid.clone(), Admission::Pending);
            self.cameras.insert(key.clone(), camera);
        }
        self.cameras.get_mut(&key)
    }

    fn enter(&mut self, peer: IpAddr) {
        *self.peers.entry(peer.to_canonical()).or_default() += 1;
    }

    fn leave(&mut self, peer: IpAddr) {
        let peer = peer.to_canonical();
        if let Some(count) = self.peers.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&peer);
            }
        }
    }

    /// Takes out the endpoint of a camera's connection.
    fn unbind(&mut self, key: &str, number: u64) {
        let Some(camera) = self.cameras.get_mut(key) else {
            return;
        };
        if camera.control.as_ref().map(|known| known.number) != Some(number) {
            return;
        }
        if let Some(endpoint) = camera.endpoint.take()
            && self.endpoints.get(&endpoint).map(String::as_str) == Some(key)
        {
            self.endpoints.remove(&endpoint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_nobody_accepted_is_forgotten_some_minutes_after_it_left() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings {
            http: any,
            tcp: any,
            udp: any,
            mqtt: None,
            dns: None,
            host: None,
            strict_token: false,
            any_source: false,
        };
        let addresses = Addresses {
            http: any,
            tcp: any,
            udp: any,
            mqtt: None,
            dns: None,
        };
        let known = [("0800c00128F8".to_owned(), "yard".to_owned())];
        let cloud = Cloud::new(settings, addresses, None, &known).unwrap();
        let stranger: Uid = "0800c00666AA".parse().unwrap();
        cloud.note(&stranger, any.ip(), |_| ()).unwrap();
        cloud.forget_strangers(Instant::now() + FORGET_AFTER / 2);
        assert_eq!(cloud.report().cameras.len(), 2);
        cloud.forget_strangers(Instant::now() + FORGET_AFTER);
        let left: Vec<_> = cloud
            .report()
            .cameras
            .into_iter()
            .map(|camera| camera.uid)
            .collect();
        assert_eq!(left, ["0800c00128F8"]);
    }
}
