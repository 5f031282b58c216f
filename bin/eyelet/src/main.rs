//! See any camera from anywhere: the gateway and its commands. This program only wires.

mod a9;
mod agents;
mod camera;
mod catalog;
mod check;
mod cli;
mod demo;
mod export;
mod files;
mod hints;
mod import;
mod open_files;
mod pictures;
mod probe;
mod relay;
mod reload;
mod roster;
mod running;
mod serve;
mod settings;
mod settings_json;
mod simulate;
mod simulate_agents;
mod snapshot;
mod wiring;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use telemetry::Verbosity;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "eyelet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if matches!(cli.command, Command::Decoder) {
        return Ok(pixels::decode(
            std::io::stdin().lock(),
            std::io::stdout().lock(),
        )?);
    }
    let verbosity = if cli.quiet {
        Verbosity::Quiet
    } else {
        Verbosity::from_count(cli.verbose)
    };
    telemetry::init(match cli.command {
        // What a probe has to say stands in its result.
        Command::Probe(_) | Command::Snapshot(_) | Command::Camera(_) if cli.verbose == 0 => {
            Verbosity::Quiet
        }
        Command::Relay(ref command) if command.debug => Verbosity::from_count(cli.verbose.max(1)),
        _ => verbosity,
    });
    match &cli.command {
        Command::Serve(command) => block_on(serve::run(command)),
        Command::Demo(command) => block_on(demo::run(command)),
        Command::Check(command) => check::run(command),
        Command::Probe(command) => block_on(probe::run(command)),
        Command::Snapshot(command) => block_on(snapshot::run(command)),
        Command::Relay(command) => block_on(relay::run(command)),
        Command::Camera(command) => block_on(camera::run(command)),
        Command::Agent(command) => agents::run(command),
        Command::A9(command) => block_on(a9::run(command)),
        Command::Import(command) => import::run(command),
        Command::Simulate(command) => block_on(simulate::run(command)),
        Command::Decoder => Ok(()),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
