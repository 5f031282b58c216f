//! What people are told of the cloud and its cameras; the doctor's words too.

use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::camera::{CLASH_WITHIN, Camera, Step};
use crate::{Addresses, Settings};

/// Whether a camera may be watched, and under which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It came by itself, and nobody has said yes.
    Pending,
    /// A person said yes.
    Accepted {
        /// Its name.
        name: String,
    },
    /// The configuration names it.
    Configured {
        /// Its name.
        name: String,
    },
}

impl Admission {
    /// The camera's name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Pending => None,
            Self::Accepted { name } | Self::Configured { name } => Some(name),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted { .. } => "accepted",
            Self::Configured { .. } => "configured",
        }
    }
}

/// The cloud and its cameras.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where the HTTP bootstrap listens.
    pub http: SocketAddr,
    /// Where control listens.
    pub tcp: SocketAddr,
    /// Where media comes in.
    pub udp: SocketAddr,
    /// Where the broker's part listens, if it does.
    pub mqtt: Option<SocketAddr>,
    /// Where DNS is answered, if it is.
    pub dns: Option<SocketAddr>,
    /// The cameras by device code.
    pub cameras: Vec<CameraReport>,
    /// Addresses that asked for the vendor's names and never came.
    pub askers: Vec<Asker>,
}

impl Report {
    pub(crate) fn new(
        addresses: &Addresses,
        cameras: Vec<CameraReport>,
        askers: Vec<Asker>,
    ) -> Self {
        Self {
            http: addresses.http,
            tcp: addresses.tcp,
            udp: addresses.udp,
            mqtt: addresses.mqtt,
            dns: addresses.dns,
            cameras,
            askers,
        }
    }
}

/// A device that asked our DNS for one of the vendor's names, and nothing more.
#[derive(Clone, Debug, Serialize)]
pub struct Asker {
    /// Where it is.
    pub address: IpAddr,
    /// What it asked for.
    pub name: String,
    /// When.
    #[serde(serialize_with = "moment")]
    pub at: SystemTime,
}

/// A step, and when it was reached last.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// The step's word.
    pub step: &'static str,
    /// When; null for never.
    #[serde(serialize_with = "moment_or_null")]
    pub at: Option<SystemTime>,
    /// Whether this set-up can have it: DNS and MQTT may be somebody else's.
    pub served: bool,
}

/// What a camera lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The step that did not come.
    pub step: &'static str,
    /// What to look at.
    pub hint: String,
}

/// One camera.
#[derive(Clone, Debug, Serialize)]
pub struct CameraReport {
    /// Device code.
    pub uid: String,
    /// Name, once it is accepted.
    pub name: Option<String>,
    /// `pending`, `accepted` or `configured`.
    pub admission: &'static str,
    /// Whether a connection stands.
    pub connected: bool,
    /// `live`, `registered`, `mqtt`, or `away`.
    pub state: &'static str,
    /// Where it was last.
    pub address: Option<IpAddr>,
    /// The port that its connection comes from.
    pub port: Option<u16>,
    /// When anything came from it.
    #[serde(serialize_with = "moment_or_null")]
    pub last_seen: Option<SystemTime>,
    /// The way from DNS to a picture.
    pub steps: Vec<StepReport>,
    /// What it lacks; null when nothing does.
    pub missing: Option<Missing>,
    /// Charge in per cent; 100 on mains.
    pub power: Option<i64>,
    /// The network it is in.
    pub wifi: Option<String>,
    /// Build number of its firmware.
    pub firmware: Option<String>,
    /// Infrared lamp.
    pub infrared: Option<bool>,
    /// Instruction LED.
    pub led: Option<bool>,
    /// How the picture is turned, 0 to 4.
    pub flip: Option<i64>,
    /// SD card: 1 present, 0 none, below that an error.
    pub sd_status: Option<i64>,
    /// Size of the SD card in MB, told over MQTT only.
    pub sd_capacity: Option<i64>,
    /// Free room on it in MB, told over MQTT only.
    pub sd_free: Option<i64>,
    /// Why its last connection or stream ended.
    pub last_error: Option<String>,
    /// How often it registered.
    pub registrations: u64,
    /// How often another camera took its place.
    pub clashes: u64,
}

