use std::net::{IpAddr, SocketAddr};

use crate::wire::{Fields, put_address, put_offer, put_position, put_text};
use crate::{AgentName, Command, Error, Report, SECRET_LEN, Secret};

/// Bytes before each message's body: its length, big-endian. The body begins with the type.
pub const HEADER_LEN: usize = 2;
/// Longest body. A full [`Hello`] stays below 1 KiB.
pub const MAX_MESSAGE: usize = 2048;
/// Longest host of a target: a full DNS name.
pub const MAX_HOST: usize = 253;
/// Longest host name that an agent tells of its machine (Linux allows 64).
pub const MAX_HOST_NAME: usize = 64;
/// Longest program version, such as `0.1.0+9f2c1d3`.
pub const MAX_PROGRAM: usize = 64;
/// Most addresses that an agent tells of itself; a router with more shows the first ones.
pub const MAX_LOCAL_ADDRESSES: usize = 8;
/// Longest explanation in a refusal.
pub const MAX_TEXT: usize = 512;

/// One message of the control stream, or of a stream before it carries a camera's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The agent's first word.
    Hello(Hello),
    /// The gateway accepts the session.
    Welcome(Welcome),
    /// The gateway does not, and hangs up.
    Refused(Refused),
    /// The gateway asks for a connection to a camera.
    Open(Open),
    /// The connection stands; all further bytes are the camera's.
    Opened,
    /// It does not; the stream ends.
    OpenFailed(OpenFailed),
    /// The gateway asks for a socket for datagrams.
    OpenDatagrams(OpenDatagrams),
    /// The socket stands; all further bytes are datagrams, see [`crate::put_datagram`].
    OpenedDatagrams(OpenedDatagrams),
    /// The session ends on purpose.
    Bye(Bye),
    /// The gateway asks something of the agent itself.
    Command(Command),
    /// The answer to [`Command::Report`].
    Report(Report),
}

/// Who the agent is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Protocol version of the agent, see [`crate::VERSION`].
    pub version: u16,
    /// Its name, as in its join code.
    pub name: AgentName,
    /// Its lasting token, made by itself before it first joins.
    pub token: Secret,
    /// The one-time secret of its join code, until it has been welcomed once.
    pub join_secret: Option<Secret>,
    /// Program version, for the operator's eyes.
    pub program: String,
    /// Host name of its machine.
    pub host_name: String,
    /// Addresses of its machine, the one facing the gateway first.
    pub local_addresses: Vec<IpAddr>,
    /// Random number of the running program.
    pub instance: u64,
    /// Counts its connections. A hello that was under way for so long that a later one has overtaken it is known by this.
    pub attempt: u32,
    /// The session to go on with, if there is one.
    pub resume: Option<Resume>,
}

/// Which session to go on with, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The ticket that the session's first welcome gave. It is worth nothing without the agent's token.
    pub ticket: Secret,
    /// How far the agent got, see [`crate::Endpoint::consumed`].
    pub consumed: u64,
}

/// The session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// Protocol version of the session: the lower of both sides'.
    pub version: u16,
    /// Program version of the gateway.
    pub program: String,
    /// The session's ticket.
    pub ticket: Secret,
    /// How far the gateway got in the session that the hello named; `None`: that one is gone, this is a new one.
    pub resumed: Option<u64>,
    /// Where the gateway takes QUIC.
    pub quic: QuicOffer,
}

/// Whether and where a gateway takes QUIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuicOffer {
    /// Nowhere.
    None,
    /// At the port that the agent dials for a WebSocket.
    SamePort,
    /// At another.
    Port(u16),
}

/// The session does not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, for the program.
    pub reason: Refusal,
    /// Why, for a person.
    pub text: String,
}

/// Why a gateway refuses an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown name, wrong token, wrong, used or expired secret: deliberately one answer for all.
    Unauthorized,
    /// The gateway does not speak the agent's version.
    Version,
    /// Too many failed attempts from this address.
    RateLimited,
    /// The gateway has no room.
    Busy,
    /// The first message was not an acceptable hello.
    Malformed,
    /// A later hello of the same agent has arrived before this one.
    Stale,
    /// A reason that a newer gateway knows.
    Other(u8),
}

/// Asks for a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Host name or IP address (IPv6 without brackets), as seen from the agent.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Asks for a UDP socket. An agent from before there were such does not know this message, and ends the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDatagrams {
    /// Whither the first datagrams shall go, a broadcast address included: an agent that will not let them may say so
    /// at once.
    pub towards: SocketAddr,
}

