//! A camera's own settings: passed on, and changed as far as the configuration allows.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::AppState;
use crate::problem::Problem;
use crate::routes::find_camera;
use crate::state::{Settings, SettingsError};

/// Longest name of a setting that is repeated in a message.
const MAX_SHOWN: usize = 40;

/// What `…/control` is asked.
#[derive(Debug, Deserialize)]
pub(crate) struct Change {
    var: Option<String>,
    val: Option<String>,
}

/// `…/status`: what is set, in the camera's own JSON.
pub(crate) async fn status(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let settings = settings(&state, &name)?;
    let status = settings.status().await.map_err(refusal)?;
    if serde_json::from_slice::<serde::de::IgnoredAny>(&status).is_err() {
        let detail = "the camera's answer to /status is no JSON; does its firmware have settings?";
        return Err(Problem::new(StatusCode::BAD_GATEWAY, detail));
    }
    let of_type = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, of_type)], status).into_response())
}

/// `…/control?var=NAME&val=NUMBER`: changes one setting.
pub(crate) async fn control(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(change): Query<Change>,
) -> Result<StatusCode, Problem> {
    let settings = settings(&state, &name)?;
    let value = change.val.and_then(|value| value.parse::<i32>().ok());
    let (Some(setting), Some(value)) = (change.var, value) else {
        let detail =
            "expected the name of a setting and a number, such as ?var=framesize&val=8".to_owned();
        return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
    };
    if !settings.allowed().contains(&setting) {
        let shown: String = setting
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_SHOWN)
            .collect();
        let detail = format!(
            "\"{shown}\" may not be changed; allowed are {} (the key control.allow of the camera in the configuration)",
            settings.allowed().join(", ")
        );
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    settings.set(&setting, value).await.map_err(refusal)?;
    tracing::info!(camera = %name, %setting, value, "a setting of the camera was changed");
    Ok(StatusCode::NO_CONTENT)
}

fn settings(state: &AppState, name: &str) -> Result<Arc<dyn Settings>, Problem> {
    find_camera(state, name)?.settings.ok_or_else(|| {
        let detail = format!(
            "the configuration names no settings for camera \"{name}\": for an ESP32 with CameraWebServer add control: http://ADDRESS to it"
        );
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

fn refusal(error: SettingsError) -> Problem {
    match error {
        SettingsError::TimedOut(text) => Problem::new(StatusCode::GATEWAY_TIMEOUT, text),
        SettingsError::Refused(text) => Problem::new(StatusCode::BAD_GATEWAY, text),
    }
}
