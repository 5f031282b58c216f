//! `eyelet camera`, and the same commands in the API.

mod action;
mod controls;
mod perform;
mod status;

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, bail};
use api::Reply;
use config::Source;
use dialer::{Dialer, Direct};
use drivers::DriverError;
use drivers::reolink::{Device, Devices};
use hub::StreamName;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tunnel::LocalDialer;

pub(crate) use action::Action;
pub(crate) use controls::Cameras;

use crate::cli::Camera;
use crate::{files, running, wiring};

pub(crate) async fn run(command: &Camera) -> anyhow::Result<()> {
    let devices = Devices::new();
    let (device, channel) = find(command, &devices)?;
    let done = tokio::select! {
        done = carry_out(&device, channel, &command.action) => done,
        ended = running::asked_to_end() => ended,
    };
    devices.close().await;
    done.map_err(|error| anyhow::anyhow!(said(&error)))
}

/// What a person reads of an error. A driver's own text is whole: its cause is told in it.
fn said(error: &anyhow::Error) -> String {
    match error.downcast_ref::<DriverError>() {
        Some(error) => error.to_string(),
        None => format!("{error:#}"),
    }
}

/// The device of a configured camera, or of a source.
fn find(command: &Camera, devices: &Devices) -> anyhow::Result<(Arc<Device>, u8)> {
    let config = files::load(&command.files)?;
    let (source, via) = match config.camera(&command.name) {
        Some(camera) => (camera.source.clone(), camera.via.clone()),
        None if command.name.contains("://") => (
            command
                .name
                .parse::<Source>()
                .context("this is no source")?,
            None,
        ),
        None => bail!(
            "there is no camera {:?} in the configuration; a source such as reolink://admin:PASSWORD@192.168.1.44 does as well",
            command.name
        ),
    };
    if !wiring::has_device(&source) {
        bail!(
            "{}:// cameras take no commands; reolink:// ones do",
            source.scheme.as_str()
        );
    }
    let camera = wiring::camera(StreamName::new("camera")?, &source)?;
    let dialer: Arc<dyn Dialer> = match &via {
        Some(agent) => Arc::new(LocalDialer::new(&config.data, agent.as_str())),
        None => Arc::new(Direct),
    };
    let device = devices.device(&camera, &dialer)?;
    Ok((device, drivers::reolink::channel(&camera)?))
}

async fn carry_out(device: &Arc<Device>, channel: u8, action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Events => follow(device, channel).await,
        Action::Talk { file } => {
            let bytes = std::fs::read(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            let (samples, rate) =
                perform::read_wav(&bytes).with_context(|| file.display().to_string())?;
            let sounded = device.talk(channel, &samples, rate).await?;
            print(&json!({ "sounded_seconds": sounded.as_secs_f64() }))
        }
        action => match perform::perform(device, channel, action.clone()).await? {
            Reply::Json(value) => print(&value),
            Reply::Jpeg(jpeg) => {
                let Action::Snapshot { output, .. } = action else {
                    bail!("a picture came that nobody asked for");
                };
                std::fs::write(output, &jpeg)
                    .with_context(|| format!("{} cannot be written", output.display()))?;
                Ok(())
            }
        },
    }
}

/// Writes events, one object a line.
async fn follow(device: &Arc<Device>, channel: u8) -> anyhow::Result<()> {
    let mut events = device.events();
    let listening = device.listen().await?;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            error = listening.ended() => return Err(error.into()),
        };
        match event {
            Ok(event) if event.channel == channel => {
                if let Some(event) = status::event(&event) {
                    let mut line = event.what;
                    line["event"] = json!(event.name);
                    writeln!(std::io::stdout(), "{line}")?;
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn print(value: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::to_string_pretty(value)?
    )?;
    Ok(())
}
