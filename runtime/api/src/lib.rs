//! HTTP: routes, dashboard, one port for plain and TLS.
//!
//! [`serve`] runs the listener, [`AppState`] is what the routes know. The dashboard in `web/` uses
//! nothing but the API here. This crate reads the hub and asks others for pictures and agents; it
//! never talks to a camera.

mod a9;
mod agents;
mod assets;
mod changes;
mod devices;
mod fleet;
mod guard;
mod listener;
mod mask;
mod metrics;
mod original;
mod patience;
mod problem;
mod routes;
mod settings;
mod state;
mod stills;
mod takeover;
mod talk;
mod view;
mod viewing;

pub use devices::{BatteryStatus, Controls, DeviceEvent, DeviceStatus, Refusal, Reply, Sound};
pub use fleet::{Agents, Fleet};
pub use listener::{
    HEAD_TIMEOUT, Limits, MAX_CONNECTIONS, MAX_HEAD, MAX_HEADERS, Peer, STALL_TIMEOUT, Tls, serve,
    serve_with,
};
pub use routes::router;
pub use state::{
    Addresses, AppState, CameraInfo, Parts, Readiness, Reload, Reloaded, Settings, SettingsError,
};
