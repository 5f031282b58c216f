//! JSON messages (facts, sections 4, 5, 8, 9): read with tolerance, written as the known peers write them.

use std::fmt::Write as _;

use bytes::Bytes;

use crate::json::{Style, quoted};
use crate::recordings::{Day, Minute};
use crate::{Cmd, Error, Frame, Object, Side, Uid};

/// Where a NAT request or its result points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// Address in its own network, as text: peers write `255.255.255.255` for "none".
    pub ip: String,
    /// Port in its own network; 0 for none.
    pub port: u16,
    /// Address as the other side sees it.
    pub nat_ip: String,
    /// Port as the other side sees it.
    pub nat_port: u16,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// 11, cloud to camera: open UDP to one of these.
    NatRequest {
        /// Names the client, 32 hexadecimal digits.
        cli_target: String,
        /// Eight characters, echoed.
        cli_token: String,
        /// Where the client is.
        client: Endpoints,
    },
    /// 12, camera to cloud: what came of 11. Informative.
    NatResult {
        /// 200 for success.
        status: i64,
        /// Where the camera is.
        device: Endpoints,
        /// From the request.
        cli_target: String,
        /// From the request.
        cli_token: String,
    },
    /// 20: what is my address?
    AddressQuery,
    /// 21: answers 20; cameras ignore the values.
    AddressAnswer {
        /// The asker's address.
        ip: String,
        /// The asker's port.
        port: u16,
    },
    /// 50, client to camera over UDP.
    Probe,
    /// 51, camera to client over UDP: where it comes from is the camera's data endpoint.
    ProbeAnswer {
        /// The camera.
        uid: Uid,
        /// 200.
        status: i64,
    },
    /// 53: a client is there; the camera takes commands now.
    ClientOnline {
        /// 1.
        status: i64,
    },
    /// 54: asks for 55, to measure the round trip.
    RoundTrip {
        /// Milliseconds, as text.
        stamp: String,
    },
    /// 55: answers 54.
    RoundTripAnswer {
        /// From the question.
        stamp: i64,
    },
    /// 100: a camera registers.
    Register {
        /// Which camera.
        uid: Uid,
        /// `pwd` of the bootstrap reply; no server ever checked it.
        token: String,
        /// `domain` of the bootstrap reply.
        domain: String,
    },
    /// 101: answers 100.
    Registered {
        /// 200 for success.
        status: i64,
    },
    /// 301: a command or its answer, station mode.
    Forward {
        /// The client's `cli_target`.
        target: String,
        /// See [`crate::Command`].
        content: Object,
    },
    /// 501, client to camera: the greeting of access-point mode.
    Hello {
        /// Names the client.
        target: String,
        /// Checked by no camera.
        token: String,
        /// Seconds since 1970.
        unix_time: i64,
    },
    /// 501, camera to client.
    HelloAnswer {
        /// From the greeting.
        target: String,
        /// 200 for success.
        status: i64,
    },
    /// 502: a command (no target) or its answer, access-point mode.
    Direct {
        /// Named in answers only.
        target: Option<String>,
        /// See [`crate::Command`].
        content: Object,
    },
    /// 400, 402, 404, 406, 408, 412: a question about recordings.
    Recordings {
        /// Names the camera.
        dev_target: String,
        /// What is asked.
        request: RecordingRequest,
    },
    /// Anything else, with its `code`; answers about recordings are among them.
    Other(Object),
}

/// A question about recordings on the SD card (facts, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingRequest {
    /// 400: which days have any?
    Days,
    /// 402: which minutes of this day?
    Index(Day),
    /// 404: how long is this one?
    Size(Minute),
    /// 406: send this one.
    Download(Minute),
    /// 408: stop sending.
    Stop,
    /// 412: delete this one. Without effect on newer firmware in access-point mode.
    Delete(Minute),
}

impl RecordingRequest {
    /// The code of the question; its answer has the next.
    pub fn code(self) -> i64 {
        match self {
            Self::Days => 400,
            Self::Index(_) => 402,
            Self::Size(_) => 404,
            Self::Download(_) => 406,
            Self::Stop => 408,
            Self::Delete(_) => 412,
        }
    }
}

