//! `eyelet simulate agents`: the real agent, many times in one process, each with an identity of its own.

use std::io::Write;
use std::time::{Duration, Instant};

use agent::{Agent, AgentConfig, AllowList, State, Transport};
use anyhow::Context;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tunnel::{Gateway, Identity};

use crate::cli::Files;
use crate::{files, open_files, running};

/// Names of the simulated agents: `sim-00000` and so on.
const PREFIX: &str = "sim-";
/// How often to say how many are connected, while that changes.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) async fn run(count: u32, connect: Option<&str>, files: &Files) -> anyhow::Result<()> {
    open_files::require(u64::from(count), "the agents")?;
    let config = files::load(files)?;
    let store = files::open_store(&config)?;
    let identity = Identity::load_or_create(&config.data)?;
    let public = config.http.public.as_ref().map(ToString::to_string);
    let address = connect
        .map(str::to_owned)
        .or(public)
        .unwrap_or_else(|| config.http.listen.to_string());
    let folder = tempfile::tempdir().context("no folder for the agents' identities")?;
    let end = CancellationToken::new();
    let mut out = std::io::stderr();
    writeln!(
        out,
        "adding {count} agents named {PREFIX}NUMBER, which dial {address}"
    )?;

    let mut agents = JoinSet::new();
    let mut states = Vec::new();
    for n in 0..count {
        let name = format!("{PREFIX}{n:05}");
        // Those of an earlier run have lost their identities with its folder.
        match store.remove_agent(&name) {
            Ok(()) | Err(store::Error::NoSuchAgent(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let code = Gateway::add_agent(&store, &identity, &name, vec![address.clone()])?;
        let mut one = AgentConfig::new(folder.path().join(&name));
        one.join = Some(code);
        one.allow = AllowList::new(Vec::new());
        // A UDP socket for each of thousands is not what is to be measured.
        one.transport = Transport::WebSocket;
        one.watches_network = false;
        let one = Agent::new(one)?;
        states.push(one.state());
        agents.spawn(one.run(end.clone().cancelled_owned()));
        // Adding is quicker than connecting; the others get their turn.
        tokio::task::yield_now().await;
    }

    let start = Instant::now();
    let connected = || {
        let is_connected =
            |state: &&tokio::sync::watch::Receiver<State>| *state.borrow() == State::Connected;
        states.iter().filter(is_connected).count()
    };
    let told = async {
        let mut before = usize::MAX;
        loop {
            let now = connected();
            if now != before {
                let seconds = start.elapsed().as_secs_f32();
                let _ = writeln!(
                    std::io::stdout(),
                    "{seconds:7.1} s: {now} of {count} connected"
                );
                before = now;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = told => {}
        ended = running::asked_to_end() => ended?,
    }
    end.cancel();
    while agents.join_next().await.is_some() {}
    Ok(())
}
