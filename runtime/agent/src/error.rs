use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use proto_tunnel::Refusal;

/// Why an agent has no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Started without a code and without an identity.
    #[error(
        "this agent has not joined a gateway yet: start it once with --join CODE (no identity in {0})"
    )]
    NotJoined(PathBuf),
    /// The identity file cannot be used.
    #[error("cannot use {path}: {reason}")]
    State {
        /// File or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The join code is no good.
    #[error(transparent)]
    Join(#[from] proto_tunnel::Error),
    /// The gateway said no.
    #[error("the gateway refused this agent: {text}")]
    Refused {
        /// For the program.
        reason: Refusal,
        /// For a person.
        text: String,
    },
    /// The gateway's key is not the pinned one.
    #[error(
        "{0} has another key than this agent's gateway: it is another machine, or something sits in between"
    )]
    WrongKey(String),
    /// The agent's own certificate, or its key, cannot be used.
    #[error("cannot use {path} as this agent's certificate or key: {reason}")]
    Certificate {
        /// File.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The gateway wants a certificate, or another one.
    #[error("{address} {}", crate::certificate::advice(*fault))]
    CertificateRefused {
        /// Whom.
        address: String,
        /// What is wrong.
        fault: link::CertificateFault,
    },
    /// TLS failed in another way.
    #[error("TLS with {address} failed")]
    Tls {
        /// Whom.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The gateway's HTTP side said no to the WebSocket.
    #[error("{address} does not take agents: {reason}")]
    WebSocket {
        /// Whom.
        address: String,
        /// Why.
        reason: String,
    },
    /// The name has no address.
    #[error("cannot resolve {address}")]
    Resolve {
        /// Whom.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// Whom.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// The gateway broke the protocol.
    #[error(transparent)]
    Link(#[from] link::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

impl Error {
    /// The error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner.source();
        }
        text
    }
}
