//! What the routes know: the hub, what the configuration says, and who else answers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hub::Hub;
use outputs::mjpeg::Mjpeg;
use outputs::mse::Mse;
use serde::Serialize;

use crate::Agents;

use crate::{Controls, DeviceStatus};

/// A camera as the configuration names it.
#[derive(Clone, Debug)]
pub struct CameraInfo {
    /// Its name, which is its stream's.
    pub name: String,
    /// Kind of source: "rtsp".
    pub kind: String,
    /// The agent it is reached through.
    pub via: Option<String>,
    /// Where it is. Secrets that are still in it are masked before anybody sees it.
    pub source: String,
    /// Whether a page may start it just by showing it; false spares a battery.
    pub autoplay: bool,
    /// Its own settings, where they can be reached.
    pub settings: Option<Arc<dyn Settings>>,
}

/// The settings of one camera, as the API sees them.
pub trait Settings: fmt::Debug + Send + Sync {
    /// The names of those that may be changed.
    fn allowed(&self) -> &[String];

    /// The camera's own JSON of what is set.
    fn status(&self) -> BoxFuture<'_, Result<Bytes, SettingsError>>;

    /// Sets one of those that may be changed.
    fn set<'a>(&'a self, name: &'a str, value: i32) -> BoxFuture<'a, Result<(), SettingsError>>;
}

/// Why a camera's settings cannot be read or changed; the text says it in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// The camera did not answer in time.
    TimedOut(String),
    /// The camera cannot be reached, or refuses.
    Refused(String),
}

/// What reads the configuration again.
pub trait Reload: fmt::Debug + Send + Sync {
    /// Reads it, and carries out what changed. The error says what is wrong with the file, and that everything stays.
    fn reload(&self) -> BoxFuture<'static, Result<Reloaded, String>>;
}

/// What a changed configuration did, by names of cameras and addresses of forwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// New ones.
    pub added: Vec<String>,
    /// Those that were ended and started anew; `http.agent_ca` if that file has other authorities.
    pub changed: Vec<String>,
    /// Those that were ended.
    pub removed: Vec<String>,
    /// Those that could not be started, with the reason.
    pub failed: Vec<String>,
    /// Sections that changed, and are only read at the start.
    pub needs_restart: Vec<String>,
}

/// The addresses that answers name.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where RTSP listens.
    pub rtsp: SocketAddr,
    /// The agent whose camera answers on the RTSP port to requests for no camera of ours, if there is one.
    pub passthrough: Option<String>,
    /// The name under which others reach the gateway, if the configuration gives one.
    pub public_name: Option<String>,
}

/// Which parts of the program are up.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// A program without parts, which is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `part` is not ready, and why.
    pub fn set_pending(&self, part: &str, why: &str) {
        self.lock().insert(part.to_owned(), Some(why.to_owned()));
    }

    /// Says that `part` is ready.
    pub fn set_ready(&self, part: &str) {
        self.lock().insert(part.to_owned(), None);
    }

    /// What is not ready, with the reasons.
    #[must_use]
    pub fn pending(&self) -> BTreeMap<String, String> {
        let parts = self.lock();
        parts
            .iter()
            .filter_map(|(part, why)| Some((part.clone(), why.clone()?)))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What [`AppState::new`] takes.
pub struct Parts {
    /// All streams.
    pub hub: Arc<Hub>,
    /// The configured cameras; a stream without one is not shown.
    pub cameras: Vec<CameraInfo>,
    /// The addresses that answers name.
    pub addresses: Addresses,
    /// Which parts of the program are up.
    pub readiness: Readiness,
    /// The tunnel's gateway, where there is one.
    pub agents: Option<Arc<dyn Agents>>,
    /// Moving pictures for Media Source Extensions.
    pub mse: Arc<Mse>,
    /// Motion JPEG and stills.
    pub mjpeg: Arc<Mjpeg>,
}

/// What every route shares; clones are the same state.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

struct Inner {
    parts: Parts,
    cameras: RwLock<Arc<[CameraInfo]>>,
    a9: OnceLock<naxclow::Cloud>,
    controls: OnceLock<Arc<dyn Controls>>,
    reload: OnceLock<Arc<dyn Reload>>,
    started_at: SystemTime,
}

impl AppState {
    /// Shares `parts` among the routes.
    #[must_use]
    pub fn new(mut parts: Parts) -> Self {
        let cameras = RwLock::new(std::mem::take(&mut parts.cameras).into());
        Self(Arc::new(Inner {
            parts,
            cameras,
            a9: OnceLock::new(),
            controls: OnceLock::new(),
            reload: OnceLock::new(),
            started_at: SystemTime::now(),
        }))
    }

    /// Takes the devices behind the cameras, once.
    pub fn set_controls(&self, controls: Arc<dyn Controls>) {
        let _ = self.0.controls.set(controls);
    }

    pub(crate) fn controls(&self) -> Option<&Arc<dyn Controls>> {
        self.0.controls.get()
    }

    /// Takes what reads the configuration again, once.
    pub fn set_reload(&self, reload: Arc<dyn Reload>) {
        let _ = self.0.reload.set(reload);
    }

    pub(crate) fn reload(&self) -> Option<&Arc<dyn Reload>> {
        self.0.reload.get()
    }

    /// What is known of a camera's device.
    pub(crate) fn device(&self, camera: &str) -> Option<DeviceStatus> {
        self.controls()?.device(camera)
    }

    /// Takes the cameras of a changed configuration.
    pub fn set_cameras(&self, cameras: Vec<CameraInfo>) {
        let mut known = self
            .0
            .cameras
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *known = cameras.into();
    }

    /// Adds the A9 cloud, once.
    pub fn set_a9(&self, cloud: naxclow::Cloud) {
        let _ = self.0.a9.set(cloud);
    }

    pub(crate) fn a9(&self) -> Option<&naxclow::Cloud> {
        self.0.a9.get()
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.parts.hub
    }

    pub(crate) fn cameras(&self) -> Arc<[CameraInfo]> {
        Arc::clone(
            &self
                .0
                .cameras
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn agents(&self) -> Option<&Arc<dyn Agents>> {
        self.0.parts.agents.as_ref()
    }

    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.parts.readiness
    }

    pub(crate) fn mse(&self) -> &Mse {
        &self.0.parts.mse
    }

    pub(crate) fn mjpeg(&self) -> &Mjpeg {
        &self.0.parts.mjpeg
    }

    pub(crate) fn rtsp_address(&self) -> SocketAddr {
        self.0.parts.addresses.rtsp
    }

    pub(crate) fn passthrough(&self) -> Option<&str> {
        self.0.parts.addresses.passthrough.as_deref()
    }

    pub(crate) fn public_name(&self) -> Option<&str> {
        self.0.parts.addresses.public_name.as_deref()
    }

    pub(crate) fn listens_on_loopback(&self) -> bool {
        self.0.parts.addresses.http.ip().is_loopback()
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.0.started_at
    }
}
