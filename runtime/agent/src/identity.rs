use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::{env, fmt};

use proto_tunnel::{AgentName, JoinCode, Pin, SECRET_LEN, Secret};

use crate::{Certificate, Error, pin};

const FILE: &str = "identity";
/// A full file has about a kilobyte.
const MAX_FILE: u64 = 8 << 10;
const VERSION: &str = "1";

/// Who this agent is, and whom it trusts. Kept as lines of `key value`: small to read, and a person can check it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: AgentName,
    pub(crate) token: Secret,
    pub(crate) addresses: Vec<String>,
    pub(crate) pin: Pin,
    /// Present until the gateway has welcomed this agent once.
    pub(crate) join_secret: Option<Secret>,
    /// What it shows to a gateway that asks; not kept in the file.
    pub(crate) certificate: Option<Certificate>,
    /// Hash of the code that made this identity, to know it again.
    code: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// `$XDG_STATE_HOME/eyelet-agent`, or `~/.local/state/eyelet-agent`, or without a home `/var/lib/eyelet-agent`.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    let var = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = var("XDG_STATE_HOME").or_else(|| Some(var("HOME")?.join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/var/lib"))
        .join("eyelet-agent")
}

impl Identity {
    /// The stored identity; or, when `join` names another one than it came from, a new one, stored before its first use:
    /// the gateway may take the secret and the answer be lost, and then the token must still be there.
    pub(crate) fn load_or_join(dir: &Path, join: Option<&JoinCode>) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let stored = match read(&path) {
            Ok(text) => match parse(&text) {
                Some(identity) => Some(identity),
                // With a code at hand a damaged file is no reason to stay away.
                None if join.is_some() => None,
                None => {
                    return Err(Error::State {
                        path,
                        reason: "it is damaged: join again with a new code".into(),
                    });
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Error::State {
                    path,
                    reason: error.to_string(),
                });
            }
        };
        match (stored, join) {
            (Some(stored), None) => Ok(stored),
            (Some(stored), Some(join)) if stored.code == hash(join) => Ok(stored),
            (_, Some(join)) => {
                let identity = Self::join(join)?;
                identity.save(dir)?;
                Ok(identity)
            }
            (None, None) => Err(Error::NotJoined(dir.to_owned())),
        }
    }

    /// Puts an address before the others. The key that is pinned stays the judge of who answers there.
    pub(crate) fn prefer(&mut self, address: &str) {
        self.addresses.retain(|known| known != address);
        self.addresses.insert(0, address.to_owned());
    }

    /// Shows a certificate from now on, once it is known to be one.
    pub(crate) fn show(&mut self, certificate: &Certificate) -> Result<(), Error> {
        pin::client_config(self.pin, Some(certificate))?;
        self.certificate = Some(certificate.clone());
        Ok(())
    }

    fn join(code: &JoinCode) -> Result<Self, Error> {
        let mut token = [0; SECRET_LEN];
        getrandom::fill(&mut token).map_err(Error::Random)?;
        Ok(Self {
            name: code.name.clone(),
            token: Secret::new(token),
            addresses: code.addresses.clone(),
            pin: code.pin,
            join_secret: Some(code.secret.clone()),
            certificate: None,
            code: hash(code),
        })
    }

    /// Writes the file (0600, in a folder 0700) so that it is either the old or the new one, also after a power cut.
    pub(crate) fn save(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(FILE);
        self.write(dir, &path).map_err(|error| Error::State {
            path,
            reason: error.to_string(),
        })
    }

    fn write(&self, dir: &Path, path: &Path) -> io::Result<()> {
        if !dir.is_dir() {
            let mut builder = DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(dir)?;
        }
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = options.open(&draft)?;
        file.write_all(self.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    }

    fn to_text(&self) -> String {
        use fmt::Write;

        let mut text = format!(
            "# Eyelet agent's identity. Whoever has it is this agent.\nversion {VERSION}\nname {}\n",
            self.name
        );
        for address in &self.addresses {
            let _ = writeln!(text, "gateway {address}");
        }
        let _ = writeln!(
            text,
            "pin {}\ntoken {}\ncode {}",
            hex(&self.pin),
            hex(self.token.as_bytes()),
            hex(&self.code)
        );
        if let Some(secret) = &self.join_secret {
            let _ = writeln!(text, "secret {}", hex(secret.as_bytes()));
        }
        text
    }
}