impl Message {
    /// Reads the payload of a frame of [`Cmd::Json`].
    pub fn read(payload: &[u8]) -> Result<Self, Error> {
        let object = Object::read(payload)?;
        let code = object.integer("code").ok_or(Error::Member {
            code: 0,
            member: "code",
        })?;
        let fields = Fields {
            code,
            object: &object,
        };
        Ok(match code {
            11 => Self::NatRequest {
                cli_target: fields.text("cliTarget")?,
                cli_token: fields.text("cliToken")?,
                client: fields.endpoints(["cliIp", "cliPort", "cliNatIp", "cliNatPort"])?,
            },
            12 => Self::NatResult {
                status: fields.status(),
                device: fields.endpoints(["devIp", "devPort", "devNatIp", "devNatPort"])?,
                cli_target: fields.text("cliTarget")?,
                cli_token: fields.text("cliToken")?,
            },
            20 => Self::AddressQuery,
            21 => Self::AddressAnswer {
                ip: fields.text("ip").unwrap_or_default(),
                port: fields.port("port").unwrap_or_default(),
            },
            50 => Self::Probe,
            51 => Self::ProbeAnswer {
                uid: fields.text("devTarget")?.parse()?,
                status: fields.status(),
            },
            53 => Self::ClientOnline {
                status: fields.status(),
            },
            54 => Self::RoundTrip {
                stamp: fields.stamp()?.to_string(),
            },
            55 => Self::RoundTripAnswer {
                stamp: fields.stamp()?,
            },
            100 => Self::Register {
                uid: fields.text("uid")?.parse()?,
                token: fields.text("token").unwrap_or_default(),
                domain: fields.text("domain").unwrap_or_default(),
            },
            101 => Self::Registered {
                status: fields.status(),
            },
            301 => Self::Forward {
                target: fields.text("target").unwrap_or_default(),
                content: fields.content()?,
            },
            501 => match object.integer("unixTimer") {
                Some(unix_time) => Self::Hello {
                    target: fields.text("target")?,
                    token: fields.text("token").unwrap_or_default(),
                    unix_time,
                },
                None => Self::HelloAnswer {
                    target: fields.text("target").unwrap_or_default(),
                    status: fields.status(),
                },
            },
            502 => Self::Direct {
                target: fields.text("target").ok(),
                content: fields.content()?,
            },
            400 | 402 | 404 | 406 | 408 | 412 => Self::Recordings {
                // Two clients, two names (facts, section 10).
                dev_target: fields
                    .text("devTarget")
                    .or_else(|_| fields.text("target"))
                    .unwrap_or_default(),
                request: fields.recording()?,
            },
            _ => Self::Other(object),
        })
    }

    /// The text, space for space as the reference peers write it.
    pub fn text(&self) -> String {
        match self {
            // Cameras write these two by hand (capture, serial log).
            Self::Register { uid, token, domain } => {
                let mut text = format!("{{\"code\": 100, \"uid\": {}", quoted(uid.as_str()));
                let _ = write!(text, ", \"token\": {} ,", quoted(token));
                let _ = write!(text, "\"domain\": {}}}", quoted(domain));
                text
            }
            Self::HelloAnswer { target, status } => format!(
                "{{ \"code\":501, \"target\":{},\"status\":{status}}}",
                quoted(target)
            ),
            _ => self.object().write(Style::Spaced),
        }
    }

    /// The message as a frame.
    pub fn frame(&self, side: Side) -> Frame {
        Frame::control(Cmd::Json, Bytes::from(self.text()), side)
    }

