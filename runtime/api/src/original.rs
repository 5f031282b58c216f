//! The paths and shapes of the camera agent that came before: `/agents`, `/streams`, `/tunnels`, `/stats`, `/health`.
//!
//! Its documents and its code disagreed on the shapes; these are the union of both, with lists inside an object. What
//! cannot be known is null. `docs/camera-agent-api.md` says field by field where each value comes from.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use hub::Stream;
use serde_json::{Value, json};
use tunnel::{AgentStatus, Report, Target};

use crate::changes::{bad, millis, read_json, restart_agent, restart_tunnel};
use crate::problem::Problem;
use crate::routes::rtsp_base;
use crate::view::{ForwardView, Moment};
use crate::{AppState, CameraInfo, agents};

/// `GET /health`
pub(crate) async fn health(State(state): State<AppState>) -> Json<Value> {
    let agents = agents::statuses(&state).await;
    Json(json!({
        "status": if state.readiness().pending().is_empty() { "healthy" } else { "degraded" },
        "timestamp": Moment(SystemTime::now()),
        "uptime": uptime(&state),
        "agents": agents.len(),
        "agents_connected": connected(&agents),
        "streams": cameras_via(&state, None).len(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// `GET /agents`
pub(crate) async fn agents(State(state): State<AppState>) -> Json<Value> {
    let agents = agents::statuses(&state).await;
    let agents: Vec<Value> = agents.iter().map(|agent| item(&state, agent)).collect();
    Json(json!({ "agents": agents }))
}

/// `GET /agents/{id}`
pub(crate) async fn agent(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(item(&state, &agents::find(&state, &id).await?)))
}

/// `POST /agents/{id}/control` with `{"command": "restart"}`, or `action` in place of `command`.
pub(crate) async fn control(
    State(state): State<AppState>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let body = read_json(request).await?;
    let word = body.get("command").or_else(|| body.get("action"));
    match word.and_then(Value::as_str) {
        Some("restart") => {}
        Some(other) => {
            let other: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(bad(format!(
                "there is no command \"{other}\"; there is \"restart\""
            )));
        }
        None => return Err(bad("expected {\"command\": \"restart\"}")),
    }
    let returned = restart_agent(&state, &id).await?;
    Ok(Json(json!({
        "status": "restarted",
        "agent_id": id,
        "command": "restart",
        "took_ms": millis(&returned),
        "new_process": returned.is_new_process,
    })))
}

/// `GET /agents/{id}/stream`
pub(crate) async fn stream(
    State(state): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let agent = agents::find(&state, &id).await?;
    let cameras = cameras_via(&state, Some(&id));
    Ok(Json(match cameras.first() {
        Some(camera) => stream_item(&state, camera, &headers),
        None => {
            let report = agent.report.as_ref();
            json!({
                "agent_id": id,
                "stream_id": null,
                "stream_url": own_url(&state, &agent, &headers),
                "url": own_url(&state, &agent, &headers),
                "quality": quality(report),
                "active": null,
                "status": status(&agent),
                "viewers_count": null,
            })
        }
    }))
}

/// `GET /agents/{id}/stats`
pub(crate) async fn stats_of(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let agent = agents::find(&state, &id).await?;
    // What it tells now; if it does not, what it told last.
    let report = match state.agents() {
        Some(fleet) if agent.connected => fleet.report(id.clone()).await.ok(),
        _ => None,
    };
    let report = report.or_else(|| agent.report.clone());
    let camera = report.as_ref().and_then(|report| report.camera.as_ref());
    let mut answer = counters(&agent);
    let more = json!({
        "agent_id": id,
        "status": status(&agent),
        "camera": {
            "ip": camera.and_then(|camera| camera.address),
            "port": camera.map(|camera| camera.port),
            "dhcp_enabled": camera.and_then(|camera| camera.is_dhcp),
            "auto_detected": camera.map(|camera| camera.is_detected),
            "model": model(report.as_ref()),
            "reachable": camera.and_then(|camera| camera.is_reached),
        },
        "tunnel": tunnel_item(&state, &agent, report.as_ref()),
        "agent": report.as_ref().map(|report| json!({
            "uptime": report.uptime_ms / 1_000,
            "sessions": report.sessions,
            "connections_opened": report.opened,
            "connections_failed": report.failed,
            "memory_bytes": Some(report.memory).filter(|&bytes| bytes > 0),
        })),
    });
    if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
        answer.extend(more);
    }
    Ok(Json(answer))
}

/// `GET /streams`
pub(crate) async fn streams(State(state): State<AppState>, headers: HeaderMap) -> Json<Value> {
    let streams: Vec<Value> = cameras_via(&state, None)
        .iter()
        .map(|camera| stream_item(&state, camera, &headers))
        .collect();
    Json(json!({ "streams": streams }))
}

/// `GET /stats`
pub(crate) async fn stats(State(state): State<AppState>) -> Json<Value> {
    let agents = agents::statuses(&state).await;
    let cameras = cameras_via(&state, None);
    let streams: Vec<_> = cameras
        .iter()
        .filter_map(|camera| state.hub().stream(&camera.name))
        .collect();
    let sum = |count: fn(&AgentStatus) -> u64| agents.iter().map(count).sum::<u64>();
    Json(json!({
        "timestamp": Moment(SystemTime::now()),
        "uptime": uptime(&state),
        "agents": agents.len(),
        "agents_connected": connected(&agents),
        "tunnels": connected(&agents),
        "connections": agents.iter().map(|agent| agent.streams).sum::<usize>(),
        "streams": cameras.len(),
        "streams_active": streams.iter().filter(|stream| is_active(stream)).count(),
        "viewers": streams.iter().map(|stream| viewers(stream)).sum::<u64>(),
        // As the agents would say it: what they sent came here.
        "bytes_sent": sum(|agent| agent.bytes_received),
        "bytes_received": sum(|agent| agent.bytes_sent),
        "reconnections": sum(|agent| agent.reconnects),
    }))
}

/// `GET /tunnels`
pub(crate) async fn tunnels(State(state): State<AppState>) -> Json<Value> {
    let agents = agents::statuses(&state).await;
    let tunnels: Vec<Value> = agents
        .iter()
        .map(|agent| tunnel_item(&state, agent, agent.report.as_ref()))
        .collect();
    Json(json!({ "tunnels": tunnels }))
}

/// `GET /tunnels/{id}`
pub(crate) async fn tunnel(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let agent = agents::find(&state, &id).await?;
    Ok(Json(tunnel_item(&state, &agent, agent.report.as_ref())))
}

/// `POST /tunnels/{id}/restart`
pub(crate) async fn restart(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let returned = restart_tunnel(&state, &id).await?;
    Ok(Json(json!({
        "status": "restarted",
        "tunnel_id": id,
        "took_ms": millis(&returned),
    })))
}

fn item(state: &AppState, agent: &AgentStatus) -> Value {
    let streams: Vec<String> = cameras_via(state, Some(&agent.name))
        .into_iter()
        .map(|camera| camera.name)
        .collect();
    let report = agent.report.as_ref();
    let camera = report.and_then(|report| report.camera.as_ref());
    json!({
        "agent_id": agent.name,
        "status": status(agent),
        "camera_model": model(report),
        "connected_at": agent.connected_since.map(Moment::unix),
        "last_heartbeat": agent.last_heartbeat.or(agent.last_seen).map(Moment::unix),
        "ip_address": camera
            .and_then(|camera| camera.address)
            .or(agent.local_addresses.first().copied()),
        "streams": streams,
        "stats": counters(agent),
    })
}

/// The agent's own statistics, as they would be counted at its end.
fn counters(agent: &AgentStatus) -> Value {
    json!({
        "bytes_sent": agent.bytes_received,
        "bytes_received": agent.bytes_sent,
        // What a broken connection may have lost is sent again. With a session goes what it carried, and nobody knows how
        // much that was.
        "packets_lost": (agent.sessions_lost == 0).then_some(0),
        "reconnections": agent.reconnects,
        "uptime": agent.connected_since.map(since),
        "buffer_size": agent.connected.then_some(tunnel::DEFAULT_WINDOW),
        "last_heartbeat": agent.last_heartbeat.or(agent.last_seen).map(Moment::unix),
    })
}

fn tunnel_item(state: &AppState, agent: &AgentStatus, report: Option<&Report>) -> Value {
    let door = door(state, &agent.name);
    let camera = report.and_then(|report| report.camera.as_ref());
    let port = door.as_ref().map(|door| door.port);
    json!({
        "tunnel_id": agent.name,
        "agent_id": agent.name,
        "status": status(agent),
        "server_port": port,
        "local_port": port,
        "remote_port": door
            .and_then(|door| door.target)
            .map(|target| target.port)
            .or(camera.map(|camera| camera.port)),
        "bytes_transferred": agent.bytes_received + agent.bytes_sent,
        "connections": agent.streams,
        "connections_opened": agent.streams_opened,
        "connections_failed": agent.streams_failed,
        "uptime": agent.connected_since.map(since),
        "rtt_ms": agent.rtt_ms,
        "sessions": agent.sessions,
        "sessions_lost": agent.sessions_lost,
        "bytes_replayed": agent.bytes_replayed,
    })
}

fn stream_item(state: &AppState, camera: &CameraInfo, headers: &HeaderMap) -> Value {
    let stream = state.hub().stream(&camera.name);
    let url = format!("{}/{}", rtsp_base(state, headers), camera.name);
    json!({
        "agent_id": camera.via,
        "stream_id": camera.name,
        "stream_url": url,
        "url": url,
        "quality": null,
        "active": stream.as_deref().is_some_and(is_active),
        "status": stream.as_deref().map(|stream| stream.status().state.name()),
        "viewers_count": stream.as_deref().map_or(0, viewers),
    })
}

/// What the agent is doing, in the original's words.
fn status(agent: &AgentStatus) -> &'static str {
    match agent {
        AgentStatus {
            connected: true, ..
        } => "connected",
        AgentStatus { joined: false, .. } => "starting",
        AgentStatus {
            said_goodbye: true, ..
        } => "stopped",
        AgentStatus { .. } => "reconnecting",
    }
}

/// Where the agent's camera itself answers on this machine.
struct Door {
    port: u16,
    /// What it leads to, if that is written down here.
    target: Option<Target>,
}

/// The RTSP port if it lets the agent's camera through, else its first forward, else the RTSP port if a camera of ours
/// is behind the agent.
fn door(state: &AppState, agent: &str) -> Option<Door> {
    let rtsp = state.rtsp_address().port();
    if state.passthrough() == Some(agent) {
        return Some(Door {
            port: rtsp,
            target: None,
        });
    }
    let forwards = agents::list_forwards(state);
    let forward = forwards.iter().find(|forward| forward.agent == agent);
    let forwarded = forward.map(|ForwardView { listen, target, .. }| Door {
        port: listen.port(),
        target: target.parse().ok(),
    });
    forwarded.or_else(|| {
        let has_camera = !cameras_via(state, Some(agent)).is_empty();
        has_camera.then_some(Door {
            port: rtsp,
            target: None,
        })
    })
}

/// The URL of an agent's camera for which no camera of ours is configured.
fn own_url(state: &AppState, agent: &AgentStatus, headers: &HeaderMap) -> Option<String> {
    let path = agent.report.as_ref().map_or("", |report| &report.path);
    if state.passthrough() == Some(&agent.name) {
        return Some(format!("{}{path}", rtsp_base(state, headers)));
    }
    let forwards = agents::list_forwards(state);
    let forward = forwards
        .iter()
        .find(|forward| forward.agent == agent.name)?;
    Some(format!("rtsp://{}{path}", forward.listen))
}

fn cameras_via(state: &AppState, agent: Option<&str>) -> Vec<CameraInfo> {
    let is_wanted = |camera: &&CameraInfo| match (&camera.via, agent) {
        (Some(via), Some(agent)) => via == agent,
        (Some(_), None) => true,
        (None, _) => false,
    };
    state.cameras().iter().filter(is_wanted).cloned().collect()
}

fn is_active(stream: &Stream) -> bool {
    stream.status().state == hub::State::Live
}

fn viewers(stream: &Stream) -> u64 {
    let statistics = stream.statistics();
    statistics
        .outputs
        .values()
        .map(|output| output.viewers)
        .sum()
}

fn model(report: Option<&Report>) -> Option<&str> {
    report
        .map(|report| report.model.as_str())
        .filter(|model| !model.is_empty())
}

fn quality(report: Option<&Report>) -> Option<&str> {
    report
        .map(|report| report.quality.as_str())
        .filter(|quality| !quality.is_empty())
}

fn connected(agents: &[AgentStatus]) -> usize {
    agents.iter().filter(|agent| agent.connected).count()
}

fn uptime(state: &AppState) -> u64 {
    state.started_at().elapsed().unwrap_or_default().as_secs()
}

/// Seconds since a Unix time.
fn since(unix: u64) -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs().saturating_sub(unix)
}
