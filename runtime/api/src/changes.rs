//! Requests that change something: agents that start anew, forwards that come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tunnel::{CommandError, ForwardError, Returned};

use crate::guard::MAX_BODY;
use crate::problem::Problem;
use crate::view::Moment;
use crate::{Agents, AppState, Reloaded, agents};

/// How long a request's body may take; it is a line of text.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// `POST /api/v1/agents/{name}/restart`
pub(crate) async fn restart(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(outcome(&restart_agent(&state, &name).await?)))
}

/// `POST /api/v1/agents/{name}/reconnect`
pub(crate) async fn reconnect(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(outcome(&restart_tunnel(&state, &name).await?)))
}

/// `GET /api/v1/agents/{name}/log`
pub(crate) async fn log(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    agents::find(&state, &name).await?;
    let lines = fleet(&state)?.log(name).await.map_err(command_problem)?;
    let lines: Vec<Value> = lines
        .into_iter()
        .map(|line| json!({ "at": Moment(line.at), "text": line.text }))
        .collect();
    Ok(Json(json!({ "lines": lines })))
}

/// `POST /api/v1/config/reload`
pub(crate) async fn reload(State(state): State<AppState>) -> Result<Json<Reloaded>, Problem> {
    let reload = state.reload().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "this gateway reads no configuration file",
        )
    })?;
    let reloaded = reload.reload().await;
    let reloaded =
        reloaded.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error))?;
    Ok(Json(reloaded))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewForward {
    agent: String,
    target: String,
    #[serde(default)]
    listen: Option<SocketAddr>,
}

/// `POST /api/v1/forwards`
pub(crate) async fn add_forward(
    State(state): State<AppState>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let body = read_json(request).await?;
    let NewForward {
        agent,
        target,
        listen,
    } = serde_json::from_value(body).map_err(|error| {
        bad(format!(
            "expected {{\"agent\": NAME, \"target\": \"HOST:PORT\"}} and perhaps \"listen\": {error}"
        ))
    })?;
    agents::find(&state, &agent).await?;
    let target = target
        .parse()
        .map_err(|error| bad(format!("target: {error}")))?;
    let fleet = fleet(&state)?;
    let listen = fleet
        .add_forward(agent, target, listen)
        .await
        .map_err(forward_problem)?;
    let forwards = agents::list_forwards(&state);
    let made = forwards.iter().find(|forward| forward.listen == listen);
    Ok((StatusCode::CREATED, Json(json!(made))))
}

/// `DELETE /api/v1/forwards/{listen}`
pub(crate) async fn remove_forward(
    State(state): State<AppState>,
    Path(listen): Path<String>,
) -> Result<StatusCode, Problem> {
    let listen: SocketAddr = listen
        .parse()
        .map_err(|_| bad("expected the forward's address, such as 127.0.0.1:18554"))?;
    let fleet = fleet(&state)?;
    let is_known = agents::list_forwards(&state)
        .iter()
        .any(|forward| forward.listen == listen);
    if is_known && !fleet.is_saved(listen) {
        let detail =
            format!("the forward on {listen} stands in the configuration file: remove it there");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    tokio::task::spawn_blocking(move || fleet.remove_forward(listen))
        .await
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping"))?
        .map_err(forward_problem)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn restart_agent(state: &AppState, name: &str) -> Result<Returned, Problem> {
    agents::find(state, name).await?;
    tracing::info!(agent = name, "restart asked for by the API");
    let restarted = fleet(state)?.restart(name.to_owned()).await;
    restarted.map_err(command_problem)
}

pub(crate) async fn restart_tunnel(state: &AppState, name: &str) -> Result<Returned, Problem> {
    agents::find(state, name).await?;
    tracing::info!(agent = name, "new tunnel asked for by the API");
    let restarted = fleet(state)?.reconnect(name.to_owned()).await;
    restarted.map_err(command_problem)
}

fn outcome(returned: &Returned) -> Value {
    json!({ "outcome": "restarted", "took_ms": millis(returned), "new_process": returned.is_new_process })
}

pub(crate) fn millis(returned: &Returned) -> u64 {
    u64::try_from(returned.took.as_millis()).unwrap_or(u64::MAX)
}

/// What the body is said to be, without parameters and in small letters.
pub(crate) fn kind(request: &Request) -> Option<String> {
    let kind = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next()?;
    Some(kind.trim().to_ascii_lowercase())
}

/// The body of a request as JSON.
pub(crate) async fn read_json(request: Request) -> Result<Value, Problem> {
    if kind(&request).as_deref() != Some("application/json") {
        // Also what keeps forms of other sites out, which cannot send this type.
        let detail = "send the body as \"content-type: application/json\"";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let limit = usize::try_from(MAX_BODY).unwrap_or(usize::MAX);
    let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), limit))
        .await
        .map_err(|_| {
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request's body did not come in time",
            )
        })?
        .map_err(|error| bad(format!("the request's body broke off: {error}")))?;
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body is no JSON: {error}")))
}

pub(crate) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

fn fleet(state: &AppState) -> Result<Arc<dyn Agents>, Problem> {
    state
        .agents()
        .map(Arc::clone)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "this gateway takes no agents"))
}

fn command_problem(error: CommandError) -> Problem {
    let status = match &error {
        CommandError::Unknown(_) => StatusCode::NOT_FOUND,
        CommandError::Away(_) => StatusCode::CONFLICT,
        CommandError::TooOld { .. } => StatusCode::NOT_IMPLEMENTED,
        CommandError::Refused { .. } => StatusCode::BAD_GATEWAY,
        CommandError::Silent(_) | CommandError::Gone { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.to_string())
}

fn forward_problem(error: ForwardError) -> Problem {
    let status = match &error {
        ForwardError::UnknownAgent(_) | ForwardError::Unknown(_) => StatusCode::NOT_FOUND,
        ForwardError::NotLoopback(_) => StatusCode::FORBIDDEN,
        ForwardError::Listen { .. } | ForwardError::NoPort | ForwardError::Taken(_) => {
            StatusCode::CONFLICT
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.to_string())
}
