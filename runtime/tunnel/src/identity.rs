use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use proto_tunnel::{Pin, WEBSOCKET_ALPN};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use sha2::{Digest, Sha256};

use crate::{AgentsTls, Authorities, Error};

const KEY_FILE: &str = "gateway-key.pem";
const CERTIFICATE_FILE: &str = "gateway-cert.pem";

/// The gateway's key and self-signed certificate. Agents pin the key, so losing it means joining all of them again;
/// the certificate around it may be renewed at any time.
#[derive(Clone)]
pub struct Identity {
    pin: Pin,
    config: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    /// Set if agents have to show a certificate.
    agents: Option<AgentsTls>,
    reset_seed: [u8; 32],
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Loads `gateway-key.pem` (0600) and `gateway-cert.pem` from `data_dir`, making what is missing.
    ///
    /// # Errors
    /// When a file cannot be read, written or understood. A damaged key is never replaced silently.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join(KEY_FILE);
        let fail = |reason: String| Error::Identity {
            path: path.clone(),
            reason,
        };
        if !data_dir.is_dir() {
            create_private_dir(data_dir).map_err(|error| fail(error.to_string()))?;
        }
        let key = match read(&path)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|error| fail(error.to_string()))?,
            None => {
                let key = KeyPair::generate().map_err(|error| fail(error.to_string()))?;
                match write_new(&path, &key.serialize_pem(), 0o600) {
                    Ok(()) => key,
                    // The command line and the server started at once: the first one's key counts.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        let pem = read(&path)?.unwrap_or_default();
                        KeyPair::from_pem(&pem).map_err(|error| fail(error.to_string()))?
                    }
                    Err(error) => return Err(fail(error.to_string())),
                }
            }
        };
        let certificate = load_or_make_certificate(data_dir, &key)?;
        let pin = Sha256::digest(key.subject_public_key_info()).into();
        let config = |versions| {
            let secret = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)
                .and_then(|builder| {
                    builder
                        .with_no_client_auth()
                        .with_single_cert(vec![certificate.clone()], secret)
                });
            config.map_err(|error| fail(error.to_string()))
        };
        let mut seed = Sha256::new();
        seed.update(b"eyelet: end of connections that nobody knows any more");
        seed.update(key.serialize_der());
        Ok(Self {
            pin,
            config: Arc::new(config(rustls::ALL_VERSIONS)?),
            quic: Arc::new(config(&[&rustls::version::TLS13])?),
            agents: None,
            reset_seed: seed.finalize().into(),
        })
    }

    /// Has agents show a certificate that one of `authorities` has signed, from now on.
    ///
    /// # Errors
    /// [`Error::Authorities`] when TLS will not have it.
    pub fn demand_certificates(&mut self, authorities: &Authorities) -> Result<(), Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::Authorities {
                path: authorities.path().to_owned(),
                reason: error.to_string(),
            })?;
        let mut config = config
            .with_client_cert_verifier(authorities.verifier())
            .with_cert_resolver(Arc::clone(&self.quic.cert_resolver));
        // Whoever goes on with an earlier connection's secrets is not asked again for a certificate.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        self.quic = Arc::new(config.clone());
        config.alpn_protocols = vec![WEBSOCKET_ALPN.to_vec()];
        self.agents = Some(AgentsTls {
            config: Arc::new(config),
            authorities: authorities.clone(),
        });
        Ok(())
    }

    /// SHA-256 of the public key, for join codes.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// TLS 1.3 and 1.2 with this certificate and no ALPN, for the port that agents (and browsers) use.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// What those go through who say on that port that they are agents, if agents have to show a certificate.
    #[must_use]
    pub fn agents_tls(&self) -> Option<AgentsTls> {
        self.agents.clone()
    }

    /// TLS 1.3 with this certificate, for QUIC.
    pub(crate) fn quic_config(&self) -> ServerConfig {
        ServerConfig::clone(&self.quic)
    }

    /// As secret as the key, and as lasting: see [`link::quic::QuicListener::new`].
    pub(crate) fn reset_seed(&self) -> [u8; 32] {
        self.reset_seed
    }
}

fn load_or_make_certificate(
    data_dir: &Path,
    key: &KeyPair,
) -> Result<CertificateDer<'static>, Error> {
    use rustls::pki_types::pem::PemObject;

    let path = data_dir.join(CERTIFICATE_FILE);
    let fail = |reason: String| Error::Identity {
        path: path.clone(),
        reason,
    };
    if let Some(pem) = read(&path)?
        && let Ok(certificate) = CertificateDer::from_pem_slice(pem.as_bytes())
        && contains(&certificate, &key.subject_public_key_info())
    {
        return Ok(certificate);
    }
    let names = vec!["eyelet".to_owned(), "localhost".to_owned()];
    let made = CertificateParams::new(names).and_then(|params| params.self_signed(key));
    let made = made.map_err(|error| fail(error.to_string()))?;
    fs::write(&path, made.pem()).map_err(|error| fail(error.to_string()))?;
    Ok(made.der().clone())
}

/// A certificate carries its key's info verbatim; one made for another key is worth nothing here.
fn contains(certificate: &[u8], key_info: &[u8]) -> bool {
    certificate
        .windows(key_info.len())
        .any(|window| window == key_info)
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::Identity {
            path: path.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Writes under another name first and links it into place: a reader never sees half a key.
fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_stays_over_restarts_and_a_lost_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = Identity::load_or_create(&data).unwrap();
        assert_eq!(Identity::load_or_create(&data).unwrap().pin(), first.pin());
        fs::remove_file(data.join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(Identity::load_or_create(&data).unwrap().pin(), first.pin());
        assert!(data.join(CERTIFICATE_FILE).exists());
    }

    #[test]
    fn a_damaged_key_is_reported_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), "junk").unwrap();
        let error = Identity::load_or_create(dir.path()).unwrap_err();
        assert!(error.to_string().contains(KEY_FILE), "{error}");
        assert_eq!(
            fs::read_to_string(dir.path().join(KEY_FILE)).unwrap(),
            "junk"
        );
    }

    #[test]
    fn a_certificate_of_another_key_is_replaced() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pin = Identity::load_or_create(one.path()).unwrap().pin();
        Identity::load_or_create(two.path()).unwrap();
        fs::copy(
            two.path().join(CERTIFICATE_FILE),
            one.path().join(CERTIFICATE_FILE),
        )
        .unwrap();
        assert_eq!(Identity::load_or_create(one.path()).unwrap().pin(), pin);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path()).unwrap();
        let mode = fs::metadata(dir.path().join(KEY_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
