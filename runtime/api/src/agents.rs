//! Agents and forwards: what the API tells of them, and the door they come in by.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};
use tunnel::AgentStatus;

use crate::listener::TlsSocket;
use crate::problem::Problem;
use crate::view::{AgentView, ForwardView};
use crate::{AppState, Peer, viewing};

/// All agents as the tunnel tells of them, by name.
pub(crate) async fn statuses(state: &AppState) -> Vec<AgentStatus> {
    let Some(agents) = state.agents().map(Arc::clone) else {
        return Vec::new();
    };
    // The names stand in a file.
    tokio::task::spawn_blocking(move || agents.list())
        .await
        .unwrap_or_default()
}

/// All agents, by name.
pub(crate) async fn list(state: &AppState) -> Vec<AgentView> {
    statuses(state)
        .await
        .into_iter()
        .map(AgentView::from)
        .collect()
}

/// The agent of this name.
pub(crate) async fn find(state: &AppState, name: &str) -> Result<AgentStatus, Problem> {
    let mut agents = statuses(state).await;
    match agents.iter().position(|agent| agent.name == name) {
        Some(at) => Ok(agents.swap_remove(at)),
        None => {
            let known = agents.iter().map(|agent| agent.name.as_str());
            Err(Problem::unknown("agent", name, known))
        }
    }
}

/// All forwards, in the order in which they were made.
pub(crate) fn list_forwards(state: &AppState) -> Vec<ForwardView> {
    let Some(agents) = state.agents() else {
        return Vec::new();
    };
    let forwards = agents.forwards().into_iter();
    forwards
        .map(|forward| {
            let is_saved = agents.is_saved(forward.listen);
            ForwardView::new(forward, is_saved)
        })
        .collect()
}

pub(crate) async fn agents(State(state): State<AppState>) -> Json<Value> {
    Json(json!({ "agents": list(&state).await }))
}

pub(crate) async fn agent(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<AgentView>, Problem> {
    Ok(Json(find(&state, &name).await?.into()))
}

pub(crate) async fn forwards(State(state): State<AppState>) -> Json<Value> {
    Json(json!({ "forwards": list_forwards(&state) }))
}

/// `/agent`: where agents come in. Who they are is the tunnel's business; that nobody reads along
/// is ours.
pub(crate) async fn door(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
) -> Response {
    let Some(agents) = state.agents().map(Arc::clone) else {
        return Problem::new(StatusCode::NOT_FOUND, "this gateway takes no agents").into_response();
    };
    if !peer.is_tls {
        let detail = "agents come over TLS only: use wss:// and the same port";
        let mut response = Problem::new(StatusCode::UPGRADE_REQUIRED, detail).into_response();
        let upgrade = HeaderValue::from_static("TLS/1.3, websocket");
        response.headers_mut().insert(header::UPGRADE, upgrade);
        return response;
    }
    // No page is an agent.
    if request.headers().contains_key(header::ORIGIN) {
        let detail = "agents are programs; a page has no business here";
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    let Some((answer, granted)) = link::grant(&mut request) else {
        return viewing::no_websocket().into_response();
    };
    // The session outlives this connection, whose place goes with its socket: kept here, ten thousand agents that come
    // back would find their own old places taken.
    let Peer {
        address,
        lacks_certificate,
        shutdown,
        ..
    } = peer;
    // It ends with the agent, or with the listener.
    tokio::spawn(async move {
        let session = async {
            match granted.websocket::<TlsSocket>().await {
                Ok(socket) if lacks_certificate => {
                    agents.turn_away(Box::new(socket), address).await;
                }
                Ok(socket) => agents.accept(Box::new(socket), address).await,
                Err(error) => tracing::debug!(peer = %address, %error, "no WebSocket came"),
            }
        };
        tokio::select! {
            () = session => {}
            () = shutdown.cancelled() => {}
        }
    });
    answer.map(|()| Body::empty())
}
