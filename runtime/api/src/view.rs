//! The API's objects, as they stand in JSON.
//!
//! Units are in the names; times are RFC 3339 in UTC; what is not known is null.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use hub::{State, Statistics, Status, Stream};
use media::{Kind, Track};
use serde::Serialize;
use tunnel::{AgentStatus, ForwardStatus, Report, Target, TransportKind};

use crate::mask::mask;
use crate::{AppState, CameraInfo, DeviceStatus};

/// A moment in UTC, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) SystemTime);

impl Moment {
    /// From Unix seconds.
    pub(crate) fn unix(seconds: u64) -> Self {
        Self(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

impl Serialize for Moment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moment =
            jiff::Timestamp::try_from(self.0).and_then(|at| at.round(jiff::Unit::Millisecond));
        match moment {
            Ok(moment) => serializer.collect_str(&moment),
            Err(_) => serializer.serialize_none(),
        }
    }
}

/// An agent, as the API tells it. Holds nothing secret.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AgentView {
    pub(crate) name: String,
    joined: bool,
    pub(crate) connected: bool,
    reconnecting: bool,
    since: Option<Moment>,
    last_seen: Option<Moment>,
    address: Option<SocketAddr>,
    pub(crate) transport: Option<&'static str>,
    version: Option<String>,
    host_name: Option<String>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) limit_bits: Option<u64>,
    pub(crate) limited_s: f64,
    pub(crate) streams: usize,
    streams_opened: u64,
    streams_failed: u64,
    pub(crate) reconnects: u64,
    sessions: u64,
    sessions_lost: u64,
    replayed_bytes: u64,
    last_heartbeat: Option<Moment>,
    report: Option<ReportView>,
}

/// What an agent tells of itself and its camera, as the API tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportView {
    uptime_s: u64,
    memory_bytes: Option<u64>,
    camera: Option<AgentCameraView>,
    model: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct AgentCameraView {
    target: String,
    address: Option<IpAddr>,
    dhcp: Option<bool>,
    detected: bool,
    reached: Option<bool>,
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        Self {
            uptime_s: report.uptime_ms / 1_000,
            memory_bytes: Some(report.memory).filter(|&bytes| bytes > 0),
            camera: report.camera.map(|camera| AgentCameraView {
                target: Target::new(camera.host, camera.port).to_string(),
                address: camera.address,
                dhcp: camera.is_dhcp,
                detected: camera.is_detected,
                reached: camera.is_reached,
            }),
            model: Some(report.model).filter(|model| !model.is_empty()),
        }
    }
}

impl From<AgentStatus> for AgentView {
    fn from(agent: AgentStatus) -> Self {
        let moment = Moment::unix;
        Self {
            name: agent.name,
            joined: agent.joined,
            connected: agent.connected,
            reconnecting: agent.reconnecting,
            since: agent.connected_since.map(moment),
            last_seen: agent.last_seen.map(moment),
            address: agent.remote,
            transport: agent.transport.map(TransportKind::as_str),
            version: agent.version,
            host_name: agent.host_name,
            rtt_ms: agent.rtt_ms.map(|rtt| (rtt * 100.0).round() / 100.0),
            received_bytes: agent.bytes_received,
            sent_bytes: agent.bytes_sent,
            limit_bits: agent.limit.map(|bytes| bytes.saturating_mul(8)),
            limited_s: (agent.limited.as_secs_f64() * 100.0).round() / 100.0,
            streams: agent.streams,
            streams_opened: agent.streams_opened,
            streams_failed: agent.streams_failed,
            reconnects: agent.reconnects,
            sessions: agent.sessions,
            sessions_lost: agent.sessions_lost,
            replayed_bytes: agent.bytes_replayed,
            last_heartbeat: agent.last_heartbeat.map(moment),
            report: agent.report.map(ReportView::from),
        }
    }
}

/// A forward, as the API tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ForwardView {
    pub(crate) listen: SocketAddr,
    pub(crate) agent: String,
    pub(crate) target: String,
    saved: bool,
    connections: usize,
    accepted: u64,
    failed: u64,
    received_bytes: u64,
    sent_bytes: u64,
    last_error: Option<String>,
}

impl ForwardView {
    pub(crate) fn new(forward: ForwardStatus, is_saved: bool) -> Self {
        Self {
            listen: forward.listen,
            agent: forward.agent,
            target: forward.target,
            saved: is_saved,
            connections: forward.connections,
            accepted: forward.accepted,
            failed: forward.failed,
            received_bytes: forward.bytes_received,
            sent_bytes: forward.bytes_sent,
            last_error: forward.last_error,
        }
    }
}

