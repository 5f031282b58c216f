//! What H.264 and H.265 packets have in common: small parameter sets share a packet, what is too
//! large for one packet is cut into fragments, everything else travels alone.

use crate::writer::Writer;

/// The differences between the two.
pub(crate) trait NalFormat {
    /// Bytes of the header of a NAL unit.
    const HEADER: usize;
    /// How many kinds of parameter sets a decoder needs.
    const PARAMETER_SETS: u32;
    /// `nal_unit_type`.
    fn kind(nal: &[u8]) -> u8;
    /// A bit for each kind of parameter set, 0 for all else.
    fn parameter_set(kind: u8) -> u32;
    fn is_delimiter(kind: u8) -> bool;
    /// Writes the header of an aggregation packet over `nals`.
    fn put_aggregate_header<'a>(w: &mut Writer<'_>, nals: impl Iterator<Item = &'a [u8]>);
    /// Writes the header of a fragment of `nal`.
    fn put_fragment_header(w: &mut Writer<'_>, nal: &[u8], is_first: bool, is_last: bool);
    /// Bytes of that header.
    const FRAGMENT_HEADER: usize;
}

/// Most NAL units gathered in one aggregation packet: VPS, SPS and PPS, twice over.
const MAX_GATHERED: usize = 6;

/// Writes the packets of one picture, with `parameters` in front where a decoder will need them.
pub(crate) fn packetize<F: NalFormat>(
    payload: &[u8],
    is_keyframe: bool,
    parameters: &[&[u8]],
    max: usize,
    w: &mut Writer<'_>,
) {
    let inserted = if is_keyframe && !carries_parameters::<F>(payload) {
        parameters
    } else {
        &[]
    };
    let mut nals = inserted
        .iter()
        .copied()
        .chain(Nals(payload))
        .filter(|nal| nal.len() >= F::HEADER && !F::is_delimiter(F::kind(nal)))
        .peekable();
    let mut gathered: [&[u8]; MAX_GATHERED] = [&[]; MAX_GATHERED];
    let (mut count, mut size) = (0, F::HEADER);
    while let Some(nal) = nals.next() {
        let is_last = nals.peek().is_none();
        let is_small = F::parameter_set(F::kind(nal)) != 0 && F::HEADER + 2 + nal.len() <= max;
        if count > 0 && (!is_small || count == MAX_GATHERED || size + 2 + nal.len() > max) {
            flush::<F>(gathered.iter().copied().take(count), count, false, w);
            (count, size) = (0, F::HEADER);
        }
        if !is_small {
            send::<F>(nal, is_last, max, w);
        } else if let Some(slot) = gathered.get_mut(count) {
            *slot = nal;
            count += 1;
            size += 2 + nal.len();
        }
    }
    flush::<F>(gathered.iter().copied().take(count), count, true, w);
}

/// True if every kind of parameter set stands in the payload itself.
fn carries_parameters<F: NalFormat>(payload: &[u8]) -> bool {
    let found = Nals(payload).fold(0, |found: u32, nal| found | F::parameter_set(F::kind(nal)));
    found.count_ones() == F::PARAMETER_SETS
}

fn flush<'a, F: NalFormat>(
    mut nals: impl Iterator<Item = &'a [u8]> + Clone,
    count: usize,
    is_last: bool,
    w: &mut Writer<'_>,
) {
    match count {
        0 => {}
        1 => w.packet(is_last, &[nals.next().unwrap_or_default()]),
        _ => {
            w.begin();
            F::put_aggregate_header(w, nals.clone());
            for nal in nals {
                w.put(&u16::try_from(nal.len()).unwrap_or(u16::MAX).to_be_bytes());
                w.put(nal);
            }
            w.end(is_last);
        }
    }
}

fn send<F: NalFormat>(nal: &[u8], is_last: bool, max: usize, w: &mut Writer<'_>) {
    if nal.len() <= max {
        w.packet(is_last, &[nal]);
        return;
    }
    let body = nal.get(F::HEADER..).unwrap_or_default();
    let room = max.saturating_sub(F::FRAGMENT_HEADER).max(1);
    let count = body.len().div_ceil(room);
    for (at, chunk) in body.chunks(room).enumerate() {
        let ends = at + 1 == count;
        w.begin();
        F::put_fragment_header(w, nal, at == 0, ends);
        w.put(chunk);
        w.end(is_last && ends);
    }
}

/// Walks the NAL units of a payload with 4-byte lengths; finishes at a length past the end.
#[derive(Clone)]
pub(crate) struct Nals<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let (len, rest) = self.0.split_first_chunk::<4>()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (nal, rest) = rest.split_at_checked(len)?;
            self.0 = rest;
            if !nal.is_empty() {
                return Some(nal);
            }
        }
    }
}
