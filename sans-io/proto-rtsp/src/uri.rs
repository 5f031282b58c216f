/// The parts of a request's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    /// Host and port as they came; `None` if the address is a bare path.
    pub authority: Option<String>,
    /// The path without slashes at its ends, percent signs resolved: "porch/sub". "*" stands for the server.
    pub path: String,
    /// What follows the question mark, as it came.
    pub query: Option<String>,
    /// The number in a final `/trackID=N`.
    pub track: Option<usize>,
}

/// The final part of a track's address; the number follows.
pub(crate) const TRACK: &str = "trackID=";

impl Uri {
    /// Reads `rtsp://host:port/path?query`, a bare path, or `*`.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        if uri == "*" {
            return Some(Self {
                authority: None,
                path: uri.to_owned(),
                query: None,
                track: None,
            });
        }
        let (authority, rest) = match uri.split_once("://") {
            Some((scheme, rest)) if is_rtsp(scheme) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, rest) = rest.split_at_checked(end)?;
                // Some players leave the login in the address.
                let authority = authority.rsplit('@').next().unwrap_or_default();
                (Some(authority.to_owned()), rest)
            }
            // A colon and two slashes may stand in a query.
            _ if uri.starts_with('/') => (None, uri),
            _ => return None,
        };
        let (rest, track) = split_track(rest);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.trim_end_matches('/'))),
            None => (rest.as_str(), None),
        };
        Some(Self {
            authority,
            path: percent_decode(path).trim_matches('/').to_owned(),
            query: query.filter(|q| !q.is_empty()).map(str::to_owned),
            track,
        })
    }
}

fn is_rtsp(scheme: &str) -> bool {
    ["rtsp", "rtsps", "rtspt", "rtspu"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

/// Takes `/trackID=N` out. Players put a track's name behind the query or before it.
fn split_track(rest: &str) -> (String, Option<usize>) {
    let found = rest.rfind(TRACK).and_then(|at| {
        let before = rest.get(..at)?.strip_suffix('/')?;
        let tail = rest.get(at + TRACK.len()..)?;
        let digits = tail
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (digits, after) = tail.split_at_checked(digits)?;
        let is_end = after.is_empty() || after == "/" || after.starts_with('?');
        let number = digits.parse().ok().filter(|_| is_end)?;
        Some((format!("{before}{}", after.trim_end_matches('/')), number))
    });
    match found {
        Some((rest, number)) => (rest, Some(number)),
        None => (rest.to_owned(), None),
    }
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let decoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match decoded {
            Some((high, low)) => {
                out.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => out.push(first),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

pub(crate) fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, path: &str, query: Option<&str>, track: Option<usize>) {
        let parsed = Uri::parse(uri).unwrap();
        let parts = (parsed.path.as_str(), parsed.query.as_deref(), parsed.track);
        assert_eq!(parts, (path, query, track), "{uri}");
    }

    #[test]
    fn a_track_is_found_behind_the_path_and_behind_the_query() {
        check("rtsp://h:1/porch", "porch", None, None);
        check("rtsp://h:1/porch/", "porch", None, None);
        check("rtsp://h/porch/trackID=0", "porch", None, Some(0));
        check(
            "rtsp://h/porch/sub/trackID=12/",
            "porch/sub",
            None,
            Some(12),
        );
        check(
            "rtsp://h/porch?start=live",
            "porch",
            Some("start=live"),
            None,
        );
        check(
            "rtsp://h/porch?start=live/trackID=1",
            "porch",
            Some("start=live"),
            Some(1),
        );
        check(
            "rtsp://h/porch/trackID=1?start=live",
            "porch",
            Some("start=live"),
            Some(1),
        );
        check("/porch%20a/", "porch a", None, None);
        check("rtsp://user:p@h", "", None, None);
        check("*", "*", None, None);
        check("rtsp://h/trackID=x", "trackID=x", None, None);
        assert_eq!(Uri::parse("http://h/porch"), None);
        assert_eq!(Uri::parse("porch"), None);
    }
}
