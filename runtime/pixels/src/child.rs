//! The gateway's side of a decoder process of ours.

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use format::jpeg;
use media::CodecParameters;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, ChildStdout, Command};

use crate::{Settings, wire};

/// How long one picture may take. The largest one takes a tenth of it on a small board.
const PATIENCE: Duration = Duration::from_secs(10);

/// A decoder process; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    input: ChildStdin,
    output: ChildStdout,
    _process: tokio::process::Child,
}

/// Which picture of those that a decoder holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// None.
    Nothing,
    /// The next one that it would show.
    Next,
    /// The newest: nothing follows.
    Last,
}

impl Child {
    /// Starts a process and gives it the parameter sets.
    pub(crate) async fn start(
        settings: &Settings,
        parameters: &CodecParameters,
    ) -> Result<Self, String> {
        let message = wire::parameters(parameters).ok_or("no codec to decode")?;
        let mut command = Command::new(&settings.decoder.program);
        command
            .args(&settings.decoder.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let program = settings.decoder.program.display();
        let mut process = command
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("it has no pipes".to_owned());
        };
        let mut child = Self {
            input,
            output,
            _process: process,
        };
        child.send(&message).await?;
        Ok(child)
    }

    /// Decodes one access unit. Gives a picture if one is wanted; the error tells why it failed,
    /// and after it this process is of no more use.
    ///
    /// The inner error is the decoder's word on this access unit; it goes on with the next.
    pub(crate) async fn decode(
        &mut self,
        payload: &[u8],
        wanted: Wanted,
    ) -> Result<Result<Option<Bytes>, String>, String> {
        if payload.len() > wire::MAX_REQUEST {
            return Ok(Err(format!("an access unit of {} bytes", payload.len())));
        }
        let kind = match wanted {
            Wanted::Nothing => wire::UNIT,
            Wanted::Next => wire::PICTURE,
            Wanted::Last => wire::LAST_PICTURE,
        };
        self.send(&wire::head(kind, payload.len())).await?;
        self.send(payload).await?;
        if wanted == Wanted::Nothing {
            return Ok(Ok(None));
        }
        let answer = tokio::time::timeout(PATIENCE, self.answer()).await;
        answer.map_err(|_| format!("no picture within {} s", PATIENCE.as_secs()))?
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.input.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("its process ended".to_owned()),
            Err(_) => Err(format!("it took nothing for {} s", PATIENCE.as_secs())),
        }
    }

    /// The process reads a stranger's bytes: what it answers is a stranger's, too.
    async fn answer(&mut self) -> Result<Result<Option<Bytes>, String>, String> {
        let mut head = [0; wire::HEAD];
        let read = self.output.read_exact(&mut head).await;
        read.map_err(|_| "its process ended".to_owned())?;
        let (kind, len) =
            wire::read_head(head, wire::MAX_ANSWER).ok_or("its answer is too long")?;
        let mut body = vec![0; len];
        let read = self.output.read_exact(&mut body).await;
        read.map_err(|_| "its process ended".to_owned())?;
        match kind {
            wire::JPEG if jpeg::is_whole(&body) => Ok(Ok(Some(body.into()))),
            wire::NOTHING => Ok(Err(printable(&body))),
            _ => Err("its answer is no picture".to_owned()),
        }
    }
}

/// As much of a foreign text as fits a log line.
pub(crate) fn printable(text: &[u8]) -> String {
    const MAX_TEXT: usize = 200;
    let text = String::from_utf8_lossy(text);
    let text = text.trim().chars().filter(|c| !c.is_control());
    text.take(MAX_TEXT).collect()
}
