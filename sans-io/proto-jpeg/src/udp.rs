use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use media::MAX_ACCESS_UNIT;
use subtle::ConstantTimeEq;

use crate::Scanner;

/// Bytes before each fragment: picture number u32, fragment index u16, fragments u16, picture size
/// u32, all big-endian (observed, ESP32-CAM TCP server library).
pub const DATAGRAM_HEADER: usize = 12;

/// Largest datagram that is taken: what fits an Ethernet frame. The library sends 1412 bytes.
pub const MAX_DATAGRAM: usize = 1500;

/// What a handshake begins with; eight bytes of password follow.
pub const HANDSHAKE: &[u8; 2] = b"HS";

/// Cameras that may send to one port at a time: each costs a little memory.
pub const MAX_SOURCES: usize = 16;

/// Unfinished pictures kept per camera: two overlap when datagrams overtake each other.
pub const MAX_PENDING_PICTURES: usize = 3;

/// Memory for all unfinished pictures together, so that nobody fills it by announcing giants.
pub const MAX_PENDING_BYTES: usize = 2 * MAX_ACCESS_UNIT;

/// How long a picture may take to arrive. A camera sends all its fragments within milliseconds.
pub const PICTURE_LIFE: Duration = Duration::from_millis(500);

/// Silence after which a camera's place may go to another.
pub const SOURCE_LIFE: Duration = Duration::from_secs(10);

/// What a kept fragment costs beside its bytes, about.
const FRAGMENT_COST: usize = 96;

/// Pictures this little older than the newest are late ones. What is older comes from a camera
/// that began to count anew.
const MAX_LATENESS: u32 = 8;

/// Why a datagram was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a fragment and not a handshake.
    #[error("datagram of {len} bytes from {from}: {what}")]
    Malformed {
        /// Who sent it.
        from: SocketAddr,
        /// How long it was.
        len: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// All fragments came, and they make no whole JPEG picture.
    #[error("picture {number} from {from} is torn or no JPEG: {len} bytes")]
    Torn {
        /// Who sent it.
        from: SocketAddr,
        /// The picture's number.
        number: u32,
        /// Its bytes.
        len: usize,
    },
    /// A password is wanted, and this sender has not given the right one.
    #[error("{from} has not given the right password in its handshake")]
    Password {
        /// Who sent it.
        from: SocketAddr,
    },
    /// More cameras than there are places.
    #[error("{from} is one camera too many: {MAX_SOURCES} send already")]
    TooManySources {
        /// Who sent it.
        from: SocketAddr,
    },
}

/// Joins the datagrams of cameras that push over UDP, each sender by itself.
///
/// Picture numbers may wrap and may begin anew. Memory is bounded whatever arrives, and unfinished
/// pictures expire by time, not by the arrival of others.
#[derive(Debug, Default)]
pub struct Reassembler {
    password: Option<Vec<u8>>,
    sources: BTreeMap<SocketAddr, Sender>,
    /// Cost of all unfinished pictures.
    cost: usize,
    expired: u64,
}

#[derive(Debug)]
struct Sender {
    heard: Instant,
    newest: Option<u32>,
    pending: Vec<Pending>,
    /// Unfinished pictures that were given up since somebody asked.
    given_up: u64,
}

#[derive(Debug)]
struct Pending {
    number: u32,
    started: Instant,
    fragments: u16,
    size: usize,
    received: usize,
    parts: BTreeMap<u16, Bytes>,
}

struct Fragment<'a> {
    number: u32,
    index: u16,
    fragments: u16,
    size: usize,
    payload: &'a [u8],
}

impl Reassembler {
    /// With a password, only senders that gave it in their handshake are heard. It travels in clear.
    #[must_use]
    pub fn new(password: Option<&str>) -> Self {
        Self {
            password: password.map(|password| password.as_bytes().to_vec()),
            ..Self::default()
        }
    }

