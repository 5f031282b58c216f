use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use link::CertificateFault;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Error;

/// Longest file: a chain has some thousand bytes.
const MAX_FILE: u64 = 64 << 10;

/// A certificate for gateways that ask agents for one. Read for each connection, so that a renewed one counts from the
/// next connection on; whether it holds is the gateway's business, this side looks at no date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM: the certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// PEM: its private key. May be the same file.
    pub key: PathBuf,
}

impl Certificate {
    /// Whether both files are there and hold what they should.
    ///
    /// # Errors
    /// [`Error::Certificate`] when a file cannot be read, or holds something else.
    pub fn check(&self) -> Result<(), Error> {
        self.read().map(drop)
    }

    /// The chain and the key.
    ///
    /// # Errors
    /// [`Error::Certificate`] when a file cannot be read, or holds something else.
    pub(crate) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let pem = read(&self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|error| unusable(&self.certificate, &error.to_string()))?;
        if chain.is_empty() {
            let reason = "it holds no certificate (PEM: BEGIN CERTIFICATE)";
            return Err(unusable(&self.certificate, reason));
        }
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key)?);
        let key = key.map_err(|error| match error {
            PemError::NoItemsFound => unusable(
                &self.key,
                "it holds no private key that this program reads (PEM: BEGIN PRIVATE KEY, and not encrypted); --key names the file that does",
            ),
            error => unusable(&self.key, &error.to_string()),
        })?;
        Ok((chain, key))
    }

    /// The files do not go together.
    pub(crate) fn refused(&self, error: &rustls::Error) -> Error {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "this is not the key of the certificate {}",
                self.certificate.display()
            ),
            error => error.to_string(),
        };
        unusable(&self.key, &reason)
    }
}

fn unusable(path: &Path, reason: &str) -> Error {
    Error::Certificate {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text))
        .map_err(|error| unusable(path, &error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(unusable(path, "it is far too long"));
    }
    Ok(text)
}

/// What to do about it, for the person at the agent.
pub(crate) fn advice(fault: CertificateFault) -> &'static str {
    match fault {
        CertificateFault::Missing => {
            "asks agents for a certificate: start this one with --certificate FILE --key FILE"
        }
        CertificateFault::UnknownAuthority => {
            "does not know the authority that signed this agent's certificate: the operator of the gateway names the right one (`http.agent_ca`)"
        }
        CertificateFault::Expired => {
            "says that this agent's certificate has expired, or is not valid yet: put a new one in its place, it is read again for each connection"
        }
        CertificateFault::Purpose => {
            "says that this agent's certificate is not made for TLS clients (extendedKeyUsage: clientAuth)"
        }
        CertificateFault::Bad => "does not take this agent's certificate",
    }
}
