//! The dashboard's files, inside the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::problem::Problem;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const PAGE: Asset = Asset {
    name: "index.html",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../web/index.html"),
};

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 15] = [
    Asset {
        name: "a9.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/a9.js"),
    },
    Asset {
        name: "agents.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/agents.js"),
    },
    Asset {
        name: "device.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/device.js"),
    },
    Asset {
        name: "app.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/app.js"),
    },
    Asset {
        name: "cards.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/cards.js"),
    },
    Asset {
        name: "dom.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/dom.js"),
    },
    Asset {
        name: "microphone.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/microphone.js"),
    },
    Asset {
        name: "picture.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/picture.js"),
    },
    Asset {
        name: "player.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/player.js"),
    },
    Asset {
        name: "settings.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/settings.js"),
    },
    Asset {
        name: "tables.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/tables.js"),
    },
    Asset {
        name: "talk.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/talk.js"),
    },
    Asset {
        name: "words.js",
        content_type: SCRIPT,
        bytes: include_bytes!("../web/words.js"),
    },
    Asset {
        name: "style.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../web/style.css"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../web/icon.svg"),
    },
];

/// One tag for all files: they change together, with the program.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ASSETS.iter().chain([&PAGE]) {
        hash.update(asset.bytes);
    }
    let digest = hash.finalize();
    let hex: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).unwrap_or(HeaderValue::from_static("\"\""))
});

/// The dashboard's page.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    answer(&PAGE, &headers)
}

/// One of its files.
pub(crate) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .ok_or_else(|| Problem::unknown("file", &name, ASSETS.iter().map(|asset| asset.name)))?;
    Ok(answer(asset, &headers))
}

fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|tag| tag.trim() == TAG.to_str().unwrap_or_default())
        });
    let fixed = [
        (header::ETAG, TAG.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(asset.content_type),
        ),
    ];
    if is_known {
        (StatusCode::NOT_MODIFIED, fixed).into_response()
    } else {
        (fixed, asset.bytes).into_response()
    }
}
