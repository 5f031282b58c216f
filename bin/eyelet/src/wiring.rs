//! From configured things to running ones.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::CameraInfo;
use config::{Config, Scheme, Source};
use dialer::{Dialer, Direct};
use drivers::reolink::{Devices, Reolink};
use drivers::{Camera, Driver, Transport};
use hub::{Hub, StreamName};
use naxclow::{A9Driver, Cloud};
use outputs::mjpeg::Mjpeg;
use outputs::raw;
use outputs::rtsp::Passthrough;
use pixels::{Backup, Pixels, Program};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tunnel::{Gateway, Passage};

use crate::camera::Cameras;
use crate::running;
use crate::settings::Settings;

/// A camera for its driver, with the defaults.
pub(crate) fn camera(name: StreamName, source: &Source) -> anyhow::Result<Camera> {
    let url = source
        .url()
        .parse()
        .with_context(|| format!("camera {name}: {source}"))?;
    Ok(Camera {
        name,
        url,
        user: source.credentials.as_ref().map(|login| login.user.clone()),
        password: source
            .credentials
            .as_ref()
            .map(|login| login.password.reveal().to_owned()),
        transport: Transport::Tcp,
        idle: config::Camera::IDLE,
        interval: None,
        timeout: Camera::TIMEOUT,
    })
}

/// What cameras are reached by, and share.
pub(crate) struct Upstreams<'a> {
    pub(crate) gateway: &'a Gateway,
    /// The A9 cameras' cloud, where there is one.
    pub(crate) cloud: Option<&'a Cloud>,
    pub(crate) devices: &'a Devices,
}

/// Adds the configured cameras to the hub and keeps each one's upstream.
pub(crate) fn start_cameras(
    config: &Config,
    hub: &Hub,
    upstreams: &Upstreams<'_>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> anyhow::Result<Cameras> {
    let Upstreams {
        gateway,
        cloud,
        devices,
    } = *upstreams;
    let mut cameras = Cameras::default();
    for configured in &config.cameras {
        let source = &configured.source;
        let mut camera = camera(StreamName::new(configured.name.as_str())?, source)?;
        camera.idle = configured.idle;
        camera.interval = configured.interval;
        camera.timeout = configured.timeout;
        camera.transport = match configured.transport {
            config::Transport::Tcp => Transport::Tcp,
            config::Transport::Udp => Transport::Udp,
        };
        let driver: Arc<dyn Driver> = match (source.scheme, cloud) {
            (Scheme::A9, Some(cloud)) => Arc::new(A9Driver::new(cloud.clone())),
            (Scheme::Reolink | Scheme::ReolinkUid, _) => Arc::new(Reolink::new(devices.clone())),
            (scheme, _) => drivers::driver(scheme.as_str())
                .with_context(|| format!("camera {}: no driver for {source}", configured.name))?
                .into(),
        };
        let dialer = dialer(configured, gateway);
        if has_device(source) {
            let device = devices.device(&camera, &dialer)?;
            let channel = drivers::reolink::channel(&camera)?;
            cameras.add(configured.name.as_str(), device, channel);
        }
        for (name, url) in driver.substreams(&camera) {
            let camera = Camera {
                name: StreamName::new(&format!("{}/{name}", camera.name))?,
                url,
                ..camera.clone()
            };
            keep(hub, &driver, camera, &dialer, tasks, shutdown);
        }
        keep(hub, &driver, camera, &dialer, tasks, shutdown);
    }
    let (devices, shutdown) = (devices.clone(), shutdown.clone());
    tasks.spawn(async move {
        shutdown.cancelled().await;
        devices.close().await;
    });
    Ok(cameras)
}

/// Whether there is a device behind the pictures that takes commands.
pub(crate) fn has_device(source: &Source) -> bool {
    matches!(source.scheme, Scheme::Reolink | Scheme::ReolinkUid)
}

/// The maker of parts and stills for the streams of `hub`.
pub(crate) fn mjpeg(hub: &Arc<Hub>, pixels: &Arc<Pixels>) -> Arc<Mjpeg> {
    Arc::new(Mjpeg::new(Arc::clone(hub), Arc::clone(pixels)))
}

