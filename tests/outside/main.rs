//! What Eyelet promises, seen from outside. One program, so that it is linked once.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod parts;
