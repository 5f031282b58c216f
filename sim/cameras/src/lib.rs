//! Simulated cameras: the device half of each protocol.
