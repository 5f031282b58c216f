//! Moving pictures for browsers and players: MSE over WebSocket, motion JPEG.

use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use outputs::{mjpeg, mse};
use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::problem::Problem;
use crate::routes::find_camera;
use crate::takeover::Takeover;
use crate::{AppState, Peer, guard};

/// Largest message a viewer may send. It has nothing to say but close and pong.
const MAX_VIEWER_MESSAGE: usize = 4 << 10;

/// How often a viewer is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);

/// A viewer that was not heard of for this long is gone: three pings went unanswered.
const MAX_SILENCE: Duration = Duration::from_secs(50);

/// How long a camera may take for the picture that somebody asks for.
pub(crate) const PICTURE_PATIENCE: Duration = Duration::from_secs(10);

/// `…/ws`: fragments for Media Source Extensions.
pub(crate) async fn websocket(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    find_camera(&state, &name)?;
    let upgrade = upgrade.map_err(|_| no_websocket())?;
    guard::check_origin(&headers, state.public_name())?;
    let session = state.mse().session(&name).map_err(refusal)?;
    let upgrade = upgrade
        .max_message_size(MAX_VIEWER_MESSAGE)
        .max_frame_size(MAX_VIEWER_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| show(socket, session, peer)))
}

/// Answer to a plain request where only a WebSocket makes sense.
pub(crate) fn no_websocket() -> Problem {
    let detail = "this address speaks WebSocket only: send an upgrade request";
    Problem::new(StatusCode::UPGRADE_REQUIRED, detail)
}

/// Passes a session's messages on until one side leaves. A viewer that takes nothing is cut by the
/// listener; until then it costs its cursor and one message.
async fn show(mut socket: WebSocket, mut session: mse::Session, peer: Peer) {
    let mut heard = Instant::now();
    let mut ping = tokio::time::interval_at(heard + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (code, reason) = loop {
        // All branches are cancel safe: each takes one thing from a queue, or nothing.
        let message = tokio::select! {
            () = peer.shutdown.cancelled() => break (close_code::AWAY, "the gateway stops"),
            incoming = socket.recv() => match incoming {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                    heard = Instant::now();
                    continue;
                }
            },
            _ = ping.tick() => {
                if heard.elapsed() > MAX_SILENCE {
                    tracing::debug!(address = %peer.address, "an MSE viewer fell silent");
                    break (close_code::POLICY, "no answer to pings");
                }
                Message::Ping(bytes::Bytes::new())
            }
            message = session.next() => match message {
                Some(mse::Message::Text(text)) => Message::Text(text.into()),
                Some(mse::Message::Binary(bytes)) => Message::Binary(bytes),
                None => break (close_code::AWAY, "this camera is no longer configured"),
            },
        };
        if socket.send(message).await.is_err() {
            return;
        }
    };
    let close = Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }));
    // The listener cuts a peer that does not take even this.
    let _ = socket.send(close).await;
}

/// `…/stream`: motion JPEG.
pub(crate) async fn stream(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Extension(peer): Extension<Peer>,
    method: Method,
) -> Result<Response, Problem> {
    motion(&state, &name, peer, &method).await
}

/// go2rtc's `/api/stream.mjpeg?src=NAME`.
pub(crate) async fn go2rtc_stream(
    State(state): State<AppState>,
    Query(source): Query<Source>,
    Extension(peer): Extension<Peer>,
    method: Method,
) -> Result<Response, Problem> {
    motion(&state, source.name()?, peer, &method).await
}

/// The query of go2rtc's doors; what else stands in it is passed over.
#[derive(Deserialize)]
pub(crate) struct Source {
    src: Option<String>,
}

impl Source {
    /// The camera that is meant.
    pub(crate) fn name(&self) -> Result<&str, Problem> {
        self.src.as_deref().ok_or_else(|| {
            let detail = "which camera? Its name goes into the query: ?src=NAME";
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })
    }
}

/// Pictures without end. On a plain socket the session takes the socket over; under TLS it is the
/// body of an ordinary answer.
async fn motion(
    state: &AppState,
    name: &str,
    peer: Peer,
    method: &Method,
) -> Result<Response, Problem> {
    find_camera(state, name)?;
    let session = state
        .mjpeg()
        .session(name, PICTURE_PATIENCE)
        .await
        .map_err(refusal)?;
    let content_type = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static(mjpeg::CONTENT_TYPE),
    )];
    if *method == Method::HEAD {
        return Ok(content_type.into_response());
    }
    if peer.may_take_over {
        return Ok((content_type, Extension(Takeover::new(session))).into_response());
    }
    let parts = session
        .into_stream()
        .take_until(peer.shutdown.cancelled_owned());
    Ok((content_type, Body::from_stream(parts)).into_response())
}

pub(crate) fn refusal(error: outputs::Error) -> Problem {
    let text = error.to_string();
    match error {
        outputs::Error::UnknownStream(_) => Problem::new(StatusCode::NOT_FOUND, text),
        outputs::Error::Pixels(error) => match error {
            pixels::Error::Unsupported { .. } => Problem::new(StatusCode::NOT_IMPLEMENTED, text),
            pixels::Error::Malformed { .. } => Problem::new(StatusCode::BAD_GATEWAY, text),
            _ => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text),
        },
        outputs::Error::NoPictures(_) => Problem::new(StatusCode::NOT_FOUND, text),
        outputs::Error::TimedOut { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, text),
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, text),
    }
}