/// The socket that the agent has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedDatagrams {
    /// Its port, where answers come to; some protocols tell it to the camera.
    pub port: u16,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFailed {
    /// For the program.
    pub kind: OpenFailure,
    /// For a person.
    pub text: String,
}

/// Kinds of failed opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFailure {
    /// The agent's own configuration does not allow this target.
    NotAllowed,
    /// The target refused the connection.
    ConnectionRefused,
    /// The target did not answer.
    TimedOut,
    /// No route, or no such name.
    Unreachable,
    /// The agent has too many streams.
    Busy,
    /// The request itself was no good.
    Malformed,
    /// A kind that a newer agent knows, or any other failure.
    Other(u8),
}

/// Announces the end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bye {
    /// For the program.
    pub reason: ByeReason,
    /// For a person.
    pub text: String,
}

/// Why a session ends on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByeReason {
    /// This side is stopping.
    Shutdown,
    /// The same agent has connected again, and the newest session wins.
    Replaced,
    /// The agent was removed from the gateway.
    Removed,
    /// The peer broke the protocol.
    Protocol,
    /// A reason that a newer peer knows.
    Other(u8),
}

/// Numbers of an enumeration on the wire, one line per value, both directions from one table.
macro_rules! numbered {
    ($name:ident { $($variant:ident = $number:literal),+ $(,)? }) => {
        impl $name {
            fn from_number(number: u8) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Other(other),
                }
            }

            fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Other(other) => other,
                }
            }
        }
    };
}

numbered!(Refusal {
    Unauthorized = 1,
    Version = 2,
    RateLimited = 3,
    Busy = 4,
    Malformed = 5,
    Stale = 6,
});
numbered!(OpenFailure {
    NotAllowed = 1,
    ConnectionRefused = 2,
    TimedOut = 3,
    Unreachable = 4,
    Busy = 5,
    Malformed = 6,
});
numbered!(ByeReason { Shutdown = 1, Replaced = 2, Removed = 3, Protocol = 4 });

const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const OPEN: u8 = 4;
const OPENED: u8 = 5;
const OPEN_FAILED: u8 = 6;
const OPEN_DATAGRAMS: u8 = 7;
const OPENED_DATAGRAMS: u8 = 8;
const BYE: u8 = 9;
const COMMAND: u8 = 32;
const REPORT: u8 = 33;

