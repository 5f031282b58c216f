use std::io;
use std::time::Duration;

use proto_baichuan::{CloseReason, Error};

use crate::DriverError;

/// Why a device's session ended or a request failed; every user of the session is told the same.
#[derive(Clone, Debug)]
pub(super) enum Outage {
    /// No connection came about.
    Unreachable {
        target: String,
        path: String,
        kind: io::ErrorKind,
        said: String,
    },
    /// The device refused user or password.
    Login { user: String, said: String },
    /// It cannot be reached by this program, whatever is tried.
    Unsupported(String),
    /// It broke the protocol or refused a request.
    Protocol(String),
    /// It took too long.
    TimedOut { step: &'static str, after: Duration },
    /// The session ended.
    Closed(String),
    /// Not now: the device rests, and shall.
    Resting { said: String, wait: Duration },
}

impl Outage {
    /// What a session's end means to a person.
    pub(super) fn of(reason: CloseReason, user: &str) -> Self {
        let login = |said: String| Self::Login {
            user: user.to_owned(),
            said,
        };
        match reason {
            CloseReason::LoggedOut => Self::Closed("we logged out".to_owned()),
            CloseReason::NoNonce => Self::Protocol(
                "it takes connections and says nothing: is this the camera's media port (9000 unless set otherwise), and is it a Reolink?"
                    .to_owned(),
            ),
            CloseReason::NoLoginReply => Self::TimedOut {
                step: "the login",
                after: Duration::from_secs(10),
            },
            CloseReason::WrongPassword {
                remaining,
                unlock_seconds,
            } => login(match (remaining, unlock_seconds) {
                (_, Some(seconds)) if seconds > 0 => {
                    format!("it is locked for {seconds} s after wrong logins")
                }
                (Some(left), _) => format!("{left} attempts are left before it locks"),
                (None, _) => "names and passwords are the app's, upper and lower case count".to_owned(),
            }),
            CloseReason::AccountBound => Self::Unsupported(
                "it is bound to an account and refuses local logins (status 406): allow local access in the vendor's app"
                    .to_owned(),
            ),
            CloseReason::Refused(status) => Self::Protocol(format!(
                "it refused the login with status {status}; if the source names an encryption, leave that out"
            )),
            CloseReason::Silent => {
                Self::Closed("it does not answer any more".to_owned())
            }
            CloseReason::Lost(Error::UnknownEncryption(mode)) => Self::Unsupported(format!(
                "it chose the encryption mode {mode:#04x}, which nobody has described: try encryption=aes or encryption=xor in the source"
            )),
            CloseReason::Lost(error) => Self::Protocol(error.to_string()),
            _ => Self::Closed("for an unknown reason".to_owned()),
        }
    }

    /// The same for the supervisor.
    pub(super) fn into_error(self) -> DriverError {
        match self {
            Self::Unreachable {
                target,
                path,
                kind,
                said,
            } => DriverError::Unreachable {
                target,
                path,
                source: io::Error::new(kind, said),
            },
            Self::Login { user, said } => DriverError::Login {
                user: Some(user),
                said,
            },
            Self::Unsupported(said) => DriverError::Unsupported(said),
            Self::Protocol(said) => DriverError::Protocol(said),
            Self::TimedOut { step, after } => DriverError::TimedOut { step, after },
            Self::Closed(said) => DriverError::Closed(said),
            Self::Resting { said, wait } => DriverError::Resting { said, wait },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_camera_away_is_told_with_what_to_do() {
        let locked = CloseReason::WrongPassword {
            remaining: None,
            unlock_seconds: Some(120),
        };
        for (reason, words) in [
            (CloseReason::NoNonce, ["media port", "is it a Reolink"]),
            (
                CloseReason::AccountBound,
                ["bound to an account", "allow local access"],
            ),
            (CloseReason::Refused(999), ["status 999", "encryption"]),
            (locked, ["locked for 120 s", "check user and password"]),
            (
                CloseReason::Lost(Error::UnknownEncryption(7)),
                ["0x07", "encryption=aes"],
            ),
        ] {
            let said = Outage::of(reason, "admin").into_error().to_string();
            for word in words {
                assert!(said.contains(word), "{said}");
            }
        }
    }
}
