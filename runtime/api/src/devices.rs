//! What cameras can do beyond giving pictures: what is known of them, commands, events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::guard::MAX_BODY;
use crate::problem::Problem;
use crate::routes::find_camera;
use crate::view::Moment;
use crate::{AppState, Peer, talk};

/// How long a request's body may take; it is a line of text.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an event stream without events shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The devices behind the cameras, as the API sees them.
pub trait Controls: Send + Sync {
    /// What is known of the camera's device; asks nobody. `None`: its protocol has no such things.
    fn device(&self, camera: &str) -> Option<DeviceStatus>;

    /// Carries out a command; `arguments` is an object.
    fn command(
        &self,
        camera: &str,
        command: &str,
        arguments: Value,
    ) -> BoxFuture<'static, Result<Reply, Refusal>>;

    /// Says something through the camera's speaker; gives how long it sounded.
    fn talk(&self, camera: &str, sound: Sound) -> BoxFuture<'static, Result<Duration, Refusal>>;

    /// The camera's events from here on. `wake` keeps the session open for them; without it they
    /// are heard while somebody watches, and of a mains camera always.
    fn events(&self, camera: &str, wake: bool) -> Option<BoxStream<'static, DeviceEvent>>;
}

/// What is known of a camera's device.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DeviceStatus {
    /// Whether a session with it stands.
    pub connected: bool,
    /// The maker's name of the model.
    pub model: Option<String>,
    /// The firmware's version.
    pub firmware: Option<String>,
    /// The commands that it carries out.
    pub can: Vec<String>,
    /// Its battery, if it has one and it was heard of.
    pub battery: Option<BatteryStatus>,
    /// Sessions since the gateway started, by cause. Each one wakes a battery camera.
    pub wakes: BTreeMap<String, u64>,
    /// Wakes left of its daily budget, if it has one.
    pub wakes_left: Option<u32>,
}

/// A battery as it was last heard of.
#[derive(Clone, Debug, Serialize)]
pub struct BatteryStatus {
    /// 0 to 100.
    pub percent: u8,
    /// Whether it takes charge.
    pub charging: bool,
    /// The device's own word: `none`, `charging`, `chargeComplete`.
    pub charge_status: String,
    /// What feeds it: `none`, `adapter`, `solarPanel`.
    pub power: String,
    /// In degrees Celsius.
    pub celsius: Option<i32>,
    /// In millivolts.
    pub millivolts: Option<u32>,
    /// When that was.
    #[serde(serialize_with = "as_moment")]
    pub heard: SystemTime,
}

/// What is to be said.
pub enum Sound {
    /// A WAV file of 16-bit PCM.
    File(Bytes),
    /// What a microphone hears meanwhile.
    Live {
        /// Samples a second.
        rate: u32,
        /// One channel.
        samples: BoxStream<'static, Vec<i16>>,
    },
}

/// What a command gave.
#[derive(Clone, Debug)]
pub enum Reply {
    /// An object.
    Json(Value),
    /// A picture.
    Jpeg(Bytes),
}

/// Why a command was not carried out.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// There is no such command, or its arguments make no sense.
    Malformed(String),
    /// The camera refused or did not answer.
    Camera(String),
}

/// Something that a camera noticed.
#[derive(Clone, Debug)]
pub struct DeviceEvent {
    /// Its name: "alarm", "battery".
    pub name: &'static str,
    /// When it was heard of.
    pub at: SystemTime,
    /// What it is, an object.
    pub what: Value,
}

/// The routes that only read.
pub(crate) fn routes() -> Router<AppState> {
    use axum::routing::get;
    Router::new()
        .route("/api/v1/cameras/{name}/device", get(device))
        .route("/api/v1/cameras/{name}/events", get(events))
}

/// The routes that change something, without the checks that such ones need.
pub(crate) fn changes() -> Router<AppState> {
    use axum::routing::post;
    Router::new()
        .route("/api/v1/cameras/{name}/commands/{command}", post(command))
        .merge(talk::changes())
}

/// `GET …/device`
async fn device(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<DeviceStatus>, Problem> {
    Ok(Json(find(&state, &name)?))
}

pub(crate) fn find(state: &AppState, name: &str) -> Result<DeviceStatus, Problem> {
    let camera = find_camera(state, name)?;
    state.device(name).ok_or_else(|| {
        let detail = format!(
            "camera \"{}\" takes no commands: its protocol ({}) has none",
            camera.name, camera.kind
        );
        Problem::new(StatusCode::NOT_IMPLEMENTED, detail)
    })
}

/// `POST …/commands/{command}`
async fn command(
    State(state): State<AppState>,
    Path((name, command)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    find(&state, &name)?;
    check_type(&request)?;
    let body = to_bytes(request.into_body(), MAX_BODY as usize);
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => return Err(bad("the request's body did not come whole")),
    };
    let arguments = match body.is_empty() {
        true => json!({}),
        false => serde_json::from_slice(&body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| bad("expected an object in JSON, such as {\"on\": true}"))?,
    };
    let Some(controls) = state.controls() else {
        return Err(bad("no camera here takes commands"));
    };
    match controls.command(&name, &command, arguments).await {
        Ok(Reply::Json(value)) => Ok(Json(value).into_response()),
        Ok(Reply::Jpeg(jpeg)) => Ok(([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response()),
        Err(Refusal::Malformed(detail)) => Err(bad(detail)),
        Err(Refusal::Camera(detail)) => Err(Problem::new(StatusCode::BAD_GATEWAY, detail)),
    }
}

/// Takes only what says that it is JSON: a form of another site's page cannot.
fn check_type(request: &Request) -> Result<(), Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return Ok(());
    }
    let detail = "a command is sent with the header content-type: application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

#[derive(Deserialize)]
struct EventsQuery {
    #[serde(default)]
    wake: u8,
}

/// `GET …/events`: server-sent events.
async fn events(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    find(&state, &name)?;
    let events = state
        .controls()
        .and_then(|controls| controls.events(&name, query.wake == 1))
        .ok_or_else(|| bad("this camera has no events"))?;
    let beats = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(HEARTBEAT).await;
        Some((": still here\n\n".to_owned(), ()))
    });
    let hello = futures_util::stream::iter([": events follow\n\n".to_owned()]);
    let lines = hello
        .chain(futures_util::stream::select(events.map(written), beats))
        .take_until(peer.shutdown.cancelled_owned())
        .map(Ok::<_, Infallible>);
    let content_type = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((content_type, Body::from_stream(lines)).into_response())
}

/// An event in the form of the HTML standard, section 9.2.
fn written(event: DeviceEvent) -> String {
    let mut data = event.what;
    if let Value::Object(fields) = &mut data {
        fields.insert("at".to_owned(), json!(Moment(event.at)));
    }
    format!("event: {}\ndata: {data}\n\n", event.name)
}

fn as_moment<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    Moment(*at).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_two_lines_and_a_blank_one() {
        let event = DeviceEvent {
            name: "battery",
            at: SystemTime::UNIX_EPOCH,
            what: json!({ "percent": 87 }),
        };
        let text = written(event);
        assert_eq!(
            text,
            "event: battery\ndata: {\"at\":\"1970-01-01T00:00:00Z\",\"percent\":87}\n\n"
        );
    }
}