fn parse(text: &str) -> Option<Identity> {
    let (mut name, mut token, mut pin, mut code, mut join_secret) = (None, None, None, None, None);
    let mut addresses = Vec::new();
    let mut version = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(' ')? {
            ("version", value) => version = Some(value),
            ("name", value) => name = value.parse().ok(),
            ("gateway", value) => addresses.push(value.to_owned()),
            ("pin", value) => pin = unhex(value),
            ("token", value) => token = unhex(value),
            ("code", value) => code = unhex(value),
            ("secret", value) => join_secret = Some(Secret::new(unhex(value)?)),
            _ => return None,
        }
    }
    if version != Some(VERSION) {
        return None;
    }
    let token = Secret::new(token?);
    // Through the code's own checks, so that no address is anything but host:port.
    let JoinCode {
        addresses,
        pin,
        name,
        ..
    } = JoinCode::new(addresses, pin?, name?, token.clone()).ok()?;
    Some(Identity {
        name,
        token,
        addresses,
        pin,
        join_secret,
        certificate: None,
        code: code?,
    })
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is far too long",
        ));
    }
    fs::read_to_string(path)
}

fn hash(code: &JoinCode) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, code.to_string().as_bytes());
    digest.as_ref().try_into().unwrap_or([0; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let mut digits = text.chars().map(|digit| {
        digit
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    });
    for byte in &mut bytes {
        *byte = (digits.next()?? << 4) | digits.next()??;
    }
    digits.next().is_none().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(secret: u8) -> JoinCode {
        let addresses = vec!["gw.example:8080".to_owned(), "[::1]:9".to_owned()];
        JoinCode::new(
            addresses,
            [0xAB; 32],
            "shed".parse().unwrap(),
            Secret::new([secret; 32]),
        )
        .unwrap()
    }

    #[test]
    fn an_identity_survives_a_restart_without_and_with_the_same_code() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        let first = Identity::load_or_join(&state, Some(&code(1))).unwrap();
        assert_eq!(Identity::load_or_join(&state, None).unwrap(), first);
        assert_eq!(
            Identity::load_or_join(&state, Some(&code(1))).unwrap(),
            first
        );
        let mut joined = first;
        joined.join_secret = None;
        joined.save(&state).unwrap();
        assert_eq!(
            Identity::load_or_join(&state, Some(&code(1))).unwrap(),
            joined
        );
    }

    #[test]
    fn another_code_makes_another_identity() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load_or_join(dir.path(), Some(&code(1))).unwrap();
        let second = Identity::load_or_join(dir.path(), Some(&code(2))).unwrap();
        assert!(first.token != second.token);
        assert_eq!(Identity::load_or_join(dir.path(), None).unwrap(), second);
    }

    #[test]
    fn without_code_and_identity_it_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let error = Identity::load_or_join(dir.path(), None).unwrap_err();
        assert!(error.to_string().contains("--join"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_told_and_a_code_mends_it() {
        let dir = tempfile::tempdir().unwrap();
        let whole = Identity::load_or_join(dir.path(), Some(&code(1)))
            .unwrap()
            .to_text();
        for text in [
            "",
            "junk",
            "version 2\n",
            &whole[..whole.len() - 9],
            &whole.replace("gw.example:8080", "no port"),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert!(
                Identity::load_or_join(dir.path(), None).is_err(),
                "{text:?}"
            );
        }
        Identity::load_or_join(dir.path(), Some(&code(1))).unwrap();
        Identity::load_or_join(dir.path(), None).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        Identity::load_or_join(&state, Some(&code(1))).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&state), mode(&state.join(FILE))), (0o700, 0o600));
    }

    #[test]
    fn debug_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_join(dir.path(), Some(&code(0xCD))).unwrap();
        let text = format!("{identity:?}");
        assert!(!text.contains("205") && !text.contains("cdcd"), "{text}");
    }
}
