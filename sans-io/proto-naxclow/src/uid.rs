use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Longest device code that is read (facts, section 13). Real ones have 12 characters.
pub const MAX_UID: usize = 32;

/// Shortest device code that is read (facts, section 13).
pub const MIN_UID: usize = 8;

/// A camera's device code, such as `0800c00128F8`: letters and digits only, so it is safe in paths and pages.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(String);

impl Uid {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Uid {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fits = (MIN_UID..=MAX_UID).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Uid {
                found: text.chars().take(MAX_UID).collect(),
            })
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_code_is_letters_and_digits_of_a_sane_length() {
        assert_eq!(
            "0800c00128F8".parse::<Uid>().unwrap().as_str(),
            "0800c00128F8"
        );
        for bad in [
            "",
            "0800c00",
            "0800c0/../etc",
            "0800c00<b>",
            &"0".repeat(33),
        ] {
            assert!(bad.parse::<Uid>().is_err(), "{bad}");
        }
    }
}
