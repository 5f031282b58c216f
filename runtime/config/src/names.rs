use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Longest name of a camera; it becomes a path segment, a metric label and a column.
const MAX_NAME: usize = 64;

/// What a camera's name is made of, as a regular expression for the JSON schema.
pub(crate) const CAMERA_PATTERN: &str = "^(?!\\.+$)[A-Za-z0-9_.-]{1,64}$";

/// The same for an agent's name, whose rule is the tunnel's.
pub(crate) const AGENT_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$";

/// A camera's name. Case matters: `porch` and `Porch` are two cameras.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct CameraName(String);

impl CameraName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CameraName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = text.len() <= MAX_NAME
            && text.bytes().any(|b| b != b'.')
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        if is_name {
            return Ok(Self(text.into()));
        }
        let shown: String = text.chars().take(MAX_NAME + 1).collect();
        Err(format!(
            "{shown:?} cannot name a camera: a name is 1 to 64 letters, digits, '_', '-' or '.', and not dots alone"
        ))
    }
}

impl fmt::Display for CameraName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_what_a_path_and_a_label_can_carry() {
        for good in ["porch", "Porch", "cam-1.front_door", &"x".repeat(64)] {
            assert_eq!(good.parse::<CameraName>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "a b", "küche", "a\n", &"x".repeat(65)] {
            let error = bad.parse::<CameraName>().unwrap_err();
            assert!(error.contains("cannot name a camera"), "{error}");
        }
    }
}
