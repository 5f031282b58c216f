use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Longest stream name; it becomes a path segment, a metric label and a column in a page.
const MAX_NAME: usize = 128;

/// A stream's name: the camera's, or `CAMERA/sub` for a second stream. Case matters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(Arc<str>);

/// A text that cannot name a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a stream: letters, digits, '_', '-', '.' and '/' make up to 128 characters, with no empty part and no part of dots alone"
)]
pub struct NameError(String);

impl StreamName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`NameError`] tells what a name is made of.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let part_is_good = |part: &str| {
            part.bytes().any(|b| b != b'.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if name.len() <= MAX_NAME && name.split('/').all(part_is_good) {
            Ok(Self(name.into()))
        } else {
            Err(NameError(name.chars().take(MAX_NAME).collect()))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for StreamName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_and_may_have_a_second_part() {
        for good in ["porch", "Porch", "shed-2/sub", "a.b_c"] {
            assert_eq!(StreamName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_could_escape_a_path_is_no_name() {
        for bad in [
            "",
            "/",
            "a/",
            "../etc",
            "a/../b",
            "a b",
            "caf\u{e9}",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(StreamName::new(bad).is_err(), "{bad:?}");
        }
    }
}
