//! Single pictures, with all that a cache, a VMS or a person wants to know of their age.

use std::time::{Duration, SystemTime};

use axum::extract::{self, Path, Query};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hub::State;
use outputs::mjpeg::{STALE, Snapshot};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;
use crate::routes::find_camera;
use crate::viewing::{PICTURE_PATIENCE, Source, refusal};
use crate::{AppState, CameraInfo};

/// When the picture came, as ESP32 cameras' own web server says it: seconds since 1970, then a dot
/// and six digits.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

/// `true` on a picture that is too old to be called live; else absent.
const STALE_HEADER: HeaderName = HeaderName::from_static("x-stale");

/// Where the picture is from: `camera`, `kept`, `backup`.
const ORIGIN_HEADER: HeaderName = HeaderName::from_static("x-eyelet-picture");

/// `…/snapshot.jpg`: the newest picture.
pub(crate) async fn snapshot(
    extract::State(state): extract::State<AppState>,
    Path(name): Path<String>,
    Query(wake): Query<Wake>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    still(&state, &name, wake, &headers).await
}

/// go2rtc's `/api/frame.jpeg?src=NAME`.
pub(crate) async fn frame(
    extract::State(state): extract::State<AppState>,
    Query(source): Query<Source>,
    Query(wake): Query<Wake>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    still(&state, source.name()?, wake, &headers).await
}

/// Whether a sleeping battery camera may be woken for a picture.
#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Wake {
    #[serde(default)]
    wake: u8,
}

async fn still(
    state: &AppState,
    name: &str,
    Wake { wake }: Wake,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let camera = find_camera(state, name)?;
    if wake != 1 && is_asleep(state, &camera) {
        let last = state.mjpeg().last(name).await.map_err(refusal)?;
        return match last {
            Some(snapshot) => Ok(answer(snapshot, headers)),
            None => {
                let detail = format!(
                    "camera \"{name}\" sleeps, and no picture of it is kept: ?wake=1 wakes it for one"
                );
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
            }
        };
    }
    let snapshot = state.mjpeg().snapshot(name, PICTURE_PATIENCE).await;
    Ok(answer(snapshot.map_err(refusal)?, headers))
}

/// Whether a picture would cost the camera's battery a wake: nobody watches, and it has one, or may have.
fn is_asleep(state: &AppState, camera: &CameraInfo) -> bool {
    let device = state.device(&camera.name);
    let has_battery = device.is_some_and(|device| {
        device.battery.is_some() || (!camera.autoplay && device.model.is_none())
    });
    let stream = state.hub().stream(&camera.name);
    has_battery && stream.is_none_or(|stream| stream.status().state == State::Idle)
}

fn answer(snapshot: Snapshot, asked: &HeaderMap) -> Response {
    let tag = tag(&snapshot.jpeg);
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::AGE, HeaderValue::from(snapshot.age.as_secs()));
    let origin = HeaderValue::from_static(snapshot.origin.name());
    headers.insert(ORIGIN_HEADER, origin);
    if snapshot.age >= STALE {
        headers.insert(STALE_HEADER, HeaderValue::from_static("true"));
    }
    let taken = SystemTime::now().checked_sub(snapshot.age);
    let since_1970 = taken
        .and_then(|taken| taken.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    let (timestamp, modified) = times(since_1970);
    insert(&mut headers, TIMESTAMP, &timestamp);
    if let Some(modified) = modified {
        insert(&mut headers, header::LAST_MODIFIED, &modified);
    }
    insert(&mut headers, header::ETAG, &tag);
    let known = asked.get_all(header::IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    if is_known {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    (headers, snapshot.jpeg).into_response()
}

/// The same for the same picture, whatever the clock does.
fn tag(jpeg: &[u8]) -> String {
    let digest = Sha256::digest(jpeg);
    let hex: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("\"{hex}\"")
}

/// A time after 1970 as `X-Timestamp` and as `Last-Modified` show it.
fn times(since_1970: Duration) -> (String, Option<String>) {
    let (seconds, micros) = (since_1970.as_secs(), since_1970.subsec_micros());
    let modified = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .and_then(|time| {
            let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
            printer.timestamp_to_rfc9110_string(&time).ok()
        });
    (format!("{seconds}.{micros:06}"), modified)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(age: Duration) -> Snapshot {
        Snapshot {
            jpeg: b"\xff\xd8one\xff\xd9".as_slice().into(),
            age,
            size: None,
            origin: outputs::mjpeg::Origin::Camera,
        }
    }

    #[test]
    fn times_are_written_as_the_standards_have_them() {
        let (timestamp, modified) = times(Duration::from_micros(1_784_000_000_000_042));
        assert_eq!(timestamp, "1784000000.000042");
        assert_eq!(modified.as_deref(), Some("Tue, 14 Jul 2026 03:33:20 GMT"));
    }

    #[test]
    fn a_picture_that_is_known_is_not_sent_again() {
        let first = answer(snapshot(Duration::ZERO), &HeaderMap::new());
        let mut asked = HeaderMap::new();
        asked.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = answer(snapshot(Duration::from_secs(3)), &asked);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()[header::AGE], "3");
        let mut other = snapshot(Duration::ZERO);
        other.jpeg = b"\xff\xd8two\xff\xd9".as_slice().into();
        assert_eq!(answer(other, &asked).status(), StatusCode::OK);
    }

    #[test]
    fn an_old_picture_says_that_it_is_stale() {
        let fresh = answer(snapshot(Duration::from_secs(1)), &HeaderMap::new());
        assert!(!fresh.headers().contains_key(STALE_HEADER));
        let old = answer(snapshot(STALE), &HeaderMap::new());
        assert_eq!(old.headers()[STALE_HEADER], "true");
        assert_eq!(old.headers()[header::AGE], "10");
    }
}