    /// The message as an object, members in the order of the wire.
    pub fn object(&self) -> Object {
        let code = |code: i64| Object::default().with("code", code);
        match self {
            Self::NatRequest {
                cli_target,
                cli_token,
                client,
            } => put_endpoints(
                code(11)
                    .with("cliTarget", cli_target.as_str())
                    .with("cliToken", cli_token.as_str()),
                ["cliIp", "cliPort", "cliNatIp", "cliNatPort"],
                client,
            ),
            Self::NatResult {
                status,
                device,
                cli_target,
                cli_token,
            } => put_endpoints(
                code(12).with("status", *status),
                ["devIp", "devPort", "devNatIp", "devNatPort"],
                device,
            )
            .with("cliTarget", cli_target.as_str())
            .with("cliToken", cli_token.as_str()),
            Self::AddressQuery => code(20),
            Self::AddressAnswer { ip, port } => code(21)
                .with("ip", ip.as_str())
                .with("port", i64::from(*port)),
            Self::Probe => code(50),
            Self::ProbeAnswer { uid, status } => code(51)
                .with("devTarget", uid.as_str())
                .with("status", *status),
            Self::ClientOnline { status } => code(53).with("status", *status),
            Self::RoundTrip { stamp } => code(54).with("timerStamp", stamp.as_str()),
            Self::RoundTripAnswer { stamp } => code(55).with("timerStamp", *stamp),
            Self::Register { uid, token, domain } => code(100)
                .with("uid", uid.as_str())
                .with("token", token.as_str())
                .with("domain", domain.as_str()),
            Self::Registered { status } => code(101).with("status", *status),
            Self::Forward { target, content } => code(301)
                .with("target", target.as_str())
                .with("content", content.clone()),
            Self::Hello {
                target,
                token,
                unix_time,
            } => code(501)
                .with("target", target.as_str())
                .with("token", token.as_str())
                .with("unixTimer", *unix_time),
            Self::HelloAnswer { target, status } => code(501)
                .with("target", target.as_str())
                .with("status", *status),
            Self::Direct { target, content } => match target {
                Some(target) => code(502).with("target", target.as_str()),
                None => code(502),
            }
            .with("content", content.clone()),
            Self::Recordings {
                dev_target,
                request,
            } => {
                let object = code(request.code()).with("devTarget", dev_target.as_str());
                match request {
                    RecordingRequest::Days | RecordingRequest::Stop => object,
                    RecordingRequest::Index(day) => object.with("date", day.number()),
                    RecordingRequest::Size(minute)
                    | RecordingRequest::Download(minute)
                    | RecordingRequest::Delete(minute) => object
                        .with("date", minute.day.number())
                        .with("hours", i64::from(minute.hour))
                        .with("minute", i64::from(minute.minute)),
                }
            }
            Self::Other(object) => object.clone(),
        }
    }
}

fn put_endpoints(object: Object, names: [&str; 4], endpoints: &Endpoints) -> Object {
    let [ip, port, nat_ip, nat_port] = names;
    object
        .with(ip, endpoints.ip.as_str())
        .with(port, i64::from(endpoints.port))
        .with(nat_ip, endpoints.nat_ip.as_str())
        .with(nat_port, i64::from(endpoints.nat_port))
}

/// The members of a message that is being read.
struct Fields<'a> {
    code: i64,
    object: &'a Object,
}

impl Fields<'_> {
    fn missing(&self, member: &'static str) -> Error {
        Error::Member {
            code: self.code,
            member,
        }
    }

    fn text(&self, name: &'static str) -> Result<String, Error> {
        let text = self.object.text(name);
        text.map(str::to_owned).ok_or(self.missing(name))
    }

    fn port(&self, name: &'static str) -> Result<u16, Error> {
        let port = self.object.integer(name);
        port.and_then(|port| u16::try_from(port).ok())
            .ok_or(self.missing(name))
    }

    /// The status; success when none is named, as one camera's answer may lack what another's has.
    fn status(&self) -> i64 {
        self.object.integer("status").unwrap_or(200)
    }

    /// Both spellings were seen (facts, section 5).
    fn stamp(&self) -> Result<i64, Error> {
        self.object
            .integer("timerStamp")
            .or_else(|| self.object.integer("timeStamp"))
            .ok_or(self.missing("timerStamp"))
    }

    fn content(&self) -> Result<Object, Error> {
        self.object
            .object("content")
            .cloned()
            .ok_or(self.missing("content"))
    }

    fn endpoints(&self, names: [&'static str; 4]) -> Result<Endpoints, Error> {
        let [ip, port, nat_ip, nat_port] = names;
        Ok(Endpoints {
            ip: self.text(ip)?,
            port: self.port(port)?,
            nat_ip: self.text(nat_ip)?,
            nat_port: self.port(nat_port)?,
        })
    }

    fn recording(&self) -> Result<RecordingRequest, Error> {
        let number = |name| self.object.integer(name).ok_or(self.missing(name));
        let day = || Day::from_number(number("date")?);
        let minute = || Minute::new(day()?, number("hours")?, number("minute")?);
        Ok(match self.code {
            400 => RecordingRequest::Days,
            402 => RecordingRequest::Index(day()?),
            404 => RecordingRequest::Size(minute()?),
            406 => RecordingRequest::Download(minute()?),
            412 => RecordingRequest::Delete(minute()?),
            _ => RecordingRequest::Stop,
        })
    }
}
