//! A camera's settings, from the driver to the API.

use std::fmt;
use std::sync::Arc;

use api::SettingsError;
use bytes::Bytes;
use dialer::Dialer;
use drivers::{DriverError, Reason};
use futures_util::future::BoxFuture;
use hub::StreamName;

use crate::wiring;

/// The settings of one camera, and which of them may be changed.
pub(crate) struct Settings {
    settings: drivers::Settings,
    allowed: Vec<String>,
}

impl Settings {
    /// The settings of `camera`, if its configuration names some.
    pub(crate) fn of(
        camera: &config::Camera,
        dialer: Arc<dyn Dialer>,
    ) -> anyhow::Result<Option<Arc<dyn api::Settings>>> {
        let Some(control) = &camera.control else {
            return Ok(None);
        };
        let name = StreamName::new(camera.name.as_str())?;
        let at = wiring::camera(name, &control.source)?;
        Ok(Some(Arc::new(Self {
            settings: drivers::Settings::new(at, dialer),
            allowed: control.allow.clone(),
        })))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl api::Settings for Settings {
    fn allowed(&self) -> &[String] {
        &self.allowed
    }

    fn status(&self) -> BoxFuture<'_, Result<Bytes, SettingsError>> {
        Box::pin(async {
            self.settings
                .status()
                .await
                .map_err(|error| refusal(&error))
        })
    }

    fn set<'a>(&'a self, name: &'a str, value: i32) -> BoxFuture<'a, Result<(), SettingsError>> {
        Box::pin(async move {
            let set = self.settings.set(name, value).await;
            set.map_err(|error| refusal(&error))
        })
    }
}

fn refusal(error: &DriverError) -> SettingsError {
    let text = error.to_string();
    if error.reason() == Reason::Stalled {
        SettingsError::TimedOut(text)
    } else {
        SettingsError::Refused(text)
    }
}
