//! What this program knows of itself, for the gateway's operator.

use std::fs;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dialer::Target;
use proto_tunnel::{CameraReport, MAX_HOST, MAX_MODEL, MAX_PATH, MAX_QUALITY, Report};
use tokio::net::lookup_host;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::site::Site;
use crate::{AllowList, follow, lease};

/// Longest wait for a name server: a report is awaited by somebody.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What a configuration file says of the camera. The agent itself needs none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CameraNotes {
    /// Its model.
    pub model: String,
    /// Path with query of its stream.
    pub path: String,
    /// Which of its streams is wanted: low, medium, high.
    pub quality: String,
    /// Whether the address is looked for, as the file says; if it says nothing, it is if the camera is this machine.
    pub is_detected: Option<bool>,
}

/// One run of the program, over all its sessions.
#[derive(Debug)]
pub(crate) struct Life {
    instance: u64,
    started: Instant,
    sessions: AtomicU64,
    /// This machine's address towards the gateway.
    local: Mutex<Option<IpAddr>>,
    opened: AtomicU64,
    failed: AtomicU64,
    reached: AtomicU8,
    /// Where the camera was found last, if it is named by what does not move.
    found: Mutex<Option<IpAddr>>,
    /// Streams that are open now.
    streams: AtomicUsize,
    /// The networks here.
    pub(crate) site: Site,
    /// Somebody wants the program to start anew.
    pub(crate) restart: Notify,
}

impl Life {
    pub(crate) fn new() -> Self {
        let mut instance = [0; 8];
        // Without randomness two runs may look alike, and no more.
        let _ = getrandom::fill(&mut instance);
        Self {
            instance: u64::from_be_bytes(instance),
            started: Instant::now(),
            sessions: AtomicU64::new(0),
            local: Mutex::new(None),
            opened: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            reached: AtomicU8::new(UNKNOWN),
            found: Mutex::new(None),
            streams: AtomicUsize::new(0),
            site: Site::default(),
            restart: Notify::new(),
        }
    }

