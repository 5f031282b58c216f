//! `eyelet simulate`.

mod reolink;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use sim_cameras::{
    A9Camera, A9Fault, A9Minute, A9Profile, Esp32Camera, Esp32Port, Fault, OnvifResponder,
    RtspCamera, Uuid,
};
use tokio::net::TcpListener;

use crate::cli::{Esp32, Esp32Mode, Simulate};
use crate::{running, simulate_agents};

/// How often it is told what a camera has done.
const REPORT: Duration = Duration::from_secs(1);

pub(crate) async fn run(command: &Simulate) -> anyhow::Result<()> {
    match command {
        Simulate::Rtsp {
            listen,
            jpeg,
            login,
            fault,
        } => rtsp(*listen, *jpeg, login.as_deref(), fault.as_deref()).await,
        Simulate::Agents {
            count,
            connect,
            files,
        } => simulate_agents::run(*count, connect.as_deref(), files).await,
        Simulate::Esp32(command) => esp32(command).await,
        Simulate::Reolink(command) => reolink::run(command).await,
        Simulate::Onvif { device, address } => onvif(device, *address).await,
        Simulate::A9 {
            uid,
            profile,
            cloud,
            mqtt,
            control,
            access_point,
            sd_card,
            fault,
        } => {
            let uid = uid.parse().context("--uid names no device")?;
            let profile = A9Profile::from_name(profile).with_context(|| {
                let names: Vec<&str> = A9Profile::ALL.iter().map(|known| known.name()).collect();
                format!(
                    "there is no profile {profile:?}; there are: {}",
                    names.join(", ")
                )
            })?;
            let mut camera = A9Camera::new(uid, profile).with_cloud(*cloud);
            if let Some(mqtt) = mqtt {
                camera = camera.with_mqtt(*mqtt);
            }
            if let Some(control) = control {
                camera = camera.with_control(*control);
            }
            if let Some(folder) = sd_card {
                camera = camera.with_sd_card(read_recordings(folder)?);
            }
            if let Some(fault) = fault {
                camera = camera.with_fault(fault.parse::<A9Fault>()?);
            }
            a9(camera, *cloud, *access_point).await
        }
    }
}

async fn a9(
    camera: A9Camera,
    cloud: SocketAddr,
    access_point: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let Some(listen) = access_point else {
        writeln!(std::io::stdout(), "a9://{} calls {cloud}", camera.uid())?;
        return tokio::select! {
            () = camera.run() => Ok(()),
            ended = running::asked_to_end() => ended,
        };
    };
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(
        std::io::stdout(),
        "a9://{} is its own network at {}",
        camera.uid(),
        listener.local_addr()?
    )?;
    tokio::select! {
        served = camera.serve_access_point(listener) => Ok(served?),
        ended = running::asked_to_end() => ended,
    }
}

async fn onvif(device: &str, address: Ipv4Addr) -> anyhow::Result<()> {
    let id = Uuid::parse(device).context("--device is no UUID")?;
    let responder = OnvifResponder::bind(id, address)
        .with_context(|| format!("questions to the network of {address} cannot be heard"))?;
    say(format_args!(
        "onvif-{id} answers in the network of {address}"
    ))?;
    tokio::select! {
        served = responder.serve() => Ok(served?),
        ended = running::asked_to_end() => ended,
    }
}

async fn rtsp(
    listen: SocketAddr,
    jpeg: bool,
    login: Option<&str>,
    fault: Option<&str>,
) -> anyhow::Result<()> {
    let mut camera = if jpeg {
        RtspCamera::jpeg()
    } else {
        RtspCamera::porch()
    };
    if let Some(login) = login {
        let (user, password) = split_login(login)?;
        camera = camera.with_login(user, password);
    }
    if let Some(fault) = fault {
        camera = camera.with_fault(fault.parse::<Fault>()?);
    }
    let listener = bind(listen).await?;
    writeln!(std::io::stdout(), "{}", camera.url(listener.local_addr()?))?;
    tokio::select! {
        served = camera.serve(listener) => Ok(served?),
        ended = running::asked_to_end() => ended,
    }
}

async fn esp32(command: &Esp32) -> anyhow::Result<()> {
    let login = command.login.as_deref().map(split_login).transpose()?;
    let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
    ensure!(
        command.password.len() == 8,
        "--password has 8 characters, as the handshake has room for"
    );
    let camera = Esp32Camera::new(sim_cameras::Esp32 {
        fps: command.fps,
        framesize: command.framesize,
        pictures: match &command.pictures {
            Some(folder) => read_pictures(folder)?,
            None => Vec::new(),
        },
        faults: command.fault.clone(),
        firmware: command.firmware,
        login,
    });
    let served = async {
        match command.mode {
            Esp32Mode::Pull | Esp32Mode::Oneshot => {
                let listener = bind(command.listen).await?;
                say(format_args!("jpeg+tcp://{}", listener.local_addr()?))?;
                let port = match command.mode {
                    Esp32Mode::Oneshot => Esp32Port::OneShot,
                    _ => Esp32Port::Continuous,
                };
                camera.serve(listener, port).await?;
            }
            Esp32Mode::Push | Esp32Mode::PushOneshot => {
                say(format_args!("jpeg+push://{}", command.to))?;
                let is_one_shot = command.mode == Esp32Mode::PushOneshot;
                camera.push(command.to, is_one_shot).await;
            }
            Esp32Mode::Udp => {
                say(format_args!("jpeg+udp://{}", command.to))?;
                camera.push_datagrams(command.to, &command.password).await?;
            }
            Esp32Mode::Webserver => {
                let (stream, control) = (bind(command.listen).await?, bind(command.control).await?);
                let at = control.local_addr()?;
                say(format_args!("mjpeg+http://{}/stream", stream.local_addr()?))?;
                say(format_args!("http://{at}/capture"))?;
                tokio::try_join!(
                    camera.serve(stream, Esp32Port::Stream),
                    camera.serve(control, Esp32Port::Control),
                )?;
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        served = served => served,
        told = report(&camera) => told,
        ended = running::asked_to_end() => ended,
    }
}

/// Tells each second what the camera has done, if that was anything.
async fn report(camera: &Esp32Camera) -> anyhow::Result<()> {
    let mut told = (0, 0);
    loop {
        tokio::time::sleep(REPORT).await;
        let done = (camera.connections(), camera.pictures());
        if done != told {
            writeln!(
                std::io::stderr(),
                "{} connections, {} pictures",
                done.0,
                done.1
            )?;
            told = done;
        }
    }
}

/// The JPEG files of a folder, in the order of their names.
fn read_pictures(folder: &Path) -> anyhow::Result<Vec<bytes::Bytes>> {
    let shown = folder.display();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("{shown} cannot be read"))?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| {
            let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
            ending == "jpg" || ending == "jpeg"
        })
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "{shown} holds no .jpg file");
    let read = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Ok(bytes.into())
    };
    files.iter().map(read).collect()
}

/// The recordings of a folder, named by their minutes.
fn read_recordings(folder: &Path) -> anyhow::Result<Vec<(A9Minute, bytes::Bytes)>> {
    let mut recordings = Vec::new();
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("{} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "avi") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let minute = crate::a9::minute(&name)?;
        let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
        recordings.push((minute, bytes.into()));
    }
    recordings.sort_by_key(|(minute, _)| *minute);
    Ok(recordings)
}

fn split_login(login: &str) -> anyhow::Result<(&str, &str)> {
    login.split_once(':').context("--login wants USER:PASSWORD")
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

fn say(what: std::fmt::Arguments<'_>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}
