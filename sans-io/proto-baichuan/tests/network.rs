//! Client and camera over a bad network, in virtual time: usually some 2,500 conversations. More, so many in each of
//! the eight weathers: `EYELET_SEEDS=1000 cargo test -p proto-baichuan --test network -- --nocapture` (a minute;
//! unlike nextest it has no time limit). One of them again: `EYELET_SEED=17`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

#[path = "network/conversation.rs"]
mod conversation;
#[path = "network/goodput.rs"]
mod goodput;
#[path = "network/servers.rs"]
mod servers;
#[path = "network/wire.rs"]
mod wire;

/// Seeds to run: one, or so many from 0.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match number("EYELET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("EYELET_SEEDS").unwrap_or(usual),
    }
}