    /// Notes that a session begins, with a connection from this address.
    pub(crate) fn note_session(&self, local: Option<IpAddr>) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.note_local(local);
    }

    /// Notes that the session has a connection from this address now.
    pub(crate) fn note_local(&self, local: Option<IpAddr>) {
        *self.local.lock().unwrap_or_else(PoisonError::into_inner) = local;
    }

    /// Counts a stream until what is returned is dropped.
    pub(crate) fn note_stream(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(self))
    }

    /// Whether the gateway wants nothing at the moment.
    pub(crate) fn is_idle(&self) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
    }

    /// Notes how a dial ended: `reached` if it did, and at which address if that had to be found out.
    pub(crate) fn note_dial(
        &self,
        target: &Target,
        allow: &AllowList,
        reached: Option<Option<IpAddr>>,
    ) {
        let is_reached = reached.is_some();
        let counter = if is_reached {
            &self.opened
        } else {
            &self.failed
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if allow
            .iter()
            .next()
            .is_some_and(|camera| is_same(camera, target))
        {
            if let Some(Some(address)) = reached {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
            }
            let reached = if is_reached { YES } else { NO };
            self.reached.store(reached, Ordering::Relaxed);
        }
    }

    /// Notes whether a socket for datagrams was had.
    pub(crate) fn note_socket(&self, is_had: bool) {
        let counter = if is_had { &self.opened } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The report of this moment.
    pub(crate) async fn report(&self, allow: &AllowList, notes: &CameraNotes) -> Report {
        let local = *self.local.lock().unwrap_or_else(PoisonError::into_inner);
        let camera = match allow.iter().next() {
            Some(target) => Some(self.camera(target, notes, local).await),
            None => None,
        };
        Report {
            instance: self.instance,
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            sessions: self.sessions.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            memory: memory(),
            camera,
            model: cut(&notes.model, MAX_MODEL),
            path: cut(&notes.path, MAX_PATH),
            quality: cut(&notes.quality, MAX_QUALITY),
        }
    }

    async fn camera(
        &self,
        target: &Target,
        notes: &CameraNotes,
        local: Option<IpAddr>,
    ) -> CameraReport {
        let found = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let resolved = match (target.host.parse::<IpAddr>(), found) {
            (Ok(address), _) | (Err(_), Some(address)) => Some(address),
            (Err(_), None) => resolve(target).await,
        };
        let is_here = resolved.is_some_and(|address| address.is_loopback());
        let address = if is_here { local } else { resolved };
        CameraReport {
            host: cut(&target.host, MAX_HOST),
            port: target.port,
            address,
            // Of another machine's lease only its DHCP server knows, which may be here.
            is_dhcp: match is_here {
                true => local.and_then(lease::is_leased),
                false => resolved.and_then(follow::is_given),
            },
            is_detected: notes.is_detected.unwrap_or(is_here || found.is_some()),
            is_reached: match self.reached.load(Ordering::Relaxed) {
                UNKNOWN => None,
                reached => Some(reached == YES),
            },
        }
    }
}

/// One stream that is open.
pub(crate) struct OpenStream(Arc<Life>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

/// The default list names one camera in three ways.
fn is_same(camera: &Target, target: &Target) -> bool {
    let is_here = |target: &Target| {
        target.host.eq_ignore_ascii_case("localhost")
            || target
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    };
    camera.port == target.port
        && (camera.host.eq_ignore_ascii_case(&target.host) || is_here(camera) && is_here(target))
}

async fn resolve(target: &Target) -> Option<IpAddr> {
    let name = format!("{}:{}", target.host, target.port);
    let found = timeout(RESOLVE_TIMEOUT, lookup_host(name)).await;
    Some(found.ok()?.ok()?.next()?.ip())
}

/// Bytes of memory in use.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes << 10)
}

/// A text as the wire takes it.
fn cut(text: &str, max: usize) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    while text.len() > max {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_camera_in_this_machine_has_this_machines_address() {
        let life = Life::new();
        let local = "192.168.1.20".parse().ok();
        let allow = AllowList::default();
        life.note_local(local);
        let report = life.report(&allow, &CameraNotes::default()).await;
        let camera = report.camera.unwrap();
        assert_eq!((camera.address, camera.is_detected), (local, true));
        assert_eq!(camera.is_reached, None);

        life.note_dial(&Target::new("localhost", 554), &allow, Some(None));
        life.note_dial(&Target::new("127.0.0.1", 80), &allow, None);
        life.note_local(local);
        let report = life.report(&allow, &CameraNotes::default()).await;
        assert_eq!(report.camera.unwrap().is_reached, Some(true));
        assert_eq!((report.opened, report.failed), (1, 1));
    }

    #[tokio::test]
    async fn a_camera_beside_this_machine_has_its_own_address_and_nobody_knows_its_lease() {
        let life = Life::new();
        let allow = AllowList::new(vec![Target::new("192.168.1.10", 554)]);
        let local = "192.168.1.20".parse().ok();
        life.note_local(local);
        let report = life.report(&allow, &CameraNotes::default()).await;
        let camera = report.camera.unwrap();
        assert_eq!(camera.address, "192.168.1.10".parse().ok());
        assert_eq!((camera.is_dhcp, camera.is_detected), (None, false));
    }

    #[tokio::test]
    async fn a_camera_that_is_named_by_what_stays_is_where_it_was_found() {
        let life = Life::new();
        let camera = Target::new("9c-8e-cd-01-02-03", 554);
        let allow = AllowList::new(vec![camera.clone()]);
        let at = "192.0.2.7".parse().ok();
        life.note_dial(&camera, &allow, Some(at));
        let report = life.report(&allow, &CameraNotes::default()).await;
        let camera = report.camera.unwrap();
        assert_eq!((camera.address, camera.is_detected), (at, true));
        assert_eq!(camera.is_reached, Some(true));
    }

    #[tokio::test]
    async fn texts_of_any_length_fit_the_message() {
        let notes = CameraNotes {
            model: "é".repeat(500),
            path: "/\n".repeat(500),
            quality: "x".repeat(500),
            is_detected: None,
        };
        let report = Life::new().report(&AllowList::default(), &notes).await;
        assert!(proto_tunnel::Message::Report(report).encode().is_ok());
    }
}
