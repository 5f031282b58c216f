//! Datagrams on a stream: after [`crate::Message::OpenedDatagrams`] both sides send nothing but these.
//!
//! | bytes | |
//! | --- | --- |
//! | 2 | length of what follows, big-endian |
//! | 1 + 4 or 1 + 16 | 4 or 6, and the address: whither from the gateway, whence from the agent |
//! | 2 | the port there |
//! | the rest | the payload |

use std::net::SocketAddr;

use crate::Error;
use crate::wire::{Fields, put_address};

/// Longest payload: what an Ethernet frame carries. No camera fragments; Reolink's own longest is 1,350 bytes.
pub const MAX_DATAGRAM: usize = 1_500;

/// Bytes before the body.
const LENGTH: usize = 2;

/// Most bytes of a body beside the payload: an IPv6 address and a port.
const MAX_HEAD: usize = 1 + 16 + 2;

/// Appends a datagram to or from `peer`.
///
/// # Errors
/// When the payload is longer than [`MAX_DATAGRAM`]; nothing is appended then.
pub fn put_datagram(out: &mut Vec<u8>, peer: SocketAddr, payload: &[u8]) -> Result<(), Error> {
    let mut head = Vec::with_capacity(MAX_HEAD);
    put_address(&mut head, &peer.ip());
    head.extend_from_slice(&peer.port().to_be_bytes());
    let too_long = Error::MessageTooLong {
        found: payload.len(),
        max: MAX_DATAGRAM,
    };
    if payload.len() > MAX_DATAGRAM {
        return Err(too_long);
    }
    let len = u16::try_from(head.len() + payload.len()).map_err(|_| too_long)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    Ok(())
}

/// Cuts a stream of bytes, arriving in any pieces, into datagrams. Holds at most one.
#[derive(Debug, Default)]
pub struct DatagramDecoder {
    buffer: Vec<u8>,
}

impl DatagramDecoder {
    /// At the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes from `input` up to the end of the next datagram, and gives that if it is complete.
    ///
    /// # Errors
    /// When the bytes are no datagram; the stream is then beyond repair.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<(SocketAddr, Vec<u8>)>, Error> {
        self.fill(input, LENGTH);
        let Some(length) = self.buffer.first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_be_bytes(*length));
        if len > MAX_HEAD + MAX_DATAGRAM {
            return Err(Error::MessageTooLong {
                found: len,
                max: MAX_HEAD + MAX_DATAGRAM,
            });
        }
        self.fill(input, LENGTH + len);
        if self.buffer.len() < LENGTH + len {
            return Ok(None);
        }
        let mut fields = Fields::new("datagram", self.buffer.get(LENGTH..).unwrap_or_default());
        let address = fields.address("address")?;
        let peer = SocketAddr::new(address, fields.u16("port")?);
        let payload = fields.rest();
        if payload.len() > MAX_DATAGRAM {
            return Err(fields.bad("payload"));
        }
        let payload = payload.to_vec();
        self.buffer.clear();
        Ok(Some((peer, payload)))
    }

    fn fill(&mut self, input: &mut &[u8], up_to: usize) {
        let wanted = up_to.saturating_sub(self.buffer.len()).min(input.len());
        let (head, tail) = input.split_at(wanted);
        self.buffer.extend_from_slice(head);
        *input = tail;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram() -> impl Strategy<Value = (SocketAddr, Vec<u8>)> {
        (
            any::<SocketAddr>(),
            prop::collection::vec(any::<u8>(), 0..200),
        )
            .prop_map(|(peer, payload)| (SocketAddr::new(peer.ip(), peer.port()), payload))
    }

    proptest! {
        #[test]
        fn any_datagrams_survive_any_split(datagrams in prop::collection::vec(datagram(), 1..8), cuts in prop::collection::vec(1usize..90, 1..40)) {
            let mut bytes = Vec::new();
            for (peer, payload) in &datagrams {
                put_datagram(&mut bytes, *peer, payload).unwrap();
            }
            let (mut decoder, mut seen) = (DatagramDecoder::new(), Vec::new());
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (mut piece, tail) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                rest = tail;
                while let Some(datagram) = decoder.decode(&mut piece).unwrap() {
                    seen.push(datagram);
                }
                prop_assert!(piece.is_empty());
            }
            prop_assert_eq!(seen, datagrams);
        }
    }

    #[test]
    fn the_longest_passes_and_one_byte_more_does_not() {
        let peer = "192.168.1.9:2015".parse().unwrap();
        let mut out = Vec::new();
        assert!(put_datagram(&mut out, peer, &[0; MAX_DATAGRAM + 1]).is_err());
        assert!(out.is_empty());
        put_datagram(&mut out, peer, &[7; MAX_DATAGRAM]).unwrap();
        let whole = DatagramDecoder::new().decode(&mut &out[..]).unwrap();
        assert_eq!(whole, Some((peer, vec![7; MAX_DATAGRAM])));
        // The length of an IPv6 datagram around the payload of one that is too long.
        let mut lie = 1_508_u16.to_be_bytes().to_vec();
        lie.extend([4, 1, 2, 3, 4, 0, 9]);
        lie.resize(lie.len() + MAX_DATAGRAM + 1, 0);
        assert!(DatagramDecoder::new().decode(&mut &lie[..]).is_err());
    }

    #[test]
    fn what_is_no_datagram_is_refused_before_its_bytes_are_awaited() {
        for bytes in [&[0xff, 0xff][..], &[0, 3, 9, 0, 0], &[0, 2, 4, 1]] {
            assert!(
                DatagramDecoder::new().decode(&mut &bytes[..]).is_err(),
                "{bytes:?}"
            );
        }
    }
}
