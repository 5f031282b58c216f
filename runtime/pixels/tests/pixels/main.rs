//! Pictures of streams in memory, by real decoder processes.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod camera;
mod damage;
mod movies;
mod stills;
