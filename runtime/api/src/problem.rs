//! Errors as problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// One refusal: status, what kind of trouble it is, and what to do about this very case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            nearest: None,
        }
    }

    /// No `what` has this name; `known` are those that exist.
    pub(crate) fn unknown<'a>(
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
    ) -> Self {
        // The name is the peer's: as much of it as a person types, and printable.
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        let nearest = nearest(name, known);
        let hint = match &nearest {
            Some(nearest) => format!("; the nearest name is \"{nearest}\""),
            None => String::new(),
        };
        Self {
            nearest,
            ..Self::new(
                StatusCode::NOT_FOUND,
                format!("there is no {what} \"{shown}\"{hint}"),
            )
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        response
    }
}

/// Longest name that is compared; the comparison costs the product of both lengths.
const MAX_COMPARED: usize = 128;

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let name = name.to_lowercase();
    known
        .map(|known| {
            (
                strsim::damerau_levenshtein(&name, &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min()
        .map(|(_, known)| known.to_owned())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["porch", "shed", "garage"];
        assert_eq!(nearest("Prch", known.into_iter()).as_deref(), Some("porch"));
        assert_eq!(nearest("shedd", known.into_iter()).as_deref(), Some("shed"));
        assert_eq!(nearest("aquarium", known.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known.into_iter()), None);
    }
}
