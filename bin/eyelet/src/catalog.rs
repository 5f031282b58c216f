//! The cameras that the API shows: those of the configuration, and those that were accepted.

use std::sync::{Mutex, PoisonError};

use api::{AppState, CameraInfo};
use tokio::sync::watch;

/// Two lists that change on their own, and are shown as one.
pub(crate) struct Catalog {
    state: AppState,
    lists: Mutex<Lists>,
    configured: watch::Sender<()>,
}

#[derive(Default)]
struct Lists {
    configured: Vec<CameraInfo>,
    accepted: Vec<CameraInfo>,
}

impl Catalog {
    /// Shows nothing yet.
    pub(crate) fn new(state: AppState) -> Self {
        Self {
            state,
            lists: Mutex::default(),
            configured: watch::Sender::new(()),
        }
    }

    /// Takes the cameras of the configuration.
    pub(crate) fn set_configured(&self, cameras: Vec<CameraInfo>) {
        self.change(|lists| lists.configured = cameras);
        self.configured.send_replace(());
    }

    /// Changes whenever the cameras of the configuration do: a name may be free now that was not.
    pub(crate) fn configurations(&self) -> watch::Receiver<()> {
        self.configured.subscribe()
    }

    /// Takes the A9 cameras that were accepted. One with the name of a configured camera is not shown.
    pub(crate) fn set_accepted(&self, cameras: Vec<CameraInfo>) {
        self.change(|lists| lists.accepted = cameras);
    }

    /// Whether the configuration has a camera of this name.
    pub(crate) fn is_configured(&self, name: &str) -> bool {
        let lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        lists.configured.iter().any(|camera| camera.name == name)
    }

    fn change(&self, change: impl FnOnce(&mut Lists)) {
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut lists);
        let Lists {
            configured,
            accepted,
        } = &*lists;
        let is_free = |camera: &&CameraInfo| {
            let is_same = |other: &CameraInfo| other.name == camera.name;
            !configured.iter().any(is_same)
        };
        let accepted = accepted.iter().filter(is_free);
        self.state
            .set_cameras(configured.iter().chain(accepted).cloned().collect());
    }
}
