use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::wire::{Fields, crc32};
use crate::{AgentName, Error, Secret};

/// Most addresses that a join code carries: a name, a public and a local address, one spare.
pub const MAX_ADDRESSES: usize = 4;

/// Longest `host:port` in a join code: a full DNS name, colon and port.
pub const MAX_ADDRESS: usize = 253 + 6;

/// Longest join code as text; a paste beyond it is something else.
const MAX_TEXT: usize = 2048;

const PREFIX: &str = "eyelet";
const VERSION: &str = "1";

/// SHA-256 of the gateway certificate's public key (SubjectPublicKeyInfo, DER).
pub type Pin = [u8; 32];

/// All that a new agent needs to know, in one line: `eyelet1.<base64url>`.
///
/// | bytes | meaning |
/// | --- | --- |
/// | 1 | number of addresses, 1 to 4 |
/// | 2 + n, repeated | an address `host:port` |
/// | 32 | pin |
/// | 2 + n | agent's name |
/// | 32 | one-time secret |
/// | 4 | CRC-32 of all before, so that a typing error is told as such |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCode {
    /// Where the gateway listens for agents, as `host:port`, best first.
    pub addresses: Vec<String>,
    /// The gateway's key.
    pub pin: Pin,
    /// The name that the gateway gave to this agent.
    pub name: AgentName,
    /// Proves once that the holder was invited.
    pub secret: Secret,
}

impl JoinCode {
    /// Checks the addresses and makes a code.
    ///
    /// # Errors
    /// When there is no address, too many, or one that is not `host:port`.
    pub fn new(
        addresses: Vec<String>,
        pin: Pin,
        name: AgentName,
        secret: Secret,
    ) -> Result<Self, Error> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(Error::JoinContent(
                "it must name one to four gateway addresses",
            ));
        }
        if !addresses.iter().all(|address| is_host_and_port(address)) {
            return Err(Error::JoinContent("a gateway address is not HOST:PORT"));
        }
        Ok(Self {
            addresses,
            pin,
            name,
            secret,
        })
    }
}

impl fmt::Display for JoinCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::with_capacity(160);
        out.push(u8::try_from(self.addresses.len()).map_err(|_| fmt::Error)?);
        for address in &self.addresses {
            put(&mut out, address)?;
        }
        out.extend_from_slice(&self.pin);
        put(&mut out, self.name.as_str())?;
        out.extend_from_slice(self.secret.as_bytes());
        out.extend_from_slice(&crc32(&out).to_be_bytes());
        write!(f, "{PREFIX}{VERSION}.{}", URL_SAFE_NO_PAD.encode(out))
    }
}

impl FromStr for JoinCode {
    type Err = Error;

    /// Blanks and line breaks are skipped: a terminal may have wrapped the code.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            return Err(Error::NotAJoinCode);
        }
        let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let (version, body) = split(&text)?;
        if version != VERSION {
            return Err(Error::JoinVersion {
                found: version.to_owned(),
            });
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|error| match error {
            base64::DecodeError::InvalidByte(at, _) => {
                let found = body
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .unwrap_or('?');
                Error::JoinCharacter {
                    found,
                    position: text.len() - body.len() + at + 1,
                }
            }
            base64::DecodeError::InvalidLength(_)
            | base64::DecodeError::InvalidLastSymbol(..)
            | base64::DecodeError::InvalidPadding => Error::JoinTruncated,
        })?;
        decode(&bytes)
    }
}

/// Splits `eyelet1.body` into `1` and `body`.
fn split(text: &str) -> Result<(&str, &str), Error> {
    let rest = text.strip_prefix(PREFIX).ok_or(Error::NotAJoinCode)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (version, rest) = rest.split_at_checked(digits).ok_or(Error::NotAJoinCode)?;
    if version.is_empty() || version.len() > 4 {
        return Err(Error::NotAJoinCode);
    }
    if rest.is_empty() {
        return Err(Error::JoinTruncated);
    }
    let body = rest.strip_prefix('.').ok_or(Error::NotAJoinCode)?;
    Ok((version, body))
}

fn decode(bytes: &[u8]) -> Result<JoinCode, Error> {
    // A code cut short fails here; a mistyped one may too, when the error hit a length: then the checksum of
    // the whole decides which of the two it is called. Only a sound code is looked at for its meaning.
    let sound = bytes
        .split_last_chunk::<4>()
        .is_some_and(|(head, sum)| crc32(head).to_be_bytes() == *sum);
    if !sound {
        return Err(if skeleton(bytes).is_err() {
            Error::JoinTruncated
        } else {
            Error::JoinChecksum
        });
    }
    let (addresses, pin, name, secret) =
        skeleton(bytes).map_err(|_| Error::JoinContent("its fields do not fit"))?;
    let name = std::str::from_utf8(name)
        .ok()
        .and_then(|name| name.parse().ok());
    let name = name.ok_or(Error::JoinContent("the agent's name is not a valid one"))?;
    let addresses: Option<Vec<String>> = addresses
        .into_iter()
        .map(|address| std::str::from_utf8(address).ok().map(str::to_owned))
        .collect();
    let addresses = addresses.ok_or(Error::JoinContent("a gateway address is not text"))?;
    JoinCode::new(addresses, pin, name, Secret::new(secret))
}

