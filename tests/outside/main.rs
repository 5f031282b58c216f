//! What Eyelet promises, seen from outside. One program, so that it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failure here is a failed test, and says why"
)]

mod a9;
mod a9_access_point;
mod bare_site;
mod browser;
mod certificates;
mod cli;
mod demo;
mod hostile;
mod joining;
mod jpeg_cli;
mod jpeg_in;
mod jpeg_out;
mod leases;
mod logins;
mod manage;
mod nat;
mod outages;
mod parts;
mod passthrough;
mod pixels;
mod quic;
mod reconnects;
mod reload;
mod reolink;
mod reolink_agent;
mod reolink_browser;
mod reolink_clients;
mod stalled;
mod viewers;
