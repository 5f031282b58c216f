//! Networks in memory: a house behind NAT without a kernel.
