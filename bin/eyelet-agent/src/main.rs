//! The small program in or beside a camera: joins a gateway, dials out to it, and carries connections to the camera.

mod arguments;
mod file;
mod logger;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use agent::{Agent, AgentConfig, AllowList, LogTail};
use tracing::{Level, error, info, warn};

use arguments::{Arguments, Command, HELP};
use file::Plan;

/// Done, or asked to stop.
const DONE: u8 = 0;
/// It did not work.
const FAILED: u8 = 1;
/// The command line makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match arguments::parse(lexopt::Parser::from_env()) {
        Ok(Command::Run(arguments)) => *arguments,
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
    let plan = match arguments.config.as_deref().map(file::read).transpose() {
        Ok(plan) => plan,
        Err(error) => {
            let _ = writeln!(io::stderr(), "eyelet-agent: {error}");
            return USAGE.into();
        }
    };
    let log = LogTail::new();
    let level = arguments
        .level
        .or(plan.as_ref().and_then(|plan| plan.level));
    logger::install(level.unwrap_or(Level::INFO), log.clone());
    match run(arguments, plan, log) {
        Ok(()) => DONE.into(),
        Err(error) => {
            error!("{}", error.chain());
            FAILED.into()
        }
    }
}

fn run(arguments: Arguments, plan: Option<Plan>, log: LogTail) -> Result<(), agent::Error> {
    let mut config = AgentConfig::new(arguments.state.unwrap_or_else(agent::default_state_dir));
    config.log = log;
    config.restart = restart();
    let is_tagged = plan.is_some();
    let mut named = None;
    if let Some(plan) = plan {
        plan.tell();
        named = plan.name.clone();
        plan.apply(&mut config);
    }
    if arguments.join.is_some() {
        config.join = arguments.join;
    }
    if !arguments.allow.is_empty() {
        config.allow = AllowList::of(arguments.allow);
    }
    if arguments.certificate.is_some() {
        config.certificate = arguments.certificate;
    }
    config.transport = arguments.transport;
    let state_dir = config.state_dir.clone();
    let allowed = config.allow.to_string();
    let agent = Agent::new(config)?;
    if let Some(named) = named.filter(|named| named != agent.name()) {
        warn!(
            "the file calls this agent {named:?}, the gateway knows it as {:?}",
            agent.name()
        );
    }
    info!(agent = agent.name(), state = %state_dir.display(), allow = allowed, "agent starts");
    // One thread for all: it looks at the network after every task, or a camera that sends all it can would hold up
    // what is asked of another one for as long as many pieces of it take.
    let start = tokio::runtime::Builder::new_current_thread()
        .event_interval(1)
        .enable_all()
        .build();
    let runtime = start.map_err(|error| agent::Error::State {
        path: state_dir,
        reason: error.to_string(),
    })?;
    let result = runtime.block_on(async {
        if is_tagged {
            tokio::spawn(file::tell_states(agent.state()));
        }
        agent.run(asked_to_stop()).await
    });
    // A name server that does not answer holds its thread; do not wait for it.
    runtime.shutdown_background();
    result
}

/// Starts this program anew in this very process, so that whoever supervises it sees no end. The file may have been
/// replaced by a newer one meanwhile.
fn restart() -> Option<Arc<dyn Fn() + Send + Sync>> {
    #[cfg(unix)]
    {
        // Asked now: later the system may call it deleted.
        let program = std::env::current_exe().ok()?;
        Some(Arc::new(move || {
            use std::os::unix::process::CommandExt;

            info!("restarting");
            let mut command = std::process::Command::new(&program);
            let failure = command.args(std::env::args_os().skip(1)).exec();
            error!("cannot start {} anew: {failure}", program.display());
        }))
    }
    #[cfg(not(unix))]
    None
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
