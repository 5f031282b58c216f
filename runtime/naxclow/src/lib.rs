//! The cloud of A9, X6, X9 and V720 cameras, at home.
//!
//! [`Listeners`] takes the ports, [`Cloud`] knows the cameras, [`Listeners::serve`] runs both: the HTTP bootstrap,
//! the control connections on TCP, the media on UDP, and where they are wanted the MQTT broker's part and the
//! answers to DNS. [`A9Driver`] is the camera side of the hub; [`access_point`] speaks to a camera that is its own
//! network. The protocol itself is in `proto-naxclow`.
//!
//! Anybody in the network can register as any camera: the protocol has no login. So a camera is told by its device
//! code, never by its address, a new one is only listed until a person accepts it, and media is taken from nowhere
//! but the endpoint that the camera's own probe answer came from.
#![warn(missing_docs)]

mod accept;
pub mod access_point;
mod bootstrap;
mod camera;
mod cloud;
mod control;
mod datagrams;
mod dns;
mod driver;
mod error;
mod listeners;
mod live;
mod mqtt;
mod order;
mod report;
mod settings;

pub use camera::Step;
pub use cloud::{Cloud, MAX_CAMERAS, MAX_PENDING};
pub use driver::A9Driver;
pub use error::Error;
pub use listeners::{Addresses, Listeners};
pub use live::{Item, Live};
pub use order::Order;
pub use proto_naxclow::bootstrap::Request;
pub use report::{Admission, Asker, CameraReport, Missing, Report, StepReport};
pub use settings::Settings;
