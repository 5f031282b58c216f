use std::sync::Arc;
use std::time::Duration;

use proto_tunnel::{MAX_STREAMS, ResumeConfig};
use quinn::congestion::ControllerFactory;
use quinn::{IdleTimeout, TransportConfig, VarInt};

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Agent,
    Gateway,
}

/// Bytes that one stream may have waiting for its reader at the gateway: 80 Mbit/s over 100 ms.
const GATEWAY_WINDOW: u32 = 1 << 20;
/// All that a caller may have waiting before it has shown its token, over all streams: a greeting has some hundred bytes.
const UNKNOWN_WINDOW: u32 = 64 << 10;
/// The same at the agent: RTSP commands and talk-back, and memory is the camera's.
const AGENT_WINDOW: u32 = 256 << 10;
/// Bytes kept for sending again, over all streams. The same as the window of a line.
const SEND_WINDOW: u64 = 1 << 20;
/// Streams that an agent opens: its greeting and its control stream.
const AGENT_OPENS: u32 = 4;
/// Streams that a gateway may have open, with those that are gone at one end but not yet at the other.
const GATEWAY_OPENS: u32 = 4 * (MAX_STREAMS as u32 + 1);
/// Signs of life wait here; a few are plenty.
const DATAGRAM_BUFFER: usize = 4 << 10;
/// Before the first answer. The first packet is sent again after three times this.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
/// QUIC's own patience lasts longer than ours by this: the pulse decides when a connection is over.
const BEYOND_PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn transport(
    role: Role,
    resume: &ResumeConfig,
    congestion: Arc<dyn ControllerFactory + Send + Sync>,
) -> TransportConfig {
    let (window, peer_opens) = match role {
        Role::Agent => (AGENT_WINDOW, GATEWAY_OPENS),
        Role::Gateway => (GATEWAY_WINDOW, AGENT_OPENS),
    };
    let all = match role {
        Role::Agent => full_window(window),
        Role::Gateway => VarInt::from_u32(UNKNOWN_WINDOW),
    };
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(peer_opens))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(window))
        .receive_window(all)
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .initial_rtt(FIRST_ROUND_TRIP)
        .max_idle_timeout(IdleTimeout::try_from(resume.patience + BEYOND_PATIENCE).ok())
        .allow_spin(false)
        .congestion_controller_factory(congestion);
    config
}

/// Streams whose readers have stopped hold their window and no more: room for all of them, so that none of the others
/// waits for it.
fn full_window(of_stream: u32) -> VarInt {
    VarInt::from_u32((MAX_STREAMS as u32 + 2) * of_stream)
}

/// All that an agent may have waiting at the gateway, once it is known.
pub(super) fn known_window() -> VarInt {
    full_window(GATEWAY_WINDOW)
}
