//! The routes, and the plain ones of them.

use std::time::SystemTime;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use crate::problem::Problem;
use crate::view::{CameraView, Moment};
use crate::{
    AppState, CameraInfo, Peer, a9, agents, assets, changes, devices, guard, metrics, original,
    settings, stills, viewing,
};

/// All routes over `state`, behind the checks that every request must pass.
pub fn router(state: AppState) -> Router {
    let changes = Router::new()
        .route("/api/v1/agents/{name}/restart", post(changes::restart))
        .route("/api/v1/agents/{name}/reconnect", post(changes::reconnect))
        .route("/api/v1/config/reload", post(changes::reload))
        .route("/api/v1/forwards", post(changes::add_forward))
        .route("/api/v1/forwards/{listen}", delete(changes::remove_forward))
        .route("/api/v1/a9/{uid}/accept", post(a9::accept))
        .route("/api/v1/a9/{uid}/forget", post(a9::forget))
        .route("/api/v1/a9/{uid}/command", post(a9::command))
        .route(
            "/api/v1/cameras/{name}/control",
            get(settings::control).post(settings::control),
        )
        .route("/agents/{id}/control", post(original::control))
        .route("/tunnels/{id}/restart", post(original::restart))
        .merge(devices::changes())
        .route_layer(from_fn_with_state(state.clone(), guard::changes));
    Router::new()
        .route("/", get(assets::page))
        .route("/assets/{name}", get(assets::asset))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/overview", get(overview))
        .route("/api/v1/cameras", get(cameras))
        .route("/api/v1/cameras/{name}", get(camera))
        .route("/api/v1/cameras/{name}/ws", get(viewing::websocket))
        .route("/api/v1/cameras/{name}/stream", get(viewing::stream))
        .route("/api/v1/cameras/{name}/snapshot.jpg", get(stills::snapshot))
        .route("/api/stream.mjpeg", get(viewing::go2rtc_stream))
        .route("/api/frame.jpeg", get(stills::frame))
        .route("/api/v1/cameras/{name}/status", get(settings::status))
        .route("/api/v1/agents", get(agents::agents))
        .route("/api/v1/agents/{name}", get(agents::agent))
        .route("/api/v1/agents/{name}/log", get(changes::log))
        .route("/api/v1/forwards", get(agents::forwards))
        .route("/health", get(original::health))
        .route("/agents", get(original::agents))
        .route("/agents/{id}", get(original::agent))
        .route("/agents/{id}/stream", get(original::stream))
        .route("/agents/{id}/stats", get(original::stats_of))
        .route("/streams", get(original::streams))
        .route("/stats", get(original::stats))
        .route("/tunnels", get(original::tunnels))
        .route("/tunnels/{id}", get(original::tunnel))
        .merge(devices::routes())
        .route("/agent", get(agents::door))
        .route("/api/v1/a9", get(a9::overview))
        .route("/api/v1/a9/{uid}", get(a9::camera))
        .route("/app/{*path}", any(a9::bootstrap))
        .route("/dev/list", get(a9::dev_list))
        .route("/dev/{uid}/live", get(a9::live))
        .route("/dev/{uid}/video", get(a9::live))
        .route("/dev/{uid}/audio", get(a9::audio))
        .route("/dev/{uid}/snapshot", get(a9::snapshot))
        .route("/api/cameras", get(a9::api_cameras))
        .route("/api/cameras/{uid}/stream", get(a9::live))
        .route("/api/cameras/{uid}/mjpeg", get(a9::live))
        .route("/api/cameras/{uid}/snapshot", get(a9::snapshot))
        .route("/camera/{uid}", get(a9::page))
        .route("/dashboard", get(a9::dashboard))
        .route("/api/camera/{uid}/stream", get(a9::live))
        .route(
            "/api/camera/{uid}/snapshot",
            get(a9::snapshot).post(a9::snapshot),
        )
        .merge(changes)
        .fallback(nowhere)
        .method_not_allowed_fallback(not_that_way)
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn nowhere(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(64).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {path}; the dashboard is at /, the API under /api/v1/"),
    )
}

async fn not_that_way() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not answer that method; the API's description says which it does",
    )
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

async fn readyz(State(state): State<AppState>) -> (StatusCode, Json<Value>) {
    let pending = state.readiness().pending();
    if pending.is_empty() {
        (StatusCode::OK, Json(json!({ "status": "ready" })))
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "not ready", "pending": pending })),
        )
    }
}

/// Everything that the dashboard shows, of one moment.
async fn overview(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Json<Value> {
    Json(json!({
        "now": Moment(SystemTime::now()),
        "version": env!("CARGO_PKG_VERSION"),
        "started": Moment(state.started_at()),
        "pending": state.readiness().pending(),
        "may_change": guard::may_change(&peer),
        "cameras": camera_views(&state, &headers),
        "agents": agents::list(&state).await,
        "forwards": agents::list_forwards(&state),
        "a9": a9::report(&state),
    }))
}

async fn cameras(State(state): State<AppState>, headers: HeaderMap) -> Json<Value> {
    Json(json!({ "cameras": camera_views(&state, &headers) }))
}

async fn camera(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let found = find_camera(&state, &name);
    let mut response = if wants_page(&headers) {
        let mut page = assets::page(headers).await;
        if found.is_err() {
            *page.status_mut() = StatusCode::NOT_FOUND;
        }
        page
    } else {
        match found {
            Ok(camera) => {
                let base = rtsp_base(&state, &headers);
                Json(CameraView::new(&camera, &state, &base)).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    };
    response
        .headers_mut()
        .append(header::VARY, header::HeaderValue::from_static("accept"));
    response
}

/// The configured camera of this name.
pub(crate) fn find_camera(state: &AppState, name: &str) -> Result<CameraInfo, Problem> {
    let cameras = state.cameras();
    match cameras.iter().find(|camera| camera.name == name) {
        Some(camera) => Ok(camera.clone()),
        None => Err(Problem::unknown(
            "camera",
            name,
            cameras.iter().map(|camera| camera.name.as_str()),
        )),
    }
}

fn camera_views(state: &AppState, headers: &HeaderMap) -> Vec<CameraView> {
    let base = rtsp_base(state, headers);
    let cameras = state.cameras();
    cameras
        .iter()
        .map(|camera| CameraView::new(camera, state, &base))
        .collect()
}

/// The start of the RTSP URLs, for the one who asks: under the name that reached us, unless RTSP
/// listens on one address only.
pub(crate) fn rtsp_base(state: &AppState, headers: &HeaderMap) -> String {
    let address = state.rtsp_address();
    if !address.ip().is_unspecified() {
        return format!("rtsp://{address}");
    }
    let asked = guard::host_header(headers).map(guard::host_name);
    let is_plain = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b))
    };
    let host = asked
        .filter(is_plain)
        .or(state.public_name())
        .unwrap_or("127.0.0.1");
    format!("rtsp://{host}:{}", address.port())
}

/// Whether the asker is a browser that shows a page, and not a program.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    match (accept.find("text/html"), accept.find("application/json")) {
        (Some(html), Some(json)) => html < json,
        (html, None) => html.is_some(),
        (None, Some(_)) => false,
    }
}
