//! From configured things to running ones.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use api::CameraInfo;
use config::{Config, Scheme, Source};
use dialer::{Dialer, Direct};
use drivers::{Camera, Transport};
use hub::{Hub, StreamName};
use outputs::mjpeg::Mjpeg;
use outputs::rtsp::Passthrough;
use pixels::{Pixels, Program};
use tunnel::{Gateway, Passage};

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

/// Whether there is a device behind the pictures that takes commands.
pub(crate) fn has_device(source: &Source) -> bool {
    matches!(source.scheme, Scheme::Reolink | Scheme::ReolinkUid)
}

/// The maker of parts and stills for the streams of `hub`.
pub(crate) fn mjpeg(hub: &Arc<Hub>, pixels: &Arc<Pixels>) -> Arc<Mjpeg> {
    Arc::new(Mjpeg::new(Arc::clone(hub), Arc::clone(pixels)))
}

/// What reaches a camera.
pub(crate) fn dialer(camera: &config::Camera, gateway: &Gateway) -> Arc<dyn Dialer> {
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

/// The A9 cameras that the configuration names: device code and name.
pub(crate) fn a9_cameras(config: &Config) -> Vec<(String, String)> {
    let cameras = config.cameras.iter();
    let cameras = cameras.filter(|camera| camera.source.scheme == Scheme::A9);
    cameras
        .map(|camera| (camera.source.target.host.clone(), camera.name.to_string()))
        .collect()
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