impl Message {
    /// The message's name, for logs and errors.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Welcome(_) => "welcome",
            Self::Refused(_) => "refused",
            Self::Open(_) => "open",
            Self::Opened => "opened",
            Self::OpenFailed(_) => "open-failed",
            Self::OpenDatagrams(_) => "open-datagrams",
            Self::OpenedDatagrams(_) => "opened-datagrams",
            Self::Bye(_) => "bye",
            Self::Command(_) => "command",
            Self::Report(_) => "report",
        }
    }

    /// Length of the body that a header announces.
    ///
    /// # Errors
    /// When it is zero or beyond [`MAX_MESSAGE`].
    pub fn body_len(header: [u8; HEADER_LEN]) -> Result<usize, Error> {
        match usize::from(u16::from_be_bytes(header)) {
            0 => Err(Error::MessageTruncated {
                message: "empty",
                field: "type",
            }),
            len if len > MAX_MESSAGE => Err(Error::MessageTooLong {
                found: len,
                max: MAX_MESSAGE,
            }),
            len => Ok(len),
        }
    }

    /// The message as bytes, header included.
    ///
    /// # Errors
    /// When a field is beyond its limit.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; HEADER_LEN];
        let name = self.name();
        match self {
            Self::Hello(hello) => hello.encode(&mut out)?,
            Self::Welcome(welcome) => {
                out.push(WELCOME);
                out.extend_from_slice(&welcome.version.to_be_bytes());
                put_text(&mut out, name, "program", &welcome.program, MAX_PROGRAM)?;
                out.extend_from_slice(welcome.ticket.as_bytes());
                put_position(&mut out, welcome.resumed);
                put_offer(&mut out, welcome.quic);
            }
            Self::Refused(Refused { reason, text }) => {
                out.extend_from_slice(&[REFUSED, reason.number()]);
                put_text(&mut out, name, "text", text, MAX_TEXT)?;
            }
            Self::Open(open) => {
                out.push(OPEN);
                put_text(&mut out, name, "host", &open.host, MAX_HOST)?;
                out.extend_from_slice(&open.port.to_be_bytes());
            }
            Self::Opened => out.push(OPENED),
            Self::OpenFailed(OpenFailed { kind, text }) => {
                out.extend_from_slice(&[OPEN_FAILED, kind.number()]);
                put_text(&mut out, name, "text", text, MAX_TEXT)?;
            }
            Self::OpenDatagrams(OpenDatagrams { towards }) => {
                out.push(OPEN_DATAGRAMS);
                put_address(&mut out, &towards.ip());
                out.extend_from_slice(&towards.port().to_be_bytes());
            }
            Self::OpenedDatagrams(OpenedDatagrams { port }) => {
                out.push(OPENED_DATAGRAMS);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Self::Bye(Bye { reason, text }) => {
                out.extend_from_slice(&[BYE, reason.number()]);
                put_text(&mut out, name, "text", text, MAX_TEXT)?;
            }
            Self::Command(command) => out.extend_from_slice(&[COMMAND, command.number()]),
            Self::Report(report) => {
                out.push(REPORT);
                report.encode(&mut out)?;
            }
        }
        let body = out.len() - HEADER_LEN;
        let len = u16::try_from(body).ok().filter(|_| body <= MAX_MESSAGE);
        let len = len.ok_or(Error::MessageTooLong {
            found: body,
            max: MAX_MESSAGE,
        })?;
        if let Some(header) = out.first_chunk_mut::<HEADER_LEN>() {
            *header = len.to_be_bytes();
        }
        Ok(out)
    }

    /// Reads one body, without its header. Bytes after the last known field are a newer peer's and are skipped.
    ///
    /// # Errors
    /// Names the message and the field.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        if body.len() > MAX_MESSAGE {
            return Err(Error::MessageTooLong {
                found: body.len(),
                max: MAX_MESSAGE,
            });
        }
        let Some((&kind, rest)) = body.split_first() else {
            return Err(Error::MessageTruncated {
                message: "empty",
                field: "type",
            });
        };
        Ok(match kind {
            HELLO => Self::Hello(Hello::decode(rest)?),
            WELCOME => {
                let mut fields = Fields::new("welcome", rest);
                Self::Welcome(Welcome {
                    version: fields.u16("version")?,
                    program: fields.text("program", MAX_PROGRAM)?,
                    ticket: Secret::new(fields.array::<SECRET_LEN>("ticket")?),
                    resumed: fields.position("resumed")?,
                    quic: fields.offer("quic")?,
                })
            }
            REFUSED => {
                let (reason, text) = reason_and_text("refused", rest)?;
                Self::Refused(Refused {
                    reason: Refusal::from_number(reason),
                    text,
                })
            }
            OPEN => {
                let mut fields = Fields::new("open", rest);
                let host = fields.text("host", MAX_HOST)?;
                if host.is_empty() || host.contains(char::is_whitespace) {
                    return Err(fields.bad("host"));
                }
                let port = fields.u16("port")?;
                if port == 0 {
                    return Err(fields.bad("port"));
                }
                Self::Open(Open { host, port })
            }
            OPENED => Self::Opened,
            OPEN_FAILED => {
                let (kind, text) = reason_and_text("open-failed", rest)?;
                Self::OpenFailed(OpenFailed {
                    kind: OpenFailure::from_number(kind),
                    text,
                })
            }
            OPEN_DATAGRAMS => {
                let mut fields = Fields::new("open-datagrams", rest);
                let address = fields.address("towards")?;
                let port = fields.u16("towards")?;
                if port == 0 {
                    return Err(fields.bad("towards"));
                }
                let towards = SocketAddr::new(address, port);
                Self::OpenDatagrams(OpenDatagrams { towards })
            }
            OPENED_DATAGRAMS => {
                let port = Fields::new("opened-datagrams", rest).u16("port")?;
                Self::OpenedDatagrams(OpenedDatagrams { port })
            }
            BYE => {
                let (reason, text) = reason_and_text("bye", rest)?;
                Self::Bye(Bye {
                    reason: ByeReason::from_number(reason),
                    text,
                })
            }
            COMMAND => Self::Command(Command::from_number(
                Fields::new("command", rest).u8("command")?,
            )),
            REPORT => Self::Report(Report::decode(rest)?),
            other => return Err(Error::MessageType(other)),
        })
    }
}

