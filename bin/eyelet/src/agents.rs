//! `eyelet agent …`: works on the state file, whether or not the gateway runs.

use std::io::Write;
use std::time::SystemTime;

use config::Config;
use tunnel::{Gateway, Identity};

use crate::cli::Agent;
use crate::{export, files};

pub(crate) fn run(command: &Agent) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        Agent::Add {
            name,
            address,
            files,
        } => {
            let config = files::load_state(files)?;
            let store = files::open_store(&config)?;
            let identity = Identity::load_or_create(&config.data)?;
            let addresses = if address.is_empty() {
                addresses(&config)
            } else {
                address.clone()
            };
            let code = Gateway::add_agent(&store, &identity, name, addresses.clone())?;
            writeln!(out, "{code}")?;
            let mut talk = std::io::stderr().lock();
            writeln!(
                talk,
                "\nOn the machine beside the camera, run:\n  eyelet-agent --join {code}"
            )?;
            writeln!(
                talk,
                "It will dial {}. The code is good once, for 7 days.",
                addresses.join(", ")
            )?;
            if addresses.iter().all(|address| is_local(address)) {
                writeln!(
                    talk,
                    "warning: that address is this machine alone. Set http.listen and http.public, or give --address HOST:PORT, so that an agent elsewhere finds it."
                )?;
            }
        }
        Agent::List { json, files } => {
            let store = files::open_store(&files::load_state(files)?)?;
            let agents = store.agents()?;
            if *json {
                let list: Vec<_> = agents.iter().map(to_json).collect();
                writeln!(out, "{}", serde_json::to_string_pretty(&list)?)?;
            } else if agents.is_empty() {
                writeln!(std::io::stderr(), "no agents yet: eyelet agent add NAME")?;
            } else {
                for agent in &agents {
                    writeln!(out, "{:<24} {}", agent.name, describe(agent))?;
                }
            }
        }
        Agent::Export(command) => {
            drop(out);
            return export::run(command);
        }
        Agent::Remove { name, files } => {
            let store = files::open_store(&files::load_state(files)?)?;
            store.remove_agent(name)?;
            writeln!(std::io::stderr(), "agent {name} is removed")?;
        }
    }
    Ok(())
}

/// Where agents find this gateway, as far as the configuration knows.
fn addresses(config: &Config) -> Vec<String> {
    match &config.http.public {
        Some(public) => vec![public.to_string()],
        None => vec![config.http.listen.to_string()],
    }
}

fn is_local(address: &str) -> bool {
    ["127.", "localhost:", "[::1]:", "0.0.0.0:", "[::]:"]
        .iter()
        .any(|start| address.starts_with(start))
}

fn describe(agent: &store::Agent) -> String {
    let ago = |at: SystemTime| match at.elapsed() {
        Ok(elapsed) if elapsed.as_secs() < 120 => "just now".to_owned(),
        Ok(elapsed) if elapsed.as_secs() < 7_200 => format!("{} min ago", elapsed.as_secs() / 60),
        Ok(elapsed) => format!("{} h ago", elapsed.as_secs() / 3_600),
        Err(_) => "just now".to_owned(),
    };
    match (agent.joined, agent.last_seen, agent.join_expiry) {
        (Some(_), Some(seen), _) => format!("joined, last seen {}", ago(seen)),
        (Some(_), None, _) => "joined".to_owned(),
        (None, _, Some(expiry)) if expiry < SystemTime::now() => {
            "never joined, its join code has expired".to_owned()
        }
        (None, ..) => "invited, its join code is unused".to_owned(),
    }
}

fn to_json(agent: &store::Agent) -> serde_json::Value {
    let seconds = |at: Option<SystemTime>| {
        at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map(|time| time.as_secs())
    };
    serde_json::json!({
        "name": agent.name,
        "created": seconds(Some(agent.created)),
        "joined": seconds(agent.joined),
        "join_expiry": seconds(agent.join_expiry),
        "last_seen": seconds(agent.last_seen),
    })
}
