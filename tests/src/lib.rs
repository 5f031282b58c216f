//! The built programs from outside, against real peers.
