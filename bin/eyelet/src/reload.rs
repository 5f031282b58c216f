//! A changed configuration, taken while everything runs.

use std::fmt;
use std::sync::Arc;

use anyhow::Context;
use api::{Reload, Reloaded};
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::cli::{Files, Listen};
use crate::files;
use crate::roster::Roster;

/// Reads the configuration again when it is asked to. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Reloader {
    files: Files,
    listen: Listen,
    roster: Arc<Mutex<Roster>>,
}

impl Reloader {
    pub(crate) fn new(files: Files, listen: Listen, roster: Roster) -> Self {
        Self {
            files,
            listen,
            roster: Arc::new(Mutex::new(roster)),
        }
    }

    async fn run(self) -> anyhow::Result<Reloaded> {
        // Whoever comes meanwhile waits, and then reads what is newest.
        let mut roster = self.roster.lock().await;
        let files = self.files.clone();
        let mut config = tokio::task::spawn_blocking(move || files::load_written(&files)).await??;
        // The command line still holds.
        self.listen.apply(&mut config);
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let reloaded = roster.apply(&config).await?;
        let Reloaded {
            added,
            changed,
            removed,
            failed,
            needs_restart,
        } = &reloaded;
        tracing::info!(
            ?added,
            ?changed,
            ?removed,
            "the configuration was read again"
        );
        for failure in failed {
            tracing::warn!("not started: {failure}");
        }
        for section in needs_restart {
            tracing::warn!("`{section}` has changed, too; that needs a restart of eyelet");
        }
        Ok(reloaded)
    }

    /// Reads the configuration. Carried on to its end even if nobody waits any more; what is wrong is told in the log.
    pub(crate) async fn reload(&self) -> anyhow::Result<Reloaded> {
        let work = tokio::spawn(self.clone().run());
        let done = work.await.context("the program is ending")?;
        if let Err(error) = &done {
            tracing::error!("the configuration stays as it was: {error:#}");
        }
        done
    }
}

impl Reload for Reloader {
    fn reload(&self) -> BoxFuture<'static, Result<Reloaded, String>> {
        let reloader = self.clone();
        Box::pin(async move {
            let done = Reloader::reload(&reloader).await;
            done.map_err(|error| format!("{error:#}"))
        })
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}
