use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Longest name of a camera or an agent; it becomes a path segment, a metric label and a column.
const MAX_NAME: usize = 64;

/// What a name is made of, as a regular expression for the JSON schema.
pub(crate) const NAME_PATTERN: &str = "^(?!\\.+$)[A-Za-z0-9_.-]{1,64}$";

fn check(kind: &str, text: &str) -> Result<(), String> {
    let is_good = text.len() <= MAX_NAME
        && text.bytes().any(|b| b != b'.')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if is_good {
        return Ok(());
    }
    let shown: String = text.chars().take(MAX_NAME + 1).collect();
    Err(format!(
        "{shown:?} cannot name {kind}: a name is 1 to 64 letters, digits, '_', '-' or '.', and not dots alone"
    ))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                check($kind, text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A camera's name. Case matters: `porch` and `Porch` are two cameras.
    CameraName, "a camera"
}

name! {
    /// An agent's name, as `eyelet agent add NAME` gave it. Case matters.
    AgentName, "an agent"
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
