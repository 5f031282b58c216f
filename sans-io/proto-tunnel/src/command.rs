//! What the gateway asks of the agent itself, and what the agent tells of itself.
//!
//! A command is the first message of a stream that the gateway opens, where else [`crate::Open`] stands:
//!
//! ```text
//! gateway: command(report)      agent: report, end
//! gateway: command(log)         agent: opened, then lines "AGE text\n" (AGE in milliseconds), end
//! gateway: command(restart)     agent: opened, end; then it restarts and dials again
//! any of them                   agent: open-failed with its reason, end
//! ```
//!
//! An agent that is older than a command resets the stream.

use std::net::IpAddr;

use crate::wire::{Fields, put_address, put_text};
use crate::{Error, MAX_HOST};

/// Longest model name; the makers' own stay below 40.
pub const MAX_MODEL: usize = 64;
/// Longest path with query of a camera's stream.
pub const MAX_PATH: usize = 256;
/// Longest name of a quality: "medium".
pub const MAX_QUALITY: usize = 16;
/// Longest log that is taken from an agent; it keeps far less.
pub const MAX_LOG: usize = 64 << 10;

/// What an agent can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start the program anew.
    Restart,
    /// Give the newest log lines.
    Log,
    /// Tell of yourself and your camera.
    Report,
    /// A command that a newer gateway knows.
    Other(u8),
}

/// What an agent tells of itself and of its camera. Counters run since the program started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Random for each start of the program: another number is another process.
    pub instance: u64,
    /// Since the program started, in milliseconds.
    pub uptime_ms: u64,
    /// Sessions with the gateway, this one included.
    pub sessions: u64,
    /// Connections to targets that stood.
    pub opened: u64,
    /// Connections to targets that did not come to stand.
    pub failed: u64,
    /// Bytes of memory that the program holds; 0 if the system does not say.
    pub memory: u64,
    /// The camera: the first target that it may dial.
    pub camera: Option<CameraReport>,
    /// The camera's model, as the agent's configuration calls it; may be empty.
    pub model: String,
    /// Path with query of the camera's stream, as the agent's configuration has it; may be empty.
    pub path: String,
    /// Which of the camera's streams is wanted, in the configuration's word; may be empty.
    pub quality: String,
}

/// The agent's camera, as seen from the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraReport {
    /// Host as the agent's list has it.
    pub host: String,
    /// Port of RTSP.
    pub port: u16,
    /// Address at the site, if it is known.
    pub address: Option<IpAddr>,
    /// Whether that address is leased by DHCP, if it is known.
    pub is_dhcp: Option<bool>,
    /// Whether the agent found the address by itself, and nobody wrote it down.
    pub is_detected: bool,
    /// Whether the newest dial reached it; unknown before the first.
    pub is_reached: Option<bool>,
}

impl Command {
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Restart,
            2 => Self::Log,
            3 => Self::Report,
            other => Self::Other(other),
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Restart => 1,
            Self::Log => 2,
            Self::Report => 3,
            Self::Other(other) => other,
        }
    }
}

const NAME: &str = "report";

impl Report {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        for number in [
            self.instance,
            self.uptime_ms,
            self.sessions,
            self.opened,
            self.failed,
            self.memory,
        ] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        put_text(out, NAME, "model", &self.model, MAX_MODEL)?;
        put_text(out, NAME, "path", &self.path, MAX_PATH)?;
        put_text(out, NAME, "quality", &self.quality, MAX_QUALITY)?;
        let Some(camera) = &self.camera else {
            out.push(0);
            return Ok(());
        };
        out.push(1);
        put_text(out, NAME, "host", &camera.host, MAX_HOST)?;
        out.extend_from_slice(&camera.port.to_be_bytes());
        out.push(u8::from(camera.address.is_some()));
        if let Some(address) = &camera.address {
            put_address(out, address);
        }
        out.extend_from_slice(&[
            known(camera.is_dhcp),
            u8::from(camera.is_detected),
            known(camera.is_reached),
        ]);
        Ok(())
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(NAME, body);
        let mut report = Self {
            instance: fields.u64("instance")?,
            uptime_ms: fields.u64("uptime")?,
            sessions: fields.u64("sessions")?,
            opened: fields.u64("opened")?,
            failed: fields.u64("failed")?,
            memory: fields.u64("memory")?,
            camera: None,
            model: fields.text("model", MAX_MODEL)?,
            path: fields.text("path", MAX_PATH)?,
            quality: fields.text("quality", MAX_QUALITY)?,
        };
        if flag(&mut fields, "camera")? {
            report.camera = Some(CameraReport {
                host: fields.text("host", MAX_HOST)?,
                port: fields.u16("port")?,
                address: if flag(&mut fields, "address")? {
                    Some(fields.address("address")?)
                } else {
                    None
                },
                is_dhcp: perhaps(&mut fields, "dhcp")?,
                is_detected: flag(&mut fields, "detected")?,
                is_reached: perhaps(&mut fields, "reached")?,
            });
        }
        Ok(report)
    }
}

fn known(value: Option<bool>) -> u8 {
    match value {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    }
}

fn perhaps(fields: &mut Fields<'_>, field: &'static str) -> Result<Option<bool>, Error> {
    match fields.u8(field)? {
        0 => Ok(None),
        1 => Ok(Some(false)),
        2 => Ok(Some(true)),
        _ => Err(fields.bad(field)),
    }
}

fn flag(fields: &mut Fields<'_>, field: &'static str) -> Result<bool, Error> {
    match fields.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(fields.bad(field)),
    }
}
