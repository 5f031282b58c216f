//! The walk over length-prefixed NAL units.

use bytes::Bytes;
use media::{NalUnits, length_prefixed};

/// The units found stand in the payload, in order, and join to what they were cut from.
pub fn media_nal(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let units: Vec<Bytes> = NalUnits::new(&payload).collect();
    let total: usize = units.iter().map(|unit| unit.len() + 4).sum();
    assert!(total <= data.len());
    assert!(units.iter().all(|unit| !unit.is_empty()));
    let joined = length_prefixed(units.iter().map(|unit| &unit[..]));
    assert_eq!(NalUnits::new(&joined).collect::<Vec<_>>(), units);
}
