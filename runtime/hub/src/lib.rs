//! Streams, rings, readers as cursors.
//!
//! Publishing never waits. Each [`Stream`] has one [`Ring`] of [`Event`]s; each muxed format of it
//! has one more ring, made by that format's muxer. A reader is a [`Cursor`]; payloads are shared,
//! never copied per reader. The hub knows no protocol, no HTTP, no disk.
//!
//! A [`Lease`] says that somebody wants the stream: the first starts the upstream, and the end of
//! the last lets it stop.
//!
//! ```
//! use hub::{Hub, StreamName};
//! let hub = Hub::new();
//! let stream = hub.add(StreamName::new("porch").unwrap());
//! assert_eq!(stream.leases(), 0);
//! let lease = stream.lease();
//! assert_eq!(stream.leases(), 1);
//! drop(lease);
//! assert_eq!(stream.leases(), 0);
//! ```
#![warn(missing_docs)]

mod name;
mod publisher;
mod ring;
mod statistics;
mod status;
mod stream;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

pub use name::{NameError, StreamName};
pub use publisher::{PublishError, Publisher};
pub use ring::{Cursor, Limits, MAX_LAG, Ring, Slot, Start};
pub use statistics::{OutputCounters, OutputStatistics, Statistics, ViewerGuard};
pub use status::{State, Status};
pub use stream::{Event, Lease, Stream};

/// All streams of this gateway, by name.
#[derive(Debug, Default)]
pub struct Hub {
    streams: RwLock<BTreeMap<StreamName, Arc<Stream>>>,
}

impl Hub {
    /// A hub without streams.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream, or gives the one that has this name already.
    pub fn add(&self, name: StreamName) -> Arc<Stream> {
        let mut streams = self
            .streams
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let stream = streams
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Stream::new(name)));
        Arc::clone(stream)
    }

    /// The stream of this name.
    #[must_use]
    pub fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        let streams = self
            .streams
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.get(name).map(Arc::clone)
    }

    /// All streams in the order of their names.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        let streams = self
            .streams
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.values().map(Arc::clone).collect()
    }

    /// Takes a stream out, and tells those who wait for it. Its readers keep what they hold and get nothing new.
    pub fn remove(&self, name: &str) -> Option<Arc<Stream>> {
        let mut streams = self
            .streams
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let stream = streams.remove(name)?;
        stream.set_removed();
        Some(stream)
    }
}
