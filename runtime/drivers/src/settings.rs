//! The settings of an ESP32 camera: `/status` and `/control` as in Espressif's CameraWebServer.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dialer::Dialer;
use tokio::sync::Mutex;

use crate::mjpeg_http::Client;
use crate::{Camera, DriverError};

/// Largest answer that is read. The status of the longest sensor has 1.2 kB.
const MAX_ANSWER: usize = 64 << 10;

/// Time for a whole conversation, the wait for others included.
const PATIENCE: Duration = Duration::from_secs(12);

/// The settings of one camera. One is asked for at a time: the camera's server has one thread.
pub struct Settings {
    /// Its URL is where the settings are.
    camera: Camera,
    dialer: Arc<dyn Dialer>,
    turn: Mutex<()>,
}

impl Settings {
    /// The settings at `camera.url`, reached through `dialer`.
    #[must_use]
    pub fn new(camera: Camera, dialer: Arc<dyn Dialer>) -> Self {
        Self {
            camera,
            dialer,
            turn: Mutex::new(()),
        }
    }

    /// The camera's own JSON of what is set.
    ///
    /// # Errors
    /// The camera cannot be reached, or answers something else.
    pub async fn status(&self) -> Result<Bytes, DriverError> {
        self.ask("/status", None).await
    }

    /// Sets `name` to `value`.
    ///
    /// # Errors
    /// The camera cannot be reached, or knows no such setting.
    pub async fn set(&self, name: &str, value: i32) -> Result<(), DriverError> {
        let query = format!("var={name}&val={value}");
        self.ask("/control", Some(&query)).await?;
        Ok(())
    }

    async fn ask(&self, path: &str, query: Option<&str>) -> Result<Bytes, DriverError> {
        let mut camera = self.camera.clone();
        camera.url.set_path(path);
        camera.url.set_query(query);
        let conversation = async {
            let _turn = self.turn.lock().await;
            let mut client = Client::new(&camera, &*self.dialer);
            let (_, mut body) = client.ask().await?;
            let mut answer = BytesMut::new();
            while let Some(piece) = body.chunk().await? {
                answer.extend_from_slice(&piece);
                if answer.len() > MAX_ANSWER {
                    return Err(DriverError::Protocol(format!(
                        "more than {MAX_ANSWER} bytes came for {path}"
                    )));
                }
            }
            Ok(answer.freeze())
        };
        match tokio::time::timeout(PATIENCE, conversation).await {
            Ok(answer) => answer,
            Err(_) => Err(DriverError::TimedOut {
                step: "a question about its settings",
                after: PATIENCE,
            }),
        }
    }
}
