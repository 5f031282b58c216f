use std::fmt;

/// What stands before a device id where a host is named: `onvif-2419d68a-2dd2-21b2-a205-9c8ecd010203`.
const PREFIX: &str = "onvif-";

/// The id that an ONVIF device keeps for life (ONVIF Core, section 7.3: its WS-Addressing endpoint, `urn:uuid:…`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// These bytes, in the order in which they are written.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads 32 hex digits with dashes after the 8th, 12th, 16th and 20th.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let mut into = bytes.iter_mut();
        let mut groups = text.split('-');
        for pairs in [4, 2, 2, 2, 6] {
            let group = groups.next().filter(|group| {
                group.len() == 2 * pairs && group.bytes().all(|b| b.is_ascii_hexdigit())
            })?;
            let mut number = u64::from_str_radix(group, 16)
                .ok()?
                .to_be_bytes()
                .into_iter();
            for _ in pairs..8 {
                number.next();
            }
            for byte in number {
                *into.next()? = byte;
            }
        }
        groups.next().is_none().then_some(Self(bytes))
    }

    /// Reads what devices put into an endpoint's address: `urn:uuid:…`, and `uuid:…` of some.
    #[must_use]
    pub fn from_urn(text: &str) -> Option<Self> {
        let text = text.trim();
        let at = text.rfind(':').map_or(0, |colon| colon + 1);
        let (scheme, id) = text.split_at_checked(at)?;
        ["urn:uuid:", "uuid:", "urn:", ""]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
            .then(|| Self::parse(id))?
    }

    /// Reads a host such as `onvif-2419d68a-2dd2-21b2-a205-9c8ecd010203`.
    #[must_use]
    pub fn from_host(host: &str) -> Option<Self> {
        let (prefix, id) = host.split_at_checked(PREFIX.len())?;
        prefix
            .eq_ignore_ascii_case(PREFIX)
            .then(|| Self::parse(id))?
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "2419d68a-2dd2-21b2-a205-9c8ecd010203";

    #[test]
    fn a_device_id_is_read_in_every_form_and_nothing_else_is() {
        let id = Uuid::parse(ID).unwrap();
        assert_eq!(id.to_string(), ID);
        assert_eq!(Uuid::parse(&ID.to_uppercase()), Some(id));
        for urn in ["urn:uuid:", "uuid:", "URN:UUID:", ""] {
            assert_eq!(Uuid::from_urn(&format!(" {urn}{ID}\n")), Some(id), "{urn}");
        }
        assert_eq!(Uuid::from_host(&format!("ONVIF-{ID}")), Some(id));
        for bad in [
            "",
            "onvif-",
            "2419d68a2dd221b2a2059c8ecd010203",
            "2419d68a-2dd2-21b2-a205-9c8ecd01020",
            "2419d68a-2dd2-21b2-a205-9c8ecd0102033",
            "2419d68a-2dd2-21b2-a205-9c8ecd010203-",
            "+419d68a-2dd2-21b2-a205-9c8ecd010203",
            "2419d68a-2dd2-21b2-a205-9c8ecd0102é",
        ] {
            assert_eq!(Uuid::parse(bad), None, "{bad}");
            assert_eq!(Uuid::from_host(bad), None, "{bad}");
        }
        assert_eq!(Uuid::from_urn(&format!("http://x/{ID}")), None);
        assert_eq!(Uuid::from_host("é-cam"), None);
    }
}
