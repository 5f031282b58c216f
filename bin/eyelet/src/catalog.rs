//! The cameras that the API shows: those of the configuration, and those that were accepted.

use std::sync::{Mutex, PoisonError};

use api::{AppState, CameraInfo};
use tokio::sync::watch;

/// Two lists that change on their own, and are shown as one.
pub(crate) struct Catalog {
    state: AppState,
    lists: Mutex<Lists>,
    configured: watch::Sender<()>,
    /// Up to which change of [`naxclow::Cloud::admissions`] the streams of accepted cameras are what they should be.
    followed: watch::Sender<u64>,
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
            followed: watch::Sender::new(0),
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

    /// The streams of accepted cameras follow the admissions up to this change.
    pub(crate) fn note_followed(&self, admissions: u64) {
        self.followed.send_replace(admissions);
    }

    /// Waits until they do: a name that was an accepted camera's is free then.
    pub(crate) async fn followed(&self, admissions: u64) {
        let mut followed = self.followed.subscribe();
        // The sender is our own, so it is not gone.
        let _ = followed.wait_for(|followed| *followed >= admissions).await;
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
