//! G.711 over RTP, RFC 3551 section 4.5.14: samples, nothing else.

use crate::writer::Writer;

/// Cuts long runs of samples at whole ticks; each packet bears the time of its first sample.
pub(crate) fn packetize(payload: &[u8], channels: u16, max: usize, w: &mut Writer<'_>) {
    let channels = usize::from(channels.max(1));
    let room = (max / channels).max(1) * channels;
    for chunk in payload.chunks(room) {
        w.packet(false, &[chunk]);
        let ticks = u32::try_from(chunk.len() / channels).unwrap_or(0);
        w.time = w.time.wrapping_add(ticks);
    }
}
