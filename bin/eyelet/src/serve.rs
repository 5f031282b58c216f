//! `eyelet serve`.

use crate::cli::Files;
use crate::{files, running};

pub(crate) async fn run(files: &Files) -> anyhow::Result<()> {
    let config = files::load(files)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let running = running::start(&config).await?;
    tracing::info!(cameras = config.cameras.len(), forwards = config.forwards.len(), data = %config.data.display(), "eyelet {} is up", env!("CARGO_PKG_VERSION"));
    tracing::info!(
        "dashboard http://{}/  RTSP rtsp://{}/CAMERA",
        running.http,
        running.rtsp
    );
    running::asked_to_end().await?;
    tracing::info!("ending");
    running.stop().await;
    Ok(())
}