/// Takes the ports of the cameras that give raw pictures.
pub(crate) async fn bind_raw(
    config: &Config,
    hub: &Hub,
    mjpeg: &Arc<Mjpeg>,
) -> anyhow::Result<Vec<raw::Server>> {
    let mut listeners = Vec::new();
    for camera in &config.cameras {
        let Some(address) = camera.raw else { continue };
        let stream = hub.add(StreamName::new(camera.name.as_str())?);
        let mode = match camera.raw_mode {
            config::RawMode::Continuous => raw::Mode::Continuous,
            config::RawMode::Single => raw::Mode::Single,
        };
        let key = format!("cameras.{}.raw", camera.name);
        let listener = raw::Server::bind(Arc::clone(mjpeg), stream, address, mode)
            .await
            .with_context(|| running::busy("raw JPEG", &key, address))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Adds a stream to the hub and keeps its upstream.
fn keep(
    hub: &Hub,
    driver: &Arc<dyn Driver>,
    camera: Camera,
    dialer: &Arc<dyn Dialer>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let stream = hub.add(camera.name.clone());
    let (driver, dialer) = (Arc::clone(driver), Arc::clone(dialer));
    tasks.spawn(drivers::supervise(
        driver,
        camera,
        dialer,
        stream,
        shutdown.clone(),
    ));
}

/// What reaches a camera.
fn dialer(camera: &config::Camera, gateway: &Gateway) -> Arc<dyn Dialer> {
    match &camera.via {
        Some(agent) => gateway.dialer(agent.as_str()),
        None => Arc::new(Direct),
    }
}

/// The maker of pictures that the configuration describes.
pub(crate) fn pixels(config: &Config) -> anyhow::Result<Arc<Pixels>> {
    let settings = pixels::Settings {
        max_fps: f64::from(config.pixels.millifps) / 1_000.0,
        ffmpeg: config.pixels.ffmpeg.clone(),
        prefers_ffmpeg: config.pixels.decoder == config::Decoder::Ffmpeg,
        folder: Some(config.data.join("stills")),
        ..pixels::Settings::new(decoder()?)
    };
    Ok(Arc::new(Pixels::new(settings)))
}

/// The same by the defaults, for commands that keep nothing.
pub(crate) fn pixels_without_state() -> anyhow::Result<Arc<Pixels>> {
    Ok(Arc::new(Pixels::new(pixels::Settings::new(decoder()?))))
}

/// The program that decodes: this very one.
fn decoder() -> anyhow::Result<Program> {
    // By the name that Linux keeps even if an update replaces the file.
    let this = Path::new("/proc/self/exe");
    let program = if this.exists() {
        this.to_owned()
    } else {
        std::env::current_exe().context("this program does not find itself")?
    };
    Ok(Program::new(program, ["decoder"]))
}

/// Keeps the last stills of the configured cameras, and deletes those of others.
pub(crate) fn keep_stills(
    config: &Config,
    hub: &Hub,
    pixels: &Arc<Pixels>,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let mut names = Vec::new();
    for camera in &config.cameras {
        let Some(stream) = hub.stream(camera.name.as_str()) else {
            continue;
        };
        let name = stream.name().clone();
        names.push(name.clone());
        let backup = match &camera.backup {
            config::Backup::Last => Backup::Last,
            config::Backup::None => Backup::Nothing,
            config::Backup::File(path) => Backup::File(path.clone()),
        };
        pixels.set_backup(name, backup);
        let (pixels, shutdown) = (Arc::clone(pixels), shutdown.clone());
        tasks.spawn(async move {
            let keeping = pixels.keep_stills(stream);
            shutdown.run_until_cancelled(keeping).await;
        });
    }
    if let Err(error) = pixels.keep_only(&names) {
        tracing::warn!("stills of former cameras cannot be deleted: {error}");
    }
}

/// The configured cameras, as the API shows them.
pub(crate) fn camera_infos(config: &Config, gateway: &Gateway) -> anyhow::Result<Vec<CameraInfo>> {
    let info = |camera: &config::Camera| {
        Ok(CameraInfo {
            name: camera.name.to_string(),
            kind: camera.source.scheme.as_str().to_owned(),
            via: camera.via.as_ref().map(ToString::to_string),
            source: camera.source.to_string(),
            // Cameras that are known by a UID mostly live on a battery.
            autoplay: camera.source.scheme != Scheme::ReolinkUid,
            settings: Settings::of(camera, dialer(camera, gateway))?,
        })
    };
    config.cameras.iter().map(info).collect()
}

/// The way of RTSP connections that ask for no camera of ours.
pub(crate) fn passthrough(passage: Passage, is_for_anyone: bool) -> Passthrough {
    Passthrough {
        carry: Arc::new(move |viewer, peer, first| {
            let passage = passage.clone();
            Box::pin(async move { passage.carry(viewer, peer, &first).await })
        }),
        is_for_anyone,
    }
}
