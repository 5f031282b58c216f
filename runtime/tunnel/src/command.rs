//! Commands to agents themselves: restart, log, report.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use link::{Stream, read_message, write_message};
use proto_tunnel::{Bye, ByeReason, Command, MAX_LOG, Message, OpenFailed, Report};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use crate::Gateway;
use crate::registry::Session;

/// Longest wait for an answer; a slow uplink full of video needs a second or two.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for an agent to come back. Its own first redial takes a second, a slow board's start some more.
const RETURN_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two looks whether the agent that came back is another process.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Why a command to an agent failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// No agent of this name.
    #[error("there is no agent named {0}")]
    Unknown(String),
    /// It has no session.
    #[error("agent {0} is not connected")]
    Away(String),
    /// Its program is older than the command.
    #[error("agent {agent} (version {version}) does not know this command: update it")]
    TooOld {
        /// Which.
        agent: String,
        /// Its program's version.
        version: String,
    },
    /// It said no.
    #[error("agent {agent} refuses: {text}")]
    Refused {
        /// Which.
        agent: String,
        /// Its words.
        text: String,
    },
    /// It took the command and gave no answer.
    #[error("agent {0} does not answer")]
    Silent(String),
    /// It took the command, went, and did not come back in time.
    #[error("agent {agent} went and has not come back within {} s", .waited.as_secs())]
    Gone {
        /// Which.
        agent: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The state file failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// An agent that went and came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// From the command to the new session.
    pub took: Duration,
    /// Whether it is another process now; unknown if it is too old to say.
    pub is_new_process: Option<bool>,
}

/// One line of an agent's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written, by this machine's clock.
    pub at: SystemTime,
    /// What it says.
    pub text: String,
}

impl Gateway {
    /// Has the agent start its program anew, and waits until it is back.
    ///
    /// # Errors
    /// When it is away, refuses, or does not come back.
    pub async fn restart_agent(&self, agent: &str) -> Result<Returned, CommandError> {
        let session = self.session(agent)?;
        let start = Instant::now();
        let before = ask_report(&session).await.ok();
        match ask(&session, Command::Restart).await? {
            (Message::Opened, _) => {}
            (other, _) => return Err(refusal(&session, other)),
        }
        let next = self.wait_return(&session, start).await?;
        let after = ask_report(&next).await.ok();
        let is_new_process = before
            .zip(after)
            .map(|(before, after)| before.instance != after.instance);
        Ok(Returned {
            took: start.elapsed(),
            is_new_process,
        })
    }

    /// Ends the agent's session and waits for its next one. Connections through the tunnel end with it.
    ///
    /// # Errors
    /// When it is away, or does not come back.
    pub async fn restart_tunnel(&self, agent: &str) -> Result<Returned, CommandError> {
        let session = self.session(agent)?;
        let start = Instant::now();
        session.leave(
            ByeReason::Shutdown,
            "the gateway's operator has the tunnel made anew",
        );
        self.wait_return(&session, start).await?;
        Ok(Returned {
            took: start.elapsed(),
            is_new_process: Some(false),
        })
    }

    /// The newest lines of the agent's own log, oldest first.
    ///
    /// # Errors
    /// When it is away or does not answer.
    pub async fn agent_log(&self, agent: &str) -> Result<Vec<LogLine>, CommandError> {
        let session = self.session(agent)?;
        match ask(&session, Command::Log).await? {
            (Message::Opened, mut stream) => {
                let mut text = Vec::new();
                let mut capped = (&mut stream).take(MAX_LOG as u64);
                let read = timeout(ANSWER_TIMEOUT, capped.read_to_end(&mut text)).await;
                match read {
                    Ok(Ok(_)) => Ok(lines(&String::from_utf8_lossy(&text), SystemTime::now())),
                    Ok(Err(_)) | Err(_) => Err(CommandError::Silent(agent.to_owned())),
                }
            }
            (other, _) => Err(refusal(&session, other)),
        }
    }

