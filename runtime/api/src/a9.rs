//! The A9 cloud: what the API tells of it, what people may order, and the doors that its forerunners had.

use axum::body::{Body, Bytes as BodyBytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use hub::{Event, Lease, Start};
use media::Codec;
use naxclow::{Cloud, Error, Order, Report, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::{AppState, Peer, stills, viewing};

/// How long the forerunners' viewers wait for a picture.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The cloud, or the reason why there is none.
fn cloud(state: &AppState) -> Result<&Cloud, Problem> {
    state.a9().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "there is no A9 cloud here: add the key `a9` to the configuration",
        )
    })
}

/// Everything about the cloud, null where there is none.
pub(crate) fn report(state: &AppState) -> Option<Report> {
    state.a9().map(Cloud::report)
}

pub(crate) async fn overview(State(state): State<AppState>) -> Json<Value> {
    Json(json!({ "a9": report(&state) }))
}

pub(crate) async fn camera(
    State(state): State<AppState>,
    Path(uid): Path<String>,
) -> Result<Response, Problem> {
    let camera = cloud(&state)?.camera(&uid).map_err(refusal)?;
    Ok(Json(camera).into_response())
}

/// What accepting a camera may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accept {
    /// The camera's name; its device code if there is none.
    name: Option<String>,
}

pub(crate) async fn accept(
    State(state): State<AppState>,
    Path(uid): Path<String>,
    body: BodyBytes,
) -> Result<Response, Problem> {
    let cloud = cloud(&state)?.clone();
    let accept: Accept = read(&body)?;
    let is_taken = |name: &str| {
        let ours = cloud.camera(&uid).ok().and_then(|camera| camera.name);
        ours.as_deref() != Some(name) && state.cameras().iter().any(|known| known.name == name)
    };
    if let Some(name) = accept.name.as_deref().filter(|name| is_taken(name)) {
        let detail = format!("there is a camera {name:?} already: choose another name");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let asked = uid.clone();
    // The answer stands in a file.
    let name = tokio::task::spawn_blocking(move || cloud.accept(&asked, accept.name.as_deref()));
    let name = name.await.map_err(broken)?.map_err(refusal)?;
    Ok(Json(json!({ "uid": uid, "name": name })).into_response())
}

pub(crate) async fn forget(
    State(state): State<AppState>,
    Path(uid): Path<String>,
) -> Result<Response, Problem> {
    let cloud = cloud(&state)?.clone();
    let forgotten = tokio::task::spawn_blocking(move || cloud.forget(&uid));
    forgotten.await.map_err(broken)?.map_err(refusal)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A command by name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandBody {
    name: String,
    value: Option<i64>,
}

pub(crate) async fn command(
    State(state): State<AppState>,
    Path(uid): Path<String>,
    body: BodyBytes,
) -> Result<Response, Problem> {
    let cloud = cloud(&state)?;
    let asked: CommandBody = read(&body)?;
    let order = Order::new(&asked.name, asked.value).map_err(refusal)?;
    cloud.order(&uid, &order).await.map_err(refusal)?;
    Ok(Json(cloud.camera(&uid).map_err(refusal)?).into_response())
}

fn read<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let detail = format!("the body is no JSON as it is wanted here: {error}");
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })
}

fn broken(error: tokio::task::JoinError) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn refusal(error: Error) -> Problem {
    let status = match error {
        Error::Unknown(_) => StatusCode::NOT_FOUND,
        Error::Uid(_) | Error::Order(_) | Error::Name(_) => StatusCode::BAD_REQUEST,
        Error::Away { .. } | Error::OnlyMqtt(_) | Error::Busy(_) => StatusCode::CONFLICT,
        Error::NoAnswer(_) | Error::Live { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.to_string())
}

/// `/app/…`: the bootstrap, for a reverse proxy that leads cameras here.
pub(crate) async fn bootstrap(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
    headers: HeaderMap,
    method: Method,
) -> Result<Response, Problem> {
    let cloud = cloud(&state)?;
    if method != Method::GET && method != Method::POST {
        let detail = "cameras ask by POST or GET";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail));
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::from_target(target);
    request.version = headers
        .get("version")
        .and_then(|version| version.to_str().ok())
        .map(|version| version.chars().take(64).collect());
    let body = cloud.bootstrap(&request, peer.address.ip(), None);
    let body = body.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "nothing is there"))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], body).into_response())
}

/// `/dev/list`: the registered cameras, with host and port of their connections.
pub(crate) async fn dev_list(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let report = cloud(&state)?.report();
    let cameras = report.cameras.iter().filter(|camera| camera.connected);
    let list: Vec<Value> = cameras
        .map(|camera| json!({ "host": camera.address, "port": camera.port, "uid": camera.uid }))
        .collect();
    Ok(Json(list.into()))
}

