//! `eyelet simulate`.

use std::io::Write;

use anyhow::Context;
use sim_cameras::{Fault, RtspCamera};
use tokio::net::TcpListener;

use crate::cli::Simulate;
use crate::running;

pub(crate) async fn run(command: &Simulate) -> anyhow::Result<()> {
    let Simulate::Rtsp {
        listen,
        jpeg,
        login,
        fault,
    } = command;
    let mut camera = if *jpeg {
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