    /// What the agent tells of itself and its camera now.
    ///
    /// # Errors
    /// When it is away or does not answer.
    pub async fn agent_report(&self, agent: &str) -> Result<Report, CommandError> {
        ask_report(&*self.session(agent)?).await
    }

    fn session(&self, agent: &str) -> Result<Arc<Session>, CommandError> {
        if let Some(session) = self.shared.registry.live(agent) {
            return Ok(session);
        }
        // One row of a file that is in memory; commands are rare.
        match self.shared.store.agent(agent)? {
            Some(_) => Err(CommandError::Away(agent.to_owned())),
            None => Err(CommandError::Unknown(agent.to_owned())),
        }
    }

    /// The session after `old`.
    async fn wait_return(
        &self,
        old: &Session,
        start: Instant,
    ) -> Result<Arc<Session>, CommandError> {
        let name = old.hello().name;
        let agent = name.as_str();
        let next = async {
            loop {
                let live = self.shared.registry.wait_live(agent).await;
                if live.id != old.id {
                    return live;
                }
                tokio::time::sleep(LOOK_PAUSE).await;
            }
        };
        timeout(RETURN_TIMEOUT, next)
            .await
            .map_err(|_| CommandError::Gone {
                agent: agent.to_owned(),
                waited: start.elapsed(),
            })
    }
}

/// The agent's report, which is remembered for those who only list agents.
pub(crate) async fn ask_report(session: &Session) -> Result<Report, CommandError> {
    match ask(session, Command::Report).await? {
        (Message::Report(report), _) => {
            let mut kept = session
                .report
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *kept = Some(report.clone());
            Ok(report)
        }
        (other, _) => Err(refusal(session, other)),
    }
}

/// The answer's first message, and the stream with whatever follows.
async fn ask(session: &Session, command: Command) -> Result<(Message, Stream), CommandError> {
    let name = || session.hello().name.to_string();
    let asked = async {
        let mut stream = session.mux.open().await?;
        write_message(&mut stream, &Message::Command(command)).await?;
        let answer = read_message(&mut stream).await?;
        Ok::<_, link::Error>((answer, stream))
    };
    match timeout(ANSWER_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        // The session itself ended, or this stream alone was reset: by a program that knows no such message.
        Ok(Err(_)) if timeout(LOOK_PAUSE, session.mux.closed()).await.is_ok() => {
            Err(CommandError::Away(name()))
        }
        Ok(Err(_)) => Err(CommandError::TooOld {
            agent: name(),
            version: session.hello().program.clone(),
        }),
        Err(_) => Err(CommandError::Silent(name())),
    }
}

fn refusal(session: &Session, answer: Message) -> CommandError {
    let text = match answer {
        Message::OpenFailed(OpenFailed { text, .. }) | Message::Bye(Bye { text, .. }) => text,
        other => format!("it answers with {}", other.name()),
    };
    CommandError::Refused {
        agent: session.hello().name.to_string(),
        text,
    }
}

/// Lines `AGE text`; what is no such line is left out.
fn lines(text: &str, now: SystemTime) -> Vec<LogLine> {
    let line = |line: &str| {
        let (age, text) = line.split_once(' ')?;
        let age = Duration::from_millis(age.parse().ok()?);
        Some(LogLine {
            at: now.checked_sub(age)?,
            // They are an agent's words, and end on somebody's terminal.
            text: text.chars().filter(|c| !c.is_control()).collect(),
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_get_this_machines_time_and_lose_what_is_no_text() {
        let now = SystemTime::now();
        let seen = lines(
            "1500 first\n0 se\u{1b}[31mcond line\nnonsense\n99999999999999999999 x\n",
            now,
        );
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].at, now - Duration::from_millis(1_500));
        assert_eq!(seen[1].text, "se[31mcond line");
    }
}