/// `/api/cameras`: all cameras.
pub(crate) async fn api_cameras(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let mut report = cloud(&state)?.report();
    report.cameras.sort_by_key(|camera| camera.address);
    let list: Vec<Value> = report
        .cameras
        .iter()
        .map(|camera| {
            json!({
                "id": camera.uid,
                "ip": camera.address,
                "status": if camera.connected { "Connected" } else { "Disconnected" },
                "last_seen": json!(camera)["last_seen"],
                "protocol_state": camera.state,
            })
        })
        .collect();
    Ok(Json(list.into()))
}

/// `/camera/ID`: the page of one camera; of one that waits to be accepted, the list in which it stands.
pub(crate) async fn page(
    State(state): State<AppState>,
    Path(uid): Path<String>,
) -> Result<Redirect, Problem> {
    let camera = cloud(&state)?.camera(&uid).map_err(refusal)?;
    Ok(match camera.name {
        // Of a name's characters only this one is not as it is.
        Some(name) => Redirect::to(&format!("/#camera/{}", name.replace('/', "%2F"))),
        None => Redirect::to("/"),
    })
}

/// `/dashboard`
pub(crate) async fn dashboard() -> Redirect {
    Redirect::to("/")
}

/// The name of the accepted camera with this device code.
fn accepted(state: &AppState, uid: &str) -> Result<String, Problem> {
    let camera = cloud(state)?.camera(uid).map_err(refusal)?;
    camera.name.ok_or_else(|| {
        let detail = format!("camera {uid} is not accepted yet: do that on the dashboard");
        Problem::new(StatusCode::FORBIDDEN, detail)
    })
}

/// The forerunners answer 502 where a camera gives nothing in time.
fn in_time(answer: Result<Response, Problem>) -> Response {
    let mut answer = answer.into_response();
    if answer.status() == StatusCode::GATEWAY_TIMEOUT {
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
    }
    answer
}

/// `/dev/ID/snapshot`, `/api/camera/ID/snapshot`: one picture.
pub(crate) async fn snapshot(
    State(state): State<AppState>,
    Path(uid): Path<String>,
    headers: HeaderMap,
) -> Response {
    let name = match accepted(&state, &uid) {
        Ok(name) => name,
        Err(problem) => return problem.into_response(),
    };
    in_time(
        stills::snapshot(
            State(state),
            Path(name),
            Query(stills::Wake::default()),
            headers,
        )
        .await,
    )
}

/// `/dev/ID/live`, `/dev/ID/video`, `/api/camera/ID/stream`: motion JPEG.
pub(crate) async fn live(
    State(state): State<AppState>,
    Path(uid): Path<String>,
    peer: Extension<Peer>,
    method: Method,
) -> Response {
    let name = match accepted(&state, &uid) {
        Ok(name) => name,
        Err(problem) => return problem.into_response(),
    };
    in_time(viewing::stream(State(state), Path(name), peer, method).await)
}

/// `/dev/ID/audio`: the sound, as an endless WAV file.
pub(crate) async fn audio(
    State(state): State<AppState>,
    Path(uid): Path<String>,
    Extension(peer): Extension<Peer>,
) -> Result<Response, Problem> {
    let name = accepted(&state, &uid)?;
    let stream = state.hub().stream(&name);
    let stream = stream.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "it is gone"))?;
    let tracks = stream.tracks();
    if tracks.is_some_and(|tracks| tracks.iter().all(|track| track.codec != Codec::Pcma)) {
        let detail = format!("camera {uid} sends no A-law sound");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, detail));
    }
    let lease = stream.lease();
    let mut blocks = Box::pin(blocks(lease));
    let first = tokio::time::timeout(PATIENCE, blocks.next()).await;
    let Ok(Some(first)) = first else {
        let detail = format!("camera {uid} gave no sound within 5 s");
        return Err(Problem::new(StatusCode::BAD_GATEWAY, detail));
    };
    let body = stream::iter([Bytes::from_static(&WAV), first])
        .chain(blocks)
        .map(Ok::<_, std::convert::Infallible>)
        .take_until(peer.shutdown.cancelled_owned());
    let wav = HeaderValue::from_static("audio/wav");
    Ok(([(header::CONTENT_TYPE, wav)], Body::from_stream(body)).into_response())
}

/// Blocks of A-law sound from here on.
fn blocks(lease: Lease) -> impl futures_util::Stream<Item = Bytes> + Send {
    let cursor = lease.stream().ring().start(Start::Live);
    stream::unfold((lease, cursor), |(lease, mut cursor)| async move {
        loop {
            let ring = lease.stream().ring();
            let Some(event) = cursor.poll(ring) else {
                ring.wait(cursor.next()).await;
                continue;
            };
            let Event::AccessUnit(unit, _) = &*event else {
                continue;
            };
            let tracks = lease.stream().tracks();
            let codec = tracks.and_then(|tracks| Some(tracks.get(unit.track)?.codec));
            if codec == Some(Codec::Pcma) {
                let block = unit.payload.clone();
                return Some((block, (lease, cursor)));
            }
        }
    })
}

/// Head of a WAV file without end: A-law, one channel, 8000 bytes a second.
const WAV: [u8; 44] = *b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x06\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\xff\xff\xff\xff";
