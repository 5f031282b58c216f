use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// The environment variable that wins over every other wish about logs, in the usual syntax:
/// `EYELET_LOG=info,drivers=debug`.
pub const LOG_VARIABLE: &str = "EYELET_LOG";

/// Crates of others that say too much of no use to an operator.
const NOISY: [&str; 7] = [
    "hyper",
    "hyper_util",
    "rustls",
    "tokio_rustls",
    "tungstenite",
    "retina",
    "tower",
];

/// How much a program tells on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// What cannot wait: warnings and errors.
    Quiet,
    /// What an operator wants to know.
    #[default]
    Normal,
    /// Every deviation of a camera, too (`-v`).
    Debug,
    /// Every message of every protocol, too (`-vv`).
    Trace,
}

impl Verbosity {
    /// The verbosity for a number of `-v` options.
    #[must_use]
    pub fn from_count(count: u8) -> Self {
        match count {
            0 => Self::Normal,
            1 => Self::Debug,
            2.. => Self::Trace,
        }
    }

    fn filter(self) -> String {
        let (ours, theirs) = match self {
            Self::Quiet => ("warn", "error"),
            Self::Normal => ("info", "warn"),
            Self::Debug => ("debug", "info"),
            Self::Trace => ("trace", "debug"),
        };
        NOISY.iter().fold(ours.to_owned(), |filter, name| {
            filter + &format!(",{name}={theirs}")
        })
    }
}

/// Sends logs to standard error: one compact line each, in colour only on a terminal, without a time
/// where the journal adds its own. A second call changes nothing.
pub fn init(verbosity: Verbosity) {
    let wish = std::env::var(LOG_VARIABLE)
        .ok()
        .filter(|wish| !wish.is_empty());
    let (filter, refused) = match wish.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(verbosity.filter()), Some(error)),
        None => (EnvFilter::new(verbosity.filter()), None),
    };
    let has_colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(has_colour)
        .with_span_events(FmtSpan::NONE)
        .compact();
    let in_journal =
        std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    // An error means that a subscriber is there already, which is what was wanted.
    let _ = if in_journal {
        builder.without_time().try_init()
    } else {
        builder.try_init()
    };
    if let Some(error) = refused {
        tracing::warn!(%error, "{LOG_VARIABLE} is no log filter and was ignored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verbosity_is_a_valid_filter() {
        for verbosity in [
            Verbosity::Quiet,
            Verbosity::Normal,
            Verbosity::Debug,
            Verbosity::Trace,
        ] {
            EnvFilter::try_new(verbosity.filter()).unwrap();
        }
        assert_eq!(Verbosity::from_count(0), Verbosity::Normal);
        assert_eq!(Verbosity::from_count(9), Verbosity::Trace);
    }

    #[test]
    fn a_second_start_is_harmless() {
        init(Verbosity::Quiet);
        init(Verbosity::Debug);
    }
}
