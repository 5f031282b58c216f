//! `eyelet simulate`.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::Context;
use sim_cameras::{A9Camera, A9Fault, A9Profile, Fault, RtspCamera};
use tokio::net::TcpListener;

use crate::cli::Simulate;
use crate::running;

pub(crate) async fn run(command: &Simulate) -> anyhow::Result<()> {
    match command {
        Simulate::Rtsp {
            listen,
            jpeg,
            login,
            fault,
        } => rtsp(*listen, *jpeg, login.as_deref(), fault.as_deref()).await,
        Simulate::A9 {
            uid,
            profile,
            cloud,
            mqtt,
            control,
            access_point,
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
        let (user, password) = login
            .split_once(':')
            .context("--login wants USER:PASSWORD")?;
        camera = camera.with_login(user, password);
    }
    if let Some(fault) = fault {
        camera = camera.with_fault(fault.parse::<Fault>()?);
    }
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    writeln!(std::io::stdout(), "{}", camera.url(listener.local_addr()?))?;
    tokio::select! {
        served = camera.serve(listener) => Ok(served?),
        ended = running::asked_to_end() => ended,
    }
}