/// A camera, as the API tells it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CameraView {
    name: String,
    kind: String,
    via: Option<String>,
    source: String,
    autoplay: bool,
    state: StateView,
    tracks: Vec<TrackView>,
    viewers: ViewersView,
    fps: f64,
    bitrate: u64,
    keyframe_interval_ms: Option<u64>,
    time_to_first_picture_ms: Option<u64>,
    received_bytes: u64,
    reconnects: u64,
    reconnects_by_reason: BTreeMap<&'static str, u64>,
    damaged: u64,
    settings: Option<Vec<String>>,
    urls: UrlsView,
    device: Option<DeviceStatus>,
}

#[derive(Clone, Debug, Serialize)]
struct StateView {
    name: &'static str,
    since: Moment,
    reason: Option<String>,
    retry_in_ms: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
struct TrackView {
    kind: &'static str,
    codec: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<u16>,
}

#[derive(Clone, Debug, Serialize)]
struct ViewersView {
    total: u64,
    by_output: BTreeMap<&'static str, u64>,
    dropped_access_units: u64,
}

#[derive(Clone, Debug, Serialize)]
struct UrlsView {
    rtsp: String,
    page: String,
    ws: Option<String>,
    mjpeg: Option<String>,
    snapshot: Option<String>,
}

impl CameraView {
    /// The camera at this moment; `rtsp_base` is the start of its RTSP URL.
    pub(crate) fn new(camera: &CameraInfo, state: &AppState, rtsp_base: &str) -> Self {
        let stream = state.hub().stream(&camera.name);
        let status = stream
            .as_ref()
            .map(|stream| stream.status())
            .unwrap_or_default();
        let statistics = stream
            .as_ref()
            .map(|stream| stream.statistics())
            .unwrap_or_default();
        let tracks = stream.as_deref().and_then(Stream::tracks);
        let tracks = tracks.as_deref().unwrap_or_default();
        let is_jpeg = tracks.iter().any(|track| track.codec == media::Codec::Jpeg);
        // Before the tracks are known, nobody can say: then all doors are named.
        let is_unknown = tracks.is_empty();
        let has_video = tracks.iter().any(|track| track.kind() == Kind::Video);
        let page = format!("/api/v1/cameras/{}", path_segment(&camera.name));
        Self {
            name: camera.name.clone(),
            kind: camera.kind.clone(),
            via: camera.via.clone(),
            source: mask(&camera.source),
            autoplay: camera.autoplay,
            state: StateView::new(&status),
            tracks: tracks.iter().map(TrackView::new).collect(),
            viewers: ViewersView::new(&statistics),
            fps: (statistics.fps * 10.0).round() / 10.0,
            bitrate: statistics.bitrate.round().max(0.0) as u64,
            keyframe_interval_ms: statistics.keyframe_interval.map(millis),
            time_to_first_picture_ms: status.time_to_first_picture.map(millis),
            received_bytes: statistics.bytes,
            reconnects: statistics.reconnects.values().sum(),
            damaged: statistics.damaged,
            settings: camera
                .settings
                .as_ref()
                .map(|settings| settings.allowed().to_vec()),
            urls: UrlsView {
                rtsp: format!("{rtsp_base}/{}", camera.name),
                ws: (!is_jpeg || is_unknown).then(|| format!("{page}/ws")),
                mjpeg: (has_video || is_unknown).then(|| format!("{page}/stream")),
                snapshot: (has_video || is_unknown).then(|| format!("{page}/snapshot.jpg")),
                page,
            },
            reconnects_by_reason: statistics.reconnects,
            device: state.device(&camera.name),
        }
    }
}

impl StateView {
    fn new(status: &Status) -> Self {
        let retry_in = |at: Instant| millis(at.saturating_duration_since(Instant::now()));
        Self {
            name: status.state.name(),
            since: Moment(status.since_wall),
            reason: status.error.clone(),
            retry_in_ms: status
                .retry_at
                .filter(|_| status.state == State::Waiting)
                .map(retry_in),
        }
    }
}

impl TrackView {
    fn new(track: &Track) -> Self {
        let is_audio = track.kind() == Kind::Audio;
        Self {
            kind: if is_audio { "audio" } else { "video" },
            codec: track.codec.name(),
            width: track.size.map(|(width, _)| width),
            height: track.size.map(|(_, height)| height),
            rate: is_audio.then_some(track.clock_rate),
            channels: is_audio.then_some(track.channels),
        }
    }
}

impl ViewersView {
    fn new(statistics: &Statistics) -> Self {
        Self {
            total: statistics
                .outputs
                .values()
                .map(|output| output.viewers)
                .sum(),
            by_output: statistics
                .outputs
                .iter()
                .map(|(name, output)| (*name, output.viewers))
                .collect(),
            dropped_access_units: statistics
                .outputs
                .values()
                .map(|output| output.dropped)
                .sum(),
        }
    }
}

/// A stream name as one path segment: its other characters need no escaping.
fn path_segment(name: &str) -> String {
    name.replace('/', "%2F")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
