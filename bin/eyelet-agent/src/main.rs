//! The small program in or beside a camera: joins a gateway, dials out to it, and carries connections to the camera.

mod arguments;
mod logger;

use std::io::{self, Write};
use std::process::ExitCode;

use agent::{Agent, AgentConfig, AllowList};
use tracing::{error, info};

use arguments::{Arguments, Command, HELP};

/// Done, or asked to stop.
const DONE: u8 = 0;
/// It did not work.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Command::Run(arguments)) => arguments,
        Ok(Command::Help) => return say(HELP),
        Ok(Command::Version) => {
            return say(concat!("eyelet-agent ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "eyelet-agent: {error}\ntry \"eyelet-agent --help\""
            );
            return USAGE.into();
        }
    };
    logger::install(arguments.level);
    match run(arguments) {
        Ok(()) => DONE.into(),
        Err(error) => {
            error!("{}", error.chain());
            FAILED.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), agent::Error> {
    let mut config = AgentConfig::new(arguments.state.unwrap_or_else(agent::default_state_dir));
    config.join = arguments.join;
    if !arguments.allow.is_empty() {
        config.allow = AllowList::new(arguments.allow);
    }
    let state_dir = config.state_dir.clone();
    let allowed: Vec<String> = config.allow.iter().map(ToString::to_string).collect();
    let agent = Agent::new(config)?;
    info!(agent = agent.name(), state = %state_dir.display(), allow = allowed.join(" "), "agent starts");
    let start = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = start.map_err(|error| agent::Error::State {
        path: state_dir,
        reason: error.to_string(),
    })?;
    let result = runtime.block_on(agent.run(asked_to_stop()));
    // A name server that does not answer holds its thread; do not wait for it.
    runtime.shutdown_background();
    result
}

async fn asked_to_stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            signal(SignalKind::terminate()),
            signal(SignalKind::interrupt()),
        ) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = tokio::signal::ctrl_c().await;
    }
    info!("asked to stop");
}

fn say(text: &str) -> ExitCode {
    // A closed pipe is how Unix says "enough".
    let _ = io::stdout().write_all(text.as_bytes());
    DONE.into()
}
