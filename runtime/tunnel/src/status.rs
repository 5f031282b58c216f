use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use link::TransportKind;
use proto_tunnel::Report;

/// One agent, as shown to an operator. Times are Unix seconds; counters run over all sessions since the gateway started.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentStatus {
    /// Its name.
    pub name: String,
    /// Whether it has ever joined; `false` means that its join code waits to be used.
    pub joined: bool,
    /// Whether it has a session with a connection.
    pub connected: bool,
    /// Whether its session has lost its connection and waits for the next; what it carries is kept meanwhile.
    pub reconnecting: bool,
    /// Since when the session stands.
    pub connected_since: Option<u64>,
    /// When the agent was connected last; now, if it is.
    pub last_seen: Option<u64>,
    /// Where the session comes from, as the gateway sees it.
    pub remote: Option<SocketAddr>,
    /// What carries its session.
    pub transport: Option<TransportKind>,
    /// The agent's program version.
    pub version: Option<String>,
    /// The agent's machine.
    pub host_name: Option<String>,
    /// Addresses of that machine at its site.
    pub local_addresses: Vec<IpAddr>,
    /// Round trip through the tunnel, latest measurement.
    pub rtt_ms: Option<f64>,
    /// Bytes from the agent, as they came through the tunnel.
    pub bytes_received: u64,
    /// Bytes to the agent.
    pub bytes_sent: u64,
    /// Connections to cameras that are open through it.
    pub streams: usize,
    /// Connections to cameras that it has opened.
    pub streams_opened: u64,
    /// Connections to cameras that it could not or would not open.
    pub streams_failed: u64,
    /// Connections after the first, those that went on with a session and those that began one.
    pub reconnects: u64,
    /// Whether it is away because it said goodbye.
    pub said_goodbye: bool,
    /// When the agent answered a ping last.
    pub last_heartbeat: Option<u64>,
    /// The newest that it told of itself, in this session.
    pub report: Option<Report>,
    /// Sessions.
    pub sessions: u64,
    /// Sessions that ended with what they carried, because no connection came in time.
    pub sessions_lost: u64,
    /// Bytes sent again because a connection that broke may have lost them.
    pub bytes_replayed: u64,
    /// Most bytes a second of its connections together, each way.
    pub limit: Option<u64>,
    /// How long connections have waited for that limit, summed over them.
    pub limited: Duration,
}

/// One forward, as shown to an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardStatus {
    /// The port on this machine.
    pub listen: SocketAddr,
    /// Through which agent.
    pub agent: String,
    /// To which target.
    pub target: String,
    /// Connections that stand.
    pub connections: usize,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections that did not reach the target, or found the forward full.
    pub failed: u64,
    /// Bytes from the camera.
    pub bytes_received: u64,
    /// Bytes to the camera.
    pub bytes_sent: u64,
    /// Why the latest connection failed, until one succeeds.
    pub last_error: Option<String>,
}
