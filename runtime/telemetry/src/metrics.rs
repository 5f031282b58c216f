//! Every metric: name, kind, labels, unit and meaning.
//!
//! Units are base units and stand at the end of the name. A label is a camera, an output, an agent, a
//! direction or a reason: things that are few. Never a viewer.

/// One metric. Its name is `eyelet_` and what stands here.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name without its prefix.
    pub name: &'static str,
    /// Whether it goes up only.
    pub kind: Kind,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says, with its unit.
    pub help: &'static str,
}

/// Whether a metric goes up only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up only, until the program starts again.
    Counter,
    /// Goes up and down.
    Gauge,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $labels:tt $help:literal;)+) => {
        $(
            #[doc = $help]
            pub static $constant: Metric = Metric { name: $name, kind: Kind::$kind, labels: &$labels, help: $help };
        )+

        /// Every metric, in the order in which they are written.
        pub static ALL: &[&Metric] = &[$(&$constant,)+];
    };
}

metrics! {
    BUILD_INFO Gauge "build_info" ["version"]
        "Always 1; the label tells which release runs.";
    PROCESS_START Gauge "process_start_time_seconds" []
        "When the program started, in seconds since 1970 (UTC).";

    STREAM_UP Gauge "stream_up" ["camera"]
        "1 while media arrives from the camera, else 0; a camera that nobody watches is 0.";
    STREAM_VIEWERS Gauge "stream_viewers" ["camera", "output"]
        "Viewers at this moment.";
    STREAM_ACCESS_UNITS Counter "stream_access_units_total" ["camera"]
        "Access units (pictures and pieces of sound) received from the camera.";
    STREAM_BYTES Counter "stream_bytes_total" ["camera"]
        "Bytes of media received from the camera.";
    STREAM_SENT_BYTES Counter "stream_sent_bytes_total" ["camera", "output"]
        "Bytes handed to viewers' sockets.";
    STREAM_DROPPED Counter "stream_dropped_access_units_total" ["camera", "output"]
        "Access units that viewers missed because they or their network were too slow.";
    STREAM_FPS Gauge "stream_fps" ["camera"]
        "Pictures per second from the camera over the last two seconds.";
    STREAM_KEYFRAME_INTERVAL Gauge "stream_keyframe_interval_seconds" ["camera"]
        "Time between the last two keyframes, in seconds.";
    STREAM_FIRST_PICTURE Gauge "stream_time_to_first_picture_seconds" ["camera"]
        "Time from the last start of the connection to the camera to its first picture, in seconds.";
    STREAM_TIME_JUMPS Counter "stream_time_jumps_total" ["camera"]
        "Times the camera's clock jumped and was set right.";
    STREAM_DAMAGED Counter "stream_damaged_pictures_total" ["camera"]
        "Pictures that came damaged from the camera (cut, torn, too large) and were left out.";
    UPSTREAM_RECONNECTS Counter "upstream_reconnects_total" ["camera", "reason"]
        "Connections to the camera that ended with an error, by reason.";

    CAMERA_BATTERY Gauge "camera_battery_percent" ["camera"]
        "Charge of the camera's battery when it was last heard of, 0 to 100.";
    CAMERA_CHARGING Gauge "camera_battery_charging" ["camera"]
        "1 if the battery took charge when it was last heard of, else 0.";
    CAMERA_TEMPERATURE Gauge "camera_battery_temperature_celsius" ["camera"]
        "Temperature of the camera's battery when it was last heard of, in degrees Celsius.";
    CAMERA_WAKES Counter "camera_wakes_total" ["camera", "cause"]
        "Sessions opened with the camera's device, by cause; each one wakes a battery camera.";

    AGENT_UP Gauge "agent_up" ["agent"]
        "1 while the agent is connected, else 0.";
    AGENT_RTT Gauge "agent_rtt_seconds" ["agent"]
        "Round trip through the tunnel, in seconds; absent while the agent is away.";
    AGENT_TRANSPORT Gauge "agent_transport" ["agent", "transport"]
        "Always 1; the label tells what carries the agent's session: quic or websocket. Absent while there is none.";
    AGENT_CONNECTS Counter "agent_connects_total" ["agent"]
        "Times the agent connected.";
    AGENT_LIMIT Gauge "agent_limit_bytes_per_second" ["agent"]
        "Most bytes a second that the agent's connections carry together, each way; absent without a limit.";
    AGENT_LIMITED Counter "agent_limited_seconds_total" ["agent"]
        "Seconds that the agent's connections have waited for its limit, summed over them; absent without a limit.";
    TUNNEL_STREAMS Gauge "tunnel_streams" ["agent"]
        "Connections open through the tunnel at this moment.";
    TUNNEL_BYTES Counter "tunnel_bytes_total" ["agent", "direction"]
        "Bytes carried by the tunnel; direction is in (from the agent) or out (to it).";
}

/// The list as a Markdown document. It is committed as `docs/metrics.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
        <!-- Generated from runtime/telemetry/src/metrics.rs: edit there, then run\n     \
        `EYELET_WRITE=1 cargo nextest run -p telemetry`. -->\n\n\
        `/metrics` answers in the Prometheus text format. Counters start at 0 when the program starts.\n\n\
        | metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        let kind = metric.kind.as_str();
        let labels = match metric.labels {
            [] => "none".to_owned(),
            labels => labels.join(", "),
        };
        out += &format!(
            "| `eyelet_{}` | {kind} | {labels} | {} |\n",
            metric.name, metric.help
        );
    }
    out
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_the_format() {
        for metric in ALL {
            let is_name = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(
                is_name(metric.name) && metric.labels.iter().all(|label| is_name(label)),
                "{metric:?}"
            );
            assert_eq!(
                metric.name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{metric:?}"
            );
            assert_eq!(
                ALL.iter().filter(|other| other.name == metric.name).count(),
                1,
                "{metric:?}"
            );
        }
    }

    #[test]
    fn the_committed_list_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("EYELET_WRITE").is_some() {
            std::fs::write(path, reference()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            committed,
            reference(),
            "run: EYELET_WRITE=1 cargo nextest run -p telemetry"
        );
    }
}