    /// Takes one datagram; gives the picture that it completes.
    ///
    /// # Errors
    /// Why it was not taken. Nothing about a datagram ends the reception of others.
    pub fn handle_datagram(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        now: Instant,
    ) -> Result<Option<Bytes>, Error> {
        self.handle_timeout(now);
        if let Some(password) = handshake(data) {
            if let Some(wanted) = &self.password
                && !bool::from(wanted.as_slice().ct_eq(password))
            {
                return Err(Error::Password { from });
            }
            // A camera greets when it begins to send, and so after a restart.
            self.forget(from);
            self.admit(from, now)?;
            return Ok(None);
        }
        let fragment = Fragment::decode(data).map_err(|what| Error::Malformed {
            from,
            len: data.len(),
            what,
        })?;
        if !self.sources.contains_key(&from) {
            if self.password.is_some() {
                return Err(Error::Password { from });
            }
            self.admit(from, now)?;
        }
        let Some(sender) = self.sources.get_mut(&from) else {
            return Ok(None);
        };
        sender.heard = now;
        if sender.is_late(fragment.number) {
            return Ok(None);
        }
        let (before, after) = (sender.cost(), {
            sender.take(&fragment, now);
            sender.cost()
        });
        self.cost = self.cost.saturating_sub(before).saturating_add(after);
        let finished = sender.finish(fragment.number);
        self.expired += std::mem::take(&mut sender.given_up);
        self.cost = self
            .cost
            .saturating_sub(after)
            .saturating_add(sender.cost());
        self.shed();
        match finished {
            None => Ok(None),
            Some(joined) => {
                let len = joined.len();
                let mut scanner = Scanner::default();
                scanner.feed_owned(joined);
                match scanner.poll() {
                    Some(picture) => Ok(Some(picture)),
                    None => Err(Error::Torn {
                        from,
                        number: fragment.number,
                        len,
                    }),
                }
            }
        }
    }

    /// Drops what has waited too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        for sender in self.sources.values_mut() {
            let before = sender.cost();
            let count = sender.pending.len();
            sender
                .pending
                .retain(|pending| now.saturating_duration_since(pending.started) < PICTURE_LIFE);
            self.expired += (count - sender.pending.len()) as u64;
            self.cost = self.cost.saturating_sub(before - sender.cost());
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let pending = self.sources.values().flat_map(|sender| &sender.pending);
        pending.map(|pending| pending.started + PICTURE_LIFE).min()
    }

    /// Pictures that never became whole.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Memory that unfinished pictures take, about.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.cost
    }

    fn admit(&mut self, from: SocketAddr, now: Instant) -> Result<(), Error> {
        if self.sources.len() >= MAX_SOURCES {
            let silent = self
                .sources
                .iter()
                .filter(|(_, sender)| now.saturating_duration_since(sender.heard) >= SOURCE_LIFE)
                .min_by_key(|(_, sender)| sender.heard)
                .map(|(address, _)| *address);
            self.forget(silent.ok_or(Error::TooManySources { from })?);
        }
        let sender = Sender {
            heard: now,
            newest: None,
            pending: Vec::new(),
            given_up: 0,
        };
        self.sources.insert(from, sender);
        Ok(())
    }

    fn forget(&mut self, from: SocketAddr) {
        if let Some(sender) = self.sources.remove(&from) {
            self.cost = self.cost.saturating_sub(sender.cost());
        }
    }

    /// Keeps within the memory: the oldest unfinished pictures go first.
    fn shed(&mut self) {
        while self.cost > MAX_PENDING_BYTES {
            let oldest = self
                .sources
                .values_mut()
                .filter(|sender| !sender.pending.is_empty())
                .min_by_key(|sender| sender.pending.iter().map(|pending| pending.started).min());
            let Some(sender) = oldest else { return };
            let before = sender.cost();
            sender.drop_oldest();
            self.expired += std::mem::take(&mut sender.given_up);
            self.cost = self.cost.saturating_sub(before - sender.cost());
        }
    }
}

