use std::path::PathBuf;

use agent::{Allowed, Certificate, Transport};
use lexopt::{Arg, Error, Parser, ValueExt};
use proto_tunnel::JoinCode;
use tracing::Level;

pub(crate) const HELP: &str = "\
Connects a camera behind NAT to an Eyelet gateway. Dials out only, listens nowhere.

usage: eyelet-agent --join CODE [options]     the first time
       eyelet-agent [options]                 from then on
       eyelet-agent --config FILE [options]   with a config.json of the camera agent that came before

  --join CODE        join code of `eyelet agent add NAME` on the gateway; harmless to repeat
                     (- reads it from the environment variable EYELET_JOIN)
  --config FILE      read config.json in any of the older agent's dialects; its token is the join code.
                     Says which keys have no effect. What is given here besides wins over the file
  --state DIR        where the identity is kept
                     (default: eyelet-agent in $XDG_STATE_HOME or ~/.local/state, else in /var/lib)
  --allow HOST:PORT  a target that the gateway may connect to; repeat for more. Replaces the default,
                     which is RTSP on this machine only: 127.0.0.1:554 localhost:554 [::1]:554
                     Reolink cameras on UDP: udp:ADDRESS for one, udp:broadcast for all at this site
  --certificate FILE show this certificate (PEM) to a gateway that asks for one (its http.agent_ca)
  --key FILE         the certificate's private key (PEM); without it the key stands in the same file.
                     Both are read again for each connection
  --transport WAY    what carries the tunnel: auto (the default) is QUIC where UDP gets through, else a
                     WebSocket; websocket and quic use that alone
  --verbose          more log lines
  -q, --quiet        only warnings and errors
  --version          print the version
  -h, --help         print this

Logs go to stderr. Exit codes: 0 stopped on request, 1 failed, 2 wrong usage.
";

/// Most targets of one agent; a list this long is a mistake.
const MAX_ALLOWED: usize = 256;

pub(crate) enum Command {
    Run(Box<Arguments>),
    Help,
    Version,
}

pub(crate) struct Arguments {
    pub(crate) join: Option<JoinCode>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) allow: Vec<Allowed>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) transport: Transport,
    pub(crate) level: Option<Level>,
}

pub(crate) fn parse(mut parser: Parser) -> Result<Command, Error> {
    let mut arguments = Arguments {
        join: None,
        config: None,
        state: None,
        allow: Vec::new(),
        certificate: None,
        transport: Transport::default(),
        level: None,
    };
    let (mut certificate, mut key) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("join") => arguments.join = Some(join_code(&parser.value()?.string()?)?),
            Arg::Long("config") => arguments.config = Some(parser.value()?.into()),
            Arg::Long("state") => arguments.state = Some(parser.value()?.into()),
            Arg::Long("allow") => {
                let target = parser.value()?.string()?;
                arguments.allow.push(
                    target
                        .parse()
                        .map_err(|error| Error::Custom(Box::new(error)))?,
                );
                if arguments.allow.len() > MAX_ALLOWED {
                    return Err(format!("--allow is given more than {MAX_ALLOWED} times").into());
                }
            }
            Arg::Long("certificate") => certificate = Some(PathBuf::from(parser.value()?)),
            Arg::Long("key") => key = Some(PathBuf::from(parser.value()?)),
            Arg::Long("transport") => {
                let way = parser.value()?.string()?;
                arguments.transport = way
                    .parse()
                    .map_err(|error| Error::from(format!("--transport: {error}")))?;
            }
            Arg::Long("verbose") | Arg::Short('v') => arguments.level = Some(Level::DEBUG),
            Arg::Long("quiet") | Arg::Short('q') => arguments.level = Some(Level::WARN),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Value(value) if value.to_string_lossy().starts_with("eyelet") => {
                return Err("a join code needs --join before it".into());
            }
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    arguments.certificate = match (certificate, key) {
        (Some(certificate), key) => Some(Certificate {
            key: key.unwrap_or_else(|| certificate.clone()),
            certificate,
        }),
        (None, Some(_)) => return Err("--key needs --certificate FILE beside it".into()),
        (None, None) => None,
    };
    Ok(Command::Run(Box::new(arguments)))
}

/// Parses a code; `-` keeps it out of the process list.
fn join_code(text: &str) -> Result<JoinCode, Error> {
    let text = match text {
        "-" => std::env::var("EYELET_JOIN")
            .map_err(|_| "--join - needs the environment variable EYELET_JOIN")?,
        text => text.to_owned(),
    };
    text.parse().map_err(|error| Error::Custom(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str]) -> Result<Arguments, String> {
        match parse(Parser::from_args(arguments.iter().copied())) {
            Ok(Command::Run(arguments)) => Ok(*arguments),
            Ok(Command::Help | Command::Version) => Err("not run".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn allow_repeats_and_takes_v6() {
        let parsed = run(&[
            "--allow",
            "192.168.1.10:554",
            "--allow=[fd00::1]:80",
            "--allow=udp:broadcast",
            "-q",
        ])
        .ok();
        let parsed = parsed.expect("these arguments are right");
        let texts: Vec<String> = parsed.allow.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.168.1.10:554", "[fd00::1]:80", "udp:broadcast"]);
        assert_eq!(parsed.level, Some(Level::WARN));
        assert!(parsed.join.is_none() && parsed.state.is_none());
    }

    #[test]
    fn a_certificate_has_its_key_in_the_same_file_or_in_another() {
        let key = |arguments: &[&str]| {
            let certificate = run(arguments).ok()?.certificate?;
            certificate.key.to_str().map(str::to_owned)
        };
        let both = ["--certificate", "a.pem", "--key", "b.pem"];
        assert_eq!(key(&both).as_deref(), Some("b.pem"));
        assert_eq!(key(&both[..2]).as_deref(), Some("a.pem"));
        assert_eq!(key(&[]), None);
    }

    #[test]
    fn wrong_usage_is_told_in_words() {
        for (arguments, said) in [
            (&["--join", "hello"][..], "must begin with"),
            (&["--join", "eyelet1.AAAA"], "cut off"),
            (&["--join"], "--join"),
            (&["--allow", "camera"], "port"),
            (&["--allow", "udp:camera"], "udp:broadcast"),
            (&["--key", "a.pem"], "--certificate"),
            (&["--transport", "udp"], "auto, websocket or quic"),
            (&["eyelet1.AAAA"], "--join before it"),
            (&["--jion", "x"], "--jion"),
        ] {
            let error = run(arguments).err().expect("these arguments are wrong");
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }
}