impl Hello {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push(HELLO);
        out.extend_from_slice(&self.version.to_be_bytes());
        put_text(
            out,
            "hello",
            "name",
            self.name.as_str(),
            crate::MAX_AGENT_NAME,
        )?;
        out.extend_from_slice(self.token.as_bytes());
        match &self.join_secret {
            Some(secret) => {
                out.push(1);
                out.extend_from_slice(secret.as_bytes());
            }
            None => out.push(0),
        }
        put_text(out, "hello", "program", &self.program, MAX_PROGRAM)?;
        put_text(out, "hello", "host name", &self.host_name, MAX_HOST_NAME)?;
        let count = u8::try_from(self.local_addresses.len())
            .ok()
            .filter(|&n| usize::from(n) <= MAX_LOCAL_ADDRESSES);
        let count = count.ok_or(Error::MessageField {
            message: "hello",
            field: "local addresses",
        })?;
        out.push(count);
        for address in &self.local_addresses {
            put_address(out, address);
        }
        out.extend_from_slice(&self.instance.to_be_bytes());
        out.extend_from_slice(&self.attempt.to_be_bytes());
        put_position(out, self.resume.as_ref().map(|resume| resume.consumed));
        if let Some(resume) = &self.resume {
            out.extend_from_slice(resume.ticket.as_bytes());
        }
        Ok(())
    }

    fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new("hello", body);
        let version = fields.u16("version")?;
        let name = fields.text("name", crate::MAX_AGENT_NAME)?;
        let name = name.parse().map_err(|_| fields.bad("name"))?;
        let token = Secret::new(fields.array::<SECRET_LEN>("token")?);
        let join_secret = match fields.u8("join secret")? {
            0 => None,
            1 => Some(Secret::new(fields.array::<SECRET_LEN>("join secret")?)),
            _ => return Err(fields.bad("join secret")),
        };
        let program = fields.text("program", MAX_PROGRAM)?;
        let host_name = fields.text("host name", MAX_HOST_NAME)?;
        let count = usize::from(fields.u8("local addresses")?);
        if count > MAX_LOCAL_ADDRESSES {
            return Err(fields.bad("local addresses"));
        }
        let mut local_addresses = Vec::with_capacity(count);
        for _ in 0..count {
            local_addresses.push(fields.address("local addresses")?);
        }
        let instance = fields.u64("instance")?;
        let attempt = fields.u32("attempt")?;
        let resume = match fields.position("resume")? {
            None => None,
            Some(consumed) => Some(Resume {
                ticket: Secret::new(fields.array::<SECRET_LEN>("ticket")?),
                consumed,
            }),
        };
        Ok(Self {
            version,
            name,
            token,
            join_secret,
            program,
            host_name,
            local_addresses,
            instance,
            attempt,
            resume,
        })
    }
}

fn reason_and_text(message: &'static str, body: &[u8]) -> Result<(u8, String), Error> {
    let mut fields = Fields::new(message, body);
    Ok((fields.u8("reason")?, fields.text("text", MAX_TEXT)?))
}

/// Cuts a stream of bytes, arriving in any pieces, into messages. Holds at most one message.
#[derive(Debug, Default)]
pub struct MessageDecoder {
    buffer: Vec<u8>,
}

impl MessageDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes from `input` up to the end of the next message, and gives that message if it is complete.
    /// What is left in `input` belongs to the next call, or after [`Message::Opened`] to the camera.
    ///
    /// # Errors
    /// When the bytes are no message of this protocol; the stream is then beyond repair.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        self.fill(input, HEADER_LEN);
        let Some(header) = self.buffer.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let end = HEADER_LEN + Message::body_len(*header)?;
        self.fill(input, end);
        if self.buffer.len() < end {
            return Ok(None);
        }
        let message = Message::decode(self.buffer.get(HEADER_LEN..).unwrap_or_default())?;
        self.buffer.clear();
        Ok(Some(message))
    }

    fn fill(&mut self, input: &mut &[u8], up_to: usize) {
        let wanted = up_to.saturating_sub(self.buffer.len()).min(input.len());
        let (head, tail) = input.split_at(wanted);
        self.buffer.extend_from_slice(head);
        *input = tail;
    }
}

#[cfg(test)]
mod tests;