impl Sender {
    fn is_late(&self, number: u32) -> bool {
        self.newest
            .is_some_and(|newest| newest.wrapping_sub(number) <= MAX_LATENESS)
    }

    fn take(&mut self, fragment: &Fragment<'_>, now: Instant) {
        // The same number with another shape: the camera began anew.
        self.pending.retain(|pending| {
            pending.number != fragment.number
                || (pending.fragments, pending.size) == (fragment.fragments, fragment.size)
        });
        if !self.pending.iter().any(|p| p.number == fragment.number) {
            if self.pending.len() >= MAX_PENDING_PICTURES {
                self.drop_oldest();
            }
            self.pending.push(Pending {
                number: fragment.number,
                started: now,
                fragments: fragment.fragments,
                size: fragment.size,
                received: 0,
                parts: BTreeMap::new(),
            });
        }
        let pending = self
            .pending
            .iter_mut()
            .find(|p| p.number == fragment.number);
        if let Some(pending) = pending
            && !pending.parts.contains_key(&fragment.index)
            && pending.received + fragment.payload.len() <= pending.size
        {
            pending.received += fragment.payload.len();
            let bytes = Bytes::copy_from_slice(fragment.payload);
            pending.parts.insert(fragment.index, bytes);
        }
    }

    /// The joined bytes of `number`, if all of them are here.
    fn finish(&mut self, number: u32) -> Option<BytesMut> {
        let at = self.pending.iter().position(|pending| {
            pending.number == number
                && pending.parts.len() == usize::from(pending.fragments)
                && pending.received == pending.size
        })?;
        let pending = self.pending.swap_remove(at);
        self.newest = Some(number);
        let mut late = std::mem::take(&mut self.pending);
        let unfinished = late.len();
        late.retain(|pending| !self.is_late(pending.number));
        self.given_up += (unfinished - late.len()) as u64;
        self.pending = late;
        let mut joined = BytesMut::with_capacity(pending.size);
        for part in pending.parts.values() {
            joined.extend_from_slice(part);
        }
        Some(joined)
    }

    fn drop_oldest(&mut self) {
        let oldest = (0..self.pending.len())
            .min_by_key(|&at| self.pending.get(at).map(|pending| pending.started));
        if let Some(at) = oldest {
            self.pending.swap_remove(at);
            self.given_up += 1;
        }
    }

    fn cost(&self) -> usize {
        let cost = |p: &Pending| p.received + (p.parts.len() + 1) * FRAGMENT_COST;
        self.pending.iter().map(cost).sum()
    }
}

impl<'a> Fragment<'a> {
    fn decode(mut data: &'a [u8]) -> Result<Self, &'static str> {
        if data.len() > MAX_DATAGRAM {
            return Err("longer than any fragment");
        }
        if data.len() <= DATAGRAM_HEADER {
            return Err("too short for a fragment, and no handshake");
        }
        let (number, index, fragments) = (data.get_u32(), data.get_u16(), data.get_u16());
        let size = usize::try_from(data.get_u32()).unwrap_or(usize::MAX);
        if index >= fragments {
            return Err("a fragment beyond the number of fragments");
        }
        if size > MAX_ACCESS_UNIT {
            return Err("a picture larger than any camera makes");
        }
        let most = usize::from(fragments) * (MAX_DATAGRAM - DATAGRAM_HEADER);
        if size < usize::from(fragments) || size > most || data.len() > size {
            return Err("a picture size that does not fit its fragments");
        }
        Ok(Self {
            number,
            index,
            fragments,
            size,
            payload: data,
        })
    }
}

fn handshake(data: &[u8]) -> Option<&[u8]> {
    (data.len() == 10).then_some(data)?.strip_prefix(HANDSHAKE)
}

/// One fragment as the library sends it.
#[must_use]
pub fn encode_datagram(
    number: u32,
    index: u16,
    fragments: u16,
    size: u32,
    payload: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(DATAGRAM_HEADER + payload.len());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&index.to_be_bytes());
    out.extend_from_slice(&fragments.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(payload);
    out
}
