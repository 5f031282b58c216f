//! Room for a call in a full congestion window.
//!
//! What was under way when a path broke still counts as under way, and may fill the window: then a sender has to be
//! silent until its own time-out, which doubles each time and is 20 s off after an outage of 20 s. A caller that knows
//! better gets room for a packet more with each call.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};

/// One packet, and one for what goes with it.
const CALL: u32 = 2 * 1500;
/// A minute of calls, one a second.
const MAX_EXTRA: u32 = 64 * CALL;

/// Bytes that may be under way beyond the congestion window.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowance(Arc<AtomicU32>);

impl Allowance {
    /// Makes room for one call more.
    pub(super) fn add_call(&self) {
        let extra = self.0.load(Ordering::Relaxed);
        self.0
            .store(extra.saturating_add(CALL).min(MAX_EXTRA), Ordering::Relaxed);
    }

    /// The peer has answered.
    pub(super) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl ControllerFactory for Allowance {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Generous {
            inner: Arc::new(CubicConfig::default()).build(now, current_mtu),
            extra: Self::clone(&self),
        })
    }
}

struct Generous {
    inner: Box<dyn Controller>,
    extra: Allowance,
}

impl Controller for Generous {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &quinn_proto::RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let extra = self.extra.0.load(Ordering::Relaxed);
        self.inner.window().saturating_add(u64::from(extra))
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            extra: self.extra.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
