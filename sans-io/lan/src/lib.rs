//! What a local network tells of the cameras in it, so that one whose address moves is found by what stays: its MAC
//! address, the host name in its lease, or its ONVIF device id.
//!
//! Texts of the kernel, of DHCP servers and of devices in, addresses out. Nothing here asks anybody: who reads the files
//! and sends the datagrams is the agent.
//!
//! ```
//! use lan::{Mac, leases};
//! let text = "1765000000 9c:8e:cd:01:02:03 192.168.1.10 shed-cam *\n";
//! let found = leases(text);
//! assert_eq!(found[0].mac, Mac::parse("9C-8E-CD-01-02-03").unwrap());
//! assert_eq!(found[0].address.to_string(), "192.168.1.10");
//! ```
#![warn(
    missing_docs,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

pub mod discovery;
mod tables;
mod uuid;
mod xml;

pub use tables::{Lease, MAX_ROWS, Mac, Network, leases, neighbours, networks};
pub use uuid::Uuid;