type Skeleton<'a> = (Vec<&'a [u8]>, Pin, &'a [u8], [u8; 32]);

fn skeleton(bytes: &[u8]) -> Result<Skeleton<'_>, Error> {
    let mut fields = Fields::new("join", bytes);
    let count = usize::from(fields.u8("count")?);
    let mut addresses = Vec::new();
    for _ in 0..count.min(MAX_ADDRESSES + 1) {
        let len = usize::from(fields.u16("address")?);
        addresses.push(fields.take("address", len)?);
    }
    let pin = fields.array("pin")?;
    let len = usize::from(fields.u16("name")?);
    let name = fields.take("name", len)?;
    let secret = fields.array("secret")?;
    fields.array::<4>("checksum")?;
    Ok((addresses, pin, name, secret))
}

fn put(out: &mut Vec<u8>, text: &str) -> fmt::Result {
    let len = u16::try_from(text.len()).map_err(|_| fmt::Error)?;
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn is_host_and_port(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else {
        return false;
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        }
    };
    address.len() <= MAX_ADDRESS && host_fits && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code() -> JoinCode {
        let addresses = vec![
            "gw.example.org:8080".to_owned(),
            "[2001:db8::7]:443".to_owned(),
        ];
        JoinCode::new(
            addresses,
            [0xA5; 32],
            "shed".parse().unwrap(),
            Secret::new([0x5A; 32]),
        )
        .unwrap()
    }

    #[test]
    fn a_code_survives_blanks_and_line_breaks_of_a_terminal() {
        let mut text = code().to_string();
        text.insert_str(40, "\n   ");
        assert_eq!(format!("  {text}\r\n").parse::<JoinCode>().unwrap(), code());
    }

    #[test]
    fn every_shortened_code_is_told_to_be_cut_off() {
        let text = code().to_string();
        for len in "eyelet1".len()..text.len() {
            assert_eq!(
                text[..len].parse::<JoinCode>(),
                Err(Error::JoinTruncated),
                "{len} characters"
            );
        }
    }

    #[test]
    fn another_version_and_another_text_are_told_apart() {
        let newer = code().to_string().replacen("eyelet1.", "eyelet2.", 1);
        assert_eq!(
            newer.parse::<JoinCode>(),
            Err(Error::JoinVersion { found: "2".into() })
        );
        for text in [
            "",
            "hello",
            "eyelet",
            "eyelet.x",
            "eyeletx.AAAA",
            "eyelet99999.AA",
        ] {
            assert_eq!(
                text.parse::<JoinCode>(),
                Err(Error::NotAJoinCode),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_foreign_character_is_named_with_its_place() {
        let mut text = code().to_string();
        text.replace_range(20..21, "!");
        assert_eq!(
            text.parse::<JoinCode>(),
            Err(Error::JoinCharacter {
                found: '!',
                position: 21
            })
        );
    }

    #[test]
    fn addresses_must_be_host_and_port() {
        for address in [
            "",
            "host",
            ":80",
            "host:",
            "host:0",
            "host:70000",
            "ho st:80",
            "[::1:80",
            "a/b:80",
        ] {
            let made = JoinCode::new(
                vec![address.into()],
                [0; 32],
                "a".parse().unwrap(),
                Secret::new([0; 32]),
            );
            assert!(made.is_err(), "{address:?}");
        }
        assert!(
            JoinCode::new(vec![], [0; 32], "a".parse().unwrap(), Secret::new([0; 32])).is_err()
        );
    }

    #[test]
    fn the_secret_does_not_print() {
        assert!(!format!("{:?}", code().secret).contains("90"));
    }

    proptest! {
        #[test]
        fn any_code_round_trips(
            hosts in prop::collection::vec("[a-z][a-z0-9.-]{0,60}:[1-9][0-9]{0,3}", 1..=MAX_ADDRESSES),
            pin: [u8; 32], secret: [u8; 32], name in "[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        ) {
            let code = JoinCode::new(hosts, pin, name.parse().unwrap(), Secret::new(secret)).unwrap();
            prop_assert_eq!(code.to_string().parse::<JoinCode>().unwrap(), code);
        }

        #[test]
        fn one_wrong_character_never_passes(at in 8usize..230, with in "[A-Za-z0-9_-]") {
            let mut text = code().to_string();
            prop_assume!(at < text.len() && text[at..=at] != *with);
            text.replace_range(at..=at, &with);
            prop_assert!(text.parse::<JoinCode>().is_err());
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC*") {
            prop_assert!(text.parse::<JoinCode>().is_err());
        }
    }
}
