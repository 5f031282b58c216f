//! `eyelet serve`.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Serve;
use crate::reload::Reloader;
use crate::{files, open_files, running};

pub(crate) async fn run(command: &Serve) -> anyhow::Result<()> {
    // From the first moment on: a signal that nobody takes ends the program.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut config = files::load(&command.files)?;
    command.listen.apply(&mut config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    open_files::raise();
    let (running, roster) = running::start(&config).await?;
    let reloader = Reloader::new(command.files.clone(), command.listen.clone(), roster);
    running.state.set_reload(Arc::new(reloader.clone()));
    tracing::info!(cameras = config.cameras.len(), forwards = config.forwards.len(), data = %config.data.display(), "eyelet {} is up", env!("CARGO_PKG_VERSION"));
    tracing::info!(
        "dashboard http://{}/  RTSP rtsp://{}/CAMERA",
        running.http,
        running.rtsp
    );
    let follow = async {
        while hangup.recv().await.is_some() {
            // What is wrong was told in the log; there is nobody else to tell.
            let _ = reloader.reload().await;
        }
        std::future::pending().await
    };
    tokio::select! {
        ended = running::asked_to_end() => ended?,
        () = follow => {}
    }
    tracing::info!("ending");
    running.stop().await;
    Ok(())
}
