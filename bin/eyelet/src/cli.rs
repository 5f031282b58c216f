use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// See any camera from anywhere.
#[derive(Debug, Parser)]
#[command(name = "eyelet", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Tell more: every deviation of a camera; twice, every message.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Tell only warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway: cameras, viewers, agents, dashboard.
    Serve(Files),
    /// Show Eyelet without any camera: a gateway, an agent behind a simulated NAT, simulated cameras.
    Demo(Demo),
    /// Check a configuration file and say all that is wrong with it.
    Check(Check),
    /// Connect to a source and tell what it gives, or what is wrong and what to try.
    Probe(Probe),
    /// Invite, list and remove agents.
    #[command(subcommand)]
    Agent(Agent),
    /// Run one simulated camera.
    #[command(subcommand)]
    Simulate(Simulate),
}

/// Where configuration and state are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Files {
    /// The configuration file. Without it, ./eyelet.yaml if there is one, else the defaults.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder for keys and state, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Where the dashboard listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,

    /// Where RTSP listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8554")]
    pub(crate) rtsp: SocketAddr,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) files: Files,

    /// Print the configuration as it was understood, as JSON, secrets masked.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Probe {
    /// The source: `rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH`
    #[arg(value_name = "URL")]
    pub(crate) url: String,

    /// Reach it through this agent, by the gateway that runs on this machine.
    #[arg(long, value_name = "AGENT")]
    pub(crate) via: Option<String>,

    /// Take RTSP media over UDP.
    #[arg(long)]
    pub(crate) udp: bool,

    /// How long to watch, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) seconds: u64,

    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) files: Files,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Invite an agent: prints the one line that it is started with.
    Add {
        /// A name of your choice: letters, digits, '-', '_', '.'.
        name: String,

        /// Where the agent finds this gateway, instead of the configuration's `http.public`.
        #[arg(long, value_name = "HOST:PORT")]
        address: Vec<String>,

        #[command(flatten)]
        files: Files,
    },
    /// List the agents.
    List {
        /// Print them as JSON.
        #[arg(long)]
        json: bool,

        #[command(flatten)]
        files: Files,
    },
    /// Remove an agent: it is cut off at once and its key is worth nothing any more.
    Remove {
        /// Its name.
        name: String,

        #[command(flatten)]
        files: Files,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Simulate {
    /// An RTSP camera.
    Rtsp {
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8555")]
        listen: SocketAddr,

        /// Send JPEG pictures that are drawn live, instead of H.264 and sound.
        #[arg(long)]
        jpeg: bool,

        /// Ask for this login.
        #[arg(long, value_name = "USER:PASSWORD")]
        login: Option<String>,

        /// Misbehave: hang, cut, junk or slow=BYTES_PER_SECOND, then perhaps @SECONDS after PLAY.
        #[arg(long, value_name = "FAULT")]
        fault: Option<String>,
    },
}
