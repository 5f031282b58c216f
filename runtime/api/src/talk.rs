//! Talking through a camera: a file that is posted, or a microphone over a WebSocket.

use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::changes::kind;
use crate::devices::{Refusal, Sound, find};
use crate::problem::Problem;
use crate::{AppState, Peer};

/// Largest file of sound: four minutes at 16 kHz, and more than anybody says through a camera.
pub(crate) const MAX_SOUND: u64 = 8 << 20;

/// How long a file may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest message of a microphone: a quarter of a second at the highest rate.
const MAX_MESSAGE: usize = 32 << 10;

/// Most pieces of sound that wait to be said: half a second as our page sends them. Who sends more waits.
const MAX_WAITING: usize = 8;

/// Rates of samples that are taken.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=96_000;

/// The routes; they need the checks of what changes something.
pub(crate) fn changes() -> Router<AppState> {
    use axum::routing::get;
    Router::new().route("/api/v1/cameras/{name}/talk", get(microphone).post(file))
}

/// `POST …/talk`: a WAV file.
async fn file(
    State(state): State<AppState>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    // Forms of other sites cannot send these, and need no permission of ours for all that they can.
    let is_sound = |kind: String| kind.starts_with("audio/") || kind == "application/octet-stream";
    if !kind(&request).is_some_and(is_sound) {
        let detail = "send the file as \"content-type: audio/wav\"";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    find(&state, &name)?;
    let body = to_bytes(request.into_body(), MAX_SOUND as usize);
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) | Err(_) => return Err(bad("the file did not come whole")),
    };
    let Some(controls) = state.controls() else {
        return Err(bad("no camera here takes sound"));
    };
    match controls.talk(&name, Sound::File(body)).await {
        Ok(sounded) => {
            let answer = json!({ "sounded_seconds": sounded.as_secs_f64() });
            Ok(Json(answer).into_response())
        }
        Err(Refusal::Malformed(detail)) => Err(bad(detail)),
        Err(Refusal::Camera(detail)) => Err(Problem::new(StatusCode::BAD_GATEWAY, detail)),
    }
}

#[derive(Deserialize)]
struct Microphone {
    rate: u32,
}

/// `GET …/talk?rate=16000`: a WebSocket that takes samples, 16 bits each with the low byte first, one channel, as soon as
/// it has said `{"type":"talking"}`. Any text is the end of them; `{"type":"ended","detail":""}` follows when they were said.
async fn microphone(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(Microphone { rate }): Query<Microphone>,
    Extension(peer): Extension<Peer>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    find(&state, &name)?;
    if !RATES.contains(&rate) {
        return Err(bad(format!(
            "{rate} samples a second are not taken: expected {} to {}",
            RATES.start(),
            RATES.end()
        )));
    }
    let upgrade = upgrade
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| pass_on(socket, state, name, rate, peer)))
}

/// Hands sound on until either side ends.
async fn pass_on(mut socket: WebSocket, state: AppState, name: String, rate: u32, peer: Peer) {
    let Some(controls) = state.controls() else {
        return;
    };
    let (sender, samples) = mpsc::channel(MAX_WAITING);
    let (opened, mut is_open) = oneshot::channel();
    // It is asked for sound when the speaker is open: what was said before would only come late, and so all the rest.
    let state_of_talk = (samples, Some(opened));
    let samples = futures_util::stream::unfold(state_of_talk, |(mut samples, opened)| async move {
        if let Some(opened) = opened {
            let _: Result<(), ()> = opened.send(());
        }
        let next = samples.recv().await?;
        Some((next, (samples, None)))
    });
    let samples = samples.boxed();
    let mut talk = controls.talk(&name, Sound::Live { rate, samples });
    // Its end tells the camera's half that the last word was said.
    let mut sender = Some(sender);
    let mut is_told = false;
    let ended = loop {
        tokio::select! {
            ended = &mut talk => break ended,
            opened = &mut is_open, if !is_told => {
                is_told = true;
                let told = Message::Text(r#"{"type":"talking"}"#.into());
                if opened.is_ok() && socket.send(told).await.is_err() {
                    sender = None;
                }
            }
            () = peer.shutdown.cancelled() => return,
            message = hear(&mut socket, sender.as_ref()), if sender.is_some() => match message {
                Some(()) => {}
                None => sender = None,
            },
        }
    };
    let (code, reason) = match ended {
        Ok(_) => (close_code::NORMAL, String::new()),
        Err(Refusal::Malformed(detail) | Refusal::Camera(detail)) => (close_code::ERROR, detail),
    };
    // A reason has at most 123 bytes (RFC 6455 section 5.5), so the whole of it goes before.
    let told = json!({ "type": "ended", "detail": reason }).to_string();
    let _ = socket.send(Message::Text(told.into())).await;
    let reason = "the talk has ended".into();
    let close = Message::Close(Some(CloseFrame { code, reason }));
    let _ = socket.send(close).await;
}

/// Takes one message of a microphone; `None` is its end. Cancel safe: what was taken from the socket is handed on
/// before anything is waited for.
async fn hear(socket: &mut WebSocket, sender: Option<&mpsc::Sender<Vec<i16>>>) -> Option<()> {
    let sender = sender?;
    let place = sender.reserve().await.ok()?;
    match socket.recv().await? {
        Ok(Message::Binary(bytes)) => {
            place.send(samples(&bytes));
            Some(())
        }
        Ok(Message::Ping(_) | Message::Pong(_)) => Some(()),
        // "That was all", as a text or by closing.
        Ok(Message::Text(_) | Message::Close(_)) | Err(_) => None,
    }
}

fn samples(bytes: &Bytes) -> Vec<i16> {
    let pairs = bytes.chunks_exact(2);
    pairs
        .filter_map(|pair| pair.try_into().ok().map(i16::from_le_bytes))
        .collect()
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_their_low_byte_first_and_half_a_one_is_none() {
        let bytes = Bytes::from_static(&[1, 0, 0xff, 0xff, 0, 0x80, 9]);
        assert_eq!(samples(&bytes), [1, -1, i16::MIN]);
    }
}
