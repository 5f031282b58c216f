//! A camera of the A9 family: it calls its cloud, stands by, and sends when it is asked; or it is its own network.

mod access_point;
mod avi;
mod fault;
mod mqtt;
mod scene;
mod station;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proto_naxclow::Uid;
use proto_naxclow::recordings::Minute;

pub use fault::{A9Fault, A9FaultError};
pub use proto_naxclow::Profile as A9Profile;
pub use proto_naxclow::recordings::Minute as A9Minute;
pub use scene::picture as a9_picture;

/// Time from one picture to the next, and the length of a block of sound.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// Draws the picture of a number.
type Pictures = Arc<dyn Fn(u64) -> Bytes + Send + Sync>;

/// A simulated A9 camera. Clones are the same camera.
#[derive(Clone)]
pub struct A9Camera {
    uid: Uid,
    profile: A9Profile,
    http: Option<SocketAddr>,
    mqtt: Option<SocketAddr>,
    control: Option<SocketAddr>,
    host: String,
    fault: A9Fault,
    pictures: Pictures,
    sd_card: Option<Vec<(Minute, Bytes)>>,
    boot: Duration,
    first_pause: Duration,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    registrations: AtomicU64,
    pictures: AtomicU64,
    reboots: AtomicU64,
}

impl fmt::Debug for A9Camera {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("A9Camera")
            .field("uid", &self.uid)
            .field("profile", &self.profile)
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}

impl A9Camera {
    /// A camera that draws a yard at night, with its own clock.
    #[must_use]
    pub fn new(uid: Uid, profile: A9Profile) -> Self {
        let name = uid.to_string();
        Self {
            uid,
            profile,
            http: None,
            mqtt: None,
            control: None,
            host: proto_naxclow::bootstrap::DOMAIN.to_owned(),
            fault: A9Fault::default(),
            pictures: Arc::new(move |_| scene::picture(crate::source::wall_time(), &name)),
            sd_card: None,
            boot: Duration::ZERO,
            first_pause: Duration::from_secs(3),
            counters: Arc::default(),
        }
    }

    /// Calls its cloud here, instead of asking DNS.
    #[must_use]
    pub fn with_cloud(mut self, http: SocketAddr) -> Self {
        self.http = Some(http);
        self
    }

    /// Speaks MQTT too.
    #[must_use]
    pub fn with_mqtt(mut self, mqtt: SocketAddr) -> Self {
        self.mqtt = Some(mqtt);
        self
    }

    /// Goes to this control port, whatever it is told over HTTP.
    #[must_use]
    pub fn with_control(mut self, control: SocketAddr) -> Self {
        self.control = Some(control);
        self
    }

    /// Misbehaves.
    #[must_use]
    pub fn with_fault(mut self, fault: A9Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Shows these pictures, by number.
    #[must_use]
    pub fn with_pictures(
        mut self,
        pictures: impl Fn(u64) -> Bytes + Send + Sync + 'static,
    ) -> Self {
        self.pictures = Arc::new(pictures);
        self
    }

    /// Has these files on its SD card, instead of three short films.
    #[must_use]
    pub fn with_sd_card(mut self, recordings: Vec<(Minute, Bytes)>) -> Self {
        self.sd_card = Some(recordings);
        self
    }

    /// Waits so long before it tries again after a failure, and doubles that up to a minute.
    #[must_use]
    pub fn with_pause(mut self, first: Duration) -> Self {
        self.first_pause = first;
        self
    }

    /// Takes so long to boot. Real ones take 2.5 s.
    #[must_use]
    pub fn with_boot(mut self, boot: Duration) -> Self {
        self.boot = boot;
        self
    }

    /// Its device code.
    #[must_use]
    pub fn uid(&self) -> &Uid {
        &self.uid
    }

    /// How often it was let in.
    #[must_use]
    pub fn registrations(&self) -> u64 {
        self.counters.registrations.load(Ordering::Relaxed)
    }

    /// Pictures sent so far.
    #[must_use]
    pub fn pictures(&self) -> u64 {
        self.counters.pictures.load(Ordering::Relaxed)
    }

    /// How often it was told to reboot.
    #[must_use]
    pub fn reboots(&self) -> u64 {
        self.counters.reboots.load(Ordering::Relaxed)
    }

    /// A block of sound, by number: 100 ms of 8000 samples a second.
    fn sound(&self, number: u64) -> Bytes {
        use proto_naxclow::audio::alaw;
        let samples = crate::chime::samples(number * 800, 800);
        match self.profile {
            A9Profile::Pcm => samples.flat_map(i16::to_le_bytes).collect(),
            _ => samples.map(alaw).collect(),
        }
    }
}