impl CameraReport {
    pub(crate) fn new(camera: &Camera, settings: &Settings) -> Self {
        let info = &camera.base_info;
        let steps = Step::ALL.map(|step| StepReport {
            step: step.name(),
            at: camera.steps.at(step),
            served: match step {
                Step::Dns => settings.dns.is_some(),
                Step::Mqtt => settings.mqtt.is_some(),
                Step::Http | Step::Registered | Step::Heartbeat | Step::Probe | Step::Media => true,
            },
        });
        Self {
            uid: camera.uid.to_string(),
            name: camera.admission.name().map(str::to_owned),
            admission: camera.admission.word(),
            connected: camera.is_connected(),
            state: match (&camera.control, &camera.broker) {
                (Some(_), _) if camera.is_live => "live",
                (Some(_), _) => "registered",
                (None, Some(_)) => "mqtt",
                (None, None) => "away",
            },
            address: camera.address,
            port: camera.control.as_ref().map(|control| control.peer.port()),
            last_seen: camera.heard_at,
            steps: steps.into(),
            missing: missing(camera, settings),
            power: info.power,
            wifi: info.wifi_name.clone(),
            firmware: info.version.clone().or(camera.version.clone()),
            infrared: info.infrared_led,
            led: info.instruction_led,
            flip: info.flip.map(proto_naxclow::Flip::number),
            sd_status: info.sd_status.or(camera.sd_card.state),
            sd_capacity: camera.sd_card.capacity,
            sd_free: camera.sd_card.free,
            last_error: camera.last_error.clone(),
            registrations: camera.registrations,
            clashes: camera.clashes,
        }
    }
}

/// The first thing that keeps a camera from giving pictures.
fn missing(camera: &Camera, settings: &Settings) -> Option<Missing> {
    let reached = |step| camera.steps.at(step).is_some();
    let missing = |step: Step, hint: String| {
        let step = step.name();
        Some(Missing { step, hint })
    };
    let tcp = settings.tcp.port();
    let udp = settings.udp.port();
    if camera.control.is_some() {
        let failed = camera.last_error.as_deref().unwrap_or_default();
        if failed.contains("did not come over UDP") {
            return missing(
                Step::Probe,
                format!(
                    "It is registered and does not come over UDP. Let port {udp}/udp of this machine be open for it, and let `a9.udp` have the port number of `a9.tcp`."
                ),
            );
        }
        if !failed.is_empty() && !camera.is_live {
            return missing(
                Step::Media,
                format!(
                    "The last live view failed: {failed}. Look again; if it stays so, reboot the camera."
                ),
            );
        }
        if camera
            .clash_told
            .is_some_and(|at| at.elapsed() < 2 * CLASH_WITHIN)
        {
            return missing(
                Step::Registered,
                "Two cameras use this device code, and each throws the other out. One of them needs another: reset it.".to_owned(),
            );
        }
        return None;
    }
    if camera.broker.is_some() {
        return missing(
            Step::Registered,
            "It came over MQTT and never asked for the control port. Firmware of this kind gives no pictures to anybody but its maker; commands reach it.".to_owned(),
        );
    }
    if reached(Step::Registered) {
        return missing(
            Step::Heartbeat,
            "It was registered and is gone. Is it on, and near enough to its Wi-Fi? It comes back by itself within a minute.".to_owned(),
        );
    }
    if reached(Step::Http) {
        let mut hint = format!(
            "It fetched its configuration and did not come to port {tcp}/tcp. Is that port open on this machine? Is the address that it was told right? If not, name it: `a9.host`."
        );
        if settings.mqtt.is_none() {
            hint.push_str(" Some firmware wants MQTT first: set `a9.mqtt`.");
        }
        return missing(Step::Registered, hint);
    }
    if reached(Step::Dns) {
        let port = settings.http.port();
        return missing(
            Step::Http,
            format!(
                "It asked for the vendor's name and did not come to port 80, which must lead to {port} here."
            ),
        );
    }
    missing(
        Step::Dns,
        "It has not come yet. Does the DNS of its network answer this machine's address for *.naxclow.com? Is it in this network at all (`eyelet a9 set-wifi`)?".to_owned(),
    )
}

fn moment<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::try_from(*at).and_then(|at| at.round(jiff::Unit::Millisecond)) {
        Ok(at) => serializer.collect_str(&at),
        Err(_) => serializer.serialize_none(),
    }
}

fn moment_or_null<S: Serializer>(
    at: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => moment(at, serializer),
        None => serializer.serialize_none(),
    }
}
