//! `/metrics`: every stream and agent in the Prometheus text format.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use hub::{State as StreamState, Stream};
use telemetry::{CONTENT_TYPE, MetricsText, metrics as names};

use crate::view::AgentView;
use crate::{AppState, DeviceStatus, agents};

pub(crate) async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    let mut text = MetricsText::new();
    text.add_process(env!("CARGO_PKG_VERSION"), state.started_at());
    for stream in state.hub().streams() {
        add_stream(&mut text, &stream);
    }
    for camera in &*state.cameras() {
        if let Some(device) = state.device(&camera.name) {
            add_device(&mut text, &camera.name, &device);
        }
    }
    for agent in agents::list(&state).await {
        add_agent(&mut text, &agent);
    }
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text.finish())
}

fn add_stream(text: &mut MetricsText, stream: &Stream) {
    let camera = stream.name().as_str();
    let status = stream.status();
    let statistics = stream.statistics();
    let is_up = u64::from(status.state == StreamState::Live);
    text.add(&names::STREAM_UP, &[camera], is_up);
    text.add(
        &names::STREAM_ACCESS_UNITS,
        &[camera],
        statistics.access_units,
    );
    text.add(&names::STREAM_BYTES, &[camera], statistics.bytes);
    text.add(&names::STREAM_FPS, &[camera], statistics.fps);
    text.add(&names::STREAM_TIME_JUMPS, &[camera], statistics.time_jumps);
    text.add(&names::STREAM_DAMAGED, &[camera], statistics.damaged);
    if let Some(interval) = statistics.keyframe_interval {
        text.add(
            &names::STREAM_KEYFRAME_INTERVAL,
            &[camera],
            interval.as_secs_f64(),
        );
    }
    if let Some(time) = status.time_to_first_picture {
        text.add(&names::STREAM_FIRST_PICTURE, &[camera], time.as_secs_f64());
    }
    for (reason, count) in &statistics.reconnects {
        text.add(&names::UPSTREAM_RECONNECTS, &[camera, reason], *count);
    }
    for (output, counts) in &statistics.outputs {
        text.add(&names::STREAM_VIEWERS, &[camera, output], counts.viewers);
        text.add(&names::STREAM_SENT_BYTES, &[camera, output], counts.bytes);
        text.add(&names::STREAM_DROPPED, &[camera, output], counts.dropped);
    }
}

fn add_device(text: &mut MetricsText, camera: &str, device: &DeviceStatus) {
    if let Some(battery) = &device.battery {
        text.add(
            &names::CAMERA_BATTERY,
            &[camera],
            u64::from(battery.percent),
        );
        let is_charging = u64::from(battery.charging);
        text.add(&names::CAMERA_CHARGING, &[camera], is_charging);
        if let Some(celsius) = battery.celsius {
            text.add(&names::CAMERA_TEMPERATURE, &[camera], f64::from(celsius));
        }
    }
    for (cause, count) in &device.wakes {
        text.add(&names::CAMERA_WAKES, &[camera, cause], *count);
    }
}

fn add_agent(text: &mut MetricsText, agent: &AgentView) {
    let name = agent.name.as_str();
    text.add(&names::AGENT_UP, &[name], u64::from(agent.connected));
    if let Some(rtt_ms) = agent.rtt_ms.filter(|_| agent.connected) {
        text.add(&names::AGENT_RTT, &[name], rtt_ms / 1000.0);
    }
    if let Some(transport) = agent.transport {
        text.add(&names::AGENT_TRANSPORT, &[name, transport], 1_u64);
    }
    // The gateway counts sessions after the first; one that stands was the first at least.
    let connects = agent.reconnects + u64::from(agent.connected || agent.reconnects > 0);
    text.add(&names::AGENT_CONNECTS, &[name], connects);
    if let Some(limit) = agent.limit_bits {
        text.add(&names::AGENT_LIMIT, &[name], limit / 8);
        text.add(&names::AGENT_LIMITED, &[name], agent.limited_s);
    }
    text.add(&names::TUNNEL_STREAMS, &[name], agent.streams);
    text.add(&names::TUNNEL_BYTES, &[name, "in"], agent.received_bytes);
    text.add(&names::TUNNEL_BYTES, &[name, "out"], agent.sent_bytes);
}
