use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use link::CertificateFault;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    AlertDescription, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::Error;

/// Longest file: a few hundred certificates.
const MAX_FILE: u64 = 1 << 20;

/// Whose signature the certificates of agents must bear. Such a certificate opens the door and no more: who an agent is
/// says its token. Clones are the same authorities.
#[derive(Clone, Debug)]
pub struct Authorities {
    path: Arc<Path>,
    verifier: Arc<Verifier>,
}

impl Authorities {
    /// Reads the authorities' certificates, one or more in a PEM file.
    ///
    /// # Errors
    /// [`Error::Authorities`] when the file cannot be read, or holds something else.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let current = RwLock::new(read(path, &provider)?);
        Ok(Self {
            path: path.into(),
            verifier: Arc::new(Verifier { provider, current }),
        })
    }

    /// Reads the file again, for all who dial from now on; sessions that stand go on. Whether there was anything new.
    ///
    /// # Errors
    /// [`Error::Authorities`] as for [`Self::load`]; the former authorities stay then.
    pub fn reload(&self) -> Result<bool, Error> {
        let read = read(&self.path, &self.verifier.provider)?;
        let current = &self.verifier.current;
        let mut current = current.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = read.hash != current.hash;
        *current = read;
        Ok(is_new)
    }

    /// Where they stand.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier) as _
    }

    /// What is wrong with an agent's certificate, and what helps, for the operator's log.
    #[must_use]
    pub fn explain(&self, fault: CertificateFault) -> String {
        let path = self.path.display();
        match fault {
            CertificateFault::Missing => {
                "it has no certificate, and `http.agent_ca` asks for one: start it with --certificate FILE --key FILE".to_owned()
            }
            CertificateFault::UnknownAuthority => {
                format!("its certificate is signed by no authority of {path} (`http.agent_ca`)")
            }
            CertificateFault::Expired => {
                "its certificate has expired or is not valid yet by this machine's clock: give it a new one"
                    .to_owned()
            }
            CertificateFault::Purpose => {
                "its certificate is not made for TLS clients (extendedKeyUsage: clientAuth)".to_owned()
            }
            CertificateFault::Bad => "its certificate is no good".to_owned(),
        }
    }
}

/// TLS for the WebSockets of agents that have to show a certificate. Their hello names [`crate::WEBSOCKET_ALPN`].
#[derive(Clone, Debug)]
pub struct AgentsTls {
    /// TLS 1.3 that asks for a certificate, and is content with nothing else.
    pub config: Arc<ServerConfig>,
    /// Whose.
    pub authorities: Authorities,
}

/// What a failed TLS handshake says of the peer's certificate.
#[must_use]
pub fn certificate_fault(error: &rustls::Error) -> Option<CertificateFault> {
    let alert = match error {
        rustls::Error::NoCertificatesPresented => AlertDescription::CertificateRequired,
        rustls::Error::InvalidCertificate(why) => AlertDescription::from(why.clone()),
        _ => return None,
    };
    CertificateFault::of_alert(alert.into())
}

/// What the file holds.
struct Content {
    hash: [u8; 32],
    verifier: Arc<dyn ClientCertVerifier>,
}

fn read(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Content, Error> {
    let fail = |reason: String| Error::Authorities {
        path: path.to_owned(),
        reason,
    };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut pem))
        .map_err(|error| fail(error.to_string()))?;
    if pem.len() as u64 > MAX_FILE {
        return Err(fail(format!("it is longer than {MAX_FILE} bytes")));
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| fail(format!("a certificate in it cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        let reason = "it holds no certificate (PEM: BEGIN CERTIFICATE)";
        return Err(fail(reason.to_owned()));
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    Ok(Content {
        hash: Sha256::digest(&pem).into(),
        verifier: verifier.build().map_err(|error| fail(error.to_string()))?,
    })
}

/// Judges by the file's newest content. The names of the authorities are told to nobody: agents have one certificate and
/// need not choose.
struct Verifier {
    provider: Arc<CryptoProvider>,
    current: RwLock<Content>,
}

impl Verifier {
    fn current(&self) -> Arc<dyn ClientCertVerifier> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.verifier)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let current = self.current();
        current.verify_client_cert(certificate, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let current = self.current();
        current.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let current = self.current();
        current.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current().supported_verify_schemes()
    }
}
