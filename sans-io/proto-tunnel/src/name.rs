use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Longest name of an agent, in bytes: fits a DNS label, a log column and a file name.
pub const MAX_AGENT_NAME: usize = 63;

/// The name of an agent: 1 to 63 ASCII letters, digits, `-`, `_`, `.`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentName(String);

impl AgentName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let first = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if first && rest && text.len() <= MAX_AGENT_NAME {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::AgentName {
            found: text.chars().take(MAX_AGENT_NAME + 1).collect(),
        })
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for AgentName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_are_accepted() {
        for name in [
            "shed",
            "dahua-2449s-il-001",
            "a",
            "Site_7.cam",
            "0800c00128F8",
        ] {
            assert_eq!(name.parse::<AgentName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_could_escape_a_path_a_log_line_or_a_limit_are_refused() {
        let long = "x".repeat(MAX_AGENT_NAME + 1);
        for name in [
            "",
            ".",
            "..",
            "-x",
            "_x",
            "a/b",
            "a b",
            "a\n",
            "früh",
            "a\0",
            long.as_str(),
        ] {
            assert!(name.parse::<AgentName>().is_err(), "{name:?}");
        }
    }
}
