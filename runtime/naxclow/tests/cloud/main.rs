//! The cloud on loopback, against simulated cameras of every kind and with every fault, and against strangers.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

mod admission;
mod hostile;
mod orders;
mod streams;
mod world;
